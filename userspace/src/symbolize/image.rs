//! One file of code in, a function for each of its addresses out, from whatever has its symbols.
use std::fs::File;
use std::sync::Arc;

use super::debug_file::{self, DebugFile, Whereabouts};
use super::dwarf::{Dwarf, Lines};
use super::elf::{Bytes, Layout, Table};
use super::stacks::Options;
use super::xz;

#[derive(Default)]
pub struct Image {
    layout: Layout,
    tables: Vec<Table>,
    dwarf: Option<Dwarf>,
    /// The file with what was stripped, which `dwarf` and a table read.
    debug: Option<Arc<File>>,
}

impl Image {
    /// What is no ELF file gives an image without symbols. `place`: where to look for what was stripped, if anywhere.
    pub fn read(bytes: &Bytes, place: Option<&Whereabouts>, options: Options) -> Image {
        let Some(layout) = Layout::read(bytes) else { return Image::default() };
        let wants_dwarf = options.inlines || options.lines;
        let lacks = layout.symtab.is_none() || (wants_dwarf && !layout.has_dwarf);
        let debug = place.filter(|_| lacks).and_then(|place| debug_file::find(&layout, place));
        let tables = tables(bytes, &layout, debug.as_ref());
        let dwarf = wants_dwarf.then(|| match (bytes, &debug) {
            (Bytes::File(file), _) if layout.has_dwarf => Some(Dwarf::new(file, options)),
            (_, Some(debug)) if debug.layout.has_dwarf => Some(Dwarf::new(&debug.file, options)),
            _ => None,
        });
        Image { layout, tables, dwarf: dwarf.flatten(), debug: debug.map(|debug| debug.file) }
    }

    /// Files that it keeps open besides its own.
    pub fn open_files(&self) -> usize {
        // blazesym opens its file anew.
        usize::from(self.debug.is_some()) + usize::from(self.dwarf.is_some())
    }

    /// The address that the linker gave to a place of the file.
    pub fn address(&self, offset: u64) -> Option<u64> {
        self.layout.address(offset)
    }

    /// The function's mangled name and its start.
    pub fn function(&self, address: u64) -> Option<(String, u64)> {
        // A function without a size ends where the next one of its own table begins: the nearer start is right.
        self.tables.iter().filter_map(|table| table.find(address)).max_by_key(|(_, start)| *start)
    }

    pub fn lines(&self, address: u64) -> Option<Lines> {
        self.dwarf.as_ref()?.lines(address)
    }
}

/// What has the functions of a file: its own table, else the one that was stripped and what the dynamic linker needs.
/// Their addresses are the linker's for the file itself.
pub fn tables(bytes: &Bytes, layout: &Layout, debug: Option<&DebugFile>) -> Vec<Table> {
    if let Some(at) = &layout.symtab {
        return vec![Table::read(bytes, layout, at)];
    }
    let separate = debug.and_then(|debug| symtab(&Bytes::File(Arc::clone(&debug.file)), &debug.layout));
    let mut tables: Vec<Table> = separate.or_else(|| packed(bytes, layout)).into_iter().collect();
    tables.extend(layout.dynsym.as_ref().map(|at| Table::read(bytes, layout, at)));
    tables
}

fn symtab(bytes: &Bytes, layout: &Layout) -> Option<Table> {
    layout.symtab.as_ref().map(|at| Table::read(bytes, layout, at))
}

/// `.gnu_debugdata`: what Fedora and its kin leave in a stripped file.
fn packed(bytes: &Bytes, layout: &Layout) -> Option<Table> {
    let unpacked = Bytes::Memory(xz::unpack(&bytes.read(layout.debugdata.as_ref()?))?.into());
    symtab(&unpacked, &Layout::read(&unpacked)?)
}
