//! The tracepoints that follow births, ends and execs of threads (probes-ebpf/src/lives.rs).
use super::{Classic, Probe, Second};

const fn probe(
    tracepoint: &'static str,
    typed: &'static str,
    raw: &'static str,
    event: &'static str,
    program: &'static str,
) -> Probe {
    let classic = Some(Classic { event, program, elsewhere: None });
    Probe { raw: Some(raw), classic, ..Probe::typed(tracepoint, typed) }
}

pub const THREAD_START: Probe = Probe {
    // The record of sched_process_fork does not say whether the child is a thread.
    classic: Some(Classic {
        event: "task/task_newtask",
        program: "thread_start_classic",
        elsewhere: Some(Second { tracepoint: "task_newtask", typed: "thread_start_again" }),
    }),
    ..probe("sched_process_fork", "thread_start", "thread_start_raw", "", "")
};
pub const THREAD_END: Probe =
    probe("sched_process_exit", "thread_end", "thread_end_raw", "sched/sched_process_exit", "thread_end_classic");
pub const EXEC: Probe = probe("sched_process_exec", "exec", "exec_raw", "sched/sched_process_exec", "exec_classic");

/// For a provider whose own programs do not need them. A number on the list may be given to a stranger, and so may one
/// whose addresses have names.
pub fn probes(names_users: bool, listed: bool) -> Vec<Probe> {
    let mut probes = Vec::new();
    if listed || names_users {
        probes.push(THREAD_START);
    }
    if listed {
        probes.push(THREAD_END);
    }
    if names_users {
        probes.push(EXEC);
    }
    probes
}
