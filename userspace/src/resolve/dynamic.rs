//! An ELF file in, what it asks of the dynamic linker out.
use std::fs::File;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader32, FileHeader64, SHT_DYNAMIC};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// Of a table: more is no file that a linker made.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// In order.
    pub needed: Vec<String>,
    /// Folders, divided by colons.
    pub runpath: Option<String>,
    pub rpath: Option<String>,
    /// The dynamic linker.
    pub interpreter: Option<String>,
    /// Files of another one cannot be loaded with it.
    pub machine: Machine,
}

/// Whether its addresses have 32 bits; `e_machine`.
pub type Machine = (bool, u16);

impl Dynamic {
    pub fn read(file: &File) -> Option<Dynamic> {
        let data = &ReadCache::new(file);
        match FileKind::parse(data).ok()? {
            FileKind::Elf32 => of_class::<FileHeader32<Endianness>>(data),
            FileKind::Elf64 => of_class::<FileHeader64<Endianness>>(data),
            _ => None,
        }
    }
}

fn of_class<'data, Elf: FileHeader<Endian = Endianness>>(data: impl ReadRef<'data>) -> Option<Dynamic> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let machine = (!header.is_class_64(), header.e_machine(endian));
    let mut dynamic = Dynamic { machine, ..Dynamic::default() };
    for segment in header.program_headers(endian, data).ok()? {
        let bytes: u64 = segment.p_filesz(endian).into();
        if bytes <= MOST_BYTES
            && let Ok(Some(path)) = segment.interpreter(endian, data)
        {
            dynamic.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let Ok(sections) = header.sections(endian, data) else { return Some(dynamic) };
    let is_large = |section: &Elf::SectionHeader| {
        let bytes: u64 = section.sh_size(endian).into();
        section.sh_type(endian) == SHT_DYNAMIC && bytes > MOST_BYTES
    };
    if sections.iter().any(is_large) {
        return Some(dynamic);
    }
    let Ok(table) = sections.dynamic_table(endian, data) else { return Some(dynamic) };
    for entry in table.iter() {
        let text = || table.string(entry).ok().map(|text| String::from_utf8_lossy(text).into_owned());
        match entry.tag {
            DT_NEEDED => dynamic.needed.extend(text()),
            DT_RUNPATH => dynamic.runpath = text(),
            DT_RPATH => dynamic.rpath = text(),
            _ => {}
        }
    }
    Some(dynamic)
}
