//! How much kernel memory an aggregation may take, and what that means in rows.
//! Input: what was asked for and the machine; output: the kind and size of each map. Pure.

use probes_common::stack::Stack;

/// Memory of the machine below which the default budget is small.
const SMALL_MACHINE_BYTES: u64 = 2 << 30;
const DEFAULT_BUDGET: u64 = 64 << 20;
const SMALL_BUDGET: u64 = 16 << 20;
pub const DEFAULT_MAX_KEYS: u32 = 10_240;
/// A hash element besides key and value: list node, hash, freelist, and its share of the buckets (v6.18
/// kernel/bpf/hashtab.c: struct htab_elem 48 bytes, a bucket of 16 for each element).
const ELEMENT_BYTES: u64 = 64;
/// Rows wider than this are taken on demand where the kernel can.
const WIDE_ROW: u64 = 64;
/// No wider value can be per CPU: PCPU_MIN_UNIT_SIZE (v6.18 kernel/bpf/hashtab.c and arraymap.c, include/linux/percpu.h).
const PER_CPU_ROW_MAX: u64 = 32 << 10;

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes for the tables of one aggregation; None: by the machine's memory.
    pub map_memory: Option<u64>,
    pub max_keys: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub possible_cpus: u32,
    pub memory_bytes: u64,
    /// Elements of a hash can be allocated from a tracing program without preallocation (6.1).
    pub on_demand: bool,
}

/// What a table looks like in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rows by key. Each CPU has its own copy of a row, or all share one and add atomically.
    pub hash: Part,
    pub dense: Option<Part>,
    /// The rows in front of the table lie in one value for each CPU; no bytes: there are none.
    pub front: Part,
    pub other: Part,
    pub budget: u64,
    /// The keys asked for did not fit.
    pub reduced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub entries: u32,
    pub per_cpu: bool,
    pub preallocated: bool,
    /// At most, when it is full.
    pub bytes: u64,
}

impl Plan {
    pub fn bytes(&self) -> u64 {
        self.hash.bytes + self.dense.map_or(0, |part| part.bytes) + self.front.bytes + self.other.bytes
    }
}

pub fn default_budget(memory_bytes: u64) -> u64 {
    if memory_bytes < SMALL_MACHINE_BYTES { SMALL_BUDGET } else { DEFAULT_BUDGET }
}

/// The largest table with a row for each value of a small domain: half of all that a table may take.
pub fn dense(limits: Limits, machine: Machine, intervals: bool) -> u64 {
    let budget = limits.map_memory.unwrap_or_else(|| default_budget(machine.memory_bytes));
    budget / if intervals { 4 } else { 2 }
}

/// Most bytes of the rows in front of a table, of all CPUs together: they are read in one piece, for which kernels before
/// 5.15 want memory in one piece, too.
const FRONTS_MAX: u64 = 1 << 20;

/// Room for the rows in front of a table, for each CPU: an eighth of all that a table may take, if it can be one value.
pub fn front(limits: Limits, machine: Machine, intervals: bool) -> u64 {
    let all = (dense(limits, machine, intervals) / 4).min(FRONTS_MAX);
    (all / u64::from(machine.possible_cpus)).min(PER_CPU_ROW_MAX)
}

/// `dense`, `front_bytes`: what else there is beside the table of keys. `copies`: tables of the same shape that exist
/// at once (two while intervals are read).
pub fn plan(
    (key_bytes, row_bytes): (u64, u64),
    (dense, front_bytes): (Option<u32>, u64),
    copies: u64,
    limits: Limits,
    machine: Machine,
) -> Plan {
    let budget = limits.map_memory.unwrap_or_else(|| default_budget(machine.memory_bytes));
    let cpus = u64::from(machine.possible_cpus);
    let mut left = budget / copies;
    let dense = dense.map(|entries| {
        let part = array(entries, row_bytes, cpus, left / 2);
        left = left.saturating_sub(part.bytes);
        part
    });
    let other = array(1, row_bytes, cpus, left / 8);
    let front = Part { entries: 1, per_cpu: true, preallocated: true, bytes: front_bytes * cpus };
    left = left.saturating_sub(other.bytes + front.bytes);
    let asked = u64::from(limits.max_keys.unwrap_or(DEFAULT_MAX_KEYS).max(1));
    // Behind an array only rare keys come to the hash.
    let asked = if dense.is_some() && limits.max_keys.is_none() { asked.min(256) } else { asked };
    let own = ELEMENT_BYTES + key_bytes + row_bytes * cpus;
    let shared = ELEMENT_BYTES + key_bytes + row_bytes;
    let per_cpu = row_bytes <= PER_CPU_ROW_MAX && own * asked <= left;
    let element = if per_cpu { own } else { shared };
    let entries = asked.min(left / element).max(1) as u32;
    let preallocated = !(machine.on_demand && row_bytes > WIDE_ROW);
    Plan {
        hash: Part { entries, per_cpu, preallocated, bytes: element * u64::from(entries) },
        dense,
        front,
        other,
        budget,
        reduced: u64::from(entries) < asked,
    }
}

/// Most stacks that are kept, whatever the budget: there are eight bytes and more for each from the start.
const MOST_STACKS: u64 = 1 << 20;
/// The same where all of their memory is taken at once, unless there is to be more.
const MOST_STACKS_AT_ONCE: u64 = 8_192;

/// How many stacks there is room for: they have as much memory as the tables.
pub fn stacks(limits: Limits, machine: Machine) -> u32 {
    let budget = limits.map_memory.unwrap_or_else(|| default_budget(machine.memory_bytes));
    let each = ELEMENT_BYTES + 8 + size_of::<Stack>() as u64;
    let at_once = !machine.on_demand && limits.map_memory.is_none();
    let most = if at_once { MOST_STACKS_AT_ONCE } else { MOST_STACKS };
    (budget / each).clamp(1, most) as u32
}

fn array(entries: u32, row_bytes: u64, cpus: u64, room: u64) -> Part {
    let own = u64::from(entries) * row_bytes * cpus;
    let per_cpu = row_bytes <= PER_CPU_ROW_MAX && own <= room;
    Part { entries, per_cpu, preallocated: true, bytes: if per_cpu { own } else { u64::from(entries) * row_bytes } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { map_memory: None, max_keys: None };

    fn machine(possible_cpus: u32) -> Machine {
        Machine { possible_cpus, memory_bytes: 16 << 30, on_demand: true }
    }

    #[test]
    fn budget_holds_on_256_cpus_with_the_widest_row() {
        for (row, dense) in [(16, Some(1024)), (4_000, Some(1024)), (16, None), (1_040, None), (4_000, None)] {
            for cpus in [1, 2, 64, 256, 1024] {
                let plan = plan((64, row), (dense, front(LIMITS, machine(cpus), false)), 1, LIMITS, machine(cpus));
                assert!(plan.bytes() <= plan.budget, "{row} {dense:?} {cpus}: {plan:?}");
            }
        }
    }

    #[test]
    fn small_rows_on_a_usual_machine_are_per_cpu_and_all_there() {
        let plan = plan((16, 16), (None, 32 << 10), 1, LIMITS, machine(8));
        assert_eq!((plan.hash.entries, plan.hash.per_cpu, plan.reduced), (DEFAULT_MAX_KEYS, true, false));
    }

    #[test]
    fn stacks_have_the_memory_that_they_are_given() {
        let limits = |map_memory| Limits { map_memory, max_keys: None };
        let each = ELEMENT_BYTES + 8 + size_of::<Stack>() as u64;
        let old = Machine { on_demand: false, ..machine(2) };
        assert_eq!(u64::from(stacks(limits(None), machine(2))), (64 << 20) / each);
        assert_eq!(u64::from(stacks(limits(None), old)), MOST_STACKS_AT_ONCE);
        for machine in [old, machine(2)] {
            assert_eq!(u64::from(stacks(limits(Some(256 << 20)), machine)), (256 << 20) / each);
            assert_eq!(stacks(limits(Some(4096)), machine), 3);
        }
    }

    #[test]
    fn keys_that_do_not_fit_are_said_to_be_reduced() {
        let limits = Limits { map_memory: Some(1 << 20), max_keys: Some(1_000_000) };
        let plan = plan((16, 16), (None, front(limits, machine(2), false)), 1, limits, machine(2));
        assert!(plan.reduced && plan.bytes() <= 1 << 20);
    }

    #[test]
    fn rows_that_no_cpu_can_have_of_its_own_are_shared() {
        let limits = Limits { map_memory: Some(1 << 40), max_keys: Some(10) };
        let plan = |row_bytes| plan((16, row_bytes), (Some(4), 0), 1, limits, machine(2));
        let per_cpu = |plan: Plan| [plan.hash, plan.dense.unwrap(), plan.other].map(|part| part.per_cpu);
        assert_eq!(per_cpu(plan(32 << 10)), [true; 3]);
        assert_eq!(per_cpu(plan((32 << 10) + 8)), [false; 3]);
    }

    #[test]
    fn small_machine_has_a_small_budget() {
        assert_eq!((default_budget(1 << 30), default_budget(8 << 30)), (16 << 20, 64 << 20));
    }
}
