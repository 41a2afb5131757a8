//! /proc/PID/maps in, what can be at each address out.
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::files::FileId;

#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Of its first byte, in its file.
    pub offset: u64,
    pub device: (u32, u32),
    pub inode: u64,
    pub path: Rc<Path>,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Code of a file, if that could be opened.
    File(Option<FileId>),
    Vdso,
    /// Other code of the kernel's, as `[vsyscall]` and `[uprobes]`.
    Special,
    /// Code that the process has made.
    Anonymous,
    /// Heap, stack, data: what is here is no return address.
    NotCode,
}

impl Kind {
    /// What the kernel calls code by: a path, or a name of its own.
    pub fn of_code(path: &str, inode: u64) -> Kind {
        match path {
            "[vdso]" => Kind::Vdso,
            "[vsyscall]" | "[uprobes]" => Kind::Special,
            path if path.starts_with('/') && inode != 0 => Kind::File(None),
            _ => Kind::Anonymous,
        }
    }
}

const DELETED: &str = " (deleted)";

impl Mapping {
    pub fn is_same(&self, other: &Mapping) -> bool {
        let key = |mapping: &Mapping| (mapping.start, mapping.end, mapping.offset, mapping.device, mapping.inode);
        key(self) == key(other) && self.path == other.path
    }

    /// Whether all of another one lies in it, with the same of the file at each address.
    pub fn covers(&self, other: &Mapping) -> bool {
        let holds = self.start <= other.start && other.end <= self.end;
        let is_file = matches!(other.kind, Kind::File(_));
        let file = |mapping: &Mapping| (mapping.offset.wrapping_sub(mapping.start), mapping.inode);
        holds
            && std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
            && (!is_file || file(self) == file(other))
    }

    /// Where it was before it was deleted.
    pub fn file(&self) -> PathBuf {
        let path = self.path.to_string_lossy();
        path.strip_suffix(DELETED).map_or_else(|| self.path.to_path_buf(), PathBuf::from)
    }

    /// The file's name without its folders.
    pub fn module(&self) -> String {
        let file = self.file();
        file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
    }

    /// Where in the file an address is.
    pub fn file_offset(&self, address: u64) -> u64 {
        (address - self.start).wrapping_add(self.offset)
    }
}

/// By address, as the kernel lists them. Neighbours without code are one.
pub fn parse(text: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for mapping in text.lines().filter_map(line) {
        match mappings.last_mut() {
            Some(last) if last.kind == Kind::NotCode && mapping.kind == Kind::NotCode && last.end == mapping.start => {
                last.end = mapping.end;
            }
            _ => mappings.push(mapping),
        }
    }
    mappings
}

/// `start-end rwxp offset major:minor inode path`; the path may have spaces, and may be none.
fn line(text: &str) -> Option<Mapping> {
    let mut words = text.splitn(6, ' ');
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()?.as_bytes().get(2) == Some(&b'x');
    let offset = hex(words.next()?)?;
    let (major, minor) = words.next()?.split_once(':')?;
    let inode: u64 = words.next()?.parse().ok()?;
    let path = words.next().unwrap_or_default().trim_start();
    let kind = if is_code { Kind::of_code(path, inode) } else { Kind::NotCode };
    // Nobody asks where data comes from.
    let path = if kind == Kind::NotCode { "" } else { path };
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset,
        device: (hex(major)? as u32, hex(minor)? as u32),
        inode,
        path: Path::new(path).into(),
        kind,
    })
}

pub fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let after = mappings.partition_point(|mapping| mapping.start <= address);
    mappings[..after].last().filter(|mapping| address < mapping.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
00400000-00401000 r--p 00000000 08:01 77                         /opt/my app (deleted)
00401000-00403000 r-xp 00001000 08:01 77                         /opt/my app (deleted)
00403000-00404000 rw-p 00003000 08:01 77                         /opt/my app (deleted)
00404000-00500000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00000000 00:00 0                  [anon:jit]
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                  [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]
broken line
";

    #[test]
    fn lines_say_what_can_be_at_an_address() {
        let mappings = parse(MAPS);
        let at = |address| find(&mappings, address);
        let code = at(0x402fff).unwrap();
        assert_eq!((code.kind, code.module().as_str(), code.inode), (Kind::File(None), "my app", 77));
        assert_eq!(code.file_offset(0x402004), 0x2004);
        assert_eq!(at(0x7f0000000800).unwrap().kind, Kind::Anonymous);
        assert_eq!(at(0x7f0000002800).unwrap().kind, Kind::Anonymous);
        assert_eq!(at(0x7fff00000800).unwrap().kind, Kind::Vdso);
        assert_eq!(at(0xffffffffff600400).unwrap().kind, Kind::Special);
        assert_eq!(at(0x3fffff), None);
        assert_eq!(at(0x7f0000001000), None);
        assert_eq!(at(u64::MAX), None);
    }

    #[test]
    fn neighbours_without_code_are_one() {
        let mappings = parse(MAPS);
        let data = find(&mappings, 0x403800).unwrap();
        assert_eq!((data.kind, data.start, data.end), (Kind::NotCode, 0x403000, 0x500000));
        assert_eq!(mappings.len(), 7);
    }
}
