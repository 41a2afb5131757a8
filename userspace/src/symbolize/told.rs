//! What perf's records tell of mappings and births: bytes of a ring in; out, for each process, what it got since it was
//! last looked at, for those that nobody looks at in time. Bounded: the whole machine is in these rings.
use std::collections::HashMap;
use std::path::Path;

use super::maps::{Kind, Mapping};

/// Of each of two generations; some 200 B each.
const MOST: usize = 8192;

/// v5.10 include/uapi/linux/perf_event.h: perf_event_type.
const PERF_RECORD_FORK: u32 = 7;
const PERF_RECORD_MMAP2: u32 = 10;
/// type, misc, size.
const HEADER_BYTES: usize = 8;
const TIME_BYTES: usize = 8;

#[derive(Debug, PartialEq)]
pub struct Record {
    /// Orders the records of all rings.
    pub time_ns: u64,
    tgid: u32,
    news: News,
}

#[derive(Debug, PartialEq)]
enum News {
    Mapped(Mapping),
    /// By its parent.
    Born(u32),
}

#[cfg(test)]
impl Record {
    pub fn mapped(tgid: u32, mapping: Mapping) -> Record {
        Record { time_ns: 0, tgid, news: News::Mapped(mapping) }
    }

    pub fn born(tgid: u32, parent: u32) -> Record {
        Record { time_ns: 0, tgid, news: News::Born(parent) }
    }
}

/// Splits what was in a ring.
pub fn parse(mut bytes: &[u8], records: &mut Vec<Record>) {
    while let Some(size) = bytes.get(6..HEADER_BYTES) {
        let size = usize::from(u16::from_ne_bytes([size[0], size[1]]));
        let Some((one, rest)) = bytes.split_at_checked(size).filter(|_| size >= HEADER_BYTES) else { break };
        match u32_at(one, 0) {
            Some(PERF_RECORD_FORK) => records.extend(born(one)),
            Some(PERF_RECORD_MMAP2) => records.extend(mapped(one)),
            _ => {}
        }
        bytes = rest;
    }
}

/// pid, ppid, tid, ptid, time.
fn born(record: &[u8]) -> Option<Record> {
    let (tgid, parent) = (u32_at(record, 8)?, u32_at(record, 12)?);
    // A thread is no news, nor is one that has no number where we are.
    let is_news = tgid != parent && is_number(tgid) && is_number(parent);
    is_news.then_some(Record { time_ns: u64_at(record, 24)?, tgid, news: News::Born(parent) })
}

/// pid, tid, addr, len, pgoff, maj, min, ino, ino_generation, prot, flags, filename, and the record's time.
fn mapped(record: &[u8]) -> Option<Record> {
    const NAME: usize = 72;
    let tgid = Some(u32_at(record, 8)?).filter(|tgid| is_number(*tgid))?;
    let end = record.len().checked_sub(TIME_BYTES)?;
    let name = record.get(NAME..end)?.split(|byte| *byte == 0).next()?;
    // As /proc/PID/maps is read.
    let name = String::from_utf8_lossy(name);
    let (start, inode) = (u64_at(record, 16)?, u64_at(record, 48)?);
    let mapping = Mapping {
        start,
        end: start.checked_add(u64_at(record, 24)?)?,
        offset: u64_at(record, 32)?,
        device: (u32_at(record, 40)?, u32_at(record, 44)?),
        inode,
        path: Path::new(&*name).into(),
        kind: Kind::of_code(&name, inode),
    };
    Some(Record { time_ns: u64_at(record, end)?, tgid, news: News::Mapped(mapping) })
}

/// 0 and -1 are tasks that our PID namespace has no number for.
fn is_number(tgid: u32) -> bool {
    tgid != 0 && tgid != u32::MAX
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
}

/// One process's news, oldest first.
#[derive(Debug, Default, PartialEq)]
pub struct Life {
    /// Where it was born since.
    pub parent: Option<u32>,
    /// Each with its time.
    mappings: Vec<(u64, Mapping)>,
}

impl Life {
    pub fn into_mappings(self) -> impl Iterator<Item = Mapping> {
        self.mappings.into_iter().map(|(_, mapping)| mapping)
    }
}

/// All that nobody has asked for yet. When there is too much of it, the older half goes.
#[derive(Default)]
pub struct Told {
    young: HashMap<u32, Life>,
    old: HashMap<u32, Life>,
    /// News in `young`.
    count: usize,
}

impl Told {
    pub fn add(&mut self, record: Record) {
        if self.count >= MOST {
            self.old = std::mem::take(&mut self.young);
            self.count = 0;
        }
        self.count += 1;
        let Record { time_ns, tgid, news } = record;
        match news {
            News::Mapped(mapping) => self.young.entry(tgid).or_default().mappings.push((time_ns, mapping)),
            // Another one had the number before. What is younger is its own, heard from a CPU whose ring was read later.
            News::Born(parent) => {
                self.old.remove(&tgid);
                let life = self.young.entry(tgid).or_default();
                life.parent = Some(parent);
                life.mappings.retain(|(mapped_ns, _)| *mapped_ns > time_ns);
            }
        }
    }

    pub fn mappings(&self, tgid: u32) -> impl Iterator<Item = &Mapping> {
        [&self.old, &self.young]
            .into_iter()
            .filter_map(move |lives| lives.get(&tgid))
            .flat_map(|life| &life.mappings)
            .map(|(_, mapping)| mapping)
    }

    pub fn take(&mut self, tgid: u32) -> Option<Life> {
        match (self.old.remove(&tgid), self.young.remove(&tgid)) {
            (Some(mut life), Some(young)) => {
                life.mappings.extend(young.mappings);
                Some(life)
            }
            (old, young) => old.or(young),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, words: &[u32], rest: &[u8]) -> Vec<u8> {
        let size = (HEADER_BYTES + words.len() * 4 + rest.len()) as u32;
        let words = [&[kind, size << 16], words].concat();
        words.iter().flat_map(|word| word.to_ne_bytes()).chain(rest.iter().copied()).collect()
    }

    /// pid 7 maps two pages of a file from 0x401000 on.
    fn mmap2(name: &[u8; 16], inode: u32) -> Vec<u8> {
        let words = [7, 8, 0x401000, 0, 0x2000, 0, 0x1000, 0, 8, 1, inode, 0, 0, 0, 5, 2];
        record(PERF_RECORD_MMAP2, &words, &[&name[..], &99u64.to_ne_bytes()].concat())
    }

    fn fork(tgid: u32, parent: u32) -> Vec<u8> {
        record(PERF_RECORD_FORK, &[tgid, parent, tgid, parent, 98, 0, 98, 0], &[])
    }

    fn parsed(bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        parse(bytes, &mut records);
        records
    }

    #[test]
    fn records_tell_of_mappings_and_births() {
        let exit = record(4, &[7, 6, 7, 6, 97, 0, 97, 0], &[]);
        let records = parsed(&[fork(7, 6), exit, mmap2(b"/opt/my app\0\0\0\0\0", 77)].concat());
        let [born, mapped] = &records[..] else { panic!("{records:?}") };
        assert_eq!((born.tgid, born.time_ns, &born.news), (7, 98, &News::Born(6)));
        let News::Mapped(mapping) = &mapped.news else { panic!("{mapped:?}") };
        assert_eq!((mapped.tgid, mapped.time_ns), (7, 99));
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x401000, 0x403000, 0x1000));
        assert_eq!((mapping.device, mapping.inode, mapping.module().as_str()), ((8, 1), 77, "my app"));
        assert_eq!(mapping.kind, Kind::File(None));
    }

    #[test]
    fn what_has_no_file_is_the_kernel_s_or_the_process_s_own() {
        for (name, kind) in
            [(b"//anon\0\0\0\0\0\0\0\0\0\0", Kind::Anonymous), (b"[vdso]\0\0\0\0\0\0\0\0\0\0", Kind::Vdso)]
        {
            let records = parsed(&mmap2(name, 0));
            assert!(matches!(&records[0].news, News::Mapped(mapping) if mapping.kind == kind), "{records:?}");
        }
    }

    #[test]
    fn threads_and_processes_without_a_number_here_are_no_news() {
        assert_eq!(parsed(&[fork(7, 7), fork(0, 7), fork(7, u32::MAX)].concat()), Vec::new());
    }

    #[test]
    fn records_that_are_cut_short_are_no_disaster() {
        let whole = [mmap2(b"/opt/my app\0\0\0\0\0", 77), fork(7, 6)].concat();
        for end in 0..whole.len() {
            parsed(&whole[..end]);
        }
        // A size of nothing must not be read for ever.
        assert_eq!(parsed(&[0; 64]), Vec::new());
    }

    #[test]
    fn a_birth_is_the_end_of_what_had_the_number_before() {
        let mut told = Told::default();
        let mapped = |time_ns| Record { time_ns, ..parsed(&mmap2(b"/opt/my app\0\0\0\0\0", 77)).remove(0) };
        // Born at 98, of which we hear late.
        told.add(mapped(97));
        told.add(mapped(99));
        told.add(parsed(&fork(7, 6)).remove(0));
        assert_eq!(told.mappings(7).count(), 1);
        assert_eq!(told.take(7).map(|life| (life.parent, life.mappings.len())), Some((Some(6), 1)));
        assert_eq!(told.take(7), None);
    }

    #[test]
    fn the_older_half_goes_when_there_is_too_much() {
        let mut told = Told::default();
        for tgid in 1..=3 * MOST as u32 {
            told.add(Record::born(tgid, 1 << 30));
        }
        assert!(told.young.len() + told.old.len() <= 2 * MOST);
        assert!(told.take(1).is_none() && told.take(3 * MOST as u32).is_some());
    }
}
