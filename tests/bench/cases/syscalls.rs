//! System calls: counted, timed, and by whom.
use super::{Case, Links, UNTRACED, Work};
use super::{added, bpftrace, deaf, floor, peer, ratio, spoor, untraced};

pub const CASES: &[Case] = &[
    Case {
        name: "by-syscall",
        work: Work::Calls,
        contenders: &[
            untraced(),
            floor("floor", &["sys_exit"]),
            // Calls and errors; and what the peer does, calls alone.
            spoor("spoor", &["syscalls", "--by", "syscall", "-p", "{pid}"]),
            spoor("spoor-count", &["syscalls", "--by", "syscall", "--agg", "count()", "-p", "{pid}"]),
            deaf(spoor("rejected", &["syscalls", "--by", "syscall", "-p", "{other}"])),
            bpftrace("bpftrace", "rawtracepoint:vmlinux:sys_exit /pid == {pid}/ { @[args.regs.orig_ax] = count(); }"),
            deaf(bpftrace(
                "bpftrace-rejected",
                "rawtracepoint:vmlinux:sys_exit /pid == {other}/ { @[args.regs.orig_ax] = count(); }",
            )),
        ],
        goals: &[
            added("floor", UNTRACED, None),
            added("spoor", "floor", Some(10.0)),
            added("spoor-count", "floor", None),
            added("rejected", "floor", Some(6.0)),
            ratio("spoor", "bpftrace", None),
            ratio("rejected", "bpftrace-rejected", None),
        ],
    },
    Case {
        name: "by-comm-syscall",
        work: Work::Calls,
        contenders: &[
            untraced(),
            floor("floor", &["sys_exit"]),
            spoor("spoor", &["syscalls", "--by", "comm,syscall"]),
            spoor("spoor-count", &["syscalls", "--by", "comm,syscall", "--agg", "count()"]),
            spoor("spoor-count-p", &["syscalls", "--by", "comm,syscall", "--agg", "count()", "-p", "{pid}"]),
            // The form that its manual gives; and its fastest, which reads the number from the registers.
            bpftrace("bpftrace", "tracepoint:raw_syscalls:sys_exit { @[comm, args.id] = count(); }"),
            bpftrace("bpftrace-raw", "rawtracepoint:vmlinux:sys_exit { @[comm, args.regs.orig_ax] = count(); }"),
            bpftrace(
                "bpftrace-raw-p",
                "rawtracepoint:vmlinux:sys_exit /pid == {pid}/ { @[comm, args.regs.orig_ax] = count(); }",
            ),
        ],
        goals: &[
            added("spoor", "floor", None),
            ratio("spoor", "bpftrace", Some(0.80)),
            ratio("spoor", "bpftrace-raw", Some(0.80)),
            ratio("spoor-count", "bpftrace-raw", None),
            ratio("spoor-count-p", "bpftrace-raw-p", Some(0.80)),
        ],
    },
    Case {
        name: "latency",
        work: Work::Calls,
        contenders: &[
            untraced(),
            floor("floor", &["sys_enter", "sys_exit"]),
            spoor("spoor", &["syscalls", "-L", "-p", "{pid}"]),
            spoor("spoor-quantize", &["syscalls", "--by", "syscall", "--agg", "quantize(elapsed)", "-p", "{pid}"]),
            bpftrace(
                "bpftrace",
                "tracepoint:raw_syscalls:sys_enter /pid == {pid}/ { @s[tid] = nsecs; } \
                 tracepoint:raw_syscalls:sys_exit /@s[tid]/ { @[args.id] = hist(nsecs - @s[tid]); delete(@s, tid); }",
            ),
            bpftrace(
                "bpftrace-raw",
                "rawtracepoint:vmlinux:sys_enter /pid == {pid}/ { @s[tid] = nsecs; } \
                 rawtracepoint:vmlinux:sys_exit /@s[tid]/ \
                 { @[args.regs.orig_ax] = hist(nsecs - @s[tid]); delete(@s, tid); }",
            ),
        ],
        goals: &[
            added("floor", UNTRACED, None),
            added("spoor", "floor", None),
            added("spoor-quantize", "floor", None),
            ratio("spoor", "bpftrace", Some(0.65)),
            ratio("spoor", "bpftrace-raw", Some(0.65)),
            ratio("spoor-quantize", "bpftrace-raw", None),
        ],
    },
    Case {
        name: "contended",
        work: Work::Crowd,
        contenders: &[
            untraced(),
            floor("floor", &["sys_exit"]),
            spoor("spoor", &["syscalls", "--by", "syscall", "-p", "{pid}"]),
            spoor("spoor-latency", &["syscalls", "-L", "-p", "{pid}"]),
            bpftrace("bpftrace", "rawtracepoint:vmlinux:sys_exit /pid == {pid}/ { @[args.regs.orig_ax] = count(); }"),
        ],
        goals: &[
            added("floor", UNTRACED, None),
            added("spoor", "floor", None),
            added("spoor-latency", "floor", None),
            ratio("spoor", "bpftrace", None),
        ],
    },
    Case {
        name: "strace",
        work: Work::FewCalls,
        contenders: &[
            untraced(),
            spoor("spoor", &["syscalls", "-p", "{pid}"]),
            spoor("spoor-latency", &["syscalls", "-L", "-p", "{pid}"]),
            peer("syscount", &["/usr/sbin/syscount-libbpf", "-p", "{pid}"], Links::One),
            peer("strace -c", &["/usr/bin/strace", "-f", "-c", "-p", "{pid}"], Links::Traced),
            peer("perf trace -s", &["/usr/bin/perf", "trace", "-s", "-p", "{pid}"], Links::Polls),
        ],
        goals: &[
            added("spoor", UNTRACED, None),
            added("spoor-latency", UNTRACED, None),
            added("syscount", UNTRACED, None),
            added("strace -c", UNTRACED, None),
            added("perf trace -s", UNTRACED, None),
            ratio("spoor", "syscount", None),
            ratio("spoor-latency", "strace -c", None),
            ratio("spoor-latency", "perf trace -s", None),
        ],
    },
];
