//! Lines of what a C compiler has made, in each way that it writes them down.
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::resolve::functions::Functions;
use crate::resolve::testing::{Folder, run};
use crate::resolve::{Pattern, Place, Point, Resolved, Whom, resolve};

const SOURCE: &str = "\
volatile int sink;
static inline __attribute__((always_inline)) void mark(int a) {
    sink = a;
}
__attribute__((noinline)) void one(int a) {

    mark(a * 3);
    mark(a + 1);
}
__attribute__((noinline)) void two(int a) {
    mark(a * 3);
}
int main(void) {
    one(1);
    two(2);
}
";

fn made(folder: &Folder, options: &[&str]) -> std::path::PathBuf {
    folder.compile("lines", SOURCE, options)
}

/// Functions around the places of a line, by address, and the line.
fn places(file: &Path, source: &str, line: u64) -> Result<(Vec<String>, u64), Missing> {
    let functions = Functions::open(file, None).unwrap();
    let found = find(&functions.with_dwarf().unwrap(), source, line, &functions)?;
    assert_eq!((found.sources.len(), found.unread), (1, 0), "{found:?}");
    let name = |address: &u64| functions.at(functions.layout.code_offset(*address).unwrap()).unwrap().0;
    Ok((found.addresses.iter().map(name).collect(), found.line))
}

#[test]
fn a_line_is_at_one_place_of_each_function_and_of_each_that_was_inlined() {
    let folder = Folder::new();
    for options in [&["-gdwarf-5"][..], &["-gdwarf-4"], &["-g", "-gz"], &["-g", "-O2"], &["-g", "-no-pie", "-static"]] {
        let file = made(&folder, options);
        for source in ["lines.c", folder.path("lines.c").to_str().unwrap()] {
            assert_eq!(
                places(&file, source, 3).unwrap(),
                (vec!["one".into(), "one".into(), "two".into()], 3),
                "{options:?}"
            );
            assert_eq!(places(&file, source, 11).unwrap(), (vec!["two".into()], 11), "{options:?}");
            assert_eq!(places(&file, source, 6).unwrap(), (vec!["one".into()], 7), "{options:?}");
        }
        // Optimized, the last brace has no code.
        assert!(matches!(places(&file, "lines.c", 17), Err(Missing::Line { last: 15 | 16 })), "{options:?}");
        let near = vec!["lines.c".to_owned()];
        assert_eq!(places(&file, "other/lines.c", 3), Err(Missing::Source { near: near.clone() }));
        assert_eq!(places(&file, "line.c", 3), Err(Missing::Source { near }));
    }
    // What describes functions is elsewhere: the symbols tell them apart, and what was inlined is part of them.
    let file = made(&folder, &["-g", "-gsplit-dwarf"]);
    assert_eq!(places(&file, "lines.c", 3).unwrap(), (vec!["one".into(), "two".into()], 3));
}

#[test]
fn a_function_that_the_linker_threw_away_has_no_places() {
    let folder = Folder::new();
    let file = made(&folder, &["-g", "-ffunction-sections", "-Wl,--gc-sections", "-Wl,--entry=two", "-nostartfiles"]);
    assert_eq!(places(&file, "lines.c", 3).unwrap().0, ["two"]);
}

fn resolved(pattern: &str) -> anyhow::Result<Resolved> {
    resolve(&[Pattern::parse(pattern).unwrap()], &Whom::Nobody)
}

#[test]
fn lines_of_a_stripped_file_are_in_its_debug_file() {
    let folder = Folder::new();
    let file = made(&folder, &["-g"]);
    let pattern = format!("{}:lines.c:3", file.display());
    let whole = resolved(&pattern).unwrap();
    assert_eq!(whole.points.len(), 3);
    assert!(whole.points.iter().all(|point| point.function == "lines.c:3" && &*point.module == "lines"));
    assert!(matches!(whole.points[0].place, Place::User { is_entry: false, usdt: None, .. }));
    assert!(whole.notes[0].starts_with("lines.c:3 is at 3 places: one+0x"), "{:?}", whole.notes);

    let debug = folder.path("lines.debug");
    run(Command::new("objcopy").arg("--only-keep-debug").args([&file, &debug]));
    run(Command::new("strip").arg(&file));
    let error = resolved(&pattern).unwrap_err();
    assert!(error.to_string().contains("has no debug information"), "{error}");
    run(Command::new("objcopy").arg(format!("--add-gnu-debuglink={}", debug.display())).arg(&file));
    assert_eq!(resolved(&pattern).unwrap(), whole);
}

#[test]
fn a_line_that_is_a_functions_first_is_its_entry() {
    let folder = Folder::new();
    let file = made(&folder, &["-g"]);
    let found = resolved(&format!("{}:lines.c:5", file.display())).unwrap();
    assert!(matches!(found.points[..], [Point { place: Place::User { is_entry: true, .. }, .. }]), "{found:?}");
    let found = resolved(&format!("{}:lines.c:6", file.display())).unwrap();
    assert_eq!(found.points[0].function, "lines.c:7");
    assert_eq!(found.notes, ["lines.c:6 has no code: the next line that has some is 7"]);
}

/// Whatever stands in it, there is an answer or a reason.
#[test]
fn debug_information_that_is_broken_is_no_disaster() {
    struct Everything;
    impl Code for Everything {
        fn has(&self, _: u64) -> bool {
            true
        }
        fn function(&self, _: u64) -> Option<u64> {
            None
        }
    }
    let folder = Folder::new();
    let file = made(&folder, &["-g"]);
    let whole = std::fs::read(&file).unwrap();
    let sections = object::File::parse(&*whole).unwrap();
    let sections: Vec<_> = object::Object::sections(&sections)
        .filter(|section| object::ObjectSection::name(section).is_ok_and(|name| name.starts_with(".debug")))
        .filter_map(|section| object::ObjectSection::file_range(&section))
        .collect();
    assert!(sections.len() >= 4);
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    for _ in 0..3000 {
        let mut broken = whole.clone();
        for _ in 0..=random() % 4 {
            let (start, size) = sections[random() as usize % sections.len()];
            broken[(start + random() % size) as usize] = random() as u8;
        }
        let _ = find(&Bytes::Memory(broken.into()), "lines.c", 3, &Everything);
    }
    for end in (0..whole.len()).step_by(97) {
        let _ = find(&Bytes::Memory(whole[..end].into()), "lines.c", 3, &Everything);
    }
    let cut = folder.path("cut");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let _ = find(&Bytes::File(Arc::new(File::open(&cut).unwrap())), "lines.c", 3, &Everything);
}
