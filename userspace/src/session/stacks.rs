//! Stacks by their ids into stacks with names: what the kernel side kept, read and symbolized.
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use probes_common::stack::{LOST_STACK, NO_STACK};

use crate::merge::rows::{Merge, Rows};
use crate::merge::value::{Aggregation, KeyValue};
use crate::program::field::{Half, Kind};
use crate::program::layout::Layout;
use crate::program::scope::Scope;
use crate::program::tree::Key;
use crate::render::report::KeyColumn;
use crate::snapshot::stacks::{self, RawStack};
use crate::symbolize::frame::{Frame, Place, Stack};
use crate::symbolize::stacks::{Options, Spot, Symbolizer};

use super::watch::Watch;

/// A key that is a stack's id.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Which key, and where its word is.
    key: usize,
    word: usize,
    half: Half,
}

pub struct Namer {
    parts: Vec<Part>,
    key_words: usize,
    /// Kernel stacks are of what was at work, whose own address is the leaf; else of what waits, and the leaf has called.
    sampled: bool,
    symbolizer: Symbolizer,
    /// None: the kernel does not let us.
    watch: Option<Watch>,
    /// Processes that were sampled.
    known: HashMap<u32, Known>,
    /// Code that no name was kept for, since the watch lost records.
    names_missing: bool,
    /// What the ids of functions and modules stand for.
    leaves: HashMap<u64, String>,
    /// Stacks whose walk went astray, and how many of their frames are some.
    astray: HashMap<u64, usize>,
}

/// How a process was when it was last remembered.
struct Known {
    /// As what it ran.
    image: u64,
    lives: bool,
}

/// Where the kernel half and the user half of one stack are both keys, next to each other, they are one: `waker_kstack`
/// becomes `waker_stack`.
const KERNEL: &str = "kstack";
const BOTH: &str = "stack";
/// In place of the function or module of a leaf that the kernel side could not keep.
const LOST: &str = "[lost]";

impl Namer {
    /// None: no key is a stack.
    pub fn new(keys: &[Key], scope: &Scope, sampled: bool, options: Options) -> Option<Namer> {
        let (mut parts, mut word) = (Vec::new(), 0);
        for (at, key) in keys.iter().enumerate() {
            if let Some(Kind::Stack(half)) = scope.field(key.name()).map(|field| field.kind) {
                parts.push(Part { key: at, word, half });
            }
            word += key.words();
        }
        (!parts.is_empty()).then(|| Namer {
            parts,
            key_words: word,
            sampled,
            symbolizer: Symbolizer::new(options),
            watch: Watch::open().ok(),
            names_missing: false,
            known: HashMap::new(),
            leaves: HashMap::new(),
            astray: HashMap::new(),
        })
    }

    /// Opens what names the frames of a process, while it lives.
    pub fn remember(&mut self, tgid: u32) {
        self.symbolizer.remember(tgid);
    }

    /// Opens what names the frames of processes that were not seen before, have called exec or mapped code, while they
    /// live. What they mapped and ended after is known from the watch.
    pub fn remember_new(&mut self, seen: BorrowedFd) -> Result<()> {
        // Before the list: who is known from here to have ended is in it, if it was sampled at all.
        let symbolizer = &mut self.symbolizer;
        let lost = self.watch.as_mut().is_some_and(|watch| watch.drain(|record| symbolizer.hear(record)));
        for (tgid, image) in stacks::processes(seen)? {
            let known = self.known.get(&tgid).filter(|known| known.image == image);
            let (is_new, was_alive) = (known.is_none(), known.is_none_or(|known| known.lives));
            if is_new || (lost && was_alive) || self.symbolizer.has_news(tgid) {
                let lives = self.symbolizer.remember(tgid);
                let has_lost = self.watch.as_ref().is_some_and(Watch::has_lost);
                self.names_missing |= was_alive && !lives && (lost || is_new && has_lost);
                self.known.insert(tgid, Known { image, lives });
            }
        }
        Ok(())
    }

    /// What a reader of the names should know.
    pub fn notes(&mut self) -> Option<String> {
        let note =
            "the kernel had more news of mapped code than could be read in time: some that is gone may have no name";
        std::mem::take(&mut self.names_missing).then(|| note.to_owned())
    }

    /// Rows whose user stacks read the same, as those of processes of one program do, become one. And how much of what they
    /// count has user stacks that the walk lost.
    pub fn join(&mut self, map: BorrowedFd, layout: &Layout, rows: Rows) -> Result<(Rows, Option<String>)> {
        let users: Vec<Part> = self.parts.iter().copied().filter(|part| part.half == Half::User).collect();
        if users.is_empty() {
            return Ok((rows, None));
        }
        let mut ids: Vec<u64> = rows.iter().flat_map(|(key, _)| users.iter().map(|part| key[part.word])).collect();
        ids.sort_unstable();
        ids.dedup();
        let raw = stacks::read(map, &ids).context("read the stacks")?;
        self.astray.clear();
        // The first id stands for all stacks that read the same.
        let mut first: HashMap<(Vec<Spot>, bool, bool), u64> = HashMap::new();
        let mut same: HashMap<u64, (u64, bool)> = HashMap::new();
        let (mut all, mut broken) = (0, 0);
        let mut merge = Merge::regrouping(layout, self.key_words);
        let mut key = vec![0; self.key_words];
        for (old, row) in rows.iter() {
            key.copy_from_slice(old);
            for part in &users {
                let id = old[part.word];
                let Some(stack) = raw.get(&id) else { continue };
                let (joined, is_broken) = *same.entry(id).or_insert_with(|| {
                    let walk = self.symbolizer.walk(stack.tgid, &stack.addresses, true);
                    if walk.is_astray {
                        self.astray.insert(id, walk.spots.len());
                    }
                    let is_broken = walk.is_astray || stack.is_broken();
                    (*first.entry((walk.spots, is_broken, stack.is_cut())).or_insert(id), is_broken)
                });
                key[part.word] = joined;
                all += row[0];
                broken += if is_broken { row[0] } else { 0 };
            }
            merge.add(&key, row);
        }
        let share = broken as f64 * 100.0 / all as f64;
        let share = if share < 0.05 { "less than 0.1".to_owned() } else { format!("{share:.1}") };
        let note = format!("{share} % of the user stacks end early: their code keeps no frame pointers");
        Ok((merge.finish(), (broken > 0).then_some(note)))
    }

    /// Rows whose functions or modules have the same name become one.
    pub fn regroup(&mut self, map: BorrowedFd, layout: &Layout, rows: Rows) -> Result<Rows> {
        let leaves: Vec<Part> =
            self.parts.iter().copied().filter(|part| matches!(part.half, Half::Function | Half::Module)).collect();
        if leaves.is_empty() {
            return Ok(rows);
        }
        let mut ids: Vec<u64> = rows.iter().flat_map(|(key, _)| leaves.iter().map(|part| key[part.word])).collect();
        ids.sort_unstable();
        ids.dedup();
        let frames = self.frames(map, &ids)?;
        // The first id with a name stands for all of them.
        let mut first: HashMap<(bool, String), u64> = HashMap::new();
        let mut merge = Merge::regrouping(layout, self.key_words);
        let mut key = vec![0; self.key_words];
        for (old, row) in rows.iter() {
            key.copy_from_slice(old);
            for part in &leaves {
                let of_module = part.half == Half::Module;
                let name = match old[part.word] {
                    LOST_STACK => LOST.to_owned(),
                    id => leaf_name(frames.get(&id).and_then(|frames| frames.first()), of_module),
                };
                // The id of a function may stand for a module, too: names of modules have ids of their own.
                let id = *first.entry((of_module, name.clone())).or_insert(old[part.word] ^ u64::from(of_module) << 63);
                self.leaves.insert(id, name);
                key[part.word] = id;
            }
            merge.add(&key, row);
        }
        Ok(merge.finish())
    }

    /// What the id of a function or module stands for, once rows were regrouped.
    pub fn leaf(&self, id: u64) -> Option<&str> {
        self.leaves.get(&id).map(String::as_str)
    }

    /// Puts names in the place of ids.
    pub fn name(&mut self, map: BorrowedFd, aggregation: &mut Aggregation, columns: &mut Vec<KeyColumn>) -> Result<()> {
        let halves: Vec<Part> =
            self.parts.iter().copied().filter(|part| matches!(part.half, Half::Kernel | Half::User)).collect();
        let mut ids: Vec<u64> = aggregation
            .rows
            .iter()
            .flat_map(|row| halves.iter().filter_map(|part| id_of(&row.keys[part.key])))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let raw = stacks::read(map, &ids).context("read the stacks")?;
        let frames = self.frames_of(&raw);
        let pairs = pairs(&halves);
        let user_of = |key: usize| pairs.iter().find(|(kernel, _)| *kernel == key).map(|(_, user)| *user);
        let mut shared: HashMap<(u64, u64), Arc<Stack>> = HashMap::new();
        let mut stack = |kernel: u64, user: u64| {
            let key = (kernel, user);
            let astray = self.astray.contains_key(&user);
            Arc::clone(shared.entry(key).or_insert_with(|| Arc::new(whole(kernel, user, &frames, &raw, astray))))
        };
        for row in &mut aggregation.rows {
            for part in &self.parts {
                let Some(id) = id_of(&row.keys[part.key]) else { continue };
                row.keys[part.key] = match part.half {
                    Half::Function | Half::Module => {
                        KeyValue::Text(self.leaves.get(&id).cloned().unwrap_or_default().into_bytes())
                    }
                    Half::Kernel => {
                        let user = user_of(part.key).and_then(|user| id_of(&row.keys[user]));
                        KeyValue::Stack(stack(id, user.unwrap_or(NO_STACK)))
                    }
                    Half::User => KeyValue::Stack(stack(NO_STACK, id)),
                };
            }
            for (_, user) in pairs.iter().rev() {
                row.keys.remove(*user);
            }
        }
        for (kernel, user) in pairs.iter().rev() {
            columns.remove(*user);
            columns[*kernel].name = columns[*kernel].name.replace(KERNEL, BOTH);
        }
        Ok(())
    }

    fn frames(&mut self, map: BorrowedFd, ids: &[u64]) -> Result<HashMap<u64, Vec<Frame>>> {
        let raw = stacks::read(map, ids).context("read the stacks")?;
        Ok(self.frames_of(&raw))
    }

    fn frames_of(&mut self, raw: &HashMap<u64, RawStack>) -> HashMap<u64, Vec<Frame>> {
        // One process after the other: what is open for one serves all of its stacks.
        let mut order: Vec<(&u64, &RawStack)> = raw.iter().collect();
        order.sort_by_key(|(id, stack)| (stack.tgid, **id));
        let name = |(id, stack): (&u64, &RawStack)| {
            let frames = match stack.tgid {
                0 => without_tracing(self.symbolizer.kernel(&stack.addresses, self.sampled)),
                tgid => self.symbolizer.user(tgid, &stack.addresses, true),
            };
            (*id, frames)
        };
        let mut frames: HashMap<u64, Vec<Frame>> = order.into_iter().map(name).collect();
        for (id, whole) in &self.astray {
            frames.entry(*id).and_modify(|frames| frames.truncate(*whole));
        }
        frames
    }
}

/// A stack that a program took of itself begins with the program and with what called it.
fn without_tracing(mut frames: Vec<Frame>) -> Vec<Frame> {
    let is_tracing = |frame: &Frame| match &frame.place {
        Place::Symbol { module, name, .. } => {
            module == "bpf"
                || name.starts_with("ftrace_trampoline")
                || ["bpf_trace_run", "__bpf_trace_", "__traceiter_"].iter().any(|begin| name.starts_with(begin))
        }
        _ => false,
    };
    // Trampolines have no names on old kernels.
    let is_unknown = |frame: &Frame| matches!(frame.place, Place::Address { .. });
    let from = frames.iter().position(|frame| !is_tracing(frame) && !is_unknown(frame)).unwrap_or(0);
    frames.drain(..from);
    frames
}

/// Keys of kernel halves, each with the user half that follows it.
fn pairs(halves: &[Part]) -> Vec<(usize, usize)> {
    let is_pair =
        |pair: &&[Part]| pair[0].half == Half::Kernel && pair[1].half == Half::User && pair[1].key == pair[0].key + 1;
    halves.windows(2).filter(is_pair).map(|pair| (pair[0].key, pair[1].key)).collect()
}

fn id_of(key: &KeyValue) -> Option<u64> {
    match key {
        KeyValue::Unsigned(id) => Some(*id),
        _ => None,
    }
}

fn whole(
    kernel: u64,
    user: u64,
    frames: &HashMap<u64, Vec<Frame>>,
    raw: &HashMap<u64, RawStack>,
    user_astray: bool,
) -> Stack {
    let half = |id| frames.get(&id).cloned().unwrap_or_default();
    Stack {
        kernel: half(kernel),
        user: half(user),
        kernel_cut: raw.get(&kernel).is_some_and(RawStack::is_cut),
        user_cut: !user_astray && raw.get(&user).is_some_and(RawStack::is_cut),
        user_broken: user_astray || raw.get(&user).is_some_and(RawStack::is_broken),
        kernel_lost: kernel == LOST_STACK,
        user_lost: user == LOST_STACK,
    }
}

/// A function with its module, or the module alone.
fn leaf_name(frame: Option<&Frame>, module_only: bool) -> String {
    let Some(frame) = frame else { return "[unknown]".to_owned() };
    match &frame.place {
        Place::Symbol { module, .. } | Place::Offset { module, .. } if module_only => module.clone(),
        Place::Symbol { module, name, .. } => format!("{module}`{name}"),
        Place::Offset { module, offset, .. } => format!("{module}`{offset:#x}"),
        Place::Address { .. } if module_only => "[unknown]".to_owned(),
        Place::Address { .. } => format!("{:#x}", frame.address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_does_not_begin_with_the_program_that_took_it() {
        let frame = |module: &str, name: &str| Frame {
            address: 0,
            place: Place::Symbol { module: module.to_owned(), name: name.to_owned(), offset: 0 },
            source: None,
            inlined: Vec::new(),
        };
        let woken = [frame("vmlinux", "try_to_wake_up"), frame("vmlinux", "bpf_trace_run1")];
        let taken = [frame("bpf", "bpf_prog_1_waking"), frame("vmlinux", "bpf_trace_run1")];
        assert_eq!(without_tracing([&taken[..], &woken].concat()), woken);
        assert_eq!(without_tracing(woken.to_vec()), woken);
        assert_eq!(without_tracing(taken.to_vec()), taken);
    }
}
