//! Provider `profile`: samples of what runs on each CPU, by perf events.
use std::mem::{offset_of, size_of};

use probes_common::profile::{FACT_KSTACK, FACT_LEAF, FACT_USTACK, ProfileFiring};

use super::{Counted, Provider, Whose, lives};
use crate::program::field::{Field, Half, Kind, Source, Unit};
use crate::program::tree::Type;

const fn firing(name: &'static str, kind: Kind, offset: usize, facts: u32, doc: &'static str) -> Field {
    let source = Source::Firing { offset: offset as u16, size: 8 };
    Field { name, kind, unit: Unit::None, source, domain: 0, facts, doc }
}

const LEAF: usize = offset_of!(ProfileFiring, leaf);

static FIELDS: [Field; 6] = [
    firing("func", Kind::Stack(Half::Function), LEAF, FACT_LEAF, "function that was at work"),
    firing("module", Kind::Stack(Half::Module), LEAF, FACT_LEAF, "library, executable or kernel module at work"),
    firing("ustack", Kind::Stack(Half::User), offset_of!(ProfileFiring, ustack), FACT_USTACK, "user stack"),
    firing("kstack", Kind::Stack(Half::Kernel), offset_of!(ProfileFiring, kstack), FACT_KSTACK, "kernel stack"),
    firing(
        "in_kernel",
        Kind::Number(Type::Unsigned),
        offset_of!(ProfileFiring, in_kernel),
        FACT_LEAF,
        "1 where the kernel was at work, 0 for the process itself",
    ),
    firing(
        "weight",
        Kind::Number(Type::Unsigned),
        offset_of!(ProfileFiring, weight),
        0,
        "what a sample stands for: ns of a clock, else a number of events",
    ),
];

pub static PROVIDER: Provider = Provider {
    name: "profile",
    doc: "samples of what runs on each CPU",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/profile.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<ProfileFiring>() as u16,
    firing_texts: None,
    minimum_kernel: "4.18",
    dtrace_probe: "profile:::profile-{hz}",
    dtrace_names: &[
        ("comm", "execname"),
        ("ustack", "ustack()"),
        ("kstack", "stack()"),
        ("func", "func(arg0)"),
        ("module", "mod(arg0)"),
    ],
    dtrace_before: None,
    head_facts: 0,
    when_empty: "who is not sampled does not run: `spoor syscalls -L` shows what it waits in",
    stream_facts: FACT_KSTACK | FACT_USTACK,
    default_columns: |_| vec![("samples", "count", "count()")],
    default_key: "kstack,ustack",
    probes: |facts, listed| lives::probes(facts & (FACT_USTACK | FACT_LEAF) != 0, listed),
    sampler: Some("sample"),
    points: None,
    large_values: None,
    whose: Whose::Current,
    walk: None,
    witness: None,
    members: &[],
    globals: |_, facts| vec![("FACTS", facts.to_ne_bytes().to_vec())],
    map_entries: |_| Vec::new(),
    map_contents: |_| Vec::new(),
    counted: |_| Counted::Nowhere,
    in_flight: &[],
    event_text: |_, _, _| unreachable!("samples are not streamed"),
    event_json: |_, _, _| unreachable!("samples are not streamed"),
};
