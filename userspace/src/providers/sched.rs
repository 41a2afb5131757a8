//! Provider `sched`: threads that get a CPU again, by sched_switch, with who woke them, by sched_waking.
use std::borrow::Cow;
use std::mem::{offset_of, size_of};

use probes_common::sched::{
    FACT_KSTACK, FACT_ONCPU, FACT_USTACK, FACT_WAKER, FACT_WAKER_KSTACK, FACT_WAKER_USTACK, FACT_WOKEN, STATE_RUNNABLE,
    STATES, SchedFiring, THREADS_MAX, Waker,
};
use probes_common::target::UNKNOWN_OFFSET;

use super::{Counted, Kernel, Probe, Provider, Walk, Whose, lives};
use crate::program::field::{Field, Half, Kind, Names, Source, Unit};
use crate::program::tree::Type;

const fn field(name: &'static str, kind: Kind, unit: Unit, offset: usize, facts: u32, doc: &'static str) -> Field {
    Field { name, kind, unit, source: Source::Firing { offset: offset as u16, size: 8 }, domain: 0, facts, doc }
}

const fn time(name: &'static str, offset: usize, facts: u32, doc: &'static str) -> Field {
    field(name, Kind::Number(Type::Unsigned), Unit::Ns, offset, facts, doc)
}

const fn stack(name: &'static str, half: Half, offset: usize, facts: u32, doc: &'static str) -> Field {
    field(name, Kind::Stack(half), Unit::None, offset, facts, doc)
}

const fn waker(name: &'static str, offset: usize, size: u8, doc: &'static str) -> Field {
    let kind = if size == 16 { Kind::Text } else { Kind::Number(Type::Unsigned) };
    let offset = (offset_of!(SchedFiring, waker) + offset) as u16;
    let source = Source::Firing { offset, size };
    Field { name, kind, unit: Unit::None, source, domain: 0, facts: FACT_WAKER, doc }
}

const WAKER: usize = offset_of!(SchedFiring, waker);
const WAKER_IDS: usize = offset_of!(Waker, pid_tgid);

static FIELDS: [Field; 14] = [
    time("offcpu", offset_of!(SchedFiring, offcpu_ns), 0, "from leaving the CPU to getting one: blocked and runnable"),
    time("blocked", offset_of!(SchedFiring, blocked_ns), FACT_WOKEN, "asleep, until it was woken"),
    time("runnable", offset_of!(SchedFiring, runnable_ns), FACT_WOKEN, "waiting for a CPU, woken or preempted"),
    time("oncpu", offset_of!(SchedFiring, oncpu_ns), FACT_ONCPU, "how long it had run before it left the CPU"),
    Field {
        domain: STATES,
        ..field(
            "state",
            Kind::Enumeration(&STATE_NAMES),
            Unit::None,
            offset_of!(SchedFiring, state),
            0,
            "how it left the CPU: R preempted, S asleep, D uninterruptible, T stopped, t traced, I idle",
        )
    },
    Field {
        source: Source::Computed("state != R"),
        ..field("voluntary", Kind::Number(Type::Unsigned), Unit::None, 0, 0, "1 where it left by itself")
    },
    field(
        "left",
        Kind::Number(Type::Unsigned),
        Unit::None,
        offset_of!(SchedFiring, left),
        0,
        "1 where it left the CPU; 0 for what was off it already, or goes on after an interval's end",
    ),
    stack("ustack", Half::User, offset_of!(SchedFiring, ustack), FACT_USTACK, "user stack that it left the CPU from"),
    stack("kstack", Half::Kernel, offset_of!(SchedFiring, kstack), FACT_KSTACK, "kernel stack, without the scheduler"),
    waker("waker", offset_of!(Waker, comm), 16, "name of the thread that woke it, or that an interrupt found at work"),
    waker("waker_pid", WAKER_IDS + 4, 4, "its process id; 0: the idle task, or nobody"),
    waker("waker_tid", WAKER_IDS, 4, "its thread id"),
    stack(
        "waker_kstack",
        Half::Kernel,
        WAKER + offset_of!(Waker, kstack),
        FACT_WAKER_KSTACK,
        "kernel stack that woke it",
    ),
    stack("waker_ustack", Half::User, WAKER + offset_of!(Waker, ustack), FACT_WAKER_USTACK, "user stack that woke it"),
];

/// The letters of ps(1).
struct States;

static STATE_NAMES: States = States;

const LETTERS: [&str; STATES as usize] = ["R", "S", "D", "T", "t", "X", "P", "I", "other"];

impl Names for States {
    fn name(&self, value: u64) -> Cow<'static, str> {
        LETTERS.get(value as usize).map_or_else(|| value.to_string().into(), |letter| Cow::Borrowed(*letter))
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        LETTERS.iter().zip(STATE_RUNNABLE..).map(|(letter, value)| (Cow::Borrowed(*letter), value)).collect()
    }
}

/// The number of a state, by its letter.
pub fn state(letter: &str) -> Option<u64> {
    LETTERS.iter().position(|known| *known == letter).map(|at| at as u64)
}

pub fn states() -> &'static [&'static str] {
    &LETTERS
}

/// Runs with interrupts off wherever the kernel has it: a typed program is not preempted there.
const fn probe(tracepoint: &'static str, typed: &'static str) -> Probe {
    Probe::typed(tracepoint, typed)
}

fn probes(facts: u32, listed: bool) -> Vec<Probe> {
    let mut probes = lives::probes(facts & (FACT_USTACK | FACT_WAKER_USTACK) != 0, listed);
    if facts & FACT_ONCPU != 0 {
        // Before the one that forgets the thread.
        probes.push(probe("sched_switch", "last_run"));
    }
    probes.extend([probe("sched_switch", "switch"), probe("sched_wakeup_new", "waking_new")]);
    if facts & (FACT_WOKEN | FACT_WAKER | FACT_WAKER_KSTACK | FACT_WAKER_USTACK) != 0 {
        probes.push(probe("sched_waking", "waking"));
    }
    probes
}

fn globals(kernel: &Kernel, facts: u32) -> Vec<(&'static str, Vec<u8>)> {
    let word = |value: u32| value.to_ne_bytes().to_vec();
    let task = |member| kernel.btf.offset("task_struct", member);
    let state = task("__state").or_else(|| task("state"));
    // preempt, prev, next; prev_state since 5.18.
    let state_told = kernel.btf.arguments.get("sched_switch").is_some_and(|arguments| *arguments > 3);
    vec![
        ("FACTS", word(facts)),
        ("STATE_TOLD", word(state_told.into())),
        ("TASK_STATE", word(state.unwrap_or(UNKNOWN_OFFSET))),
        ("TASK_ON_CPU", word(task("on_cpu").unwrap_or(UNKNOWN_OFFSET))),
        ("TASK_RAN", word(task("se.sum_exec_runtime").unwrap_or(UNKNOWN_OFFSET))),
        ("TASK_MM", word(task("mm").unwrap_or(UNKNOWN_OFFSET))),
    ]
}

pub static PROVIDER: Provider = Provider {
    name: "sched",
    doc: "threads that get a CPU again: how long they slept and waited, where, who woke them",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/sched.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<SchedFiring>() as u16,
    firing_texts: None,
    minimum_kernel: "5.9 (stacks of tasks that sleep) with BTF",
    dtrace_probe: "sched:::on-cpu",
    dtrace_names: &[
        ("comm", "execname"),
        ("ustack", "ustack()"),
        ("kstack", "stack()"),
        ("offcpu", "timestamp - self->off"),
    ],
    dtrace_before: Some((u32::MAX, "sched:::off-cpu", "self->off = timestamp;")),
    head_facts: u32::MAX,
    stream_facts: FACT_KSTACK | FACT_USTACK,
    when_empty: "who never leaves the CPU runs: `spoor profile` shows where",
    default_columns: |_| {
        vec![
            ("blocked", "blocked_ns", "sum(blocked)"),
            ("runnable", "runnable_ns", "sum(runnable)"),
            ("times", "count", "count()"),
        ]
    },
    default_key: "kstack,ustack",
    probes,
    sampler: None,
    points: None,
    large_values: None,
    whose: Whose::Another,
    witness: None,
    walk: Some(Walk { at_start: "at_start", at_end: "at_end" }),
    members: &[
        ("task_struct", "__state"),
        ("task_struct", "state"),
        ("task_struct", "on_cpu"),
        ("task_struct", "se.sum_exec_runtime"),
        ("task_struct", "mm"),
        ("task_struct", "cred"),
        ("cred", "uid"),
        ("cred", "gid"),
    ],
    globals,
    map_entries: |facts| vec![("STANDING", if facts & FACT_USTACK != 0 { THREADS_MAX } else { 1 })],
    map_contents: |_| Vec::new(),
    counted: |_| Counted::Nowhere,
    in_flight: &[],
    event_text: |_, _, _| unreachable!("switches are not streamed"),
    event_json: |_, _, _| unreachable!("switches are not streamed"),
};
