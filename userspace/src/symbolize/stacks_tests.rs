//! Names in processes that live and that have ended. A child is a copy of this test binary, which tells its addresses.
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

const CHILD: &str = "SPOOR_TEST_CHILD";

#[inline(never)]
fn known(seed: u64) -> u64 {
    std::hint::black_box(seed).rotate_left(7) ^ within(seed)
}

#[inline(always)]
fn within(seed: u64) -> u64 {
    std::hint::black_box(std::hint::black_box(seed).wrapping_mul(31)).count_ones().into()
}

fn known_address() -> u64 {
    known as fn(u64) -> u64 as usize as u64
}

fn symbol(frame: &Frame) -> (&str, &str, u64) {
    match &frame.place {
        Place::Symbol { module, name, offset } => (module, name, *offset),
        other => panic!("{other:x?} at {:#x}", frame.address),
    }
}

fn one(symbolizer: &mut Symbolizer, tgid: u32, address: u64) -> Frame {
    symbolizer.user(tgid, &[address], true).remove(0)
}

fn me() -> u32 {
    std::process::id()
}

/// Not a test of its own: what a child runs.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        let heap = Box::new(known(1));
        println!("\naddresses {:x} {:x}", known_address(), &raw const *heap as usize);
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

struct Copy {
    folder: PathBuf,
    process: Child,
    known: u64,
    heap: u64,
}

impl Copy {
    /// A copy in a folder of its own, changed by `prepare`, running.
    fn start(name: &str, prepare: impl FnOnce(&Path)) -> Copy {
        let folder = std::env::temp_dir().join(format!("spoor-symbolize-{}-{name}", me()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("the copy");
        fs::copy("/proc/self/exe", &file).unwrap();
        prepare(&file);
        let mut command = Command::new(&file);
        command
            .args(["--exact", "symbolize::stacks::tests::child", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Another test's child may have our file open for writing, between its birth and its exec.
        let mut process = loop {
            match command.spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                spawned => break spawned.unwrap(),
            }
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("addresses ")).expect("the child tells its addresses");
        let mut words = line.split(' ').skip(1).map(|word| u64::from_str_radix(word, 16).unwrap());
        let (known, heap) = (words.next().unwrap(), words.next().unwrap());
        Copy { folder, process, known, heap }
    }

    fn tgid(&self) -> u32 {
        self.process.id()
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a program of binutils ran; without it the test says that it was left out.
fn ran(program: &str, args: &[&str]) -> bool {
    match Command::new(program).args(args).status() {
        Ok(status) => status.success() || panic!("{program} {args:?}: {status}"),
        Err(error) => {
            eprintln!("left out: {program}: {error}");
            false
        }
    }
}

#[test]
fn a_rust_function_has_its_path_and_exact_offset() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let start = known_address();
    let frames = symbolizer.user(me(), &[start, start + 1, start + 4], true);
    let offsets: Vec<_> = frames.iter().map(|frame| (symbol(frame).1, symbol(frame).2)).collect();
    let name = "spoor::symbolize::stacks::tests::known";
    assert_eq!(offsets, [(name, 0), (name, 1), (name, 4)]);
    assert!(symbol(&frames[0]).0.starts_with("spoor-"), "{frames:?}");
    assert_eq!(frames[0].address, start);
}

/// A return address behind a function's last call is the start of the next function.
#[test]
fn return_addresses_are_looked_up_one_byte_before() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let start = known_address();
    let name = |frame: &Frame| matches!(&frame.place, Place::Symbol { name, .. } if name.ends_with("tests::known"));
    assert!(name(&symbolizer.user(me(), &[start], true)[0]));
    assert!(!name(&symbolizer.user(me(), &[start], false)[0]));
    assert!(!name(&symbolizer.user(me(), &[start, start], true)[1]));
    assert!(name(&symbolizer.user(me(), &[start + 1], false)[0]));
    assert_eq!(looked_up(&[0, 0, 7], true).collect::<Vec<_>>(), [0, 0, 6]);
}

#[test]
fn malloc_is_malloc_of_the_c_library() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let frame = one(&mut symbolizer, me(), libc::malloc as *const () as u64);
    let (module, name, offset) = symbol(&frame);
    assert_eq!((name, offset), ("malloc", 0));
    #[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
    assert_eq!(module, "libc.so.6");
    let _ = module;
}

#[test]
fn functions_of_the_vdso_have_names() {
    let maps = crate::symbolize::maps::parse(&fs::read_to_string("/proc/self/maps").unwrap());
    let vdso = maps.iter().find(|mapping| mapping.kind == Kind::Vdso).expect("Linux has a vDSO");
    let addresses: Vec<u64> = (vdso.start..vdso.end).step_by(16).collect();
    let frames = Symbolizer::new(Options::default()).user(me(), &addresses, true);
    let named = |frame: &&Frame| matches!(&frame.place, Place::Symbol { name, .. } if name.contains("clock_gettime"));
    let frame = frames.iter().find(named).expect("the vDSO tells the time");
    assert_eq!(symbol(frame).0, "[vdso]");
}

#[test]
fn what_is_no_code_says_why() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let heap = Box::new(1u8);
    let why = |symbolizer: &mut Symbolizer, address| match one(symbolizer, me(), address).place {
        Place::Address { why } => why,
        other => panic!("{other:x?}"),
    };
    assert_eq!(why(&mut symbolizer, &raw const *heap as usize as u64), Unknown::NotCode);
    assert_eq!(why(&mut symbolizer, 0x10), Unknown::NoMapping);
    assert_eq!(why(&mut symbolizer, u64::MAX), Unknown::NoMapping);
}

/// A leaf on the heap is where the processor was; a caller there is none.
#[test]
fn a_walk_ends_where_no_code_is() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let heap = Box::new(0);
    let (heap, code) = (&raw const *heap as u64 + 1, known_address() + 1);
    for (addresses, frames, is_astray) in [
        (vec![code, code, heap, code], 2, true),
        (vec![heap, code], 2, false),
        (vec![code], 1, false),
        (vec![], 0, false),
    ] {
        let walk = symbolizer.walk(me(), &addresses, true);
        assert_eq!((walk.spots.len(), walk.is_astray), (frames, is_astray), "{addresses:x?}");
    }
    // Of a process that is gone nobody knows where its code was.
    assert!(!symbolizer.walk(1 << 30, &[code, heap], true).is_astray);
}

#[test]
fn process_gone_before_it_was_seen_is_told_as_such() {
    let mut process = Command::new("true").spawn().unwrap();
    let tgid = process.id();
    process.wait().unwrap();
    let frames = Symbolizer::new(Options::default()).user(tgid, &[0x1000, 0x2000], true);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[1].place, Place::Address { why: Unknown::ProcessGone });
}

/// The file is deleted, then the process ends, then it is asked for its names.
#[test]
fn a_process_that_ended_keeps_the_names_of_its_deleted_file() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let mut copy = Copy::start("ended", |_| {});
    fs::remove_dir_all(&copy.folder).unwrap();
    symbolizer.remember(copy.tgid());
    copy.end();
    symbolizer.remember(copy.tgid());
    let frame = one(&mut symbolizer, copy.tgid(), copy.known + 1);
    assert_eq!(symbol(&frame), ("the copy", "spoor::symbolize::stacks::tests::known", 1));
}

/// What the kernel would have told of it: that we made it, and its code.
fn hear_of(symbolizer: &mut Symbolizer, copy: &Copy) {
    symbolizer.hear(Record::born(copy.tgid(), me()));
    let maps = fs::read_to_string(format!("/proc/{}/maps", copy.tgid())).unwrap();
    for mapping in crate::symbolize::maps::parse(&maps).into_iter().filter(|mapping| mapping.kind != Kind::NotCode) {
        symbolizer.hear(Record::mapped(copy.tgid(), mapping));
    }
}

/// Ends before anybody looked at it; its file is opened by its path, and deleted after.
#[test]
fn a_process_that_was_only_heard_of_has_names() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let mut copy = Copy::start("heard", |_| {});
    hear_of(&mut symbolizer, &copy);
    assert!(symbolizer.has_news(copy.tgid()));
    copy.end();
    assert!(!symbolizer.remember(copy.tgid()));
    assert!(!symbolizer.has_news(copy.tgid()));
    fs::remove_dir_all(&copy.folder).unwrap();
    let frames = symbolizer.user(copy.tgid(), &[copy.known + 1, copy.heap], true);
    assert_eq!(symbol(&frames[0]), ("the copy", "spoor::symbolize::stacks::tests::known", 1));
    // The kernel tells of code only.
    assert_eq!(frames[1].place, Place::Address { why: Unknown::ProcessGone });
}

#[test]
fn a_replaced_file_is_not_taken_for_one_that_was_heard_of() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let mut copy = Copy::start("heard-replaced", |_| {});
    hear_of(&mut symbolizer, &copy);
    copy.end();
    // Renamed over it: the first file's inode stays in use, so that the second one has another.
    let (path, other) = (copy.folder.join("the copy"), copy.folder.join("other"));
    let first = fs::File::open(&path).unwrap();
    fs::copy(&path, &other).unwrap();
    fs::rename(&other, &path).unwrap();
    symbolizer.remember(copy.tgid());
    let frame = one(&mut symbolizer, copy.tgid(), copy.known);
    let Place::Offset { module, why, .. } = frame.place else { panic!("{frame:x?}") };
    assert_eq!((module.as_str(), why), ("the copy", Unknown::NoFile));
    drop(first);
}

/// A child that execs nothing has what its parent has, which is looked at for its sake.
#[test]
fn a_child_that_was_only_heard_of_has_the_names_of_its_parent() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let copy = Copy::start("parent", |_| {});
    // No process has such a number.
    let (child, grandchild) = (1 << 30, (1 << 30) + 1);
    symbolizer.hear(Record::born(child, copy.tgid()));
    symbolizer.hear(Record::born(grandchild, child));
    for tgid in [grandchild, child] {
        assert!(!symbolizer.remember(tgid));
        let frame = one(&mut symbolizer, tgid, copy.known);
        assert_eq!(symbol(&frame), ("the copy", "spoor::symbolize::stacks::tests::known", 0));
    }
}

/// Its path leads to another file now.
#[test]
fn a_replaced_file_is_not_taken_for_the_one_that_runs() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let copy = Copy::start("replaced", |_| {});
    let path = copy.folder.join("the copy");
    fs::remove_file(&path).unwrap();
    fs::copy("/bin/sh", &path).unwrap();
    let frame = one(&mut symbolizer, copy.tgid(), copy.known);
    match &frame.place {
        Place::Symbol { name, .. } => assert_eq!(name, "spoor::symbolize::stacks::tests::known"),
        // Without the right to open what is mapped.
        Place::Offset { module, why, .. } => assert_eq!((module.as_str(), *why), ("the copy", Unknown::NoFile)),
        other => panic!("{other:x?}"),
    }
}

#[test]
fn a_stripped_file_gives_the_offset_in_it() {
    let mut stripped = false;
    let copy = Copy::start("stripped", |file| stripped = ran("strip", &[file.to_str().unwrap()]));
    if stripped {
        let frame = one(&mut Symbolizer::new(Options::default()), copy.tgid(), copy.known + 2);
        let Place::Offset { module, offset, why } = frame.place else { panic!("{frame:x?}") };
        assert_eq!((module.as_str(), why), ("the copy", Unknown::Stripped));
        // Of the same code in the file that was not stripped.
        let bytes = |path: &Path, at: usize| fs::read(path).unwrap()[at..at + 16].to_vec();
        let whole = crate::symbolize::maps::parse(&fs::read_to_string("/proc/self/maps").unwrap());
        let ours = crate::symbolize::maps::find(&whole, known_address()).unwrap().file_offset(known_address());
        let theirs = bytes(&copy.folder.join("the copy"), offset as usize - 2);
        assert_eq!(theirs, bytes(Path::new("/proc/self/exe"), ours as usize));
    }
}

/// What was stripped is in a file beside it, found by its name and checksum, or by build id if the binary has one.
#[test]
fn symbols_in_a_separate_file_are_found_after_the_process_ended() {
    let mut split = false;
    let mut copy = Copy::start("debuglink", |file| {
        let path = |end: &str| format!("{}{end}", file.to_str().unwrap());
        fs::create_dir(file.parent().unwrap().join(".debug")).unwrap();
        let debug = file.parent().unwrap().join(".debug/the copy.debug");
        let debug = debug.to_str().unwrap();
        split = ran("objcopy", &["--only-keep-debug", &path(""), debug])
            && ran("strip", &[&path("")])
            && ran("objcopy", &[&format!("--add-gnu-debuglink={debug}"), &path("")]);
    });
    if split {
        let mut symbolizer = Symbolizer::new(Options { inlines: false, lines: true });
        symbolizer.remember(copy.tgid());
        copy.end();
        let frame = one(&mut symbolizer, copy.tgid(), copy.known);
        assert_eq!(symbol(&frame), ("the copy", "spoor::symbolize::stacks::tests::known", 0));
        if cfg!(debug_assertions) {
            assert!(frame.source.unwrap().file.ends_with("stacks_tests.rs"));
        }
    }
}

/// As Fedora does it: the functions that a stripped file does not export, packed into one of its sections.
#[test]
fn symbols_in_gnu_debugdata_are_found() {
    let mut packed = false;
    let copy = Copy::start("debugdata", |file| {
        let path = file.to_str().unwrap();
        let debug = format!("{path}.debug");
        // Without DWARF, and so without the sections' contents, as find-debuginfo makes it.
        packed = ran("objcopy", &["--strip-debug", path, &debug]) && ran("strip", &["--only-keep-debug", &debug]);
        if packed {
            let mut xz = Vec::new();
            lzma_rs::xz_compress(&mut &*fs::read(&debug).unwrap(), &mut xz).unwrap();
            fs::write(&debug, xz).unwrap();
            packed =
                ran("strip", &[path]) && ran("objcopy", &["--add-section", &format!(".gnu_debugdata={debug}"), path]);
        }
    });
    if packed {
        let frame = one(&mut Symbolizer::new(Options::default()), copy.tgid(), copy.known);
        assert_eq!(symbol(&frame).1, "spoor::symbolize::stacks::tests::known");
    }
}

/// The child has a heap, of which a perf map says that there is code; it ends before it is asked.
#[test]
fn jitted_code_has_the_names_of_the_perf_map() {
    let mut symbolizer = Symbolizer::new(Options::default());
    let mut copy = Copy::start("jit", |_| {});
    symbolizer.remember(copy.tgid());
    assert_eq!(one(&mut symbolizer, copy.tgid(), copy.heap).place, Place::Address { why: Unknown::NotCode });
    let path = PathBuf::from(format!("/tmp/perf-{}.map", copy.tgid()));
    let mut map = fs::File::create(&path).unwrap();
    writeln!(map, "{:x} 40 function first /app.js:1", copy.heap - 8).unwrap();
    symbolizer.remember(copy.tgid());
    writeln!(map, "nonsense\n{:x} 10 function second /app.js:2", copy.heap).unwrap();
    fs::remove_file(&path).unwrap();
    copy.end();
    let frame = one(&mut symbolizer, copy.tgid(), copy.heap + 4);
    assert_eq!(symbol(&frame), ("[jit]", "function second /app.js:2", 4));
    let frame = one(&mut symbolizer, copy.tgid(), copy.heap - 4);
    assert_eq!(symbol(&frame), ("[jit]", "function first /app.js:1", 4));
}

/// More files than there is room for: the oldest is closed, and opened again while its process lives.
#[test]
fn a_file_that_made_room_is_opened_again() {
    let mut symbolizer = Symbolizer::new(Options::default());
    symbolizer.files = Files::new(1);
    let mut copy = Copy::start("room", |_| {});
    let own = libc::malloc as *const () as u64;
    for round in 1..4 {
        let frame = one(&mut symbolizer, copy.tgid(), copy.known - 1 + round);
        assert_eq!(symbol(&frame).1, "spoor::symbolize::stacks::tests::known");
        assert_eq!(symbol(&one(&mut symbolizer, me(), own + round)).1, "malloc");
    }
    fs::remove_dir_all(&copy.folder).unwrap();
    copy.end();
    // The name that was found is kept, another one cannot be found any more.
    assert_eq!(symbol(&one(&mut symbolizer, copy.tgid(), copy.known)).2, 0);
    let frame = one(&mut symbolizer, copy.tgid(), copy.known + 5);
    assert!(matches!(frame.place, Place::Offset { why: Unknown::NoFile, .. }), "{frame:x?}");
}

#[cfg(debug_assertions)]
#[test]
fn lines_and_inlined_functions_come_from_dwarf() {
    let addresses: Vec<u64> = (known_address()..known_address() + 160).collect();
    let frames = Symbolizer::new(Options { inlines: true, lines: true }).user(me(), &addresses, true);
    let source = frames[0].source.as_ref().expect("a debug build has lines");
    assert!(source.file.ends_with("symbolize/stacks_tests.rs") && source.line.is_some(), "{source:?}");
    let is_within = |frame: &&Frame| frame.inlined.last().is_some_and(|last| last.name.ends_with("within"));
    let frame = frames.iter().find(is_within).expect("`within` is inlined");
    assert_eq!(symbol(frame).1, "spoor::symbolize::stacks::tests::known");
    let plain = Symbolizer::new(Options::default()).user(me(), &addresses, true);
    assert!(plain.iter().all(|frame| frame.source.is_none() && frame.inlined.is_empty()));
}

/// 18,000 places of librustc_driver, of which 10,000 have names (a third is what BOLT left behind), in a compiler that
/// waits for its source. Prints time and memory; release only.
#[test]
#[ignore = "a measurement: cargo test --release -p spoor --lib measure_ -- --ignored --nocapture"]
fn measure_ten_thousand_names_in_a_large_library() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let rustc = Path::new(String::from_utf8(sysroot).unwrap().trim()).join("bin/rustc");
    let mut process = Command::new(rustc).arg("-").stdin(Stdio::piped()).spawn().unwrap();
    let tgid = process.id();
    let code = loop {
        let maps = crate::symbolize::maps::parse(&fs::read_to_string(format!("/proc/{tgid}/maps")).unwrap());
        let is_code = |mapping: &Mapping| mapping.module().starts_with("librustc_driver");
        let code: Vec<_> = maps.into_iter().filter(is_code).collect();
        if code.len() > 1 {
            break code;
        }
    };
    let anonymous_kib = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let bytes: u64 = code.iter().map(|mapping| mapping.end - mapping.start).sum();
    let step = (bytes / 18_000) as usize;
    let addresses: Vec<u64> = code.iter().flat_map(|mapping| (mapping.start..mapping.end).step_by(step)).collect();
    // On a busy machine the time that passed is not the time that it took.
    let cpu = || {
        let ran = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        std::time::Duration::from_nanos(ran.split(' ').next().unwrap().parse().unwrap())
    };
    let (before, cpu_before) = (anonymous_kib(), cpu());
    let mut symbolizer = Symbolizer::new(Options::default());
    let start = Instant::now();
    symbolizer.remember(tgid);
    let remembered = start.elapsed();
    let frames = symbolizer.user(tgid, &addresses, true);
    let (took, cpu) = (start.elapsed(), cpu() - cpu_before);
    let anonymous = anonymous_kib() - before;
    let named = frames.iter().filter(|frame| matches!(frame.place, Place::Symbol { .. })).count();
    let again = Instant::now();
    symbolizer.user(tgid, &addresses, true);
    let again = again.elapsed();
    println!(
        "{named} of {} named in {took:?}, {cpu:?} of CPU (remember {remembered:?}), {anonymous} KiB; again in {again:?}",
        addresses.len()
    );
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(named > 10_000);
}
