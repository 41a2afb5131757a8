//! A file and a pattern in, the USDT probes in its notes out: where each is, its semaphore, its arguments.
//! Reads and never maps, and believes nothing: the file may be anybody's.
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use object::elf::{
    EM_386, EM_AARCH64, EM_X86_64, FileHeader32, FileHeader64, PF_W, PF_X, PT_LOAD, PT_NOTE, SHN_UNDEF, SHT_DYNSYM,
    SHT_SYMTAB, STT_TLS,
};
use object::read::StringTable;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::{Endian, Endianness, FileKind, ReadCache, ReadRef};

use super::usdt_argument::{self, Machine, Parsed, Reason};
use super::{Argument, Place, Point};
use crate::error::Advice;
use crate::program::glob::Glob;

const NT_STAPSDT: u32 = 3;
const NOTES: &[u8] = b".note.stapsdt";
/// What prelink and the like moved is as far from where it was as this section is from where its note says it was.
const BASE: &[u8] = b".stapsdt.base";

/// More is no file that a linker made; whoever made it wants our memory.
const MOST_HEADERS: u64 = 1 << 18;
const MOST_NOTES: u64 = 16 << 20;
const MOST_SYMBOLS: u64 = 64 << 20;

/// Probes whose provider and name match, by name, then by where they are: one probe may be at several places.
///
/// Errors: no such file, or no ELF file. A file without notes has no probes.
pub fn points(file: &Path, provider: &Glob, name: &Glob) -> anyhow::Result<Vec<Point>> {
    let (is_provider, is_name) = (provider.matcher(), name.matcher());
    let mut probes = probes(file)?;
    probes.retain(|probe| is_provider(probe.provider.as_bytes()) && is_name(probe.name.as_bytes()));
    let module: Arc<str> = file.file_name().unwrap_or_default().to_string_lossy().into();
    let file: Arc<Path> = file.into();
    let point = |probe: Probe| Point {
        function: format!("{}:{}", probe.provider, probe.name),
        module: module.clone(),
        arguments: probe.arguments,
        place: Place::User {
            file: Arc::clone(&file),
            offset: probe.offset,
            is_entry: false,
            usdt: Some(probe.semaphore.unwrap_or(0)),
        },
    };
    Ok(probes.into_iter().map(point).collect())
}

/// One place of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub provider: String,
    pub name: String,
    /// Of the instruction, in the file.
    pub offset: u64,
    /// In the file, of the counter that must not be 0 for the probe to fire.
    pub semaphore: Option<u64>,
    pub arguments: Vec<Argument>,
    /// Arguments without a value, and why.
    pub left_out: Vec<(String, Reason)>,
}

/// All probes of a file. A note that leads to no code, or to no counter, is none.
pub fn probes(path: &Path) -> anyhow::Result<Vec<Probe>> {
    let cannot =
        |why: String, advice: &str| Advice::new(format!("read the USDT probes of `{}`: {why}", path.display()), advice);
    let file = open(path).map_err(|error| cannot(error.to_string(), "a program or a library that may be read"))?;
    let read = of_any(&ReadCache::new(&file));
    let mut probes = read.ok_or_else(|| cannot("no ELF file".to_owned(), "a program or a library"))?;
    probes.sort_by(|a, b| (&a.provider, &a.name, a.offset).cmp(&(&b.provider, &b.name, b.offset)));
    probes.dedup();
    Ok(probes)
}

/// Not a FIFO or a device, which would keep us waiting.
fn open(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("not a regular file")),
    }
}

fn of_any<'data>(data: impl ReadRef<'data>) -> Option<Vec<Probe>> {
    match FileKind::parse(data).ok()? {
        FileKind::Elf32 => of_class::<FileHeader32<Endianness>, _>(data),
        FileKind::Elf64 => of_class::<FileHeader64<Endianness>, _>(data),
        _ => None,
    }
}

fn of_class<'data, Elf, R>(data: R) -> Option<Vec<Probe>>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.phnum(endian, data).ok()? as u64 + header.shnum(endian, data).ok()? as u64;
    if headers > MOST_HEADERS {
        return None;
    }
    let segments = header.program_headers(endian, data).ok()?;
    let sections = header.sections(endian, data).unwrap_or_default();
    let mut notes = Vec::new();
    let mut read = |found: object::read::Result<Option<NoteIterator<'data, Elf>>>| {
        let found = found.ok().flatten();
        let mut found = found.into_iter().flat_map(|mut found| std::iter::from_fn(move || found.next().ok()?));
        let ours = found.by_ref().filter(|note| note.name() == b"stapsdt" && note.n_type(endian) == NT_STAPSDT);
        notes.extend(ours.filter_map(|note| Note::parse(note.desc(), header.is_class_64(), endian)));
    };
    match sections.section_by_name(endian, NOTES) {
        Some((_, section)) if section.sh_size(endian).into() <= MOST_NOTES => read(section.notes(endian, data)),
        Some(_) => {}
        // Without sections, what was loaded of the notes is still there.
        None => {
            let is_notes = |segment: &&Elf::ProgramHeader| {
                segment.p_type(endian) == PT_NOTE && segment.p_filesz(endian).into() <= MOST_NOTES
            };
            segments.iter().filter(is_notes).for_each(|segment| read(segment.notes(endian, data)));
        }
    }
    let base = sections.section_by_name(endian, BASE).map(|(_, section)| section.sh_addr(endian).into());
    let machine = match header.e_machine(endian) {
        EM_X86_64 => Some(Machine::X86_64),
        EM_386 => Some(Machine::I386),
        EM_AARCH64 => Some(Machine::Aarch64),
        _ => None,
    };
    let placed: Vec<Placed> =
        notes.iter().filter_map(|note| note.place::<Elf>(base, machine, segments, endian)).collect();
    let wanted: HashSet<&str> = placed.iter().flat_map(Placed::symbols).collect();
    let symbols = if wanted.is_empty() { HashMap::new() } else { addresses(&wanted, &sections, endian, data) };
    Some(placed.into_iter().map(|placed| placed.probe(&symbols)).collect())
}

/// Three words, three texts.
struct Note<'data> {
    location: u64,
    base: u64,
    semaphore: u64,
    provider: &'data [u8],
    name: &'data [u8],
    arguments: &'data [u8],
}

impl<'data> Note<'data> {
    fn parse(desc: &'data [u8], is_wide: bool, endian: Endianness) -> Option<Note<'data>> {
        let mut rest = desc;
        let mut word = || {
            if is_wide {
                let (word, tail) = rest.split_first_chunk()?;
                rest = tail;
                Some(endian.read_u64(*word))
            } else {
                let (word, tail) = rest.split_first_chunk()?;
                rest = tail;
                Some(endian.read_u32(*word).into())
            }
        };
        let (location, base, semaphore) = (word()?, word()?, word()?);
        let mut texts = rest.split(|byte| *byte == 0);
        let (provider, name) = (texts.next()?, texts.next()?);
        Some(Note { location, base, semaphore, provider, name, arguments: texts.next().unwrap_or_default() })
    }

    /// `base`: where [`BASE`] is now.
    fn place<Elf: FileHeader<Endian = Endianness>>(
        &self,
        base: Option<u64>,
        machine: Option<Machine>,
        segments: &[Elf::ProgramHeader],
        endian: Endianness,
    ) -> Option<Placed> {
        let moved = base.filter(|_| self.base != 0).map_or(0, |base| base.wrapping_sub(self.base));
        let address = self.location.wrapping_add(moved);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Placed {
            provider: text(self.provider),
            name: text(self.name),
            address,
            offset: offset::<Elf>(address, PF_X, segments, endian)?,
            semaphore: match self.semaphore {
                0 => None,
                semaphore => Some(offset::<Elf>(semaphore.wrapping_add(moved), PF_W, segments, endian)?),
            },
            parsed: machine.map(|machine| usdt_argument::parse(&text(self.arguments), machine)).unwrap_or_default(),
        })
    }
}

/// A probe some of whose arguments may still lack the address of a variable.
struct Placed {
    provider: String,
    name: String,
    address: u64,
    offset: u64,
    semaphore: Option<u64>,
    parsed: Vec<Result<Parsed, (String, Reason)>>,
}

impl Placed {
    fn symbols(&self) -> impl Iterator<Item = &str> {
        self.parsed.iter().filter_map(|parsed| parsed.as_ref().ok()?.symbol())
    }

    fn probe(self, symbols: &HashMap<String, u64>) -> Probe {
        let Placed { provider, name, address, offset, semaphore, parsed } = self;
        let way = |symbol: &str| Some(symbols.get(symbol)?.wrapping_sub(address) as i64);
        let (mut arguments, mut left_out) = (Vec::new(), Vec::new());
        for parsed in parsed {
            match parsed.and_then(|parsed| parsed.resolve(way)) {
                Ok(argument) => arguments.push(argument),
                Err(why) => left_out.push(why),
            }
        }
        Probe { provider, name, offset, semaphore, arguments, left_out }
    }
}

/// Where in the file an address lies, in a segment that may be executed or written.
fn offset<Elf: FileHeader<Endian = Endianness>>(
    address: u64,
    flag: u32,
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
) -> Option<u64> {
    let find = |segment: &Elf::ProgramHeader| {
        let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
        let is_ours = segment.p_type(endian) == PT_LOAD
            && segment.p_flags(endian) & flag != 0
            && inside < segment.p_filesz(endian).into();
        let start: u64 = segment.p_offset(endian).into();
        start.checked_add(inside).filter(|_| is_ours)
    };
    segments.iter().find_map(find)
}

/// Of the variables with these names; not of one whose name several have.
fn addresses<'data, Elf, R>(
    wanted: &HashSet<&str>,
    sections: &SectionTable<'data, Elf, R>,
    endian: Endianness,
    data: R,
) -> HashMap<String, u64>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let mut found: HashMap<String, Option<u64>> = HashMap::new();
    let table = |kind| sections.iter().find(|section| section.sh_type(endian) == kind);
    // The table for debuggers holds what the one for the loader does.
    let Some(table) = table(SHT_SYMTAB).or_else(|| table(SHT_DYNSYM)) else { return HashMap::new() };
    let Ok(names) = sections.section(table.link(endian)) else { return HashMap::new() };
    if table.sh_size(endian).into() > MOST_SYMBOLS || names.sh_size(endian).into() > MOST_SYMBOLS {
        return HashMap::new();
    }
    let symbols = table.data_as_array::<Elf::Sym, _>(endian, data).unwrap_or_default();
    let names = names.data(endian, data).unwrap_or_default();
    let names = StringTable::new(names, 0, names.len() as u64);
    for symbol in symbols {
        if symbol.st_shndx(endian) == SHN_UNDEF || symbol.st_type() == STT_TLS {
            continue;
        }
        let Ok(name) = symbol.name(endian, names) else { continue };
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| wanted.contains(name)) else { continue };
        let address: u64 = symbol.st_value(endian).into();
        let known = found.entry(name.to_owned()).or_insert(Some(address));
        if *known != Some(address) {
            *known = None;
        }
    }
    found.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tree::Type;
    use crate::resolve::{Register, Value};
    use std::path::PathBuf;
    use std::process::Command;

    /// A program that does nothing, with notes such as sys/sdt.h makes, and one of a place that the linker threw away.
    const SOURCE: &str = r#"
        .macro note place, name, semaphore, arguments
            .pushsection .note.stapsdt, "", %note
            .balign 4
            .4byte 8, 994f - 993f, 3
            .asciz "stapsdt"
        993: .8byte \place, _.stapsdt.base, \semaphore
            .asciz "shop"
            .asciz "\name"
            .asciz "\arguments"
        994: .balign 4
            .popsection
        .endm
        .section .stapsdt.base, "a"
        _.stapsdt.base: .space 1
        .section .probes, "aw"
        gate: .2byte 0
        .data
        counter: .8byte 7
        .text
        .globl main
        main:
        first: nop
            note first, sold, gate, "-4@$5 8@counter+4(%rip)"
        second: nop
            note second, sold, gate, "-4@$6 8f@%xmm0"
        third: nop
            note third, closed, 0, ""
            note 0, lost, 0, ""
            ret
        .section .note.GNU-stack, ""
    "#;

    /// Assembles the source; a machine without a compiler has nothing to test.
    fn compiled(folder: &Path, flags: &[&str]) -> Option<PathBuf> {
        assembled(folder, SOURCE, flags)
    }

    fn assembled(folder: &Path, text: &str, flags: &[&str]) -> Option<PathBuf> {
        let (source, program) = (folder.join("shop.s"), folder.join("shop"));
        std::fs::write(&source, text).unwrap();
        let compile = Command::new("cc").args(flags).arg("-o").args([&program, &source]).status().ok()?;
        assert!(compile.success());
        Some(program)
    }

    /// Addresses of symbols, as the linker has them.
    fn symbol(program: &Path, name: &str) -> u64 {
        let bytes = std::fs::read(program).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        use object::{Object, ObjectSymbol};
        file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("spoor-usdt-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The file's own bytes at a place of it.
    fn at(program: &Path, offset: u64) -> u8 {
        std::fs::read(program).unwrap()[offset as usize]
    }

    #[test]
    fn probes_of_a_program_are_where_it_put_them() {
        for (kind, flags) in [("pie", &["-fPIE", "-pie"][..]), ("fixed", &["-fno-pie", "-no-pie"])] {
            let folder = folder(kind);
            let Some(program) = compiled(&folder, flags) else { return };
            let found = probes(&program).unwrap();
            let names: Vec<_> = found.iter().map(|probe| (&*probe.provider, &*probe.name)).collect();
            assert_eq!(names, [("shop", "closed"), ("shop", "sold"), ("shop", "sold")], "{kind}");
            let [closed, first, second] = &found[..] else { unreachable!() };
            assert_eq!((closed.semaphore, &closed.arguments, &closed.left_out), (None, &Vec::new(), &Vec::new()));
            // Code and data lie in the file as they do in memory, but for where their segments begin.
            assert_eq!(second.offset - first.offset, symbol(&program, "second") - symbol(&program, "first"));
            let nop = if cfg!(target_arch = "aarch64") { 0x1f } else { 0x90 };
            assert_eq!([closed, first, second].map(|probe| at(&program, probe.offset)), [nop; 3]);
            assert!(first.semaphore.is_some() && first.semaphore == second.semaphore);
            let constant =
                |number| Argument { name: "arg0".into(), ty: Type::Signed, bytes: 4, value: Value::Constant(number) };
            assert_eq!(first.arguments[0], constant(5));
            assert_eq!(second.arguments, [constant(6)]);
            assert_eq!(second.left_out[0].0, "arg1");
            if cfg!(target_arch = "x86_64") {
                let displacement = symbol(&program, "counter").wrapping_sub(symbol(&program, "first")) as i64 + 4;
                let base = Register { offset: 128, shift: 0 };
                let value = Value::Memory { base, displacement, index: None };
                assert_eq!(first.arguments[1], Argument { name: "arg1".into(), ty: Type::Unsigned, bytes: 8, value });
                assert_eq!(second.left_out[0].1, "a floating point number");
            }
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn pattern_chooses_probes_and_each_place_is_a_point() {
        let folder = folder("pattern");
        let Some(program) = compiled(&folder, &[]) else { return };
        let glob = |text: &str| Glob::parse(text.as_bytes()).unwrap();
        let functions = |provider, name| {
            let points = points(&program, &glob(provider), &glob(name)).unwrap();
            points.into_iter().map(|point| (point.function, point.module)).collect::<Vec<_>>()
        };
        let sold = ("shop:sold".to_owned(), "shop".into());
        assert_eq!(functions("sh*", "s*"), [sold.clone(), sold]);
        assert_eq!(functions("s", "*"), []);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// Takes 0x10 from all that the notes say, as if the file had been moved since.
    #[test]
    fn probes_of_a_file_that_was_moved_are_where_they_are_now() {
        let folder = folder("moved");
        let Some(program) = compiled(&folder, &[]) else { return };
        let mut moved = std::fs::read(&program).unwrap();
        let before = of_any(&*moved).unwrap();
        for note in (0..moved.len() - 32).filter(|at| moved[*at..].starts_with(b"stapsdt\0")).collect::<Vec<_>>() {
            for word in moved[note + 8..note + 32].chunks_exact_mut(8) {
                let address = u64::from_le_bytes(word.try_into().unwrap());
                word.copy_from_slice(&address.saturating_sub(0x10).to_le_bytes());
            }
        }
        assert_eq!(before.len(), 3);
        assert_eq!(of_any(&*moved).unwrap(), before);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// Notes that are loaded, and no section headers.
    #[test]
    fn probes_of_a_file_without_sections_are_found_by_its_segments() {
        let folder = folder("segments");
        let loaded = SOURCE.replace(".note.stapsdt, \"\"", ".note.stapsdt, \"a\"");
        let Some(program) = assembled(&folder, &loaded, &["-no-pie"]) else { return };
        let mut bytes = std::fs::read(&program).unwrap();
        let mut expected = of_any(&*bytes).unwrap();
        // e_shoff; e_shnum and e_shstrndx.
        bytes[0x28..0x30].fill(0);
        bytes[0x3c..0x40].fill(0);
        for probe in &mut expected {
            let unnamed = probe.arguments.extract_if(.., |argument| matches!(argument.value, Value::Memory { .. }));
            probe
                .left_out
                .extend(unnamed.map(|argument| (argument.name, "a variable that the file has no symbol for")));
        }
        assert_eq!(expected.len(), 3);
        assert_eq!(of_any(&*bytes).unwrap(), expected);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        let glob = Glob::parse(b"*").unwrap();
        let error = |path: &str| format!("{:#}", points(Path::new(path), &glob, &glob).unwrap_err());
        assert_eq!(error("/dev/null"), "read the USDT probes of `/dev/null`: not a regular file");
        assert_eq!(error("/proc/self/status"), "read the USDT probes of `/proc/self/status`: no ELF file");
        assert!(error("/nowhere").ends_with("No such file or directory (os error 2)"));
    }

    /// Every byte of the notes, and of the headers, set to what breaks sums and loops.
    #[test]
    fn hostile_file_is_no_disaster() {
        let folder = folder("hostile");
        let Some(program) = compiled(&folder, &[]) else { return };
        let whole = std::fs::read(&program).unwrap();
        let notes = whole.windows(7).position(|window| window == b"stapsdt").unwrap();
        let headers = object::read::elf::ElfFile64::<Endianness>::parse(&*whole).unwrap();
        let sections = headers.elf_header().e_shoff(headers.endian()) as usize;
        for at in (0..64 * 14).chain(notes - 16..notes + 200).chain(sections..whole.len()) {
            for byte in [0, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                of_any(&*broken);
            }
        }
        for end in (0..whole.len()).step_by(97) {
            of_any(&whole[..end]);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
