//! What a process holds of the kernel's BPF: the ids of its programs, maps and links, from its descriptors.
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::patience;
use crate::sys::{self, BpfObject};

pub struct Holdings(Vec<(BpfObject, u32)>);

impl Holdings {
    pub fn of(pid: u32) -> Result<Holdings> {
        let mut holdings = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("look into fdinfo")? {
            // Descriptors come and go.
            let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
            for line in info.lines() {
                let Some((name, id)) = line.split_once(':') else { continue };
                let Ok(id) = id.trim().parse() else { continue };
                match name {
                    // A link's fdinfo names its program too, hence the deduplication.
                    "prog_id" => holdings.push((BpfObject::Program, id)),
                    "map_id" => holdings.push((BpfObject::Map, id)),
                    "link_id" => holdings.push((BpfObject::Link, id)),
                    _ => {}
                }
            }
        }
        holdings.sort_by_key(|(kind, id)| (*kind as u8, *id));
        holdings.dedup();
        Ok(Holdings(holdings))
    }

    pub fn count(&self, kind: BpfObject) -> usize {
        self.0.iter().filter(|(held, _)| *held == kind).count()
    }

    /// The kernel frees after a grace period, so this is asked until it is so.
    pub fn are_gone(&self) -> Result<()> {
        let end = Instant::now() + patience();
        for (kind, id) in &self.0 {
            while sys::bpf_object_exists(*kind, *id)? {
                ensure!(Instant::now() < end, "{kind:?} {id} is still there after {} s", patience().as_secs());
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}
