//! How the filter grows with the processes that are let through.
use super::{Case, UNTRACED, Work};
use super::{added, bpftrace, floor, ratio, spoor, untraced};

pub const CASES: &[Case] = &[Case {
    name: "pids",
    work: Work::Calls,
    contenders: &[
        untraced(),
        floor("floor", &["sys_exit"]),
        spoor("spoor, 1", &["syscalls", "--by", "syscall", "-p", "{pids 1}"]),
        spoor("spoor, 2", &["syscalls", "--by", "syscall", "-p", "{pids 2}"]),
        spoor("spoor, 8", &["syscalls", "--by", "syscall", "-p", "{pids 8}"]),
        spoor("spoor, 64", &["syscalls", "--by", "syscall", "-p", "{pids 64}"]),
        bpftrace("bpftrace, 1", "rawtracepoint:vmlinux:sys_exit /{pid of 1}/ { @[args.regs.orig_ax] = count(); }"),
        bpftrace("bpftrace, 8", "rawtracepoint:vmlinux:sys_exit /{pid of 8}/ { @[args.regs.orig_ax] = count(); }"),
        bpftrace("bpftrace, 64", "rawtracepoint:vmlinux:sys_exit /{pid of 64}/ { @[args.regs.orig_ax] = count(); }"),
    ],
    goals: &[
        added("floor", UNTRACED, None),
        added("spoor, 1", "floor", None),
        added("spoor, 2", "floor", None),
        added("spoor, 8", "floor", None),
        added("spoor, 64", "floor", None),
        ratio("spoor, 1", "bpftrace, 1", None),
        ratio("spoor, 8", "bpftrace, 8", None),
        ratio("spoor, 64", "bpftrace, 64", None),
    ],
}];
