//! Programs and libraries as files: where a symbol is, and copies that lack what a name is found by.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol, SymbolKind, elf};

/// Where the code or data of a symbol is in its file: what a uprobe is attached to.
pub fn file_offset(path: &Path, symbol: &str) -> Result<u64> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let file = ElfFile64::<Endianness>::parse(&*bytes)?;
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    let address =
        symbols.find(|known| known.is_definition() && known.name() == Ok(symbol)).map(|known| known.address());
    let address = address.with_context(|| format!("{} has no symbol `{symbol}`", path.display()))?;
    offset_of(&file, address).with_context(|| format!("`{symbol}` is in no segment"))
}

/// Where the functions are whose names are wanted: each place once.
pub fn function_offsets(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<u64>> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let file = ElfFile64::<Endianness>::parse(&*bytes)?;
    let functions = file.symbols().chain(file.dynamic_symbols()).filter(|symbol| {
        symbol.is_definition() && symbol.kind() == SymbolKind::Text && symbol.name().is_ok_and(&is_wanted)
    });
    let offsets: BTreeSet<u64> = functions.filter_map(|function| offset_of(&file, function.address())).collect();
    Ok(offsets.into_iter().collect())
}

fn offset_of(file: &Elf, address: u64) -> Option<u64> {
    let endian = file.endian();
    let mut segments = file.elf_program_headers().iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    segments.find_map(|segment| {
        let into = address.checked_sub(segment.p_vaddr(endian))?;
        (into < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + into)
    })
}

/// A copy without section headers, as of a program that was cut to what runs: the dynamic symbols are still there.
pub fn copy_without_sections(from: &Path, to: &Path) -> Result<()> {
    patched(from, to, |bytes, file| {
        let header = file.elf_header();
        let mut cut = *header;
        cut.e_shoff.set(file.endian(), 0);
        cut.e_shnum.set(file.endian(), 0);
        cut.e_shstrndx.set(file.endian(), 0);
        let new = object::bytes_of(&cut);
        bytes[..new.len()].copy_from_slice(new);
        Ok(())
    })
}

/// A copy as `strip` makes it: only the dynamic symbols are left.
pub fn copy_without_symbols(from: &Path, to: &Path) -> Result<()> {
    patched(from, to, |bytes, file| {
        let endian = file.endian();
        let header = file.elf_header();
        let start = header.e_shoff.get(endian) as usize;
        for (number, section) in header.section_headers(endian, file.data())?.iter().enumerate() {
            if section.sh_type(endian) == elf::SHT_SYMTAB {
                let mut none = *section;
                none.sh_type.set(endian, elf::SHT_NULL);
                let new = object::bytes_of(&none);
                let at = start + number * new.len();
                bytes[at..at + new.len()].copy_from_slice(new);
            }
        }
        Ok(())
    })
}

type Elf<'a> = ElfFile64<'a, Endianness>;

fn patched(from: &Path, to: &Path, patch: impl FnOnce(&mut [u8], &Elf) -> Result<()>) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    let mut new = bytes.clone();
    patch(&mut new, &ElfFile64::parse(&*bytes)?)?;
    fs::write(to, new).with_context(|| format!("write {}", to.display()))?;
    fs::set_permissions(to, fs::metadata(from)?.permissions()).with_context(|| format!("chmod {}", to.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::binaries;
    use crate::folder::Folder;

    type Copy = fn(&Path, &Path) -> Result<()>;

    /// Without the names, and the tracee can still load it and call it.
    fn copied(copy: Copy, has: &[(&str, bool)]) {
        let folder = Folder::new().unwrap();
        let (library, cut) = (binaries::tracee_library(), folder.file("cut.so"));
        copy(&library, &cut).unwrap();
        for (symbol, is_there) in has {
            let expected = is_there.then(|| file_offset(&library, symbol).unwrap());
            assert_eq!(file_offset(&cut, symbol).ok(), expected, "{symbol}");
        }
        let ran = Command::new(binaries::tracee()).args(["late-library", &folder.text("cut.so"), "1", "3"]).output();
        assert_eq!(String::from_utf8_lossy(&ran.unwrap().stdout), "done\n{\"calls\":3,\"sum\":9}\n");
    }

    #[test]
    fn a_copy_without_symbols_keeps_the_dynamic_ones() {
        copied(copy_without_symbols, &[("tracee_add", true), ("tracee_whole.cold", false)]);
    }

    #[test]
    fn a_copy_without_sections_has_no_symbols_that_a_table_of_sections_tells() {
        copied(copy_without_sections, &[("tracee_add", false), ("tracee_whole.cold", false)]);
    }
}
