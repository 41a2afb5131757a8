//! The table of providers: what each can tell, and what it needs from the kernel. No provider is named anywhere else.
pub mod function;
mod lives;
pub mod profile;
pub mod sched;
pub mod syscall;
pub mod udp;
mod udp_reasons;

use crate::btf::Found;
use crate::program::argument::Used;
use crate::program::field::{COMMON, Field};
use crate::program::scope::Scope;
use crate::program::tree::Clause;
use crate::stream::record::Record;

/// A constant of an object: symbol, bytes.
pub type Constant = (&'static str, Vec<u8>);

/// An element that a map holds from the start: map, key, value.
pub type Content = (&'static str, Vec<u8>, Vec<u8>);

/// One source of facts: a row of [`PROVIDERS`].
pub struct Provider {
    pub name: &'static str,
    /// One line for `spoor list`.
    pub doc: &'static str,
    /// The built object of probes-ebpf/src/bin.
    pub object: &'static [u8],
    pub fields: &'static [Field],
    /// Size of its firing, and where the firing's texts begin.
    pub firing_bytes: u16,
    pub firing_texts: Option<u16>,
    /// The oldest kernel that it runs on, and why not an older one.
    pub minimum_kernel: &'static str,
    /// What dtrace calls its probe; `{hz}` stands for how often a provider samples.
    pub dtrace_probe: &'static str,
    /// Names of its fields that dtrace has others for.
    pub dtrace_names: &'static [(&'static str, &'static str)],
    /// Facts that D has to note before its probe fires; where, and the statement that does.
    pub dtrace_before: Option<(u32, &'static str, &'static str)>,
    /// Facts for which the provider itself needs a firing's head.
    pub head_facts: u32,
    /// Facts that a streamed record needs.
    pub stream_facts: u32,
    /// What to do where nothing came.
    pub when_empty: &'static str,
    /// Columns of its own table, without and with durations.
    pub default_columns: fn(latency: bool) -> Vec<(&'static str, &'static str, &'static str)>,
    pub default_key: &'static str,
    /// Programs to attach for these facts; `listed`: the targets are on a list that births and ends change.
    pub probes: fn(facts: u32, listed: bool) -> Vec<Probe>,
    /// The program that perf events give their samples to.
    pub sampler: Option<&'static str>,
    /// The programs that points of functions are given to.
    pub points: Option<PointPrograms>,
    /// A map of large values, whose memory is taken as it fills; and how many there are where all is taken in advance.
    pub large_values: Option<(&'static str, u32)>,
    pub whose: Whose,
    /// Programs that walk over all threads at the beginning and for a report.
    pub walk: Option<Walk>,
    /// What older kernels need beside the tracepoints. Not together with a walk.
    pub witness: Option<Witness>,
    /// Struct members that its globals are made of.
    pub members: &'static [(&'static str, &'static str)],
    /// Constants of its object.
    pub globals: fn(&Kernel, facts: u32) -> Vec<Constant>,
    /// Maps whose size depends on the facts.
    pub map_entries: fn(facts: u32) -> Vec<(&'static str, u32)>,
    /// What its maps hold from the start: map, key, value.
    pub map_contents: fn(facts: u32) -> Vec<Content>,
    /// How the kernel itself counts what has this reason (the low half of a key that is an account).
    pub counted: fn(reason: u16) -> Counted,
    /// What has begun and not ended.
    pub in_flight: &'static [InFlight],
    /// A streamed record as a line, and as a line of JSON; what its texts lack. Nothing is written of what is not meant.
    pub event_text: fn(&Record, &mut dyn Holders, &mut Vec<u8>) -> TextFaults,
    pub event_json: fn(&Record, &mut dyn Holders, &mut Vec<u8>) -> TextFaults,
}

/// Texts that an event should have shown and did not, or not in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextFaults {
    /// The process's memory could not be read.
    pub unreadable: u64,
    /// Longer than what a record can carry. What is shortened on purpose is not meant.
    pub cut: u64,
}

impl std::ops::AddAssign for TextFaults {
    fn add_assign(&mut self, other: TextFaults) {
        self.unreadable += other.unreadable;
        self.cut += other.cut;
    }
}

/// Knows whose a socket is.
pub trait Holders {
    /// Names and ids of the processes that hold a socket, and its network namespace: by the account of its firing
    /// ([`probes_common::account`]), its inode, 0 where that is not known, and its address. None: not one that is meant.
    fn of(&mut self, account: u64, inode: u64, local: std::net::SocketAddr) -> Option<(Vec<u8>, u64)>;
}

/// Programs that are attached to points.
#[derive(Debug, Clone, Copy)]
pub struct PointPrograms {
    /// Fires where it is.
    pub hit: &'static str,
    /// Notes a call, for `leave` to fire it.
    pub enter: &'static str,
    pub leave: &'static str,
}

/// Programs that the kernel calls for each thread (bpf_iter). Kernel: 5.8.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// Notes what each thread does. What it writes is a [`probes_common::walk::Standing`] for each that sleeps.
    pub at_start: &'static str,
    /// Fires what is open.
    pub at_end: &'static str,
}

/// Whose a firing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of the task that runs.
    Current,
    /// Of a task that is not the one at work: facts come from the firing's head.
    Another,
    /// Of no task.
    Nobody,
}

/// Where programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Tracepoint,
    /// The first instruction of a function, and where it returns. Kernel: 5.5 and BTF.
    Entry,
    Return,
}

/// A program at the return from a function of the kernel (fexit), that notes what a tracepoint behind it does not tell.
/// Kernel: 5.5 (x86_64), 6.0 (arm64). What the others cannot tell then stays untold.
#[derive(Debug, Clone, Copy)]
pub struct Witness {
    pub function: &'static str,
    pub program: &'static str,
    /// Whether the tracepoints of this kernel leave it to be told.
    pub is_needed: fn(&Found) -> bool,
    /// A map of one word: 1 as long as the program is attached.
    pub attached: &'static str,
}

/// A tracepoint or function with the programs that can be attached to it.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    pub at: At,
    pub name: &'static str,
    /// For typed pointers (tp_btf, fentry, fexit).
    pub typed: &'static str,
    /// For raw arguments (raw_tp). None: the program needs types.
    pub raw: Option<&'static str>,
    /// For a perf event. None: no record has what the program needs, or it is never preempted.
    pub classic: Option<Classic>,
    /// It tells what the probe before it tells: only what both miss is missed.
    pub again: bool,
    /// What tells the same where the kernel does not have this one.
    pub instead: &'static [Probe],
}

/// A program for a tracepoint's perf event: it gets a record instead of the tracepoint's arguments.
#[derive(Debug, Clone, Copy)]
pub struct Classic {
    /// Below tracefs's `events`, such as `sched/sched_process_exit`.
    pub event: &'static str,
    pub program: &'static str,
    /// The record's numbers are those of the first PID namespace, and the program has no others: where spoor is in
    /// another, this program is attached beside the typed one. The kernel passes over a program that it has preempted
    /// on this CPU; what one of the two misses, the other sees.
    pub elsewhere: Option<Second>,
}

/// A typed program at another tracepoint that tells the same.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    pub tracepoint: &'static str,
    pub typed: &'static str,
}

impl Probe {
    pub const fn typed(name: &'static str, typed: &'static str) -> Probe {
        Probe { at: At::Tracepoint, name, typed, raw: None, classic: None, again: false, instead: &[] }
    }

    /// The probes for a PID namespace that is not the first.
    pub fn elsewhere(self) -> impl Iterator<Item = Probe> {
        let second = self.classic.and_then(|classic| classic.elsewhere);
        let classic = self.classic.filter(|_| second.is_none());
        let second =
            second.map(|Second { tracepoint, typed }| Probe { again: true, ..Probe::typed(tracepoint, typed) });
        [Probe { classic, ..self }].into_iter().chain(second)
    }
}

/// Which of the kernel's own counters a loss moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// InErrors, NoPorts or IgnoredMulti of the namespace.
    Namespace(AtSocket),
    /// The socket's, and InErrors where the kernel counts MemErrors, too, or has no such counter.
    Memory,
    /// None of UDP's, as far as is known; others may tell of it, in other units.
    Elsewhere,
    /// None at all.
    Nowhere,
}

/// Whether a loss moves the counter of drops that its socket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtSocket {
    Always,
    /// Not told by what is known of it.
    Perhaps,
    Never,
}

impl Counted {
    pub fn at_socket(self) -> AtSocket {
        match self {
            Counted::Namespace(at_socket) => at_socket,
            Counted::Memory => AtSocket::Always,
            Counted::Elsewhere | Counted::Nowhere => AtSocket::Never,
        }
    }
}

/// A map of what has begun and not ended.
#[derive(Debug, Clone, Copy)]
pub struct InFlight {
    pub map: &'static str,
    /// An array with as many; None: a hash with keys of 8 bytes.
    pub entries: Option<u32>,
    /// Gathered only with these facts.
    pub facts: u32,
    pub value_words: usize,
    /// From a value's words; the scope has the names.
    pub describe: fn(&[u64], &Scope) -> Vec<Begun>,
}

/// One that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Monotonic.
    pub since_ns: u64,
    pub tid: u64,
    pub what: String,
}

/// What the globals of a provider are computed from.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub btf: Found,
    /// Tasks can be read directly (5.11).
    pub task_direct: bool,
    /// The arguments that the clause names.
    pub used: Used,
    /// Bytes of each text that it names, at most.
    pub text_rooms: Vec<u32>,
}

/// What a provider of calls adds to its own table where they are timed: title, name in JSON, function.
const ELAPSED_COLUMNS: [(&str, &str, &str); 5] = [
    ("total", "total_ns", "sum(elapsed)"),
    ("avg", "avg_ns", "avg(elapsed)"),
    ("p50", "p50_ns", "p50(elapsed)"),
    ("p99", "p99_ns", "p99(elapsed)"),
    ("max", "max_ns", "max(elapsed)"),
];

pub static PROVIDERS: [&Provider; 5] =
    [&syscall::PROVIDER, &profile::PROVIDER, &sched::PROVIDER, &function::PROVIDER, &udp::PROVIDER];

impl Provider {
    pub fn scope(&self) -> Vec<&'static Field> {
        self.fields.iter().chain(&COMMON).collect()
    }

    /// Whether somebody reads the head of a firing: the provider for these facts, or the clause.
    pub fn needs_head(&self, clause: &Clause, facts: u32) -> bool {
        use crate::program::field::{Common, Source};
        let mut needs = facts & self.head_facts != 0 || matches!(clause.action, crate::program::tree::Action::Stream);
        crate::program::fields_of(clause, &mut |field| {
            needs |= matches!(field.source, Source::Common(Common::Pid | Common::Tid | Common::Comm | Common::Ppid));
        });
        needs
    }

    /// What has to be gathered for the clause.
    pub fn facts(&self, clause: &Clause) -> u32 {
        let mut facts =
            if matches!(clause.action, crate::program::tree::Action::Stream) { self.stream_facts } else { 0 };
        crate::program::fields_of(clause, &mut |field| facts |= field.facts);
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::integer::Integer;

    /// `(NAME)x` is a cast wherever NAME is a type: an expression could not reach such a field.
    #[test]
    fn no_field_has_the_name_of_a_type() {
        for field in PROVIDERS.iter().flat_map(|provider| provider.scope()) {
            assert!(!Integer::is_name(field.name), "{}", field.name);
        }
    }
}
