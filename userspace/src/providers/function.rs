//! Provider `function`: calls of functions and their returns, tracepoints, USDT probes.
use std::borrow::Cow;
use std::mem::{offset_of, size_of};

use probes_common::clause::TEXTS;
use probes_common::function::{
    ARGUMENTS_MAX, Call, Calls, FACT_KSTACK, FACT_RETURN, FACT_USTACK, FIRST_CALLS, FirstCall, FunctionFiring,
    MODULE_BITS, MODULE_SHIFT, TEXT_OF_RETURN, TEXT_UNUSED, THREADS_IN_ADVANCE, THREADS_MAX,
};

use probes_common::text::TEXT_BYTES_MAX;

use super::{Begun, Constant, Counted, ELAPSED_COLUMNS, InFlight, Kernel, PointPrograms, Provider, Whose, lives};
use crate::program::argument::RETURNED;
use crate::program::field::{Field, Half, Kind, Names, Source, Unit};
use crate::program::scope::Scope;
use crate::program::tree::Type;

const fn firing(name: &'static str, kind: Kind, unit: Unit, offset: usize, facts: u32, doc: &'static str) -> Field {
    Field { name, kind, unit, source: Source::Firing { offset: offset as u16, size: 8 }, domain: 0, facts, doc }
}

/// The argument with this number.
pub const fn argument(name: &'static str, ty: Type, number: u16, doc: &'static str) -> Field {
    let source = Source::Argument { offset: offset_of!(FunctionFiring, args) as u16, number };
    Field { name, kind: Kind::Number(ty), unit: Unit::None, source, domain: 0, facts: 0, doc }
}

/// The text that the argument with this number points to.
pub const fn text(name: &'static str, number: u16, facts: u32, doc: &'static str) -> Field {
    let source = Source::Copied { offset: offset_of!(FunctionFiring, texts) as u16, number };
    Field { name, kind: Kind::Text, unit: Unit::None, source, domain: 0, facts, doc }
}

/// Names of the points, until there are some.
struct NoNames;

impl Names for NoNames {
    fn name(&self, value: u64) -> Cow<'static, str> {
        value.to_string().into()
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        Vec::new()
    }
}

const FUNC: &str = "function that was called or returned; probe that was passed";
const MODULE: &str = "library, executable, kernel module or group that it belongs to";

static FIELDS: [Field; 19] = [
    func(&NoNames, 0),
    module(&NoNames, 0),
    argument("arg0", Type::Unsigned, 0, "argument, as the call was made"),
    argument("arg1", Type::Unsigned, 1, "argument, as the call was made"),
    argument("arg2", Type::Unsigned, 2, "argument, as the call was made"),
    argument("arg3", Type::Unsigned, 3, "argument, as the call was made"),
    argument("arg4", Type::Unsigned, 4, "argument, as the call was made"),
    argument("arg5", Type::Unsigned, 5, "argument, as the call was made"),
    firing(
        "ret",
        Kind::Number(Type::Signed),
        Unit::None,
        offset_of!(FunctionFiring, ret),
        FACT_RETURN,
        "what it returned; (i32)ret for an int",
    ),
    firing(
        "elapsed",
        Kind::Number(Type::Unsigned),
        Unit::Ns,
        offset_of!(FunctionFiring, elapsed_ns),
        FACT_RETURN,
        "from entry to return",
    ),
    text("str(arg0)", 0, 0, "text that the argument points to, up to 255 bytes"),
    text("str(arg1)", 1, 0, "the same of the second one"),
    text("str(arg2)", 2, 0, "the same of the third one"),
    text("str(arg3)", 3, 0, "the same of the fourth one"),
    text("str(arg4)", 4, 0, "the same of the fifth one"),
    text("str(arg5)", 5, 0, "the same of the sixth one"),
    text("str(ret)", RETURNED, FACT_RETURN, "text that it returned"),
    firing(
        "ustack",
        Kind::Stack(Half::User),
        Unit::None,
        offset_of!(FunctionFiring, ustack),
        FACT_USTACK,
        "user stack; at a return that of the caller",
    ),
    firing(
        "kstack",
        Kind::Stack(Half::Kernel),
        Unit::None,
        offset_of!(FunctionFiring, kstack),
        FACT_KSTACK,
        "kernel stack",
    ),
];

/// Arguments whose fields are always there; the names of others have numbers from here on.
pub const NUMBERED: u16 = 6;
pub const ARGUMENTS: usize = ARGUMENTS_MAX;

/// The point by its number.
pub const fn func(names: &'static dyn Names, points: u32) -> Field {
    let source = Source::Firing { offset: offset_of!(FunctionFiring, point) as u16, size: 4 };
    Field {
        name: "func",
        kind: Kind::Enumeration(names),
        unit: Unit::None,
        source,
        domain: points,
        facts: 0,
        doc: FUNC,
    }
}

/// The point's module by its number.
pub const fn module(names: &'static dyn Names, modules: u32) -> Field {
    let offset = offset_of!(FunctionFiring, point) + MODULE_SHIFT as usize / 8;
    let source = Source::Firing { offset: offset as u16, size: (MODULE_BITS / 8) as u8 };
    let kind = Kind::Enumeration(names);
    Field { name: "module", kind, unit: Unit::None, source, domain: modules, facts: 0, doc: MODULE }
}

pub static PROVIDER: Provider = Provider {
    name: "function",
    doc: "functions of libraries, executables and the kernel; tracepoints and USDT probes",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/function.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<FunctionFiring>() as u16,
    firing_texts: None,
    minimum_kernel: "5.10 (uprobe.multi: 6.6; kprobe.multi: 5.18)",
    dtrace_probe: "pid$target:::entry",
    dtrace_names: &[
        ("comm", "execname"),
        ("ret", "(int64_t)arg1"),
        ("elapsed", "timestamp - self->start"),
        ("ustack", "ustack()"),
        ("kstack", "stack()"),
    ],
    // The points say what has to be noted where.
    dtrace_before: None,
    head_facts: FACT_RETURN | FACT_USTACK,
    when_empty: "nobody called it: `spoor profile` shows what runs, `spoor list PATTERN` what can be traced",
    stream_facts: 0,
    default_columns: |latency| {
        let mut columns = vec![("calls", "count", "count()")];
        if latency {
            columns.extend(ELAPSED_COLUMNS);
        }
        columns
    },
    default_key: "func",
    probes,
    sampler: None,
    points: Some(PointPrograms { hit: "hit", enter: "enter", leave: "leave" }),
    large_values: Some(("CALLS", THREADS_IN_ADVANCE)),
    whose: Whose::Current,
    walk: None,
    witness: None,
    members: &[],
    globals,
    map_entries: |facts| {
        let timed = |entries| if facts & FACT_RETURN != 0 { entries } else { 1 };
        vec![("FIRST", timed(FIRST_CALLS)), ("CALLS", timed(THREADS_MAX))]
    },
    map_contents: |_| Vec::new(),
    counted: |_| Counted::Nowhere,
    in_flight: &[
        InFlight {
            map: "FIRST",
            entries: Some(FIRST_CALLS),
            facts: FACT_RETURN,
            value_words: size_of::<FirstCall>() / 8,
            describe: |words, scope| {
                let call = &words[offset_of!(FirstCall, call) / 8..];
                begun(words[offset_of!(FirstCall, tid) / 8], call, scope).into_iter().collect()
            },
        },
        InFlight {
            map: "CALLS",
            entries: None,
            facts: FACT_RETURN,
            value_words: size_of::<Calls>() / 8,
            describe: |words, scope| {
                let calls = words[offset_of!(Calls, slots) / 8..].chunks_exact(size_of::<Call>() / 8);
                calls.filter_map(|call| begun(words[offset_of!(Calls, tid) / 8], call, scope)).collect()
            },
        },
    ],
    event_text: |_, _, _| unreachable!("calls are not streamed"),
    event_json: |_, _, _| unreachable!("calls are not streamed"),
};

fn probes(facts: u32, listed: bool) -> Vec<super::Probe> {
    let mut probes = lives::probes(facts & (FACT_USTACK | FACT_RETURN) != 0, listed);
    // An exec may end what is seen of a target.
    if facts & (FACT_USTACK | FACT_RETURN) == 0 {
        probes.push(lives::EXEC);
    }
    // What a thread was in the middle of goes with it.
    if facts & FACT_RETURN != 0 && !listed {
        probes.push(lives::THREAD_END);
    }
    probes
}

fn globals(kernel: &Kernel, facts: u32) -> Vec<Constant> {
    let used = &kernel.used;
    let mut sources = [TEXT_UNUSED; TEXTS];
    for (source, text) in sources.iter_mut().zip(&used.texts) {
        *source = match used.argument(*text) {
            Some(place) => place as u32,
            None => TEXT_OF_RETURN,
        };
    }
    let mut rooms = [0u32; TEXTS];
    for (room, bytes) in rooms.iter_mut().zip(&kernel.text_rooms) {
        *room = (*bytes).min(TEXT_BYTES_MAX as u32 + 1);
    }
    let words = |words: [u32; TEXTS]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    vec![
        ("FACTS", facts.to_ne_bytes().to_vec()),
        ("ARGUMENTS", (used.arguments.len() as u32).to_ne_bytes().to_vec()),
        ("TEXT_SOURCES", words(sources)),
        ("TEXT_ROOMS", words(rooms)),
    ]
}

/// What thread `tid` is in the middle of, from the words of a [`Call`].
fn begun(tid: u64, call: &[u64], scope: &Scope) -> Option<Begun> {
    let (since_ns, point) = (call[offset_of!(Call, time_ns) / 8], call[offset_of!(Call, point) / 8]);
    if since_ns == 0 {
        return None;
    }
    let what = match scope.field("func")?.kind {
        Kind::Enumeration(names) => names.name(point & u64::from(u32::MAX)).into_owned(),
        _ => String::new(),
    };
    Some(Begun { since_ns, tid, what })
}
