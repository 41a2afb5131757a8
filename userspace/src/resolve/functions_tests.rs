//! Listings of files that the test has compiled, against what the files say when they run.
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Object, ObjectSymbol};

use super::functions::{Found, Functions};
use super::glob::NameGlob;
use super::near::Near;
use super::testing::{Folder, run};
use crate::symbolize::debug_file::Whereabouts;

fn find(file: &Path, pattern: &str) -> Found {
    let place = Whereabouts { root: "/".into(), folder: file.parent().unwrap().into() };
    Functions::open(file, Some(place)).unwrap().matching(&NameGlob::parse(pattern).unwrap())
}

fn names(file: &Path, pattern: &str) -> Vec<String> {
    let mut names: Vec<String> = find(file, pattern).functions.into_iter().map(|function| function.name).collect();
    names.sort();
    names
}

/// The bytes at the offset are those of the function, which begins with its number in a constant.
fn holds(file: &Path, offset: u64, number: u32) -> bool {
    let bytes = std::fs::read(file).unwrap();
    let code = &bytes[offset as usize..][..32];
    code.windows(4).any(|bytes| bytes == number.to_le_bytes())
}

const SOURCE: &str = "
    int one(void) { return 0x11223344; }
    static int two(void) { return 0x22334455; }
    int alias(void) __attribute__((alias(\"one\"), weak));
    int __one(void) __attribute__((alias(\"one\")));
    int data = 3;
    __asm__(\".text\\nlabel: .long 0\\n.type typed, @function\\ntyped: ret\\n.size typed, 1\\n\");
    int two_part(void) __asm__(\"two.part.0\");
    int two_part(void) { return 0x33445566; }
    int two_cold(void) __asm__(\"two.cold\");
    int two_cold(void) { return 0x44556677; }
    int main(void) { return one() + two() + two_part() + two_cold(); }
";

#[test]
fn functions_have_their_place_in_the_file_in_every_kind_of_program() {
    let folder = Folder::new();
    for (name, options) in [
        ("pie", &["-pie", "-fPIE"][..]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
        ("gap", &["-Wl,-z,max-page-size=0x10000"]),
    ] {
        let file = folder.compile(name, SOURCE, options);
        let one = find(&file, "one").functions;
        assert_eq!((one.len(), one[0].name.as_str()), (1, "one"), "{name}");
        assert!(holds(&file, one[0].offset, 0x11223344), "{name}");
        let two = find(&file, "two").functions;
        assert!(holds(&file, two[0].offset, 0x22334455), "{name}");
        assert_eq!((two[1].name.as_str(), holds(&file, two[1].offset, 0x33445566)), ("two.part.0", true));
        assert_eq!(two.len(), 2);
    }
}

#[test]
fn aliases_are_one_place_by_the_name_that_was_asked_for() {
    let folder = Folder::new();
    let file = folder.compile("aliases", SOURCE, &[]);
    assert_eq!(names(&file, "alias"), ["alias"]);
    assert_eq!(names(&file, "__one"), ["__one"]);
    assert_eq!(names(&file, "*on[e]"), ["one"]);
    assert_eq!(names(&file, "*al[i]as"), ["alias"]);
}

#[test]
fn data_labels_parts_and_what_is_not_there_are_no_functions() {
    let folder = Folder::new();
    let file = folder.compile("none", SOURCE, &[]);
    assert_eq!(names(&file, "data"), Vec::<String>::new());
    assert_eq!(names(&file, "__libc_start_main*"), Vec::<String>::new());
    assert_eq!(names(&file, "two*"), ["two", "two.part.0"]);
    assert_eq!(names(&file, "two.cold*"), ["two.cold"]);
    assert_eq!(names(&file, "lab*"), Vec::<String>::new());
    // Who spells it out knows it.
    assert_eq!(names(&file, "label"), ["label"]);
    assert_eq!(names(&file, "type*"), ["typed"]);
}

#[test]
fn cpp_functions_are_found_by_each_of_their_names() {
    let folder = Folder::new();
    let source = "namespace ns {
        struct store { int put(int a, const char *); int put(long); int operator[](int); };
        int store::put(int a, const char *) { return a; }
        int store::put(long a) { return a; }
        int store::operator[](int a) { return a; }
        template <class T> T twice(T a) { return a + a; }
        namespace { int hidden(void) { return 7; } }
        int all(void) { return twice(1) + hidden(); }
    }
    int main() { return 0; }";
    let file = folder.compile("cpp", source, &[]);
    let puts = ["ns::store::put(int, char const*)", "ns::store::put(long)"];
    for pattern in ["ns::store::put", "ns::store::p*t", "*store::put*", "ns::*::put(*"] {
        assert_eq!(names(&file, pattern), puts, "{pattern}");
    }
    assert_eq!(names(&file, "ns::store::put(long)"), puts[1..]);
    assert_eq!(names(&file, "_ZN2ns5store3putEl"), puts[1..]);
    assert_eq!(names(&file, "put"), Vec::<String>::new());
    assert_eq!(names(&file, "ns::twice*"), ["int ns::twice<int>(int)"]);
    assert_eq!(names(&file, "*anonymous namespace*"), ["ns::(anonymous namespace)::hidden()"]);
    assert_eq!(names(&file, "ns::store::operator[]"), ["ns::store::operator[](int)"]);
    let near = |wanted: &str| -> Vec<String> {
        let mut near = Near::new(wanted);
        Functions::open(&file, None).unwrap().near(&mut near);
        near.names().into_iter().map(str::to_owned).collect()
    };
    assert_eq!(near("store::putt*"), ["ns::store::put"]);
    assert_eq!(near("hiddn"), ["ns::(anonymous namespace)::hidden"]);
}

/// The symbols lie in a file of their own, found by checksum and by build id; the offsets are those in the stripped one.
#[test]
fn stripped_files_have_the_functions_of_their_debug_file() {
    let folder = Folder::new();
    let file = folder.compile("whole", SOURCE, &["-Wl,--build-id=none"]);
    let whole = find(&file, "*").functions;
    let (debug, stripped) = (folder.path("whole.debug"), folder.path("stripped"));
    run(Command::new("objcopy").arg("--only-keep-debug").arg(&file).arg(&debug));
    let link = format!("--add-gnu-debuglink={}", debug.display());
    run(Command::new("objcopy").arg("--strip-all").arg(link).arg(&file).arg(&stripped));
    assert_eq!(find(&stripped, "*").functions, whole);
    assert!(
        !Functions::open(&stripped, Some(Whereabouts { root: "/".into(), folder: folder.0.clone() }))
            .unwrap()
            .is_stripped()
    );
    std::fs::remove_file(&debug).unwrap();
    assert_eq!(find(&stripped, "*").functions, []);
    assert!(Functions::open(&stripped, None).unwrap().is_stripped());
}

/// The truth is read by another reader: `object`'s own tables and segments.
#[test]
fn libc_has_all_functions_that_it_exports() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    let libc = libc.into_iter().find(|path| path.contains("/libc.so.6") || path.contains("/libc-2")).expect("glibc");
    let bytes = std::fs::read(libc).unwrap();
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(&*bytes).unwrap();
    let header = file.elf_header();
    let segments = header.program_headers(file.endian(), &*bytes).unwrap();
    let offset = |address: u64| {
        let segment = segments.iter().find(|segment| {
            let start = segment.p_vaddr(file.endian());
            segment.p_type(file.endian()) == object::elf::PT_LOAD
                && (start..start + segment.p_filesz(file.endian())).contains(&address)
        });
        segment.map(|segment| address - segment.p_vaddr(file.endian()) + segment.p_offset(file.endian()))
    };
    let exported = file.dynamic_symbols().filter(|symbol| {
        let object::SymbolFlags::Elf { st_info, .. } = symbol.flags() else { return false };
        symbol.is_definition() && st_info & 0xf == object::elf::STT_FUNC
    });
    let truth: HashSet<u64> = exported.filter_map(|symbol| offset(symbol.address())).collect();
    let found: HashSet<u64> =
        find(Path::new(libc), "*").functions.into_iter().map(|function| function.offset).collect();
    assert!(truth.len() > 1500 && truth.is_subset(&found), "{} {}", truth.len(), found.len());
    assert_eq!(names(Path::new(libc), "malloc"), ["malloc"]);
}

/// No 32-bit libraries are needed for it.
#[test]
#[cfg(target_arch = "x86_64")]
fn programs_with_32_bits_are_read_as_well() {
    let folder = Folder::new();
    let source = "int one(void) { return 0x11223344; } int _start(void) { return one(); }";
    let file = folder.compile("small", source, &["-m32", "-nostdlib", "-static", "-fno-pic", "-no-pie"]);
    let one = find(&file, "one").functions;
    assert_eq!(one.len(), 1);
    assert!(holds(&file, one[0].offset, 0x11223344));
}

/// Every 97th byte of the headers and tables turned around, and every prefix: an answer or none, no panic.
#[test]
fn broken_files_are_no_disaster() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.compile("broken", SOURCE, &["-nostartfiles", "-Wl,-e,main"])).unwrap();
    let file = folder.path("bytes");
    let all = NameGlob::parse("*").unwrap();
    let look = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        if let Some(functions) = Functions::open(&file, None) {
            functions.matching(&all);
            functions.choosers();
            functions.at(0x1000);
        }
    };
    for at in (0..whole.len()).step_by(97) {
        look(&whole[..at]);
        let mut turned = whole.clone();
        turned[at] ^= 0xff;
        look(&turned);
    }
}
