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
    /// A floor that takes the stacks of the worker.
    Stacks(&'static [&'static str]),
    Spoor(&'static [&'static str]),
    Bpftrace(&'static str),
    /// Another peer, which is attached when it holds this many links.
    Peer(&'static [&'static str], Links),
}

#[derive(Clone, Copy, Debug)]
pub enum Links {
    One,
    EachCpu,
}

/// What the worker does while it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Calls,
    /// Of the CPU, from one thread to another and back.
    Switches,
}

impl Work {
    /// The worker's word for it.
    pub fn command(self) -> &'static str {
        match self {
            Work::Calls => "hot",
            Work::Switches => "switches",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Work::Calls => "ns/call",
            Work::Switches => "ns/switch",
        }
    }
}

/// What is computed, round by round, from nanoseconds per call or switch.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// `of` less `over`, ns.
    Added { of: &'static str, over: &'static str },
    /// What `of` adds to the untraced one, by what `to` adds.
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
    pub work: Work,
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

const fn peer(name: &'static str, command: &'static [&'static str], links: Links) -> Contender {
    Contender { name, what: What::Peer(command, links), hears: true, slow: false }
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
    },
];
