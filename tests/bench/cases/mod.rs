//! The table of what is compared with what, and of what has to come out.
mod offcpu;
mod pids;
mod syscalls;
mod udp;

use crate::report::Limit;

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

/// `{pid}` in an argument or program is the worker's, `{other}` that of somebody who does nothing; `{pids N}` are N of them,
/// the worker among them, with commas between, and `{pid of N}` says in bpftrace's words that it is one of them.
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

/// What shows that a peer is attached.
#[derive(Clone, Copy, Debug)]
pub enum Links {
    One,
    EachCpu,
    /// It has the worker by ptrace.
    Traced,
    /// It waits for perf events.
    Polls,
}

/// What the worker does while it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Calls,
    /// From a thread on each CPU at the same time.
    Crowd,
    /// A few, for who makes them a hundred times as dear, and who needs a CPU for that.
    FewCalls,
    /// Of the CPU, from one thread to another and back.
    Switches,
    /// Of datagrams to somebody who does not read.
    Flood,
    /// Datagrams that are sent and read.
    Datagrams,
}

impl Work {
    /// The worker's word for it.
    pub fn command(self) -> &'static str {
        match self {
            Work::Calls => "hot",
            Work::Crowd => "crowd",
            Work::FewCalls => "few",
            Work::Switches => "switches",
            Work::Flood => "flood",
            Work::Datagrams => "datagrams",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Work::Calls | Work::Crowd | Work::FewCalls => "ns/call",
            Work::Switches => "ns/switch",
            Work::Flood | Work::Datagrams => "ns/datagram",
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
    /// The throughput that is left: the untraced one's time by that of `of`.
    Kept { of: &'static str },
}

#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub measure: Measure,
    /// None: to know it.
    pub limit: Option<Limit>,
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
    Goal { measure: Measure::Added { of, over }, limit: limit(at_most) }
}

const fn ratio(of: &'static str, to: &'static str, at_most: Option<f64>) -> Goal {
    Goal { measure: Measure::Ratio { of, to }, limit: limit(at_most) }
}

const fn kept(of: &'static str, at_least: Option<f64>) -> Goal {
    let limit = match at_least {
        Some(least) => Some(Limit::AtLeast(least)),
        None => None,
    };
    Goal { measure: Measure::Kept { of }, limit }
}

const fn limit(at_most: Option<f64>) -> Option<Limit> {
    match at_most {
        Some(most) => Some(Limit::AtMost(most)),
        None => None,
    }
}

/// All of them, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [syscalls::CASES, pids::CASES, offcpu::CASES, udp::CASES].into_iter().flatten()
}
