//! The maps of one aggregation: rows by key, a few in front of them, rows by number, the row of all others. For
//! intervals each lies in a map of one map, and is exchanged for an empty one: no firing is counted in two intervals, or
//! in none.
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use probes_common::stack::Stack;

use super::Request;
use super::budget::{self, Part, Plan};
use crate::btf::Found;
use crate::program::codegen::front::Front;
use crate::program::insn::MapName;
use crate::sys::bpf::{self, MapSpec};
use crate::sys::process;

pub struct Tables {
    pub plan: Plan,
    pub hash: Table,
    pub dense: Option<Table>,
    pub front: Option<(Front, Table)>,
    pub other: Table,
}

/// One map of rows, and what is needed to make another like it.
pub struct Table {
    map: OwnedFd,
    outer: Option<OwnedFd>,
    pub part: Part,
    pub key_bytes: u32,
    pub row_bytes: u32,
    map_type: u32,
    flags: u32,
}

/// What decides how much fits.
pub fn machine(found: &Found) -> budget::Machine {
    budget::Machine {
        possible_cpus: process::possible_cpus(),
        memory_bytes: process::memory_bytes(),
        on_demand: found.offset("bpf_htab", "ma").is_some(),
    }
}

impl Tables {
    pub fn new(
        key_bytes: usize,
        row_bytes: usize,
        (dense, front): (Option<u32>, Option<Front>),
        request: &Request,
        found: &Found,
    ) -> Result<Tables> {
        let machine = machine(found);
        // A dense table has an entry for each CPU at most, whatever the field's domain.
        let copies = if request.intervals { 2 } else { 1 };
        let front_bytes = front.map_or(0, |front| front.bytes() as u64);
        let plan =
            budget::plan((key_bytes as u64, row_bytes as u64), (dense, front_bytes), copies, request.limits, machine);
        let (key_bytes, row_bytes) = (key_bytes as u32, row_bytes as u32);
        let hash =
            Table::hash(plan.hash, key_bytes, row_bytes, request.intervals).context("create the table of keys")?;
        let array = |part| Table::array(part, row_bytes, request.intervals);
        let dense = plan.dense.map(array).transpose().context("create the table of numbers")?;
        let other = array(plan.other).context("create the row of other keys")?;
        let front = match front {
            Some(front) => {
                let table = Table::array(plan.front, front.bytes() as u32, request.intervals);
                Some((front, table.context("create the rows in front of the table")?))
            }
            None => None,
        };
        Ok(Tables { plan, hash, dense, front, other })
    }

    pub fn descriptor(&self, name: MapName) -> Option<BorrowedFd<'_>> {
        match name {
            MapName::Table => Some(self.hash.descriptor()),
            MapName::Dense => self.dense.as_ref().map(Table::descriptor),
            MapName::Front => self.front.as_ref().map(|(_, table)| table.descriptor()),
            MapName::Other => Some(self.other.descriptor()),
            _ => None,
        }
    }
}

impl Table {
    fn hash(part: Part, key_bytes: u32, row_bytes: u32, intervals: bool) -> Result<Table> {
        let map_type = if part.per_cpu { bpf::MAP_TYPE_PERCPU_HASH } else { bpf::MAP_TYPE_HASH };
        let flags = if part.preallocated { 0 } else { bpf::F_NO_PREALLOC };
        Table::new(part, key_bytes, row_bytes, map_type, flags, intervals)
    }

    fn array(part: Part, row_bytes: u32, intervals: bool) -> Result<Table> {
        let map_type = if part.per_cpu { bpf::MAP_TYPE_PERCPU_ARRAY } else { bpf::MAP_TYPE_ARRAY };
        Table::new(part, 4, row_bytes, map_type, 0, intervals)
    }

    fn new(part: Part, key_bytes: u32, row_bytes: u32, map_type: u32, flags: u32, intervals: bool) -> Result<Table> {
        let map = create(part, key_bytes, row_bytes, map_type, flags)?;
        let outer = intervals.then(|| outer(map.as_fd())).transpose()?;
        Ok(Table { map, outer, part, key_bytes, row_bytes, map_type, flags })
    }

    /// What programs refer to.
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.outer.as_ref().unwrap_or(&self.map).as_fd()
    }

    /// Where the rows are.
    pub fn map(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    pub fn is_hash(&self) -> bool {
        matches!(self.map_type, bpf::MAP_TYPE_HASH | bpf::MAP_TYPE_PERCPU_HASH)
    }

    /// Puts an empty map in place and gives the full one. The kernel returns from the exchange only when no program
    /// uses the old one any more (v5.10 kernel/bpf/syscall.c: maybe_wait_bpf_programs).
    pub fn exchange(&mut self) -> Result<OwnedFd> {
        let outer = self.outer.as_ref().context("only tables of intervals are exchanged")?;
        let empty = create(self.part, self.key_bytes, self.row_bytes, self.map_type, self.flags)?;
        bpf::map_update(outer.as_fd(), &0u32.to_ne_bytes(), &empty.as_raw_fd().to_ne_bytes())
            .context("exchange a table")?;
        Ok(std::mem::replace(&mut self.map, empty))
    }
}

fn create(part: Part, key_bytes: u32, row_bytes: u32, map_type: u32, flags: u32) -> Result<OwnedFd> {
    let spec = MapSpec {
        name: "rows",
        map_type,
        key_bytes,
        value_bytes: row_bytes,
        max_entries: part.entries,
        flags,
        inner: None,
    };
    bpf::map_create(&spec)
        .with_context(|| format!("{} entries, at most {} bytes of kernel memory", part.entries, part.bytes))
}

fn outer(inner: BorrowedFd) -> Result<OwnedFd> {
    let spec = MapSpec {
        name: "interval",
        map_type: bpf::MAP_TYPE_ARRAY_OF_MAPS,
        key_bytes: 4,
        value_bytes: 4,
        max_entries: 1,
        flags: 0,
        inner: Some(inner),
    };
    let map = bpf::map_create(&spec)?;
    bpf::map_update(map.as_fd(), &0u32.to_ne_bytes(), &inner.as_raw_fd().to_ne_bytes())?;
    Ok(map)
}

/// Gives each CPU a few elements in hand of the map of stacks, whose memory is taken on demand: at first it has one, more
/// come only once interrupts are on again, and a program that takes two stacks before would lose the second
/// (v6.18 kernel/bpf/memalloc.c: prefill_mem_cache; what is deleted on a CPU is kept there for the next one).
pub fn warm(stacks: BorrowedFd) -> Result<()> {
    const IN_HAND: u64 = 8;
    let value = [0u8; size_of::<Stack>()];
    process::on_each_cpu(|| {
        // Where there is no memory, there will be none later: that is counted.
        let keys = || (0..IN_HAND).map(u64::to_ne_bytes);
        keys().for_each(|key| drop(bpf::map_update(stacks, &key, &value)));
        keys().for_each(|key| drop(bpf::map_delete(stacks, &key)));
    })
    .context("take memory for stacks")
}
