//! A tracepoint's pattern in, its points with the fields of their records out, as tracefs tells them.
//! Attaches nothing.
use super::{Argument, Place, Point, Value};
use crate::error::Advice;
use crate::program::glob::Glob;
use crate::program::tree::Type;
use crate::sys::tracefs::Tracefs;

/// ftrace's own records: they look like tracepoints, and nothing can be attached to them.
const NOT_ATTACHABLE: &str = "ftrace";
/// Elements of an array of numbers that each get a field, such as the six arguments of a system call.
const MOST_ELEMENTS: u32 = 8;

/// Tracepoints whose group and event match, by group and event.
///
/// Errors: tracefs cannot be read. Kernel: as [`Tracefs::open`].
pub fn points(group: &Glob, event: &Glob) -> anyhow::Result<Vec<Point>> {
    let cannot = |error: std::io::Error| {
        let what = format!("read tracefs, which lists the tracepoints: {error}");
        Advice::new(what, "run it as root; or once: mount -t tracefs tracefs /sys/kernel/tracing")
    };
    let tracefs = Tracefs::open().map_err(cannot)?;
    let (is_group, is_event) = (group.matcher(), event.matcher());
    let mut points = Vec::new();
    let groups = tracefs.folders("events").map_err(cannot)?;
    for group in groups.into_iter().filter(|group| is_group(group.as_bytes()) && group != NOT_ATTACHABLE) {
        // A module that goes takes its tracepoints along.
        let Ok(events) = tracefs.folders(&format!("events/{group}")) else { continue };
        for event in events.into_iter().filter(|event| is_event(event.as_bytes())) {
            let Ok(format) = tracefs.read(&format!("events/{group}/{event}/format")) else { continue };
            points.push(Point {
                function: event.clone(),
                module: group.as_str().into(),
                arguments: Format::parse(&format).fields,
                place: Place::Tracepoint { group: group.clone(), event },
            });
        }
    }
    Ok(points)
}

/// `group:event` of all tracepoints, for suggestions.
pub fn names() -> anyhow::Result<Vec<String>> {
    let tracefs = Tracefs::open()?;
    let mut names = Vec::new();
    for group in tracefs.folders("events")?.into_iter().filter(|group| group != NOT_ATTACHABLE) {
        let events = tracefs.folders(&format!("events/{group}")).unwrap_or_default();
        names.extend(events.into_iter().map(|event| format!("{group}:{event}")));
    }
    Ok(names)
}

/// What a tracepoint's record holds, but for the `common_` fields that all of them have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub fields: Vec<Argument>,
    /// Fields that are neither a number nor a text, each with what it is instead.
    pub left_out: Vec<(String, &'static str)>,
}

impl Format {
    /// Reads a tracepoint's file `format`. Lines that are no fields are skipped.
    pub fn parse(text: &str) -> Format {
        let mut format = Format::default();
        for field in text.lines().filter_map(Declared::parse) {
            match field.arguments() {
                Ok(arguments) => format.fields.extend(arguments),
                Err(why) => format.left_out.push((field.name.to_owned(), why)),
            }
        }
        format
    }
}

/// The value whose place in the record stands at this byte.
type Loc = fn(u32) -> Value;

/// A line such as `field:char comm[16]; offset:8; size:16; signed:0;`.
struct Declared<'a> {
    /// Of an element, where it is an array.
    ty: &'a str,
    name: &'a str,
    /// What stands between brackets.
    array: Option<&'a str>,
    /// It lies elsewhere in the record.
    loc: Option<Loc>,
    offset: u32,
    bytes: u32,
    signed: bool,
}

impl Declared<'_> {
    fn parse(line: &str) -> Option<Declared<'_>> {
        let mut parts = line.trim().split(';').map(str::trim);
        let declared = parts.next()?.strip_prefix("field:")?;
        let (mut offset, mut bytes, mut signed) = (None, None, false);
        for (key, value) in parts.filter_map(|part| part.split_once(':')) {
            match key {
                "offset" => offset = value.parse().ok(),
                "size" => bytes = value.parse().ok(),
                "signed" => signed = value != "0",
                _ => {}
            }
        }
        let (declared, loc) = match declared.split_once(' ') {
            Some(("__data_loc", rest)) => (rest, Some(Value::RecordDataLoc as Loc)),
            Some(("__rel_loc", rest)) => (rest, Some(Value::RecordRelLoc as Loc)),
            _ => (declared, None),
        };
        // `char comm[16]` and `__data_loc char[] name`; the name is the last word.
        let (ty, name) = declared.rsplit_once(' ')?;
        let (name, behind_name) = split_brackets(name);
        let (ty, behind_type) = split_brackets(ty);
        if name.is_empty() || name.starts_with("common_") {
            return None;
        }
        Some(Declared { ty, name, array: behind_name.or(behind_type), loc, offset: offset?, bytes: bytes?, signed })
    }

    fn arguments(&self) -> Result<Vec<Argument>, &'static str> {
        let argument = |ty, bytes, value| Argument { name: self.name.to_owned(), ty, bytes, value };
        let ty = if self.signed { Type::Signed } else { Type::Unsigned };
        // `name:4`
        if self.name.contains(':') {
            return Err("a bit field");
        }
        let is_text = matches!(self.ty, "char" | "const char");
        match (self.loc, self.array) {
            (Some(loc), Some("")) if is_text && self.bytes == 4 => {
                Ok(vec![argument(Type::Unsigned, 0, loc(self.offset))])
            }
            (Some(_), _) => Err("an array of any length"),
            (None, Some(_)) if is_text => {
                Ok(vec![argument(Type::Unsigned, self.bytes, Value::RecordText(self.offset))])
            }
            (None, Some(count)) => self.elements(ty, count),
            (None, None) if !is_number(self.bytes) => Err("a struct"),
            (None, None) => {
                let (ty, bytes) = in_register(self.ty).filter(|_| self.bytes == 8).unwrap_or((ty, self.bytes));
                Ok(vec![argument(ty, bytes, Value::Record(self.offset))])
            }
        }
    }

    /// `args[6]` becomes args0 to args5. Bytes are addresses and ids, of which no single one tells anything.
    fn elements(&self, ty: Type, count: &str) -> Result<Vec<Argument>, &'static str> {
        let count: u32 = count.parse().map_err(|_| "an array of any length")?;
        if count == 0 || !self.bytes.is_multiple_of(count) {
            return Err("an array of any length");
        }
        let bytes = self.bytes / count;
        if bytes == 1 {
            return Err("an array of bytes");
        }
        if count > MOST_ELEMENTS || !is_number(bytes) {
            return Err("a large array");
        }
        let element = |index| {
            let offset = self.offset.checked_add(index * bytes)?;
            Some(Argument { name: format!("{}{index}", self.name), ty, bytes, value: Value::Record(offset) })
        };
        (0..count).map(element).collect::<Option<_>>().ok_or("a large array")
    }
}

/// Records of system calls hold each argument as it was in its register, in eight bytes that are said to be unsigned: of
/// an `int` the upper half is whatever was there. Little endian: the value begins where the eight bytes do.
fn in_register(ty: &str) -> Option<(Type, u32)> {
    Some(match ty {
        "int" | "s32" | "pid_t" | "key_t" | "mqd_t" | "clockid_t" | "const clockid_t" => (Type::Signed, 4),
        "unsigned int" | "unsigned" | "u32" | "__u32" | "uid_t" | "gid_t" => (Type::Unsigned, 4),
        "umode_t" => (Type::Unsigned, 2),
        "long" | "off_t" | "loff_t" => (Type::Signed, 8),
        _ => return None,
    })
}

fn is_number(bytes: u32) -> bool {
    matches!(bytes, 1 | 2 | 4 | 8)
}

fn split_brackets(word: &str) -> (&str, Option<&str>) {
    match word.split_once('[') {
        Some((before, inside)) => (before.trim_end(), Some(inside.split(']').next().unwrap_or_default().trim())),
        None => (word, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Type::{Signed, Unsigned};
    use Value::{Record, RecordDataLoc, RecordRelLoc, RecordText};

    const COMMON: &str = "name: x\nID: 1\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n";

    fn parse(fields: &str) -> Format {
        Format::parse(&format!("{COMMON}{fields}\nprint fmt: \"field:%d;\", REC->id\n"))
    }

    fn argument(name: &str, ty: Type, bytes: u32, value: Value) -> Argument {
        Argument { name: name.to_owned(), ty, bytes, value }
    }

    #[test]
    fn fields_are_numbers_and_texts_of_fixed_room() {
        let format = parse(
            "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
             \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
             \tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;\n\
             \tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n\
             \tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;\n\
             \tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n\
             \tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;\n",
        );
        let expected = [
            argument("prev_comm", Unsigned, 16, RecordText(8)),
            argument("prev_pid", Signed, 4, Record(24)),
            argument("prev_prio", Signed, 4, Record(28)),
            argument("prev_state", Signed, 8, Record(32)),
            argument("next_comm", Unsigned, 16, RecordText(40)),
            argument("next_pid", Signed, 4, Record(56)),
            argument("next_prio", Signed, 4, Record(60)),
        ];
        assert_eq!(format, Format { fields: expected.into(), left_out: Vec::new() });
    }

    #[test]
    fn elements_of_a_short_array_have_a_field_each() {
        let format = parse(
            "\tfield:long id;\toffset:8;\tsize:8;\tsigned:1;\n\
             \tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;\n",
        );
        let mut expected = vec![argument("id", Signed, 8, Record(8))];
        expected.extend((0..6).map(|at| argument(&format!("args{at}"), Unsigned, 8, Record(16 + 8 * at))));
        assert_eq!(format, Format { fields: expected, left_out: Vec::new() });
    }

    #[test]
    fn texts_that_lie_elsewhere_in_the_record_are_found_there() {
        let format = parse(
            "\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n\
             \tfield:pid_t pid;\toffset:12;\tsize:4;\tsigned:1;\n\
             \tfield:__rel_loc char[] msg;\toffset:16;\tsize:4;\tsigned:0;\n\
             \tfield:const char * function;\toffset:24;\tsize:8;\tsigned:0;\n",
        );
        let expected = [
            argument("filename", Unsigned, 0, RecordDataLoc(8)),
            argument("pid", Signed, 4, Record(12)),
            argument("msg", Unsigned, 0, RecordRelLoc(16)),
            argument("function", Unsigned, 8, Record(24)),
        ];
        assert_eq!(format, Format { fields: expected.into(), left_out: Vec::new() });
    }

    #[test]
    fn arguments_of_system_calls_are_what_was_declared() {
        let format = parse(
            "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
             \tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;\n\
             \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n\
             \tfield:unsigned int flags;\toffset:32;\tsize:8;\tsigned:0;\n\
             \tfield:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;\n",
        );
        let expected = [
            argument("__syscall_nr", Signed, 4, Record(8)),
            argument("dfd", Signed, 4, Record(16)),
            argument("filename", Unsigned, 8, Record(24)),
            argument("flags", Unsigned, 4, Record(32)),
            argument("mode", Unsigned, 2, Record(40)),
        ];
        assert_eq!(format.fields, expected);
    }

    #[test]
    fn what_is_no_number_and_no_text_is_left_out_with_the_reason() {
        let format = parse(
            "\tfield:u8 mac[6];\toffset:8;\tsize:6;\tsigned:0;\n\
             \tfield:unsigned long faults[16];\toffset:16;\tsize:128;\tsigned:0;\n\
             \tfield:__data_loc u64[] list;\toffset:144;\tsize:4;\tsigned:0;\n\
             \tfield:unsigned long caller[];\toffset:148;\tsize:0;\tsigned:0;\n\
             \tfield:struct timespec64 at;\toffset:152;\tsize:16;\tsigned:0;\n\
             \tfield:unsigned int low:4;\toffset:168;\tsize:4;\tsigned:0;\n\
             \tfield:u32 huge[4294967295];\toffset:168;\tsize:4294967295;\tsigned:0;\n\
             \tfield:u64 end[2];\toffset:4294967295;\tsize:16;\tsigned:0;\n\
             \tfield:;\toffset:0;\tsize:0;\n\tfield:int x;\n\tfield:int y;\toffset:-1;\tsize:4;\tsigned:1;\n",
        );
        let expected = [
            ("mac", "an array of bytes"),
            ("faults", "a large array"),
            ("list", "an array of any length"),
            ("caller", "an array of any length"),
            ("at", "a struct"),
            ("low:4", "a bit field"),
            ("huge", "an array of bytes"),
            ("end", "a large array"),
        ];
        assert_eq!(format.fields, []);
        assert_eq!(format.left_out, expected.map(|(name, why)| (name.to_owned(), why)));
    }

    /// Every kernel has sched_switch, whose record is ABI in all but name.
    #[test]
    fn a_pattern_finds_the_tracepoints_of_this_kernel() {
        let glob = |text: &str| Glob::parse(text.as_bytes()).unwrap();
        let Ok(points) = points(&glob("sche[d]"), &glob("sched_swit*")) else {
            assert!(Tracefs::open().is_err(), "tracefs is there and cannot be listed");
            return;
        };
        let [point] = &points[..] else { panic!("{points:?}") };
        assert_eq!((&*point.module, point.function.as_str()), ("sched", "sched_switch"));
        assert_eq!(point.place, Place::Tracepoint { group: "sched".into(), event: "sched_switch".into() });
        assert_eq!(point.arguments[0], argument("prev_comm", Unsigned, 16, RecordText(8)));
    }
}
