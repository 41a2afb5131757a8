//! Switches with both stacks.
use super::{Case, Contender, Links, UNTRACED, What, Work};
use super::{added, bpftrace, deaf, floor, peer, ratio, spoor, untraced};

pub const CASES: &[Case] = &[Case {
    name: "offcpu",
    work: Work::Switches,
    contenders: &[
        untraced(),
        floor("floor", &["sched_switch"]),
        // What the kernel takes for both stacks of who leaves the CPU, which the peers pay at every switch.
        Contender { what: What::Stacks(&["sched_switch"]), ..floor("stacks alone", &[]) },
        // Blocked and runnable apart, and how often; and what the peers do, the sum of both.
        spoor("spoor", &["offcpu", "--by", "tid,kstack,ustack", "-p", "{pid}"]),
        spoor("spoor-sum", &["offcpu", "--by", "tid,kstack,ustack", "--agg", "sum(offcpu)", "-p", "{pid}"]),
        deaf(spoor("rejected", &["offcpu", "--by", "tid,kstack,ustack", "-p", "{other}"])),
        // Without a least time, for all waits are counted by the others.
        peer("offcputime", &["/usr/sbin/offcputime-libbpf", "-m", "0", "-p", "{pid}"], Links::One),
        // Its fastest form: one map between the switches, that nothing is deleted from.
        bpftrace(
            "bpftrace",
            "tracepoint:sched:sched_switch { if (pid == {pid}) { @o[tid] = (nsecs, kstack, ustack); } \
                 $o = @o[args.next_pid]; if ($o.0) { @[args.next_pid, $o.1, $o.2] = sum(nsecs - $o.0); } }",
        ),
        bpftrace(
            "bpftrace-raw",
            "rawtracepoint:vmlinux:sched_switch { if (pid == {pid}) { @o[tid] = (nsecs, kstack, ustack); } \
                 $n = args.next.pid; $o = @o[$n]; if ($o.0) { @[$n, $o.1, $o.2] = sum(nsecs - $o.0); } }",
        ),
        // As its manual and its tools are written.
        bpftrace(
            "bpftrace-maps",
            "tracepoint:sched:sched_switch { \
                 if (pid == {pid}) { @s[tid] = nsecs; @k[tid] = kstack; @u[tid] = ustack; } \
                 $n = args.next_pid; $s = @s[$n]; if ($s) { @[$n, @k[$n], @u[$n]] = sum(nsecs - $s); \
                 delete(@s, $n); delete(@k, $n); delete(@u, $n); } }",
        ),
    ],
    goals: &[
        added("floor", UNTRACED, None),
        added("stacks alone", UNTRACED, None),
        added("spoor", UNTRACED, None),
        added("spoor-sum", UNTRACED, None),
        added("rejected", UNTRACED, None),
        added("offcputime", UNTRACED, None),
        added("bpftrace", UNTRACED, None),
        ratio("spoor", "offcputime", Some(0.60)),
        ratio("spoor-sum", "offcputime", Some(0.60)),
        ratio("spoor", "bpftrace", Some(0.70)),
        ratio("spoor-sum", "bpftrace", Some(0.70)),
    ],
}];
