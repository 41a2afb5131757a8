//! Addresses of stacks in, frames out. Must not know where the stacks come from, or what is done with their names.
use std::collections::HashMap;
use std::rc::Rc;

use super::demangle::demangle;
use super::files::{FileId, Files};
use super::frame::{Frame, Inlined, Place, Source, Unknown};
use super::image::Image;
use super::kernel::Kernel;
use super::maps::{Kind, Mapping};
use super::process::{Process, Roots};
use super::told::{Life, Record, Told};
use super::vdso::Vdso;

/// 512 in all, half of what a process may have open by default: files of code with their debug files, roots of
/// containers, perf maps.
const MOST_FILES: usize = 384;
const MOST_ROOTS: usize = 64;
const MOST_PERF_MAPS: usize = 64;
const MOST_PROCESSES: usize = 16_384;
/// Parents of parents that are asked for what a process had from its birth on.
const GENERATIONS: u32 = 8;
/// Names that are kept; some 150 B each.
const MOST_NAMED: usize = 1 << 17;

#[derive(Debug, Default, Clone, Copy)]
pub struct Options {
    /// Functions that were inlined at a place.
    pub inlines: bool,
    pub lines: bool,
}

pub struct Symbolizer {
    options: Options,
    kernel: Kernel,
    files: Files,
    roots: Roots,
    vdso: Vdso,
    processes: HashMap<u32, Process>,
    told: Told,
    named: HashMap<(FileId, u64), Rc<Named>>,
    calls: u64,
}

/// Where a frame is, without its name: the same for processes that run the same file, wherever they have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spot {
    File(FileId, u64),
    Vdso(u64),
    /// Code that only this process has, or an address that nobody knows.
    Process(u32, u64),
}

/// A user stack as far as it is one.
pub struct Walk {
    pub spots: Vec<Spot>,
    /// The walk up went on where no code is: the rest, which has no spots, are no frames.
    pub is_astray: bool,
}

/// What is known of one place in a file.
struct Named {
    /// The function, and how far the place is from its start.
    function: Option<(String, u64)>,
    source: Option<Source>,
    inlined: Vec<Inlined>,
}

impl Symbolizer {
    pub fn new(options: Options) -> Symbolizer {
        Symbolizer {
            options,
            kernel: Kernel::default(),
            files: Files::new(MOST_FILES),
            roots: Roots::new(MOST_ROOTS),
            vdso: Vdso::default(),
            processes: HashMap::new(),
            told: Told::default(),
            named: HashMap::new(),
            calls: 0,
        }
    }

    /// Opens what is needed to name this process's addresses later, as long as it lives: its maps, its root, its files.
    /// Of one that is gone there is what was heard. False: its maps could not be read.
    ///
    /// To be called when a process is first seen, and after it has called exec or mapped a file. What it had before keeps
    /// its names; where both had something, it is the new one. Costs a look at each mapped file, but reads none of them.
    pub fn remember(&mut self, tgid: u32) -> bool {
        self.remember_with(tgid, GENERATIONS)
    }

    /// Keeps a record until its process is to be remembered.
    pub fn hear(&mut self, record: Record) {
        self.told.add(record);
    }

    /// Whether something was heard that makes it worth while to remember this process again.
    pub fn has_news(&self, tgid: u32) -> bool {
        let mut mappings = self.told.mappings(tgid).peekable();
        // A JIT maps its code piece by piece; that it does is all that we want to know.
        let makes_code = mappings.peek().is_some() && self.processes.get(&tgid).is_some_and(Process::has_made_code);
        mappings.any(|mapping| mapping.kind == Kind::File(None) || mapping.kind == Kind::Anonymous && !makes_code)
    }

    /// Leaf first. `leaf_is_exact`: the first address is of an instruction, all others are return addresses, whose calls
    /// end one byte before them.
    pub fn kernel(&mut self, addresses: &[u64], leaf_is_exact: bool) -> Vec<Frame> {
        self.kernel.frames(addresses, leaf_is_exact)
    }

    /// As `kernel`, for a process.
    pub fn user(&mut self, tgid: u32, addresses: &[u64], leaf_is_exact: bool) -> Vec<Frame> {
        let looked: Vec<u64> = looked_up(addresses, leaf_is_exact).collect();
        if let Err(why) = self.prepare(tgid, &looked) {
            return addresses.iter().map(|address| bare(*address, Place::Address { why })).collect();
        }
        addresses.iter().zip(looked).map(|(address, looked)| self.frame(tgid, *address, looked)).collect()
    }

    /// As `user`, without names, which takes far less time.
    pub fn walk(&mut self, tgid: u32, addresses: &[u64], leaf_is_exact: bool) -> Walk {
        let looked: Vec<u64> = looked_up(addresses, leaf_is_exact).collect();
        let unknown = |address: &u64| Spot::Process(tgid, *address);
        if self.prepare(tgid, &looked).is_err() {
            return Walk { spots: looked.iter().map(unknown).collect(), is_astray: false };
        }
        let process = &self.processes[&tgid];
        let spot = |address: &u64| match process.find(*address) {
            Some(mapping) => match mapping.kind {
                Kind::File(Some(id)) => Spot::File(id, mapping.file_offset(*address)),
                Kind::Vdso => Spot::Vdso(address - mapping.start),
                _ => unknown(address),
            },
            None => unknown(address),
        };
        // The leaf is where the processor was.
        let frames = looked.iter().skip(1).take_while(|address| process.may_call_from(**address)).count() + 1;
        let frames = frames.min(looked.len());
        Walk { spots: looked[..frames].iter().map(spot).collect(), is_astray: frames < looked.len() }
    }

    /// Looks at a process that was not looked at yet, or again if it may have something new at these addresses.
    fn prepare(&mut self, tgid: u32, looked: &[u64]) -> Result<(), Unknown> {
        let is_new = |process: &Process| looked.iter().any(|address| process.is_new(*address));
        if self.processes.get(&tgid).is_none_or(is_new) {
            let seen = self.look(tgid);
            let Some(process) = self.processes.get_mut(&tgid) else { return seen };
            looked.iter().for_each(|address| process.missed(*address));
        }
        self.calls += 1;
        let process = self.processes.get_mut(&tgid).expect("it was just looked at");
        process.used = self.calls;
        process.refresh_perf_map();
        Ok(())
    }

    fn remember_with(&mut self, tgid: u32, generations: u32) -> bool {
        let life = self.told.take(tgid);
        // Why it could not be read is asked again by whoever wants a name.
        let seen = self.look(tgid);
        if let Some(life) = life {
            self.adopt(tgid, life, seen.err(), generations);
        }
        self.processes.get_mut(&tgid).into_iter().for_each(Process::forget_misses);
        seen.is_ok()
    }

    /// `unread`: why there is nothing better than what was heard.
    fn adopt(&mut self, tgid: u32, life: Life, unread: Option<Unknown>, generations: u32) {
        let parent = life.parent.filter(|_| generations > 0);
        // What it was born with, its parent may have mapped just before. One that lives shows it itself, but for what it
        // had before an exec: not worth a look at every parent.
        if let Some(parent) = parent
            && unread.is_some()
            && (!self.processes.contains_key(&parent) || self.has_news(parent))
        {
            self.remember_with(parent, generations - 1);
        }
        // Taken out, so that it can be given something of another one.
        let mut process = self.processes.remove(&tgid).unwrap_or_else(|| {
            let mut process = Process::new(tgid, &mut self.roots);
            process.unread = unread;
            process.used = self.calls;
            process
        });
        if unread.is_some() {
            process.end();
        }
        if let Some(parent) = parent.and_then(|parent| self.processes.get(&parent)) {
            parent.bequeath(&mut process, &mut self.files);
        }
        process.adopt(life.into_mappings(), &mut self.files);
        self.keep(tgid, process);
    }

    fn look(&mut self, tgid: u32) -> Result<(), Unknown> {
        if let Some(process) = self.processes.get_mut(&tgid) {
            process.look(&mut self.files, &mut self.roots)?;
            self.close_perf_maps(tgid);
            return Ok(());
        }
        let mut process = Process::new(tgid, &mut self.roots);
        process.look(&mut self.files, &mut self.roots)?;
        process.used = self.calls;
        self.keep(tgid, process);
        self.close_perf_maps(tgid);
        Ok(())
    }

    /// In the place of the one not needed for longest, if there are too many.
    fn keep(&mut self, tgid: u32, process: Process) {
        if self.processes.len() >= MOST_PROCESSES {
            let oldest = self.processes.iter().min_by_key(|(_, process)| process.used).map(|(tgid, _)| *tgid);
            oldest.and_then(|oldest| self.processes.remove(&oldest));
        }
        self.processes.insert(tgid, process);
    }

    /// Those not needed for longest, if there are too many with this process's.
    fn close_perf_maps(&mut self, tgid: u32) {
        if !self.processes[&tgid].has_open_perf_map() {
            return;
        }
        let mut open: Vec<_> = self.processes.iter_mut().filter(|(_, process)| process.has_open_perf_map()).collect();
        let surplus = open.len().saturating_sub(MOST_PERF_MAPS);
        open.sort_unstable_by_key(|(other, process)| (**other == tgid, process.used));
        open.into_iter().take(surplus).for_each(|(_, process)| process.close_perf_map());
    }

    fn frame(&mut self, tgid: u32, address: u64, looked: u64) -> Frame {
        let process = &self.processes[&tgid];
        let past = address - looked;
        let jitted = || {
            let (name, start) = process.perf_map()?.find(looked)?;
            Some(Place::Symbol { module: "[jit]".into(), name: demangle(name), offset: address - start })
        };
        let Some(mapping) = process.find(looked) else {
            let why = process.unread.unwrap_or(Unknown::NoMapping);
            return bare(address, jitted().unwrap_or(Place::Address { why }));
        };
        let symbol = |(name, offset)| Place::Symbol { module: mapping.module(), name, offset: offset + past };
        let at = |offset, why| Place::Offset { module: mapping.module(), offset, why };
        let place = match mapping.kind {
            Kind::File(id) => {
                let offset = mapping.file_offset(looked);
                let named = id.and_then(|id| {
                    named(&mut self.named, &mut self.files, (id, offset), process, mapping, self.options)
                });
                if let Some(named) = named.as_ref()
                    && let Some(function) = &named.function
                {
                    let (source, inlined) = (named.source.clone(), named.inlined.clone());
                    return Frame { address, place: symbol(function.clone()), source, inlined };
                }
                let why = if named.is_some() { Unknown::Stripped } else { Unknown::NoFile };
                jitted().unwrap_or_else(|| at(offset + past, why))
            }
            Kind::Vdso => match self.vdso.function(tgid, mapping, looked) {
                Some(function) => symbol(function),
                None => at(address - mapping.start, Unknown::Stripped),
            },
            Kind::Special => at(address - mapping.start, Unknown::Stripped),
            Kind::Anonymous => jitted().unwrap_or(Place::Address { why: Unknown::NoPerfMap }),
            Kind::NotCode => jitted().unwrap_or(Place::Address { why: Unknown::NotCode }),
        };
        bare(address, place)
    }
}

/// Nothing if the file is gone.
fn named(
    cache: &mut HashMap<(FileId, u64), Rc<Named>>,
    files: &mut Files,
    place: (FileId, u64),
    process: &Process,
    mapping: &Mapping,
    options: Options,
) -> Option<Rc<Named>> {
    if let Some(named) = cache.get(&place) {
        return Some(Rc::clone(named));
    }
    let (id, offset) = place;
    let read = |bytes: &_| Image::read(bytes, Some(&process.whereabouts(mapping)), options);
    let image = files.image(id, || process.open(mapping), read)?;
    let named = Rc::new(name(image, offset));
    if cache.len() >= MOST_NAMED {
        cache.clear();
    }
    cache.insert(place, Rc::clone(&named));
    Some(named)
}

fn name(image: &Image, offset: u64) -> Named {
    let mut named = Named { function: None, source: None, inlined: Vec::new() };
    let Some(linked) = image.address(offset) else { return named };
    let function = image.function(linked).map(|(name, start)| (demangle(&name), start));
    let lines = image.lines(linked);
    let function = function.or_else(|| lines.as_ref()?.function.clone());
    named.function = function.map(|(name, start)| (name, linked.saturating_sub(start)));
    if let Some(lines) = lines {
        (named.source, named.inlined) = (lines.source, lines.inlined);
    }
    named
}

fn bare(address: u64, place: Place) -> Frame {
    Frame { address, place, source: None, inlined: Vec::new() }
}

/// The addresses to look for: those of the calls, not of what comes after them.
pub(super) fn looked_up(addresses: &[u64], leaf_is_exact: bool) -> impl Iterator<Item = u64> {
    let returns = move |at| at > 0 || !leaf_is_exact;
    addresses.iter().enumerate().map(move |(at, address)| address.saturating_sub(u64::from(returns(at))))
}

#[cfg(test)]
#[path = "stacks_tests.rs"]
mod tests;
