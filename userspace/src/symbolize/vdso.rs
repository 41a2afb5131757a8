//! Places of the vDSO in, functions out.
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::demangle::demangle;
use super::elf::Bytes;
use super::image::Image;
use super::maps::{self, Kind, Mapping};
use super::stacks::Options;

/// Below it are the processes of the 32-bit kind, whose vDSO is another one.
const NARROW_END: u64 = 1 << 32;
const MOST_BYTES: u64 = 1 << 20;

/// By kind and size: one kernel has one vDSO of each.
#[derive(Default)]
pub struct Vdso {
    images: HashMap<(bool, u64), Option<Image>>,
}

impl Vdso {
    pub fn function(&mut self, tgid: u32, mapping: &Mapping, address: u64) -> Option<(String, u64)> {
        let size = mapping.end - mapping.start;
        let image = self.images.entry((mapping.end <= NARROW_END, size)).or_insert_with(|| image(tgid, mapping));
        let image = image.as_ref()?;
        let linked = image.address(address - mapping.start)?;
        let (name, start) = image.function(linked)?;
        Some((demangle(&name), linked - start))
    }
}

fn image(tgid: u32, mapping: &Mapping) -> Option<Image> {
    let size = mapping.end - mapping.start;
    let ours = maps::parse(&fs::read_to_string("/proc/self/maps").ok()?);
    let ours = ours.iter().find(|ours| ours.kind == Kind::Vdso && ours.end - ours.start == size);
    // Another process may have changed its own.
    let (process, start) = match ours.filter(|_| mapping.end > NARROW_END) {
        Some(ours) => (String::from("self"), ours.start),
        None => (tgid.to_string(), mapping.start),
    };
    let mut bytes = vec![0; size.min(MOST_BYTES) as usize];
    File::open(format!("/proc/{process}/mem")).ok()?.read_exact_at(&mut bytes, start).ok()?;
    Some(Image::read(&Bytes::Memory(bytes.into()), None, Options::default()))
}
