//! Points in, the probes that D has for them out, and what their arguments are called there. What D has no name for keeps
//! spoor's, with a comment that says so.
use crate::attach::points::{Numbered, Points};
use crate::program::argument::{RETURNED, Value};
use crate::program::error::printable;
use crate::program::field::{Field, Source};
use crate::program::fields_of;
use crate::program::tree::{Clause, Type};
use crate::resolve::Place;
use crate::resolve::kernel::VMLINUX;

/// More are written as a pattern.
const MOST_WRITTEN: usize = 5;

/// Probes of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Probes {
    pub probe: String,
    /// Where something has to be noted for a return, and the statements that do.
    pub before: Option<(String, String)>,
    /// Fields, and what D has for them here.
    pub names: Vec<(String, String)>,
    pub comments: Vec<String>,
    /// D wants to know of which process they are.
    pub is_of_process: bool,
}

pub fn probes(points: &Points, clause: &Clause) -> Vec<Probes> {
    let mut fields: Vec<&Field> = Vec::new();
    fields_of(clause, &mut |field| {
        if !fields.contains(&field) {
            fields.push(field);
        }
    });
    let mut groups: Vec<(Kind, Vec<&Numbered>)> = Vec::new();
    for numbered in &points.points {
        let kind = Kind::of(numbered);
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, members)) => members.push(numbered),
            None => groups.push((kind, vec![numbered])),
        }
    }
    groups.iter().map(|(kind, members)| of_kind(*kind, members, points.returns, &fields)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    /// An instruction that is not a function's first.
    Inside,
    Usdt,
    Kernel,
    InsideKernel,
    Tracepoint,
}

impl Kind {
    fn of(numbered: &Numbered) -> Kind {
        match &numbered.point.place {
            Place::Kernel { offset: 0, .. } => Kind::Kernel,
            Place::Kernel { .. } => Kind::InsideKernel,
            Place::Tracepoint { .. } => Kind::Tracepoint,
            Place::User { usdt: Some(_), .. } => Kind::Usdt,
            Place::User { is_entry: true, .. } if !is_line(&numbered.point.function) => Kind::Function,
            Place::User { .. } => Kind::Inside,
        }
    }
}

/// `worker.c:120`
fn is_line(function: &str) -> bool {
    function.rsplit_once(':').is_some_and(|(_, line)| !line.is_empty() && line.bytes().all(|c| c.is_ascii_digit()))
}

/// `name` and `0x12` of `name+0x12`.
fn instruction(function: &str) -> Option<(&str, &str)> {
    let (name, digits) = function.rsplit_once("+0x")?;
    digits.bytes().all(|c| c.is_ascii_hexdigit()).then_some((name, digits))
}

fn of_kind(kind: Kind, members: &[&Numbered], returns: bool, fields: &[&Field]) -> Probes {
    let mut shown = Probes {
        probe: String::new(),
        before: None,
        names: Vec::new(),
        comments: Vec::new(),
        is_of_process: !matches!(kind, Kind::Kernel | Kind::InsideKernel | Kind::Tracepoint),
    };
    let func = if matches!(kind, Kind::Usdt | Kind::Tracepoint) { "probename" } else { "probefunc" };
    shown.names.extend([("func".to_owned(), func.to_owned()), ("module".to_owned(), "probemod".to_owned())]);
    let mut statements: Vec<String> = Vec::new();
    let mut note = |statement: String| {
        if !statements.contains(&statement) {
            statements.push(statement);
        }
    };
    for field in fields {
        match field.source {
            Source::Argument { number, .. } | Source::Copied { number, .. } => {
                let meant = match number {
                    RETURNED => Some(InD::Parameter { name: "arg1".to_owned(), cast: String::new() }),
                    _ => in_d(kind, members, number),
                };
                let theirs = match meant {
                    Some(InD::Parameter { name, cast }) => {
                        let name = if returns && number != RETURNED {
                            note(format!("self->{name} = {name};"));
                            format!("self->{name}")
                        } else {
                            name
                        };
                        if field.is_copied() { format!("copyinstr({name})") } else { format!("{cast}{name}") }
                    }
                    Some(InD::Record { name, is_text: false }) if field.is_copied() => {
                        format!("copyinstr(args->{name})")
                    }
                    Some(InD::Record { name, .. }) => format!("args->{name}"),
                    None => {
                        shown.comments.push(format!("{}: D has no such argument here", printable(field.name)));
                        continue;
                    }
                };
                shown.names.push((field.name.to_owned(), theirs));
                if kind == Kind::Kernel && field.is_copied() {
                    shown.comments.push("copyinstr of a process's text; of the kernel's it is stringof".to_owned());
                }
            }
            _ if field.name == "elapsed" => note("self->start = timestamp;".to_owned()),
            _ => {}
        }
    }
    if shown.names.iter().any(|(_, theirs)| theirs.contains("args->")) {
        shown.comments.push("args-> is the tracepoint's record, which D has no name for".to_owned());
    }
    shown.comments.dedup();
    shown.probe = written(kind, members, if returns { "return" } else { "entry" }, &mut shown.comments);
    if !statements.is_empty() && returns {
        let entry = written(kind, members, "entry", &mut Vec::new());
        shown.before = Some((entry, statements.join(" ")));
    }
    shown
}

enum InD {
    /// `arg0` and the cast that makes it as wide as it is.
    Parameter { name: String, cast: String },
    /// A field of a tracepoint's record.
    Record { name: String, is_text: bool },
}

/// None: D has nothing for it, or not the same for all of them.
fn in_d(kind: Kind, members: &[&Numbered], number: u16) -> Option<InD> {
    let mut operands = members.iter().map(|numbered| numbered.operands.get(&number));
    let first = operands.next()??;
    if kind == Kind::Usdt {
        return Some(InD::Parameter { name: format!("arg{number}"), cast: cast(first.ty, first.bytes) });
    }
    if !operands.all(|other| other == Some(first)) {
        return None;
    }
    match first.value {
        Value::Parameter(at) if !matches!(kind, Kind::Inside | Kind::InsideKernel) => {
            Some(InD::Parameter { name: format!("arg{at}"), cast: cast(first.ty, first.bytes) })
        }
        value if kind == Kind::Tracepoint => {
            let argument = members.first()?.point.arguments.iter().find(|argument| argument.value == value)?;
            Some(InD::Record { name: argument.name.clone(), is_text: value.is_text() })
        }
        _ => None,
    }
}

fn cast(ty: Type, bytes: u32) -> String {
    match ty {
        _ if bytes == 8 => String::new(),
        Type::Signed => format!("(int{}_t)", bytes * 8),
        Type::Unsigned => format!("(uint{}_t)", bytes * 8),
    }
}

/// Probe descriptions with commas between; a pattern, where they are many.
fn written(kind: Kind, members: &[&Numbered], end: &str, comments: &mut Vec<String>) -> String {
    if members.len() <= MOST_WRITTEN {
        let mut probes: Vec<String> = Vec::new();
        for numbered in members {
            let probe = one(kind, numbered, end, comments);
            if !probes.contains(&probe) {
                probes.push(probe);
            }
        }
        return probes.join(", ");
    }
    let mut names: Vec<&str> = members.iter().map(|numbered| numbered.point.function.as_str()).collect();
    names.sort_unstable();
    let shown: Vec<String> = names.iter().take(MOST_WRITTEN).map(|name| printable(name)).collect();
    let more = names.len() - shown.len();
    comments.push(format!("only {} of those that match: {} and {more} more", names.len(), shown.join(", ")));
    let module = &members[0].point.module;
    let module = if members.iter().all(|numbered| numbered.point.module == *module) { module } else { "" };
    // A pattern is of a part of the name, up to the first sign that D has another meaning for.
    let common = common_start(&names);
    let plain: String = common.chars().take_while(|c| is_plain(*c)).collect();
    let pattern = match (kind, common.split_once(':')) {
        (Kind::Usdt, Some((provider, _))) => word(provider),
        _ => format!("{plain}*"),
    };
    match kind {
        Kind::Function | Kind::Inside => format!("pid$target:{}:{pattern}:{end}", word(module)),
        Kind::Usdt => format!("{pattern}$target:::"),
        Kind::Kernel | Kind::InsideKernel => format!("fbt:{}:{pattern}:{end}", kernel_module(module)),
        Kind::Tracepoint => format!("sdt:{}::{pattern}", word(module)),
    }
}

fn one(kind: Kind, numbered: &Numbered, end: &str, comments: &mut Vec<String>) -> String {
    let (function, module) = (numbered.point.function.as_str(), word(&numbered.point.module));
    let mut named = |name: &str| {
        let (pattern, is_exact) = function_pattern(name);
        if !is_exact {
            comments.push(format!("{}: D knows it by its mangled name", printable(name)));
        }
        pattern
    };
    match (kind, &numbered.point.place) {
        (Kind::Inside, _) => match instruction(function) {
            Some((name, digits)) if !name.is_empty() => format!("pid$target:{module}:{}:{digits}", named(name)),
            _ => {
                comments.push(format!("at {} of the file, where D has no name for", printable(function)));
                format!("pid$target:{module}::")
            }
        },
        (Kind::Usdt, _) => {
            let (provider, name) = names_of_usdt(function);
            format!("{provider}$target:::{name}")
        }
        (Kind::InsideKernel, Place::Kernel { symbol, offset }) => {
            comments.push(format!("at {}: D has no probes inside of the kernel's functions", printable(function)));
            format!("fbt:{}:{}:{offset:x}", kernel_module(&module), word(symbol))
        }
        (_, Place::Kernel { symbol, .. }) => format!("fbt:{}:{}:{end}", kernel_module(&module), word(symbol)),
        (_, Place::Tracepoint { group, event }) => format!("sdt:{}::{}", word(group), word(event)),
        _ => format!("pid$target:{module}:{}:{end}", named(function)),
    }
}

/// Two underscores of a probe's name are a hyphen in D.
fn names_of_usdt(function: &str) -> (String, String) {
    let (provider, name) = function.split_once(':').unwrap_or((function, ""));
    (word(provider), word(&name.replace("__", "-")))
}

/// The kernel itself needs no name.
fn kernel_module(module: &str) -> String {
    if module == VMLINUX { String::new() } else { word(module) }
}

/// A name of the source is found by its last word.
fn function_pattern(name: &str) -> (String, bool) {
    if name.chars().all(is_plain) {
        return (name.to_owned(), true);
    }
    let without_arguments = name.split('(').next().unwrap_or_default();
    let mut words = without_arguments.split(|c: char| !is_plain(c));
    let last = words.rfind(|word| !word.is_empty()).unwrap_or_default();
    (if last.is_empty() { "*".to_owned() } else { format!("*{last}*") }, false)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Any other sign is any sign.
fn word(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { '?' }).collect()
}

fn common_start<'a>(names: &[&'a str]) -> &'a str {
    let Some((first, rest)) = names.split_first() else { return "" };
    let same =
        |name: &&str| first.chars().zip(name.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    &first[..rest.iter().map(same).min().unwrap_or(first.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::program::check;
    use crate::program::codegen::site::{Leave, Operand};
    use crate::program::scope::Scope;
    use crate::program::tree::{Action, Clause};
    use crate::providers::PROVIDERS;
    use crate::resolve::{Argument, Point};

    fn numbered(place: Place, module: &str, function: &str, arguments: &[(&str, Value, u32)]) -> Numbered {
        let operand = |value, bytes| Operand { value, bytes, ty: Type::Unsigned };
        let operands: BTreeMap<u16, Operand> = match arguments {
            [] => (0..6).map(|at| (at.into(), operand(Value::Parameter(at), 8))).collect(),
            some => (0..).zip(some).map(|(at, (_, value, bytes))| (at, operand(*value, *bytes))).collect(),
        };
        let argument = |(name, value, bytes): &(&str, Value, u32)| Argument {
            name: (*name).to_owned(),
            ty: Type::Unsigned,
            bytes: *bytes,
            value: *value,
        };
        let point = Point {
            place,
            function: function.to_owned(),
            module: module.into(),
            arguments: arguments.iter().map(argument).collect(),
        };
        let leave = Leave { stack_above: 8, bytes: 8, ty: Type::Signed };
        Numbered { point, cookie: 0, operands, leave, typed: None }
    }

    fn user(function: &str, is_entry: bool) -> Numbered {
        let place =
            Place::User { file: std::path::Path::new("/lib/libx.so.1").into(), offset: 16, is_entry, usdt: None };
        numbered(place, "libx.so.1", function, &[])
    }

    fn usdt(function: &str) -> Numbered {
        let place = Place::User {
            file: std::path::Path::new("/lib/libx.so.1").into(),
            offset: 16,
            is_entry: false,
            usdt: Some(0),
        };
        numbered(place, "libx.so.1", function, &[])
    }

    /// Of points that all are of one kind.
    fn of(points: &[Numbered], returns: bool, by: &str) -> Probes {
        let provider = PROVIDERS.iter().find(|provider| provider.points.is_some()).expect("one has points");
        let keys = check::keys(by, &Scope::new(provider.fields.iter())).unwrap();
        let clause = Clause { predicate: None, action: Action::Aggregate { keys, columns: Vec::new() } };
        let points = Points { points: points.to_vec(), returns, may_be_slow: false };
        let mut all = probes(&points, &clause);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn name<'a>(probes: &'a Probes, ours: &str) -> Option<&'a str> {
        probes.names.iter().find(|(name, _)| name == ours).map(|(_, theirs)| theirs.as_str())
    }

    #[test]
    fn what_a_return_needs_is_noted_at_the_entry() {
        let shown = of(&[user("f", true)], true, "arg1,str(arg2),elapsed,str(ret)");
        assert_eq!(shown.probe, "pid$target:libx.so.1:f:return");
        let statements = "self->arg1 = arg1; self->arg2 = arg2; self->start = timestamp;";
        assert_eq!(shown.before, Some(("pid$target:libx.so.1:f:entry".to_owned(), statements.to_owned())));
        assert_eq!(name(&shown, "arg1"), Some("self->arg1"));
        assert_eq!(name(&shown, "str(arg2)"), Some("copyinstr(self->arg2)"));
        assert_eq!(name(&shown, "str(ret)"), Some("copyinstr(arg1)"));
        let shown = of(&[user("f", true)], false, "arg1");
        assert_eq!((shown.probe.as_str(), shown.before.as_ref()), ("pid$target:libx.so.1:f:entry", None));
        assert_eq!(name(&shown, "arg1"), Some("arg1"));
    }

    #[test]
    fn a_few_points_are_written_out_and_many_are_a_pattern_with_a_comment() {
        let points: Vec<Numbered> = (1..=6).map(|at| user(&format!("get_{at}"), true)).collect();
        let few = of(&points[..2], false, "func");
        assert_eq!(few.probe, "pid$target:libx.so.1:get_1:entry, pid$target:libx.so.1:get_2:entry");
        assert_eq!(few.comments, [""; 0]);
        let many = of(&points, false, "func");
        assert_eq!(many.probe, "pid$target:libx.so.1:get_*:entry");
        assert_eq!(many.comments, ["only 6 of those that match: get_1, get_2, get_3, get_4, get_5 and 1 more"]);
    }

    #[test]
    fn names_that_d_cannot_hold_are_patterns_with_a_comment() {
        let shown = of(&[user("store::put(char*)", true)], false, "func");
        assert_eq!(shown.probe, "pid$target:libx.so.1:*put*:entry");
        assert_eq!(shown.comments, ["store::put(char*): D knows it by its mangled name"]);
    }

    #[test]
    fn an_instruction_has_no_arguments_in_d() {
        let shown = of(&[user("f+0x1c", false)], false, "arg0");
        assert_eq!(shown.probe, "pid$target:libx.so.1:f:1c");
        assert_eq!(shown.comments, ["arg0: D has no such argument here"]);
        for is_entry in [true, false] {
            let shown = of(&[user("worker.c:120", is_entry)], false, "func");
            assert_eq!(shown.probe, "pid$target:libx.so.1::");
            assert_eq!(shown.comments, ["at worker.c:120 of the file, where D has no name for"]);
        }
        let place = Place::Kernel { symbol: "f".into(), offset: 0x1c };
        let shown = of(&[numbered(place, VMLINUX, "f+0x1c", &[])], false, "func");
        assert_eq!(shown.probe, "fbt::f:1c");
        assert_eq!(shown.comments, ["at f+0x1c: D has no probes inside of the kernel's functions"]);
    }

    #[test]
    fn probes_of_the_kernel_and_usdt_have_providers_of_their_own() {
        let kernel = numbered(
            Place::Kernel { symbol: "f.isra.0".into(), offset: 0 },
            VMLINUX,
            "f.isra.0",
            &[("n", Value::Parameter(3), 4)],
        );
        let shown = of(&[kernel], false, "arg0");
        assert_eq!((shown.probe.as_str(), shown.is_of_process), ("fbt::f.isra.0:entry", false));
        assert_eq!(name(&shown, "arg0"), Some("(uint32_t)arg3"));
        let module = numbered(Place::Kernel { symbol: "f".into(), offset: 0 }, "nfs", "f", &[]);
        assert_eq!(of(&[module], true, "ret").probe, "fbt:nfs:f:return");
        let shown = of(&[usdt("python:gc__start")], false, "func,arg0");
        assert_eq!((shown.probe.as_str(), name(&shown, "func")), ("python$target:::gc-start", Some("probename")));
    }

    #[test]
    fn fields_of_a_tracepoints_record_are_named_and_said_to_be_no_names_of_d() {
        let place = Place::Tracepoint { group: "sched".into(), event: "sched_switch".into() };
        let record = [("prev_comm", Value::RecordText(8), 16), ("prev_pid", Value::Record(24), 4)];
        let shown = of(&[numbered(place, "sched", "sched_switch", &record)], false, "arg1");
        assert_eq!(shown.probe, "sdt:sched::sched_switch");
        assert_eq!(name(&shown, "arg1"), Some("args->prev_pid"));
        assert_eq!(shown.comments, ["args-> is the tracepoint's record, which D has no name for"]);
    }
}
