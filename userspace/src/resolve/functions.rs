//! An ELF file and a pattern in, the functions that it names out: where in the file, and under which name.
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::symbolize::debug_file::{self, Whereabouts, open_regular};
use crate::symbolize::demangle::{demangle, source_names};
use crate::symbolize::elf::{self, Bytes, Layout, Table};
use crate::symbolize::image::tables;

use super::glob::NameGlob;
use super::near::Near;
use super::parts::{each, in_parts};

/// What compilers put behind the name of a function that they changed.
const CHANGES: [&str; 6] = [".isra.", ".constprop.", ".part.", ".lto_priv.", ".llvm.", ".cold"];
/// The unlikely part of a function: nobody calls it.
const PART: &str = ".cold";

/// So many names take longer to demangle than a thread to start.
const WORTH_A_THREAD: usize = 512;

/// A file with what was stripped from it, if that is there.
pub struct Functions {
    pub bytes: Bytes,
    pub layout: Layout,
    place: Option<Whereabouts>,
    /// Read when they are asked for.
    tables: OnceCell<Vec<Table>>,
    shared: OnceCell<Vec<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Demangled.
    pub name: String,
    /// The linker's.
    pub address: u64,
    /// In the file.
    pub offset: u64,
    /// Bytes; 1 where the file does not say.
    pub size: u64,
    pub how: How,
}

/// A name whose function is chosen when a process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chooser {
    pub name: String,
    /// The linker's, of the code that chooses.
    pub address: u64,
}

#[derive(Debug, Default)]
pub struct Found {
    /// By offset, each once.
    pub functions: Vec<Function>,
    /// By name.
    pub choosers: Vec<Chooser>,
}

impl Functions {
    /// None: no ELF file. `place`: where to look for what was stripped.
    pub fn open(file: &Path, place: Option<Whereabouts>) -> Option<Functions> {
        Functions::of(open_regular(file)?, place)
    }

    fn of(file: File, place: Option<Whereabouts>) -> Option<Functions> {
        let bytes = Bytes::File(Arc::new(file));
        let layout = Layout::read(&bytes)?;
        Some(Functions { bytes, layout, place, tables: OnceCell::new(), shared: OnceCell::new() })
    }

    fn tables(&self) -> &[Table] {
        self.tables.get_or_init(|| {
            let place = self.place.as_ref().filter(|_| self.layout.symtab.is_none());
            let debug = place.and_then(|place| debug_file::find(&self.layout, place));
            tables(&self.bytes, &self.layout, debug.as_ref())
        })
    }

    /// The file that has its DWARF: itself, or the one with what was stripped.
    pub fn with_dwarf(&self) -> Option<Bytes> {
        if self.layout.has_dwarf {
            return Some(self.bytes.clone());
        }
        let debug = debug_file::find(&self.layout, self.place.as_ref()?)?;
        debug.layout.has_dwarf.then(|| Bytes::File(debug.file))
    }

    /// At most names of functions that other files call are left.
    pub fn is_stripped(&self) -> bool {
        self.layout.symtab.is_none() && self.tables().len() <= usize::from(self.layout.dynsym.is_some())
    }

    /// Matches what the linker calls a function, with its version and without, and what the source calls it, with its
    /// arguments and without. One function has one name: the one that people use of those that match.
    pub fn matching(&self, glob: &NameGlob) -> Found {
        let (matcher, shared) = (Matcher::new(glob), self.shared());
        let mut matches = self.matches(|function, offset, name| {
            if function.is_untyped && !glob.is_literal() {
                return None;
            }
            let how = matcher.how(name)?;
            let name = without_version(name);
            // Here several threads do it, so that most need not be done below.
            let is_only = shared.binary_search(&offset).is_err();
            Some(Match {
                is_chooser: function.is_chooser,
                at: if function.is_chooser { function.start } else { offset },
                size: function.end - function.start,
                how,
                is_weak: function.is_weak,
                name: if is_only { demangle(name) } else { name.to_owned() },
                is_demangled: is_only,
            })
        });
        // Of one place the best one is left.
        matches.dedup_by(|next, kept| {
            let is_same = next.place() == kept.place();
            if is_same {
                let size = next.size.max(kept.size);
                if next.rank() < kept.rank() {
                    std::mem::swap(next, kept);
                }
                kept.size = size;
            }
            is_same
        });
        let mangled: Vec<&str> = matches.iter().filter(|one| !one.is_demangled).map(|one| &*one.name).collect();
        let mangled: Vec<&[&str]> = mangled.chunks(WORTH_A_THREAD).collect();
        let demangled = each(&mangled, |names| names.iter().copied().map(demangle).collect::<Vec<String>>());
        let mut demangled = demangled.into_iter().flatten();
        let mut found = Found::default();
        found.functions.reserve(matches.len());
        for one in matches {
            let name = if one.is_demangled { one.name } else { demangled.next().unwrap_or(one.name) };
            if one.is_chooser {
                found.choosers.push(Chooser { name, address: one.at });
            } else if let Some(address) = self.layout.code_address(one.at) {
                found.functions.push(Function { name, address, offset: one.at, size: one.size, how: one.how });
            }
        }
        found.choosers.sort_unstable_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
        found
    }

    /// All names of what chooses, with the address of the code that does.
    pub fn choosers(&self) -> HashMap<String, Vec<u64>> {
        let mut choosers: HashMap<String, Vec<u64>> = HashMap::new();
        self.visit(|function, _, name| {
            if function.is_chooser {
                let addresses = choosers.entry(without_version(name).to_owned()).or_default();
                if !addresses.contains(&function.start) {
                    addresses.push(function.start);
                }
            }
        });
        choosers
    }

    /// Names that are like one that none has.
    pub fn near(&self, near: &mut Near) {
        self.visit(|_, _, name| {
            let (whole, alone) = source_names(without_version(name)).unwrap_or_default();
            let shown = if whole.is_empty() { without_version(name) } else { alone.as_deref().unwrap_or(&whole) };
            near.see(shown);
        });
    }

    /// All names of the code at these places of the file, which are in order, demangled, where there are several. Several
    /// threads look for them.
    pub fn names_at(&self, offsets: &[u64]) -> HashMap<u64, BTreeSet<String>> {
        let layout = &self.layout;
        let is_wanted = |function: &elf::Function| {
            let offset = layout.code_offset(function.start).filter(|_| !function.is_chooser && !function.is_untyped);
            offset.is_some_and(|offset| {
                self.shared().binary_search(&offset).is_ok() && offsets.binary_search(&offset).is_ok()
            })
        };
        let mut names: HashMap<u64, BTreeSet<String>> = HashMap::new();
        for table in self.tables() {
            let mut order = table.by_name();
            order.retain(|function| is_wanted(function));
            let parts = in_parts(&order, |part| {
                let mut found = Vec::new();
                table.visit(part, |function, name| {
                    let placed = placed(layout, function, name);
                    found.extend(placed.map(|(offset, name)| (offset, demangle(without_version(name)))));
                });
                found
            });
            for (offset, name) in parts.into_iter().flatten() {
                names.entry(offset).or_default().insert(name);
            }
        }
        names
    }

    /// Where code has several names: in the file, in order.
    fn shared(&self) -> &[u64] {
        self.shared.get_or_init(|| {
            let functions = self.tables().iter().flat_map(Table::functions);
            let mut offsets: Vec<u64> =
                functions.filter_map(|function| self.layout.code_offset(function.start)).collect();
            offsets.sort_unstable();
            let shared = offsets.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
            shared.map(|same| same[0]).collect()
        })
    }

    /// The function around a place of the file, and whether that is its first instruction.
    pub fn at(&self, offset: u64) -> Option<(String, u64)> {
        let address = self.layout.code_address(offset)?;
        let found = self.tables().iter().filter_map(|table| table.find(address)).max_by_key(|(_, start)| *start);
        found.map(|(name, start)| (demangle(&name), address - start))
    }

    /// Each name of each function that lies in the file, stubs left out.
    fn visit(&self, mut visitor: impl FnMut(&elf::Function, u64, &str)) {
        for table in self.tables() {
            table.visit(&table.by_name(), |function, name| {
                if let Some((offset, name)) = placed(&self.layout, function, name) {
                    visitor(function, offset, name);
                }
            });
        }
    }

    /// Those of them that match, by place. Several threads look for them.
    fn matches(&self, find: impl Fn(&elf::Function, u64, &str) -> Option<Match> + Sync) -> Vec<Match> {
        let layout = &self.layout;
        let of_table = |table: &Table| {
            in_parts(&table.by_name(), |part| {
                let mut found = Vec::new();
                table.visit(part, |function, name| {
                    let place = placed(layout, function, name);
                    found.extend(place.and_then(|(offset, name)| find(function, offset, name)));
                });
                found.sort_unstable_by_key(Match::place);
                found
            })
        };
        let mut matches: Vec<Match> = self.tables().iter().flat_map(of_table).flatten().collect();
        // Finds that the parts are in order.
        matches.sort_by_key(Match::place);
        matches
    }
}

/// Where in the file it is, and its name, if it is a function.
fn placed<'a>(layout: &Layout, function: &elf::Function, name: &'a [u8]) -> Option<(u64, &'a str)> {
    let name = std::str::from_utf8(name).ok()?;
    // `$x` and `$d` mark code and data on arm64.
    if name.starts_with('$') || layout.is_plt(function.start) {
        return None;
    }
    Some((layout.code_offset(function.start)?, name))
}

/// How a name matches, from the most literal on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Linker,
    Source,
    /// Without arguments, version or what a compiler added.
    Short,
}

/// A name that matches.
struct Match {
    is_chooser: bool,
    /// In the file; of what chooses, the linker's.
    at: u64,
    size: u64,
    how: How,
    is_weak: bool,
    /// The linker's, unless it is the only one of its place.
    name: String,
    is_demangled: bool,
}

impl Match {
    fn place(&self) -> (bool, u64) {
        (self.is_chooser, self.at)
    }

    /// Of the names of one place the least is the one to show.
    fn rank(&self) -> impl Ord {
        (self.how, elf::rank(&self.name, self.is_weak))
    }
}

struct Matcher<'a> {
    glob: &'a NameGlob,
    /// What a mangled name has if its source's name matches: spares most of them from being demangled, which takes 1 to 3 us.
    words: Vec<String>,
    /// The same of Rust's newer names.
    rust_words: Vec<String>,
    wants_parts: bool,
}

impl Matcher<'_> {
    fn new(glob: &NameGlob) -> Matcher<'_> {
        let without = |demanglers: &[&str]| {
            let mut words = glob.words();
            words.retain(|word| !demanglers.iter().any(|own| own.contains(word.as_str())));
            words
        };
        let (words, rust_words) = (without(&CPP_WORDS), without(&RUST_WORDS));
        Matcher { glob, words, rust_words, wants_parts: glob.text().contains(PART) }
    }

    fn how(&self, name: &str) -> Option<How> {
        let matches = |name: &str| self.glob.matches(name.as_bytes());
        let plain = without_version(name);
        if !self.wants_parts && is_part(plain) {
            return None;
        }
        if matches(name) || matches(plain) {
            return Some(How::Linker);
        }
        let short = without_changes(plain);
        if short != plain && matches(short) {
            return Some(How::Short);
        }
        let words = match plain.get(..2) {
            Some("_Z") => &self.words,
            Some("_R") => &self.rust_words,
            _ => return None,
        };
        if !words.iter().all(|word| plain.contains(word)) {
            return None;
        }
        let (whole, alone) = source_names(plain)?;
        if matches(&whole) {
            return Some(How::Source);
        }
        if alone.is_some_and(|alone| matches(&alone)) {
            return Some(How::Short);
        }
        let (whole, alone) = source_names(short).filter(|_| short != plain)?;
        (matches(&whole) || alone.is_some_and(|alone| matches(&alone))).then_some(How::Short)
    }
}

/// Words that are in names of the source and not in the linker's: signs of one or two letters stand for them.
/// Rust's older names, which are made like those of C++, have all of theirs.
const CPP_WORDS: [&str; 14] = [
    "std allocator basic_string basic_istream basic_ostream basic_iostream char_traits string istream ostream iostream",
    "operator new delete sizeof alignof typeid noexcept throw co_await dynamic_cast static_cast const_cast",
    "reinterpret_cast nullptr_t decltype auto const volatile restrict complex imaginary",
    "void bool char signed unsigned short int long float double wchar_t char8_t char16_t char32_t true false",
    "__int128 __float128 _Float16 _BitInt decimal16 decimal32 decimal64 decimal128 half",
    "(anonymous namespace) {unnamed type} {lambda} {default arg} {parm}",
    "vtable VTT typeinfo name for construction vtable-in",
    "guard variable reference temporary TLS init function wrapper",
    "virtual override thunk covariant return to non-virtual",
    "transaction clone [clone]",
    "abi java Class hidden alias resource global constructors destructors keyed base complete deleting inner",
    "offset string literal argument block invocation extension bfloat16_t __vector _Sat _Fract _Accum fail",
    "template parameter object",
    "enum struct union typename",
];
const RUST_WORDS: [&str; 4] = [
    "closure shim vtable reify as for in dyn impl mut const unsafe extern where",
    "bool char str isize usize i16 i32 i64 i128 u16 u32 u64 u128 f16 f32 f64 f128",
    "true false",
    "C cdecl stdcall fastcall vectorcall thiscall aapcs win64 sysv64 system rust-intrinsic rust-call unwind",
];

/// `memcpy@@GLIBC_2.14`
fn without_version(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

fn without_changes(name: &str) -> &str {
    // Most names have no dot, which is found sooner.
    let Some(dot) = name.find('.').filter(|dot| *dot > 0) else { return name };
    let ends = CHANGES.iter().filter_map(|change| name[dot..].find(change));
    ends.min().map_or(name, |end| &name[..dot + end])
}

/// `main.cold`, `main.cold.1`, `main.cold.1.llvm.7`
fn is_part(name: &str) -> bool {
    let Some(dot) = name.find('.') else { return false };
    let after = name[dot..].find(PART).map(|at| &name[dot + at + PART.len()..]);
    after.is_some_and(|after| after.is_empty() || after.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::glob::escape;

    /// What words a linker's name must have is guessed from the pattern: each name of the source must still find its own,
    /// in C++'s library and in this program.
    #[test]
    fn every_name_of_the_source_finds_the_linker_s() {
        let output = std::process::Command::new("gcc").arg("-print-file-name=libstdc++.so.6").output().unwrap();
        let library = String::from_utf8(output.stdout).unwrap();
        for (file, step) in [(library.trim(), 1), ("/proc/self/exe", 31)] {
            let (mut at, mut tried) = (0, 0);
            Functions::open(Path::new(file), None).unwrap().visit(|_, _, name| {
                at += 1;
                let Some((whole, alone)) = source_names(without_version(name)).filter(|_| at % step == 0) else {
                    return;
                };
                for (source, how) in std::iter::once((whole, How::Source)).chain(alone.map(|alone| (alone, How::Short)))
                {
                    let pattern = String::from_utf8(escape(source.as_bytes())).unwrap();
                    let found = Matcher::new(&NameGlob::parse(&pattern).unwrap()).how(name);
                    assert!(is_part(name) || found.is_some_and(|found| found <= how), "{name}: {source}");
                }
                tried += 1;
            });
            assert!(tried > 1000, "{tried} names of {file}");
        }
    }

    #[test]
    fn parts_and_changes_end_a_name() {
        assert!(is_part("main.cold") && is_part("f.cold.1.llvm.7") && !is_part("f.colder") && !is_part("cold"));
        assert_eq!(without_changes("f.constprop.0.isra.1"), "f");
        assert_eq!(without_changes("main.isra"), "main.isra");
        assert_eq!(without_changes(".part.0"), ".part.0");
        assert_eq!(without_version("memcpy@@GLIBC_2.14"), "memcpy");
    }
}
