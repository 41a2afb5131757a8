//! Provider `syscall`: system calls at their return, by sys_exit and, where durations are asked for, sys_enter.
use std::mem::{offset_of, size_of};

use probes_common::clause::{Head, TEXT_BYTES, TEXT_SOCKADDR, TEXT_STRING, TEXTS};
use probes_common::syscall::{
    ELAPSED_UNKNOWN, FACT_ARGS, FACT_ELAPSED, FACT_TEXT, FACT_UNTIMED, ID_DOMAIN, PATHS_MAX, STARTS_MAX, Start,
    SyscallFiring, TEXT_SLOT_BITS, TWICE_RETURNING_MAX,
};
use probes_common::target::UNKNOWN_OFFSET;

use super::lives::{THREAD_END, THREAD_START};
use super::{Begun, Classic, Counted, ELAPSED_COLUMNS, InFlight, Kernel, Probe, Provider, TextFaults, Whose};
use crate::program::field::{Field, Kind, Names, Source, Unit};
use crate::program::tree::Type;
use crate::render::strace::{self, Call, Text, TextKind};
use crate::stream::record::{Record, RecordText};
use crate::symbolize::{errno, syscall as names};

const fn firing(name: &'static str, kind: Kind, unit: Unit, offset: usize, facts: u32, doc: &'static str) -> Field {
    Field { name, kind, unit, source: Source::Firing { offset: offset as u16, size: 8 }, domain: 0, facts, doc }
}

const fn computed(name: &'static str, kind: Kind, expr: &'static str, domain: u32, doc: &'static str) -> Field {
    Field { name, kind, unit: Unit::None, source: Source::Computed(expr), domain, facts: 0, doc }
}

const fn argument(name: &'static str, index: usize) -> Field {
    let offset = offset_of!(SyscallFiring, args) + index * 8;
    firing(name, Kind::Number(Type::Unsigned), Unit::None, offset, FACT_ARGS, "argument, as the call was made")
}

const SIGNED: Kind = Kind::Number(Type::Signed);
const UNSIGNED: Kind = Kind::Number(Type::Unsigned);

static FIELDS: [Field; 14] = [
    Field {
        domain: ID_DOMAIN,
        ..firing(
            "syscall",
            Kind::Enumeration(&names::SYSCALLS),
            Unit::None,
            offset_of!(SyscallFiring, id),
            0,
            "system call; 32-bit calls as `i386:name`",
        )
    },
    firing("id", UNSIGNED, Unit::None, offset_of!(SyscallFiring, id), 0, "number << 1, and 1 added for a 32-bit call"),
    computed("nr", UNSIGNED, "id >> 1", 0, "number of the call, as the kernel saw it"),
    computed("compat", UNSIGNED, "id & 1", 0, "1 for a 32-bit call on a 64-bit kernel"),
    firing("ret", SIGNED, Unit::None, offset_of!(SyscallFiring, ret), 0, "what it returned; -errno where it failed"),
    computed("error", UNSIGNED, "ret < 0 && ret >= -4095", 0, "1 where it failed"),
    computed(
        "errno",
        Kind::Enumeration(&errno::ERRNOS),
        "(ret < 0 && ret >= -4095) * -ret",
        0,
        "errno; 0 where it did not fail",
    ),
    firing("elapsed", UNSIGNED, Unit::Ns, offset_of!(SyscallFiring, elapsed_ns), FACT_ELAPSED, "from entry to return"),
    argument("arg0", 0),
    argument("arg1", 1),
    argument("arg2", 2),
    argument("arg3", 3),
    argument("arg4", 4),
    argument("arg5", 5),
];

pub static PROVIDER: Provider = Provider {
    name: "syscall",
    doc: "system calls, at their return",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/syscall.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<SyscallFiring>() as u16,
    firing_texts: Some(offset_of!(SyscallFiring, texts) as u16),
    minimum_kernel: "5.8 (ring buffer for --events; counting: 4.17)",
    dtrace_probe: "syscall:::return",
    dtrace_names: &[
        ("comm", "execname"),
        ("syscall", "probefunc"),
        ("elapsed", "timestamp - self->start"),
        ("ret", "(int64_t)arg1"),
    ],
    dtrace_before: Some((FACT_ELAPSED, "syscall:::entry", "self->start = timestamp;")),
    head_facts: FACT_ELAPSED | FACT_TEXT,
    when_empty: "who makes no system call waits in one, or runs: `spoor profile` shows where",
    stream_facts: FACT_ARGS | FACT_ELAPSED | FACT_TEXT | FACT_UNTIMED,
    default_columns,
    default_key: "syscall",
    probes,
    sampler: None,
    points: None,
    large_values: None,
    whose: Whose::Current,
    walk: None,
    witness: None,
    members: &[
        ("task_struct", "thread_info.status"),
        ("task_struct", "thread_info.flags"),
        ("task_struct", "exit_code"),
    ],
    globals,
    map_entries,
    map_contents,
    counted: |_| Counted::Nowhere,
    in_flight: &[InFlight {
        map: "START",
        entries: None,
        facts: FACT_ELAPSED,
        value_words: size_of::<Start>() / 8,
        describe: |start, _| {
            let begun = Begun {
                since_ns: start[START_TIME],
                tid: start[START_TID],
                what: names::SYSCALLS.name(start[START_ID]).into_owned(),
            };
            if begun.since_ns == 0 { Vec::new() } else { vec![begun] }
        },
    }],
    event_text: |record, _, out| shown(record, out, strace::line),
    event_json: |record, _, out| shown(record, out, strace::json),
};

const START_TIME: usize = offset_of!(Start, time_ns) / 8;
const START_ID: usize = offset_of!(Start, id) / 8;
const START_TID: usize = offset_of!(Start, tid) / 8;

/// Title, name in JSON, function.
fn default_columns(latency: bool) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut columns = vec![("calls", "count", "count()"), ("errors", "errors", "sum(error)")];
    if latency {
        columns.extend(ELAPSED_COLUMNS);
    }
    columns
}

const fn probe(tracepoint: &'static str, typed: &'static str, raw: &'static str, classic: Classic) -> Probe {
    Probe { raw: Some(raw), classic: Some(classic), ..Probe::typed(tracepoint, typed) }
}

const fn classic(event: &'static str, program: &'static str) -> Classic {
    Classic { event, program, elsewhere: None }
}

const SYS_EXIT: Probe =
    probe("sys_exit", "sys_exit", "sys_exit_raw", classic("raw_syscalls/sys_exit", "sys_exit_classic"));
const SYS_ENTER: Probe =
    probe("sys_enter", "sys_enter", "sys_enter_raw", classic("raw_syscalls/sys_enter", "sys_enter_classic"));

fn probes(facts: u32, listed: bool) -> Vec<Probe> {
    let mut probes = Vec::new();
    // Who follows must know a child before its first call; and a number on the list may be given to a stranger.
    if listed {
        probes.push(THREAD_START);
    }
    // The return before the entry: an entry that is seen has its return seen.
    probes.extend([THREAD_END, SYS_EXIT]);
    if facts & FACT_ELAPSED != 0 {
        probes.push(SYS_ENTER);
    }
    probes
}

fn map_entries(facts: u32) -> Vec<(&'static str, u32)> {
    let timed = facts & FACT_ELAPSED != 0;
    let texts = facts & FACT_TEXT != 0;
    vec![
        ("START", if timed { STARTS_MAX } else { 1 }),
        ("PATHS", if texts { PATHS_MAX } else { 1 }),
        ("TEXT_SPECS", if texts { ID_DOMAIN } else { 1 }),
    ]
}

fn map_contents(facts: u32) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    if facts & FACT_TEXT == 0 {
        return Vec::new();
    }
    (0..ID_DOMAIN)
        .filter_map(|id| {
            let spec = strace::text_spec(id.into());
            (spec != 0).then(|| ("TEXT_SPECS", id.to_ne_bytes().to_vec(), spec.to_ne_bytes().to_vec()))
        })
        .collect()
}

/// What the kernel's ABI fixes for one architecture (its asm/ptrace.h, asm/thread_info.h and system call tables).
struct Architecture {
    nr: u32,
    args: [u32; 6],
    compat_args: [u32; 6],
    cx: u32,
    r11: u32,
    flags: u32,
    /// Member of task_struct whose bits `compat_mask` show a 32-bit call.
    compat: &'static str,
    compat_mask: u32,
    twice: [i64; TWICE_RETURNING_MAX],
    compat_twice: [i64; TWICE_RETURNING_MAX],
    never: [i64; 2],
    compat_never: [i64; 2],
    exec: [i64; 2],
    compat_exec: [i64; 2],
    sigreturn: [i64; 2],
}

/// A number that no call has.
#[cfg(target_arch = "aarch64")]
const NONE: i64 = -2;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Architecture = Architecture {
    nr: 120,
    // di, si, dx, r10, r8, r9; of 32-bit calls bx, cx, dx, si, di, bp
    args: [112, 104, 96, 56, 72, 64],
    compat_args: [40, 88, 96, 104, 112, 32],
    cx: 88,
    r11: 48,
    flags: 144,
    compat: "thread_info.status",
    compat_mask: 2,
    // clone, fork, vfork, clone3
    twice: [56, 57, 58, 435],
    compat_twice: [120, 2, 190, 435],
    // exit, exit_group
    never: [60, 231],
    compat_never: [1, 252],
    // execve, execveat
    exec: [59, 322],
    compat_exec: [11, 358],
    sigreturn: [15, 173],
};

/// Untested: no aarch64 machine was at hand.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Architecture = Architecture {
    nr: 280,
    args: [272, 8, 16, 24, 32, 40],
    compat_args: [272, 8, 16, 24, 32, 40],
    cx: UNKNOWN_OFFSET,
    r11: UNKNOWN_OFFSET,
    flags: UNKNOWN_OFFSET,
    compat: "thread_info.flags",
    compat_mask: 1 << 22,
    twice: [220, NONE, NONE, 435],
    compat_twice: [120, 2, 190, 435],
    never: [93, 94],
    compat_never: [1, 248],
    exec: [221, 281],
    compat_exec: [11, 387],
    sigreturn: [139, 173],
};

/// Offsets in pt_regs: of the call's number, and of its arguments.
pub fn call_registers() -> (u32, [u32; 6]) {
    (ARCHITECTURE.nr, ARCHITECTURE.args)
}

fn id(nr: i64, compat: bool) -> u64 {
    u64::from(nr as u32) << 1 | u64::from(compat)
}

fn ids(native: &[i64], compat: &[i64]) -> Vec<u8> {
    let native = native.iter().map(|nr| id(*nr, false));
    native.chain(compat.iter().map(|nr| id(*nr, true))).flat_map(u64::to_ne_bytes).collect()
}

fn globals(kernel: &Kernel, facts: u32) -> Vec<(&'static str, Vec<u8>)> {
    let a = &ARCHITECTURE;
    let word = |value: u32| value.to_ne_bytes().to_vec();
    let task = |path| word(kernel.btf.offset("task_struct", path).unwrap_or(UNKNOWN_OFFSET));
    vec![
        ("FACTS", word(facts)),
        ("REGS_NR", word(a.nr)),
        ("REGS_ARGS", a.args.iter().flat_map(|offset| offset.to_ne_bytes()).collect()),
        ("REGS_COMPAT_ARGS", a.compat_args.iter().flat_map(|offset| offset.to_ne_bytes()).collect()),
        ("REGS_CX", word(a.cx)),
        ("REGS_R11", word(a.r11)),
        ("REGS_FLAGS", word(a.flags)),
        ("TASK_COMPAT", task(a.compat)),
        ("COMPAT_MASK", word(a.compat_mask)),
        ("TASK_EXIT_CODE", task("exit_code")),
        ("RETURN_TWICE", ids(&a.twice, &a.compat_twice)),
        ("NEVER_RETURN", ids(&a.never, &a.compat_never)),
        ("EXEC", ids(&a.exec, &a.compat_exec)),
        ("SIGRETURN", ids(&a.sigreturn[..1], &a.sigreturn[1..])),
    ]
}

fn shown(record: &Record, out: &mut Vec<u8>, show: fn(&mut Vec<u8>, &Call)) -> TextFaults {
    let call = call(record);
    show(out, &call);
    TextFaults { unreadable: strace::unreadable_texts(&call) as u64, cut: strace::cut_texts(&call) as u64 }
}

/// A streamed record as the call that it is.
fn call(record: &Record) -> Call {
    let word = |offset: usize| record.fact(offset - size_of::<Head>());
    let id = word(offset_of!(SyscallFiring, id));
    let elapsed = word(offset_of!(SyscallFiring, elapsed_ns));
    let endless = word(offset_of!(SyscallFiring, endless)) != 0;
    let spec = strace::text_spec(id);
    Call {
        time_unix_ns: record.time_unix_ns,
        comm: record.comm().to_vec(),
        tgid: record.tgid,
        tid: record.tid,
        id,
        args: std::array::from_fn(|i| word(offset_of!(SyscallFiring, args) + i * 8)),
        ret: (!endless).then(|| word(offset_of!(SyscallFiring, ret)) as i64),
        elapsed_ns: (elapsed != ELAPSED_UNKNOWN).then_some(elapsed),
        texts: std::array::from_fn::<_, TEXTS, _>(|slot| {
            text(spec >> (slot as u32 * TEXT_SLOT_BITS), record.text(slot))
        }),
    }
}

fn text(spec: u32, text: RecordText) -> Option<Text> {
    let kind = match spec >> 3 & 7 {
        TEXT_STRING => TextKind::String,
        TEXT_BYTES => TextKind::Bytes,
        TEXT_SOCKADDR => TextKind::Sockaddr,
        _ => return None,
    };
    let arg = (spec & 7) as u8;
    match text {
        RecordText::None => None,
        RecordText::Unreadable => Some(Text { arg, bytes: Vec::new(), cut: false, kind: TextKind::Unreadable }),
        RecordText::Bytes { bytes, full, more } => {
            // A string comes with its NUL, unless there was no room for it.
            let (bytes, cut) = match (kind, bytes) {
                (TextKind::String, [text @ .., 0]) => (text, more),
                (TextKind::String, bytes) => (bytes, more),
                (_, bytes) => (bytes, full),
            };
            Some(Text { arg, bytes: bytes.to_vec(), cut, kind })
        }
    }
}
