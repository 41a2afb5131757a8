//! The table of what is compared with what, and of what has to come out.

/// One line of a case: somebody who watches the worker while it works.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    pub name: &'static str,
    pub what: What,
    /// Whether it hears of the worker's calls; one that must reject them counts none.
    pub hears: bool,
    /// Dear to start: takes part in every second round only.
    pub slow: bool,
}

/// `{pid}` in an argument or program is the worker's, `{other}` that of somebody who does nothing.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Untraced,
    Floor(&'static [&'static str]),
    Spoor(&'static [&'static str]),
    Bpftrace(&'static str),
}

/// What is computed, round by round, from nanoseconds per call.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// `of` less `over`, ns.
    Added { of: &'static str, over: &'static str },
    /// What `of` adds to the untraced call, by what `to` adds.
    Ratio { of: &'static str, to: &'static str },
}

#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub measure: Measure,
    /// At most; None: to know it.
    pub at_most: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub contenders: &'static [Contender],
    pub goals: &'static [Goal],
}

pub const UNTRACED: &str = "untraced";

const fn untraced() -> Contender {
    Contender { name: UNTRACED, what: What::Untraced, hears: false, slow: false }
}

const fn floor(name: &'static str, tracepoints: &'static [&'static str]) -> Contender {
    Contender { name, what: What::Floor(tracepoints), hears: false, slow: false }
}

const fn spoor(name: &'static str, args: &'static [&'static str]) -> Contender {
    Contender { name, what: What::Spoor(args), hears: true, slow: false }
}

const fn bpftrace(name: &'static str, program: &'static str) -> Contender {
    Contender { name, what: What::Bpftrace(program), hears: true, slow: true }
}

const fn deaf(contender: Contender) -> Contender {
    Contender { hears: false, ..contender }
}

const fn added(of: &'static str, over: &'static str, at_most: Option<f64>) -> Goal {
    Goal { measure: Measure::Added { of, over }, at_most }
}

const fn ratio(of: &'static str, to: &'static str, at_most: Option<f64>) -> Goal {
    Goal { measure: Measure::Ratio { of, to }, at_most }
}

pub const OVERHEAD: &[Case] = &[
    Case {
        name: "by-syscall",
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
];
