//! An ELF file in, its layout and the functions of its symbol tables out.
//! Reads and never maps: a file that is cut short under us is a read of fewer bytes, not a SIGBUS.
use std::ffi::CStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use object::elf::{
    FileHeader32, FileHeader64, NT_GNU_BUILD_ID, PF_X, PT_LOAD, SHF_EXECINSTR, SHN_UNDEF, SHT_DYNSYM, SHT_NOBITS,
    SHT_NOTE, SHT_SYMTAB, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, Sym32, Sym64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endian, Endianness, FileKind, ReadCache, ReadRef, pod};

/// More is no ELF file that a linker made; whoever made it wants our memory.
const MOST_HEADERS: u64 = 1 << 18;
const MOST_NOTES: u64 = 64 << 10;
const MOST_PACKED: u64 = 16 << 20;
const MOST_SYMBOLS: usize = 1 << 24;
const LONGEST_NAME: usize = 4096;
/// Of names, read at once.
const WINDOW: u64 = 256 << 10;
const PAGE: u64 = 4096;
/// How many symbols before an address are looked at for one that reaches it.
const LOOK_BACK: usize = 32;

#[derive(Clone)]
pub enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Bytes {
    /// As many bytes as are there.
    pub fn read_at(&self, mut at: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        match self {
            Bytes::File(file) => {
                while let Ok(count @ 1..) = file.read_at(&mut into[done..], at) {
                    done += count;
                    at += count as u64;
                }
            }
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                done = rest.len().min(into.len());
                into[..done].copy_from_slice(&rest[..done]);
            }
        }
        done
    }

    pub fn read(&self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        let count = self.read_at(range.start, &mut bytes);
        bytes.truncate(count);
        bytes
    }
}

/// What a file's headers say.
#[derive(Default)]
pub struct Layout {
    segments: Vec<Segment>,
    /// Addresses of each section with stubs that only jump on to other files.
    plt: Vec<Range<u64>>,
    /// Addresses of each section with code, by the section's number; empty for all others.
    code: Vec<Range<u64>>,
    pub symtab: Option<TableAt>,
    pub dynsym: Option<TableAt>,
    pub build_id: Option<Vec<u8>>,
    /// Name and checksum of the file with what was stripped.
    pub debuglink: Option<(Vec<u8>, u32)>,
    /// A packed ELF file with a symbol table.
    pub debugdata: Option<Range<u64>>,
    pub has_dwarf: bool,
}

struct Segment {
    offset: u64,
    bytes: u64,
    address: u64,
    is_code: bool,
}

/// Where in the file a symbol table and its names lie.
#[derive(Clone)]
pub struct TableAt {
    symbols: Range<u64>,
    strings: Range<u64>,
    wide: bool,
    endian: Endianness,
    is_dynamic: bool,
}

impl Layout {
    pub fn read(bytes: &Bytes) -> Option<Layout> {
        match bytes {
            Bytes::File(file) => Layout::of_any(&ReadCache::new(&**file)),
            Bytes::Memory(bytes) => Layout::of_any(&**bytes),
        }
    }

    fn of_any<'data>(data: impl ReadRef<'data>) -> Option<Layout> {
        match FileKind::parse(data).ok()? {
            FileKind::Elf32 => Layout::of_class::<FileHeader32<Endianness>>(data),
            FileKind::Elf64 => Layout::of_class::<FileHeader64<Endianness>>(data),
            _ => None,
        }
    }

    fn of_class<'data, Elf: FileHeader<Endian = Endianness>>(data: impl ReadRef<'data>) -> Option<Layout> {
        let header = Elf::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let headers = header.phnum(endian, data).ok()? as u64 + header.shnum(endian, data).ok()? as u64;
        if headers > MOST_HEADERS {
            return None;
        }
        let mut layout = Layout::default();
        for segment in header.program_headers(endian, data).ok()? {
            if segment.p_type(endian) == PT_LOAD {
                layout.segments.push(Segment {
                    offset: segment.p_offset(endian).into(),
                    bytes: segment.p_filesz(endian).into(),
                    address: segment.p_vaddr(endian).into(),
                    is_code: segment.p_flags(endian) & PF_X != 0,
                });
            }
        }
        // A file may do without sections; then its segments are all there is.
        let Ok(sections) = header.sections(endian, data) else { return Some(layout) };
        let range = |section: &Elf::SectionHeader| {
            let start: u64 = section.sh_offset(endian).into();
            start..start.saturating_add(section.sh_size(endian).into())
        };
        for section in sections.iter() {
            let address: u64 = section.sh_addr(endian).into();
            let size: u64 = section.sh_size(endian).into();
            let flags: u64 = section.sh_flags(endian).into();
            let is_code = flags & u64::from(SHF_EXECINSTR) != 0;
            layout.code.push(if is_code { address..address.saturating_add(size) } else { 0..0 });
            let kind = section.sh_type(endian);
            let strings = || sections.section(section.link(endian)).ok().map(range);
            let table = |strings| TableAt {
                symbols: range(section),
                strings,
                wide: header.is_class_64(),
                endian,
                is_dynamic: kind == SHT_DYNSYM,
            };
            match kind {
                // Only the headers of these are in the files with what was stripped.
                SHT_NOBITS => continue,
                SHT_SYMTAB => layout.symtab = strings().map(table),
                SHT_DYNSYM => layout.dynsym = strings().map(table),
                SHT_NOTE if size <= MOST_NOTES && layout.build_id.is_none() => {
                    let notes = section.notes(endian, data).ok().flatten();
                    let mut notes =
                        notes.into_iter().flat_map(|mut notes| std::iter::from_fn(move || notes.next().ok()?));
                    let id = notes.find(|note| note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID);
                    layout.build_id = id.map(|note| note.desc().to_vec());
                }
                _ => match sections.section_name(endian, section) {
                    Ok(b".gnu_debuglink") if size <= MOST_NOTES => {
                        layout.debuglink = section.data(endian, data).ok().and_then(|link| debuglink(link, endian));
                    }
                    Ok(b".gnu_debugdata") if size <= MOST_PACKED => layout.debugdata = Some(range(section)),
                    Ok(b".debug_info" | b".zdebug_info") => layout.has_dwarf = true,
                    Ok(name) if is_code && (name.starts_with(b".plt") || name == b".iplt") => {
                        layout.plt.push(address..address.saturating_add(size));
                    }
                    _ => {}
                },
            }
        }
        Some(layout)
    }

    /// The address that the linker gave to a place of the file.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let holds = |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|at| at < segment.bytes);
        let segment = self.segments.iter().find(holds)?;
        Some(segment.address.wrapping_add(offset - segment.offset))
    }

    /// Where in the file an address is.
    pub fn offset(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.bytes);
        let segment = self.segments.iter().find(holds)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// The address that the linker gave to a place of the file with code.
    pub fn code_address(&self, offset: u64) -> Option<u64> {
        let holds = |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|at| at < segment.bytes);
        let segment = self.segments.iter().filter(|segment| segment.is_code).find(holds)?;
        Some(segment.address.wrapping_add(offset - segment.offset))
    }

    /// Where in the file the code of an address is.
    pub fn code_offset(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.bytes);
        let segment = self.segments.iter().filter(|segment| segment.is_code).find(holds)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Where in the file code is.
    pub fn code_ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let code = self.segments.iter().filter(|segment| segment.is_code);
        code.map(|segment| segment.offset..segment.offset.saturating_add(segment.bytes))
    }

    /// How far from the linker's addresses a mapping of code from `offset` of the file on is, if it is at `start`.
    pub fn bias(&self, start: u64, offset: u64) -> Option<u64> {
        // A mapping begins at the start of the page that a segment begins in, or anywhere in the segment if it was split.
        let holds = |segment: &&Segment| {
            let first_page = segment.offset & !(PAGE - 1);
            segment.is_code && (first_page..segment.offset.saturating_add(segment.bytes)).contains(&offset)
        };
        let segment = self.segments.iter().find(holds)?;
        Some(start.wrapping_sub(offset).wrapping_sub(segment.address.wrapping_sub(segment.offset)))
    }

    pub fn is_plt(&self, address: u64) -> bool {
        self.plt.iter().any(|plt| plt.contains(&address))
    }
}

/// A file's name, a NUL, padding to four bytes, the file's checksum.
fn debuglink(section: &[u8], endian: Endianness) -> Option<(Vec<u8>, u32)> {
    let name = section.iter().position(|byte| *byte == 0)?;
    let sum = section.get((name + 1).next_multiple_of(4)..)?.first_chunk()?;
    Some((section[..name].to_vec(), endian.read_u32(*sum)))
}

/// The functions of one symbol table, by address; their names stay in the file until they are asked for.
pub struct Table {
    bytes: Bytes,
    strings: Range<u64>,
    functions: Vec<Function>,
}

pub struct Function {
    pub start: u64,
    pub end: u64,
    /// Of its name, in the strings.
    name: u32,
    pub is_weak: bool,
    is_label: bool,
    /// Nobody has said that it is a function: it could be data among code.
    pub is_untyped: bool,
    /// What is there chooses the function that its name stands for.
    pub is_chooser: bool,
}

impl Table {
    pub fn read(bytes: &Bytes, layout: &Layout, at: &TableAt) -> Table {
        let mut functions = Vec::new();
        let entry = if at.wide { size_of::<Sym64<Endianness>>() } else { size_of::<Sym32<Endianness>>() };
        let mut chunk = vec![0; entry * 2048];
        let mut offset = at.symbols.start;
        while offset < at.symbols.end && functions.len() < MOST_SYMBOLS {
            let want = (at.symbols.end - offset).min(chunk.len() as u64) as usize;
            let count = bytes.read_at(offset, &mut chunk[..want]) / entry;
            if count == 0 {
                break;
            }
            if at.wide {
                collect::<Sym64<Endianness>>(&chunk, count, layout, at, &mut functions);
            } else {
                collect::<Sym32<Endianness>>(&chunk, count, layout, at, &mut functions);
            }
            offset += (count * entry) as u64;
        }
        functions.sort_unstable_by_key(|function| (function.start, function.end, function.name));
        bound_labels(&mut functions);
        functions.shrink_to_fit();
        Table { bytes: bytes.clone(), strings: at.strings.clone(), functions }
    }

    /// The function's name as the linker knows it, and its start.
    pub fn find(&self, address: u64) -> Option<(String, u64)> {
        let after = self.functions.partition_point(|function| function.start <= address);
        let mut best: Option<(String, &Function)> = None;
        for function in self.functions[..after].iter().rev().take(LOOK_BACK) {
            if best.as_ref().is_some_and(|(_, best)| best.start != function.start) {
                break;
            }
            if address >= function.end {
                continue;
            }
            // `$x` and `$d` mark code and data on arm64.
            let Some(name) = self.name(function).filter(|name| !name.starts_with('$')) else { continue };
            let rank = |name, function: &Function| rank(name, function.is_weak);
            if best.as_ref().is_none_or(|(other, best)| rank(&name, function) < rank(other, best)) {
                best = Some((name, function));
            }
        }
        best.map(|(name, function)| (name, function.start))
    }

    /// By address.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// In the order in which their names lie in the file.
    pub fn by_name(&self) -> Vec<&Function> {
        let mut order: Vec<&Function> = self.functions.iter().collect();
        order.sort_unstable_by_key(|function| function.name);
        order
    }

    /// Each of these functions, which are in the order of [`Table::by_name`], with its name, which may end in `@VERSION`.
    /// The names are read once and not kept.
    pub fn visit(&self, order: &[&Function], mut visitor: impl FnMut(&Function, &[u8])) {
        let (mut window, mut window_start, mut end) = (Vec::new(), 0, self.strings.end);
        for &function in order {
            let Some(start) = self.strings.start.checked_add(function.name.into()) else { continue };
            let most = end.saturating_sub(start).min(LONGEST_NAME as u64);
            if most > 0 && (start < window_start || start + most > window_start + window.len() as u64) {
                let want = end.saturating_sub(start).min(WINDOW) as usize;
                window.resize(want, 0);
                let count = self.bytes.read_at(start, &mut window);
                window.truncate(count);
                window_start = start;
                if count < want {
                    end = start + count as u64;
                }
            }
            let rest = window.get(start.saturating_sub(window_start) as usize..).unwrap_or_default();
            let rest = &rest[..rest.len().min(LONGEST_NAME)];
            let name = CStr::from_bytes_until_nul(rest).map_or(rest, CStr::to_bytes);
            if !name.is_empty() {
                visitor(function, name);
            }
        }
    }

    fn name(&self, function: &Function) -> Option<String> {
        let bytes = self.raw_name(function)?;
        let name = String::from_utf8_lossy(&bytes);
        // `memcpy@@GLIBC_2.14`
        let name = name.split('@').next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// With its version. One read for most names, which is for those who want few of them.
    pub fn raw_name(&self, function: &Function) -> Option<Vec<u8>> {
        let start = self.strings.start.checked_add(function.name.into())?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 256];
        while bytes.len() < LONGEST_NAME {
            let at = start.checked_add(bytes.len() as u64)?;
            let want = self.strings.end.saturating_sub(at).min(chunk.len() as u64) as usize;
            let count = self.bytes.read_at(at, &mut chunk[..want]);
            let end = chunk[..count].iter().position(|byte| *byte == 0);
            bytes.extend_from_slice(&chunk[..end.unwrap_or(count)]);
            if end.is_some() || count == 0 {
                break;
            }
        }
        Some(bytes)
    }
}

/// Of the names of one place the one that people use: `read`, not `__read` or `__libc_read`.
pub fn rank(name: &str, is_weak: bool) -> (usize, bool, usize, &str) {
    (name.len() - name.trim_start_matches('_').len(), is_weak, name.len(), name)
}

fn collect<S: Sym<Endian = Endianness> + pod::Pod>(
    chunk: &[u8],
    count: usize,
    layout: &Layout,
    at: &TableAt,
    functions: &mut Vec<Function>,
) {
    let Ok((symbols, _)) = pod::slice_from_bytes::<S>(chunk, count) else { return };
    for symbol in symbols {
        let kind = symbol.st_type();
        let section = symbol.st_shndx(at.endian);
        if !matches!(kind, STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE) || section == SHN_UNDEF {
            continue;
        }
        let Some(code) = layout.code.get(usize::from(section)).filter(|code| !code.is_empty()) else { continue };
        let start: u64 = symbol.st_value(at.endian).into();
        let size: u64 = symbol.st_size(at.endian).into();
        if !code.contains(&start) {
            continue;
        }
        // A dynamic table leaves most functions out: one without a size must not stand for all that follow it.
        let end = match size {
            0 if at.is_dynamic => start + 1,
            0 => code.end,
            size => start.saturating_add(size),
        };
        let is_label = size == 0 && !at.is_dynamic;
        functions.push(Function {
            start,
            end,
            name: symbol.st_name(at.endian),
            is_weak: symbol.st_bind() == STB_WEAK,
            is_label,
            is_untyped: kind == STT_NOTYPE,
            is_chooser: kind == STT_GNU_IFUNC,
        });
    }
}

/// What has no size ends where the next function begins, and is none where another one is around it.
fn bound_labels(functions: &mut Vec<Function>) {
    let mut covered = 0..0u64;
    functions.retain(|function| {
        if function.is_label {
            return !(covered.start < function.start && function.start < covered.end);
        }
        if function.end > covered.end {
            covered = function.start..function.end;
        }
        true
    });
    let mut next = u64::MAX;
    let mut here = u64::MAX;
    for function in functions.iter_mut().rev() {
        if function.start != here {
            (next, here) = (here, function.start);
        }
        if function.is_label {
            function.end = function.end.min(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(start: u64, end: u64, is_label: bool) -> Function {
        Function { start, end, name: 0, is_weak: false, is_label, is_untyped: false, is_chooser: false }
    }

    #[test]
    fn labels_end_at_the_next_function_and_are_none_inside_of_one() {
        let mut functions = vec![
            function(0x10, 0x20, false),
            function(0x18, 0x100, true),
            function(0x20, 0x100, true),
            function(0x20, 0x100, true),
            function(0x30, 0x40, false),
            function(0x50, 0x100, true),
        ];
        bound_labels(&mut functions);
        let ranges: Vec<_> = functions.iter().map(|function| (function.start, function.end)).collect();
        assert_eq!(ranges, [(0x10, 0x20), (0x20, 0x30), (0x20, 0x30), (0x30, 0x40), (0x50, 0x100)]);
    }

    #[test]
    fn bytes_that_are_no_elf_file_have_no_layout() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0]] {
            assert!(Layout::read(&Bytes::Memory(bytes.into())).is_none());
        }
    }

    /// Every prefix of a real file, in steps: an answer or none, but no panic.
    #[test]
    fn a_file_that_is_cut_short_is_no_disaster() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for end in (0..whole.len().min(1 << 20)).step_by(40_009) {
            let bytes = Bytes::Memory(whole[..end].into());
            if let Some(layout) = Layout::read(&bytes) {
                for at in [&layout.symtab, &layout.dynsym].into_iter().flatten() {
                    Table::read(&bytes, &layout, at).find(0x1000);
                }
            }
        }
    }
}
