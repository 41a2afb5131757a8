//! The code that a JIT has made, as it says so itself in /tmp/perf-PID.map: lines of `start size name`, in hex.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Whoever may write the file decides how long it is; what is later in it is newer.
const MOST_BYTES: u64 = 64 << 20;
const MOST_PIECES: usize = 1 << 21;
const LONGEST_NAME: usize = 4096;

pub struct PerfMap {
    /// Until others needed its place.
    file: Option<File>,
    /// Device and inode.
    inode: (u64, u64),
    /// How much of the file is in `table`.
    read: u64,
    table: Table,
}

impl PerfMap {
    /// `owner`: the process's user. A file of anybody else but root is not believed, as by perf.
    pub fn open(path: &Path, owner: u32) -> Option<PerfMap> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let found = file.metadata().ok()?;
        let trusted = found.is_file() && (found.uid() == owner || found.uid() == 0);
        trusted.then(|| PerfMap {
            inode: (found.dev(), found.ino()),
            file: Some(file),
            read: 0,
            table: Table::default(),
        })
    }

    pub fn is_same(&self, other: &PerfMap) -> bool {
        self.inode == other.inode && self.is_open()
    }

    /// Reads what was written since the last time.
    pub fn refresh(&mut self) {
        let Some(file) = &self.file else { return };
        let Ok(size) = file.metadata().map(|file| file.len()) else { return };
        if size < self.read {
            self.read = 0;
            self.table = Table::default();
        }
        self.read = self.read.max(size.saturating_sub(MOST_BYTES));
        let mut bytes = Vec::new();
        let mut chunk = vec![0; (size - self.read).min(256 << 10) as usize];
        while let Ok(count @ 1..) = file.read_at(&mut chunk, self.read) {
            self.read += count as u64;
            bytes.extend_from_slice(&chunk[..count]);
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.drain(..whole).as_slice().split(|byte| *byte == b'\n').for_each(|line| self.table.add(line));
            if bytes.len() > LONGEST_NAME {
                bytes.clear();
            }
        }
        // The rest of a line comes later.
        self.read -= bytes.len() as u64;
    }

    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Closes the file, and keeps what is in it so far.
    pub fn close(&mut self) {
        self.refresh();
        self.file = None;
    }

    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        self.table.find(address)
    }
}

/// Pieces of code by their start, none over another.
#[derive(Default)]
struct Table {
    pieces: BTreeMap<u64, Piece>,
}

struct Piece {
    end: u64,
    /// Where the function began, of which an end may be what a later one left over.
    start: u64,
    name: Box<str>,
}

impl Table {
    fn add(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.trim().splitn(3, ' ');
        let mut number = || {
            let word = words.next()?;
            u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
        };
        let (Some(start), Some(size)) = (number(), number()) else { return };
        let (Some(name), Some(end)) = (words.next(), start.checked_add(size)) else { return };
        if size == 0 || self.pieces.len() >= MOST_PIECES || name.trim().is_empty() || name.len() > LONGEST_NAME {
            return;
        }
        self.clear(start, end);
        self.pieces.insert(start, Piece { end, start, name: name.trim().into() });
    }

    /// Code that was overwritten is gone; what is left of a function around it is not.
    fn clear(&mut self, start: u64, end: u64) {
        if let Some((_, before)) = self.pieces.range_mut(..start).next_back()
            && before.end > start
        {
            let rest = Piece { end: before.end, start: before.start, name: before.name.clone() };
            before.end = start;
            if rest.end > end {
                self.pieces.insert(end, rest);
            }
        }
        while let Some((&at, _)) = self.pieces.range(start..end).next() {
            let over = self.pieces.remove(&at).expect("it was just found");
            if over.end > end {
                self.pieces.insert(end, over);
            }
        }
    }

    fn find(&self, address: u64) -> Option<(&str, u64)> {
        let (_, piece) = self.pieces.range(..=address).next_back()?;
        (address < piece.end).then_some((&*piece.name, piece.start))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn table(text: &str) -> Table {
        let mut table = Table::default();
        text.lines().for_each(|line| table.add(line.as_bytes()));
        table
    }

    #[test]
    fn malformed_lines_are_left_out() {
        let table = table(
            "1000 10 good one\n\nxyz 10 a\n2000\n3000 10\n4000 0 empty\n5000 10  \n0x6000 0x10 hex\nffffffffffffffff 10 over",
        );
        assert_eq!(table.find(0x100f), Some(("good one", 0x1000)));
        assert_eq!(table.find(0x1010), None);
        assert_eq!(table.find(0x6000), Some(("hex", 0x6000)));
        assert_eq!(table.pieces.len(), 2);
    }

    #[test]
    fn later_lines_win_where_they_overlap() {
        let table =
            table("1000 100 outer\n1040 20 inner\n2000 10 a\n2008 10 b\n3000 10 c\n2ff8 10 d\n4000 10 e\n3ff0 40 f");
        assert_eq!(table.find(0x1000), Some(("outer", 0x1000)));
        assert_eq!(table.find(0x1050), Some(("inner", 0x1040)));
        assert_eq!(table.find(0x1060), Some(("outer", 0x1000)));
        assert_eq!(table.find(0x2007), Some(("a", 0x2000)));
        assert_eq!(table.find(0x2008), Some(("b", 0x2008)));
        assert_eq!(table.find(0x3004), Some(("d", 0x2ff8)));
        assert_eq!(table.find(0x3008), Some(("c", 0x3000)));
        assert_eq!(table.find(0x4008), Some(("f", 0x3ff0)));
        assert_eq!(table.find(0x4030), None);
    }

    #[test]
    fn lines_that_come_later_and_in_parts_are_read() {
        let path = std::env::temp_dir().join(format!("spoor-perf-map-{}", std::process::id()));
        let mut writer = File::create(&path).unwrap();
        let mut map = PerfMap::open(&path, writer.metadata().unwrap().uid()).unwrap();
        writer.write_all(b"1000 10 first\n2000 1").unwrap();
        map.refresh();
        assert_eq!((map.find(0x1000), map.find(0x2000)), (Some(("first", 0x1000)), None));
        writer.write_all(b"0 second\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        map.refresh();
        assert_eq!(map.find(0x2000), Some(("second", 0x2000)));
        writer.set_len(0).unwrap();
        map.refresh();
        assert_eq!(map.find(0x1000), None);
    }

    #[test]
    fn links_are_not_followed() {
        let path = std::env::temp_dir().join(format!("spoor-perf-link-{}", std::process::id()));
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(PerfMap::open(&path, 0).is_none());
        std::fs::remove_file(&path).unwrap();
    }
}
