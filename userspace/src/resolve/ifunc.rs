//! Names whose function is chosen when a process starts, as `memcpy` in glibc, in; what a process has chosen out.
//! Asks the process's own tables, in which the dynamic linker has written the choice, and runs nothing.
use std::collections::{BTreeSet, HashMap, HashSet};

use object::elf::{
    EM_386, EM_AARCH64, EM_X86_64, FileHeader32, FileHeader64, R_386_IRELATIVE, R_AARCH64_IRELATIVE,
    R_X86_64_IRELATIVE, SHF_ALLOC, SHT_DYNSYM, SHT_REL, SHT_RELA,
};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, Sym};
use object::{Endianness, FileKind, ReadCache, ReadRef};

use crate::symbolize::elf::Bytes;
use crate::sys::memory::{self, Unreadable};

use super::functions::Functions;
use super::module::{Mapped, Module};

/// Of one table: more is no file that a linker made.
const MOST_BYTES: u64 = 64 << 20;

/// The linker's address of what chooses, and those of what was chosen: often one.
pub type Choices = HashMap<u64, BTreeSet<u64>>;

/// A place where the linker of the process writes an address.
struct Slot {
    /// As the file has it.
    address: u64,
    bytes: usize,
    what: What,
}

enum What {
    Name(String),
    /// What the code at this address returns.
    ChosenBy(u64),
}

/// What the process uses for each of the names of `library`, which it has mapped. Names that nobody in it has asked for
/// stay unknown.
///
/// Errors: the process's memory may not be read, or is gone.
pub fn choices(
    library: (&Module, &Functions),
    modules: &[(&Module, &Functions)],
    choosers: &HashMap<String, Vec<u64>>,
) -> Result<Choices, Unreadable> {
    let (library, functions) = library;
    let mut choices = Choices::new();
    let Some(mapped) = &library.mapped else { return Ok(choices) };
    let known: HashSet<u64> = choosers.values().flatten().copied().collect();
    for (module, of) in modules {
        let is_own = module.identity == library.identity;
        let Some(bias) = module.mapped.as_ref().and_then(|mapped| bias(mapped, of)) else { continue };
        for slot in slots(of, choosers).unwrap_or_default() {
            let by = match &slot.what {
                What::Name(name) => choosers.get(name).map_or(&[][..], Vec::as_slice),
                What::ChosenBy(address) if is_own && known.contains(address) => std::slice::from_ref(address),
                What::ChosenBy(_) => continue,
            };
            let Some(value) = word(mapped.pid, bias.wrapping_add(slot.address), slot.bytes)? else { continue };
            if let Some(chosen) = function(mapped, functions, value).filter(|chosen| !known.contains(chosen)) {
                for by in by {
                    choices.entry(*by).or_default().insert(chosen);
                }
            }
        }
    }
    Ok(choices)
}

fn bias(mapped: &Mapped, functions: &Functions) -> Option<u64> {
    mapped.code.iter().find_map(|code| functions.layout.bias(code.start, code.offset))
}

/// The linker's address of a function of the library. None: something else, as a stub that has not been bound.
fn function(mapped: &Mapped, functions: &Functions, value: u64) -> Option<u64> {
    let code = mapped.code.iter().find(|code| (code.start..code.end).contains(&value))?;
    let offset = (value - code.start).checked_add(code.offset)?;
    let address = functions.layout.code_address(offset)?;
    (!functions.layout.is_plt(address)).then_some(address)
}

fn word(pid: u32, address: u64, bytes: usize) -> Result<Option<u64>, Unreadable> {
    let mut value = [0; 8];
    match memory::read(pid, address, &mut value[..bytes]) {
        // Of all machines that spoor runs on.
        Ok(count) => Ok((count == bytes).then(|| u64::from_le_bytes(value))),
        Err(Unreadable::Nothing) => Ok(None),
        Err(Unreadable::Forbidden) => Err(Unreadable::Forbidden),
    }
}

/// Those for the names that are wanted, and for all that is chosen without a name.
fn slots(of: &Functions, wanted: &HashMap<String, Vec<u64>>) -> Option<Vec<Slot>> {
    let Bytes::File(file) = &of.bytes else { return None };
    let data = &ReadCache::new(&**file);
    let in_file = |address: u64, wide: usize| {
        let mut value = [0; 8];
        let count = of.bytes.read_at(of.layout.offset(address)?, &mut value[..wide]);
        (count == wide).then(|| u64::from_le_bytes(value))
    };
    match FileKind::parse(data).ok()? {
        FileKind::Elf32 => of_class::<FileHeader32<Endianness>>(data, wanted, &in_file),
        FileKind::Elf64 => of_class::<FileHeader64<Endianness>>(data, wanted, &in_file),
        _ => None,
    }
}

fn of_class<'data, Elf: FileHeader<Endian = Endianness>>(
    data: impl ReadRef<'data>,
    wanted: &HashMap<String, Vec<u64>>,
    in_file: &dyn Fn(u64, usize) -> Option<u64>,
) -> Option<Vec<Slot>> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let chosen = match header.e_machine(endian) {
        EM_X86_64 => R_X86_64_IRELATIVE,
        EM_AARCH64 => R_AARCH64_IRELATIVE,
        EM_386 => R_386_IRELATIVE,
        _ => return None,
    };
    let wide = if header.is_class_64() { 8 } else { 4 };
    let sections = header.sections(endian, data).ok()?;
    if sections
        .iter()
        .any(|section| section.sh_type(endian) == SHT_DYNSYM && section.sh_size(endian).into() > MOST_BYTES)
    {
        return None;
    }
    let symbols = sections.symbols(endian, data, SHT_DYNSYM).ok()?;
    let name = |symbol: u32| {
        let symbol = symbols.symbol(object::SymbolIndex(symbol as usize)).ok()?;
        let name = std::str::from_utf8(symbol.name(endian, symbols.strings()).ok()?).ok()?;
        wanted.contains_key(name).then(|| name.to_owned())
    };
    // One symbol has a slot for each pointer to it.
    let mut names: HashMap<u32, Option<String>> = HashMap::new();
    let mut slots = Vec::new();
    let mut add = |address: u64, kind: u32, symbol: u32, addend: &dyn Fn() -> Option<u64>| {
        let what = match symbol {
            0 if kind == chosen => addend().map(What::ChosenBy),
            0 => None,
            _ => names.entry(symbol).or_insert_with(|| name(symbol)).clone().map(What::Name),
        };
        slots.extend(what.map(|what| Slot { address, bytes: wide, what }));
    };
    for section in sections.iter() {
        let flags: u64 = section.sh_flags(endian).into();
        // Those without were for the linker alone.
        if flags & u64::from(SHF_ALLOC) == 0 || section.sh_size(endian).into() > MOST_BYTES {
            continue;
        }
        match section.sh_type(endian) {
            SHT_RELA => {
                let Ok(Some((table, _))) = section.rela(endian, data) else { continue };
                for entry in table {
                    let addend: i64 = entry.r_addend(endian).into();
                    let address = entry.r_offset(endian).into();
                    let addend = || Some(addend as u64);
                    add(address, entry.r_type(endian, false), entry.r_sym(endian, false), &addend);
                }
            }
            SHT_REL => {
                let Ok(Some((table, _))) = section.rel(endian, data) else { continue };
                for entry in table {
                    let address = entry.r_offset(endian).into();
                    // It was there before the address was.
                    add(address, entry.r_type(endian), entry.r_sym(endian), &|| in_file(address, wide));
                }
            }
            _ => {}
        }
    }
    Some(slots)
}
