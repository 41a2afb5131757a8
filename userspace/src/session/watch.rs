//! What the kernel tells of code that is mapped and of processes that are born, anywhere: rings in, records out.
use std::io::Result;

use crate::symbolize::told::{self, Record};
use crate::sys::perf;
use crate::sys::perf_ring::Ring;
use crate::sys::process;

/// One ring a CPU. Dropping it ends the watch.
pub struct Watch {
    rings: Vec<Ring>,
    has_lost: bool,
    bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Watch {
    /// Errors: of a kernel that does not let us; names then are those of what is there when a process is first sampled.
    pub fn open() -> Result<Watch> {
        let mut rings = Vec::new();
        for cpu in 0..process::possible_cpus() {
            match perf::watch_mappings(cpu) {
                Ok(ring) => rings.push(ring),
                // Offline.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Watch { rings, has_lost: false, bytes: Vec::new(), records: Vec::new() })
    }

    /// Hands out what came since the last time, oldest first. True where something may have been lost in it.
    pub fn drain(&mut self, hear: impl FnMut(Record)) -> bool {
        let mut lost = false;
        for ring in &mut self.rings {
            self.bytes.clear();
            lost |= !ring.take(&mut self.bytes);
            told::parse(&self.bytes, &mut self.records);
        }
        // A process goes from CPU to CPU.
        self.records.sort_by_key(|record| record.time_ns);
        self.records.drain(..).for_each(hear);
        self.has_lost |= lost;
        lost
    }

    pub fn has_lost(&self) -> bool {
        self.has_lost
    }
}
