//! `spoor list PATTERN`: what a pattern of `spoor func` matches, one line a point that can be given back as a pattern,
//! below it the arguments that it names. Attaches nothing.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::func::{usage, whom};
use super::list::Listing;
use super::text_order::sort_by_text;
use crate::attach::target::Target;
use crate::program::error::{printable, printable_cow};
use crate::program::tree::Type;
use crate::resolve::aliases::{Aliases, is_same};
use crate::resolve::parts::{each, in_parts};
use crate::resolve::{self, Argument, Pattern, Place, Point, Resolved};

/// One point of so many is looked at for where to divide them.
const POINTS_PER_BOUND: usize = 32;
/// Of those, in each span.
const SAMPLES: usize = 128;

/// Errors: [`super::UsageError`] for a malformed pattern; one that nothing matches, with the nearest names.
pub fn matches(text: &str, pid: Option<u32>) -> Result<Listing> {
    let pattern = Pattern::parse(text).map_err(usage)?;
    let target = Target { pids: pid.into_iter().collect(), ..Target::default() };
    let (resolved, aliases) = resolve::with_aliases(std::slice::from_ref(&pattern), &whom(&target, &[])?)?;
    let listing = Listing { text: lines(&pattern, &resolved.points, &aliases), notes: notes(&resolved) };
    // The command ends here, and to free a hundred thousand names takes a tenth of its time.
    std::mem::forget((resolved, aliases));
    Ok(listing)
}

/// By name; what has the same pattern, such as a probe that is at several places, once. In pieces, to be joined.
fn lines(pattern: &Pattern, points: &[Point], aliases: &Aliases) -> Vec<String> {
    let modules = Modules::of(pattern, points);
    // No beginning begins another one, so that what begins alike is together.
    let mut shown: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
    for points in points.chunk_by(have_one_beginning) {
        shown.entry(printable(&modules.beginning_of(&points[0]))).or_default().extend(points);
    }
    let texts = shown.into_iter().map(|(beginning, points)| {
        let bounds = bounds(&points, &modules);
        let parts = in_parts(&points, |points| {
            let mut spans: Vec<Vec<Line>> = bounds.iter().map(|_| Vec::new()).collect();
            spans.push(Vec::new());
            for point in points {
                let line = Line { end: modules.end_of(point), point };
                spans[bounds.partition_point(|bound| **bound <= *line.end)].push(line);
            }
            spans
        });
        let spans: Vec<usize> = (0..=bounds.len()).collect();
        each(&spans, |span| {
            let mut lines: Vec<&Line> = parts.iter().flat_map(|spans| &spans[*span]).collect();
            sort_by_text(&mut lines, |line| line.end.as_bytes());
            text(&beginning, &lines, aliases)
        })
    });
    texts.flatten().collect()
}

/// Ends of lines that divide all of them into spans of one size, more or less, for several threads.
fn bounds<'a>(points: &[&'a Point], modules: &Modules) -> Vec<Cow<'a, str>> {
    let mut some: Vec<_> = points.iter().step_by(POINTS_PER_BOUND).map(|point| modules.end_of(point)).collect();
    some.sort_unstable();
    some.into_iter().skip(SAMPLES).step_by(SAMPLES).collect()
}

struct Line<'a> {
    /// What follows the beginning that it has in common with others.
    end: Cow<'a, str>,
    point: &'a Point,
}

/// Of lines in their order. What is equal is one, with the arguments of the first one, and the other names of all.
fn text(beginning: &str, lines: &[&Line], aliases: &Aliases) -> String {
    let bytes = lines.iter().map(|line| beginning.len() + line.end.len() + 1).sum();
    let mut out = String::with_capacity(bytes);
    for same in lines.chunk_by(|a, b| a.end == b.end) {
        out.extend([beginning, &*same[0].end, "\n"]);
        for argument in &same[0].point.arguments {
            let _ = writeln!(out, "  {:<16}  {}", printable(&argument.name), type_name(argument));
        }
        let others: BTreeSet<&str> = same.iter().flat_map(|line| aliases.of_point(line.point)).collect();
        if !others.is_empty() {
            let others: Vec<String> = others.into_iter().map(printable).collect();
            let _ = writeln!(out, "  also {}", others.join(", "));
        }
    }
    out
}

fn type_name(argument: &Argument) -> String {
    let sign = match argument.ty {
        _ if argument.value.is_text() => return "string".to_owned(),
        Type::Signed => 'i',
        Type::Unsigned => 'u',
    };
    format!("{sign}{}", argument.bytes * 8)
}

/// How the files are named in the lines.
struct Modules<'a> {
    pattern: &'a Pattern,
    /// The path that was typed, as it stands in a pattern.
    typed: Option<String>,
    /// Names that several of the files have.
    shared: BTreeSet<&'a str>,
}

impl<'a> Modules<'a> {
    fn of(pattern: &'a Pattern, points: &'a [Point]) -> Modules<'a> {
        let module = match pattern {
            Pattern::Function { module, .. }
            | Pattern::FunctionOffset { module, .. }
            | Pattern::Usdt { module, .. } => module.as_deref(),
            Pattern::Offset { module, .. } | Pattern::Line { module, .. } => Some(module.as_str()),
            Pattern::Kernel { .. } | Pattern::KernelOffset { .. } | Pattern::Tracepoint { .. } => None,
        };
        let mut files: HashMap<&str, BTreeSet<&Path>> = HashMap::new();
        for points in points.chunk_by(have_one_beginning) {
            if let Place::User { file, .. } = &points[0].place {
                files.entry(&points[0].module).or_default().insert(file);
            }
        }
        let shared = files.into_iter().filter(|(_, files)| files.len() > 1).map(|(name, _)| name);
        Modules { pattern, typed: module.filter(|module| module.contains('/')).map(escaped), shared: shared.collect() }
    }

    /// A path where one was typed or where the name alone would mean another file as well.
    fn module(&self, point: &Point) -> Cow<'_, str> {
        match (&point.place, &self.typed) {
            (_, Some(path)) => path.into(),
            (Place::User { file, .. }, None) if self.shared.contains(&*point.module) => {
                escaped(&below_root(file)).into()
            }
            _ => escaped(&point.module).into(),
        }
    }

    /// Of the point's pattern, up to its last colon that means one.
    fn beginning_of(&self, point: &Point) -> String {
        match &point.place {
            Place::Kernel { .. } => "kernel:".to_owned(),
            Place::Tracepoint { group, .. } => format!("tracepoint:{group}:"),
            Place::User { usdt: Some(_), .. } => format!("usdt:{}:", self.module(point)),
            Place::User { .. } => format!("{}:", self.module(point)),
        }
    }

    /// The rest, as it is printed.
    fn end_of<'p>(&self, point: &'p Point) -> Cow<'p, str> {
        match (&point.place, self.pattern) {
            (Place::Kernel { symbol, offset: 0 }, _) => printable_cow(symbol),
            (Place::Kernel { symbol, offset }, _) => printable(&format!("{symbol}+{offset:#x}")).into(),
            (Place::Tracepoint { event, .. }, _) => printable_cow(event),
            (Place::User { offset, usdt: None, .. }, Pattern::Offset { .. }) => format!("+{offset:#x}").into(),
            (Place::User { usdt: None, .. }, Pattern::Line { .. }) => {
                let (source, line) = point.function.rsplit_once(':').unwrap_or((&point.function, "1"));
                printable(&format!("{}:{line}", escaped(source))).into()
            }
            (Place::User { .. }, _) => match literal(&point.function) {
                Cow::Borrowed(name) => printable_cow(name),
                Cow::Owned(name) => printable(&name).into(),
            },
        }
    }
}

/// Whether their patterns differ at the end only.
fn have_one_beginning(a: &Point, b: &Point) -> bool {
    match (&a.place, &b.place) {
        (Place::User { file, usdt, .. }, Place::User { file: other, usdt: others, .. }) => {
            is_same(file, other) && usdt.is_some() == others.is_some() && a.module == b.module
        }
        (Place::Tracepoint { group, .. }, Place::Tracepoint { group: other, .. }) => group == other,
        (Place::Kernel { .. }, Place::Kernel { .. }) => true,
        _ => false,
    }
}

/// A colon in it is no end of it.
fn escaped(module: &str) -> String {
    module.replace(':', r"\:")
}

/// The pattern that only this name matches.
fn literal(name: &str) -> Cow<'_, str> {
    let is_sign = |byte: u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    // Looks at many at once.
    if !name.bytes().fold(false, |any, byte| any | is_sign(byte)) {
        return name.into();
    }
    let (mut out, mut rest) = (String::with_capacity(name.len() + 8), name);
    while let Some(at) = rest.bytes().position(is_sign) {
        out.extend([&rest[..at], "\\", &rest[at..=at]]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.into()
}

/// Without the way through /proc to the root of a process.
fn below_root(file: &Path) -> String {
    let text = file.to_string_lossy();
    let below =
        text.strip_prefix("/proc/").and_then(|rest| rest.split_once("/root/")).map(|(_, path)| format!("/{path}"));
    below.unwrap_or_else(|| text.into_owned())
}

/// Names with the same reason in one line.
fn notes(resolved: &Resolved) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for (name, why) in &resolved.refused {
        // A symbol may have one version that can be traced, and one that cannot.
        let is_listed = resolved.points.iter().any(|point| point.function == *name);
        let shown = if is_listed { format!("another {}", printable(name)) } else { printable(name) };
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, names)) => names.push(shown),
            None => reasons.push((why.clone(), vec![shown])),
        }
    }
    let refused = reasons.into_iter().map(|(why, names)| format!("{} cannot be traced: {why}", names.join(", ")));
    resolved.notes.iter().cloned().chain(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Value;

    fn user(module: &str, file: &str, function: &str, offset: u64) -> Point {
        Point {
            place: Place::User { file: Path::new(file).into(), offset, is_entry: true, usdt: None },
            function: function.to_owned(),
            module: module.into(),
            arguments: Vec::new(),
        }
    }

    fn listed(pattern: &str, points: &[Point]) -> String {
        lines(&Pattern::parse(pattern).unwrap(), points, &Aliases::default()).concat()
    }

    #[test]
    fn each_line_is_a_pattern_that_means_that_point() {
        let file = "/spoor-no-such-file";
        let points = [user("libx.so.1", file, "put(char*)", 16), user("libx.so.1", file, "get", 32)];
        assert_eq!(listed("libx:*", &points), "libx.so.1:get\nlibx.so.1:put(char\\*)\n");
        assert_eq!(listed("/a\\:b/libx.so:*", &points[1..]), "/a\\:b/libx.so:get\n");
        assert_eq!(listed("libx:+0x20", &points[1..]), "libx.so.1:+0x20\n");
        let place = Place::Kernel { symbol: "vfs_read".to_owned(), offset: 26 };
        let inside = Point { place, ..user("vmlinux", file, "vfs_read+0x1a", 0) };
        assert_eq!(listed("kernel:vfs_read+26", &[inside]), "kernel:vfs_read+0x1a\n");
        let lines = [16, 32].map(|offset| user("libx.so.1", file, "src/odd:x.c:12", offset));
        assert_eq!(listed(r"libx:src/odd\:x.c:12", &lines), "libx.so.1:src/odd\\:x.c:12\n");
        let probe = [16, 32].map(|offset| Point {
            place: Place::User { file: Path::new(file).into(), offset, is_entry: false, usdt: Some(0) },
            ..user("libx.so.1", file, "app:begin", offset)
        });
        assert_eq!(listed("usdt:libx:*:*", &probe), "usdt:libx.so.1:app:begin\n");
    }

    /// More than one thread does.
    #[test]
    fn twenty_thousand_lines_are_in_order_and_each_is_there_once() {
        let name = |at: u64| format!("a::name::that::begins::like::others::{}", at % 15_000);
        let points: Vec<Point> = (0..20_000).map(|at| user("libx.so.1", "/x", &name(at * 7919), at)).collect();
        let expected: BTreeSet<String> = (0..15_000).map(|at| format!("libx.so.1:{}\n", name(at))).collect();
        assert_eq!(listed("libx:*", &points), expected.into_iter().collect::<String>());
    }

    #[test]
    fn files_of_one_name_are_told_apart_by_their_paths() {
        let points = [user("x.so", "/proc/42/root/a/x.so", "f", 16), user("x.so", "/b/x.so", "f", 16)];
        assert_eq!(listed("x:f", &points), "/a/x.so:f\n/b/x.so:f\n");
    }

    #[test]
    fn arguments_stand_below_with_their_types() {
        let argument = |name: &str, ty, bytes, value| Argument { name: name.into(), ty, bytes, value };
        let point = Point {
            place: Place::Tracepoint { group: "sched".into(), event: "sched_switch".into() },
            function: "sched_switch".into(),
            module: "sched".into(),
            arguments: vec![
                argument("prev_comm", Type::Unsigned, 16, Value::RecordText(8)),
                argument("prev_pid", Type::Signed, 4, Value::Record(24)),
                argument("prev_state", Type::Unsigned, 8, Value::Record(32)),
            ],
        };
        let shown = "tracepoint:sched:sched_switch\n  prev_comm         string\n  prev_pid          i32\n  prev_state        u64\n";
        assert_eq!(listed("tracepoint:sched:*", &[point]), shown);
    }

    #[test]
    fn names_that_are_refused_for_one_reason_are_in_one_line() {
        let refused = |name: &str, why: &str| (name.to_owned(), why.to_owned());
        let resolved = Resolved {
            refused: vec![refused("memcpy", "later"), refused("x", "never"), refused("memset", "later")],
            notes: vec!["a note".into()],
            ..Resolved::default()
        };
        assert_eq!(notes(&resolved), ["a note", "memcpy, memset cannot be traced: later", "x cannot be traced: never"]);
    }
}
