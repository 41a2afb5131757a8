//! Patterns against processes and commands that the test has made.
use std::path::{Path, PathBuf};
use std::process::Command;

use super::testing::{Folder, Waiting};
use super::{Pattern, Place, Point, Resolved, Whom, resolve};
use crate::error::Advice;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

fn of(texts: &[&str], whom: &Whom) -> Resolved {
    resolve(&patterns(texts), whom).unwrap_or_else(|error| panic!("{texts:?}: {error:#}"))
}

/// What is wrong, and what to do.
fn error(text: &str, whom: &Whom) -> (String, String) {
    let error = resolve(&patterns(&[text]), whom).unwrap_err();
    let advice = error.downcast_ref::<Advice>().expect("advice").advice().to_owned();
    (error.to_string(), advice)
}

fn functions(resolved: &Resolved) -> Vec<(&str, &str)> {
    resolved.points.iter().map(|point| (&*point.module, point.function.as_str())).collect()
}

fn file(point: &Point) -> (&Path, u64, bool) {
    match &point.place {
        Place::User { file, offset, is_entry, .. } => (file, *offset, *is_entry),
        other => panic!("{other:?}"),
    }
}

const LIBRARY: &str = "int twice(int a) { return a + a; } int thrice(int a) { return 3 * a; }";
const PROGRAM: &str = "
    #include <stdio.h>
    int twice(int);
    int own(int a) { return twice(a); }
    int main(void) { printf(\"%d\\n\", own(21)); fflush(stdout); return getchar(); }
";

/// `program` with `libtwice.so.1`, which it finds beside itself.
fn made(folder: &Folder) -> (PathBuf, PathBuf) {
    let library = folder.compile("libtwice.so.1", LIBRARY, &["-shared", "-fPIC", "-Wl,-soname,libtwice.so.1"]);
    let options = ["-Wl,-rpath,$ORIGIN", library.to_str().unwrap()];
    (folder.compile("program", PROGRAM, &options), library)
}

#[test]
fn a_bare_name_is_taken_from_the_executable_then_from_its_libraries() {
    let folder = Folder::new();
    let (program, library) = made(&folder);
    let process = Waiting::start(&program);
    assert_eq!(process.said, "42");
    for (whom, whose) in [
        (Whom::Processes(vec![process.pid()]), format!("process {}", process.pid())),
        (Whom::Command(program.clone()), format!("`{}`", program.display())),
    ] {
        let found = of(&["own", "twice", "t*ice", "twice"], &whom);
        assert_eq!(functions(&found), [("program", "own"), ("libtwice.so.1", "twice"), ("libtwice.so.1", "thrice")]);
        assert_eq!(file(&found.points[0]).0, program);
        assert_eq!(file(&found.points[1]).0, library);
        assert_eq!(
            found.notes,
            [
                format!("own: taken from program of {whose}"),
                format!("twice: taken from libtwice.so.1 of {whose}"),
                format!("t*ice: taken from libtwice.so.1 of {whose}")
            ]
        );
    }
}

#[test]
fn a_preloaded_library_goes_before_those_that_the_program_needs() {
    let folder = Folder::new();
    let (program, _) = made(&folder);
    let preloaded = folder.compile("libother.so", "int twice(int a) { return 7; }", &["-shared", "-fPIC"]);
    let process = Waiting::of(Command::new(&program).env("LD_PRELOAD", &preloaded));
    assert_eq!(process.said, "7");
    let found = of(&["twice"], &Whom::Processes(vec![process.pid()]));
    assert_eq!(functions(&found), [("libother.so", "twice")]);
}

#[test]
fn short_names_and_paths_mean_what_the_process_has_mapped() {
    let folder = Folder::new();
    let (program, library) = made(&folder);
    let process = Waiting::start(&program);
    let whom = Whom::Processes(vec![process.pid()]);
    let path = format!("{}:twice", library.display());
    let before = of(&["libtwice:twice"], &whom);
    for pattern in ["libtwice.so.1:twice", "libtw*:twice", path.as_str()] {
        assert_eq!(of(&[pattern], &whom), before, "{pattern}");
    }
    // Another file has the path by now: the process goes on with the old one.
    std::fs::remove_file(&library).unwrap();
    folder.compile(
        "libtwice.so.1",
        "int pad(void) { return 1; } int twice(int a) { return 2; }",
        &["-shared", "-fPIC"],
    );
    for pattern in ["libtwice:twice", path.as_str()] {
        let found = resolve(&patterns(&[pattern]), &whom);
        // The link to a file without a name is for CAP_CHECKPOINT_RESTORE.
        if std::fs::read_dir(format!("/proc/{}/map_files", process.pid())).is_err() {
            continue;
        }
        let found = found.unwrap();
        let (path, offset, is_entry) = file(&found.points[0]);
        assert!(path.starts_with(format!("/proc/{}/map_files", process.pid())), "{}", path.display());
        assert_eq!((offset, is_entry), (file(&before.points[0]).1, true));
        assert_eq!(functions(&found), [("libtwice.so.1", "twice")]);
    }
}

/// In the mount namespace of the process the library and a tool are other files than here. Needs the right to have one.
#[test]
fn paths_are_those_of_the_mount_namespace_of_the_process() {
    let folder = Folder::new();
    let (program, library) = made(&folder);
    let other =
        folder.compile("other", "int pad(void) { return 1; } int twice(int a) { return 5; }", &["-shared", "-fPIC"]);
    let tool = folder.compile("tool", "int outside(void) { return 1; } int main(void) { return 0; }", &[]);
    let hidden = folder.compile("hidden", "int inside(void) { return 1; } int main(void) { return 0; }", &[]);
    let mounts = format!(
        "mount --bind {} {} && mount --bind {} {} && exec {}",
        other.display(),
        library.display(),
        hidden.display(),
        tool.display(),
        program.display()
    );
    let mut unshare = Command::new("unshare");
    // Without a user namespace where it is not needed: there are machines that forbid those.
    if !crate::sys::process::missing_capabilities().is_empty() {
        unshare.arg("--map-root-user");
    }
    let process = Waiting::of(unshare.args(["--mount", "sh", "-c", &mounts]));
    if process.said.is_empty() {
        return;
    }
    assert_eq!(process.said, "5");
    let whom = Whom::Processes(vec![process.pid()]);
    let root = format!("/proc/{}/root", process.pid());
    for (pattern, function) in
        [(format!("{}:pad", library.display()), "pad"), (format!("{}:inside", tool.display()), "inside")]
    {
        let found = of(&[&pattern], &whom);
        assert_eq!(found.points[0].function, function);
        assert!(file(&found.points[0]).0.starts_with(&root), "{found:?}");
        assert!(error(&pattern, &Whom::Nobody).0.starts_with(&format!("no function `{function}`")));
    }
    assert_eq!(functions(&of(&["pad", "libtwice:pad"], &whom)), [("libtwice.so.1", "pad")]);
}

#[test]
fn several_processes_of_one_program_have_its_places_once() {
    let folder = Folder::new();
    let (program, _) = made(&folder);
    let (one, two) = (Waiting::start(&program), Waiting::start(&program));
    let found = of(&["own", "libtwice:*ice"], &Whom::Processes(vec![one.pid(), two.pid()]));
    assert_eq!(functions(&found), [("program", "own"), ("libtwice.so.1", "twice"), ("libtwice.so.1", "thrice")]);
    assert_eq!(found.notes.len(), 2);
}

#[test]
fn an_offset_has_the_name_of_what_is_there() {
    let folder = Folder::new();
    let (program, _) = made(&folder);
    let own = of(&[&format!("{}:own", program.display())], &Whom::Nobody);
    let (_, offset, _) = file(&own.points[0]);
    let at = |offset: u64| of(&[&format!("{}:+{offset:#x}", program.display())], &Whom::Nobody);
    assert_eq!(at(offset), own);
    let inside = at(offset + 4);
    assert_eq!((inside.points[0].function.as_str(), file(&inside.points[0]).2), ("own+0x4", false));
    let (what, advice) = error(&format!("{}:+0x10", program.display()), &Whom::Nobody);
    assert!(what.ends_with("program`: no code at +0x10 in the file"), "{what}");
    assert!(advice.starts_with("its code is from +0x1000 to +0x"), "{advice}");
}

#[test]
fn an_offset_in_a_function_is_a_place_in_the_file() {
    let folder = Folder::new();
    let (program, _) = made(&folder);
    let process = Waiting::start(&program);
    let whom = Whom::Processes(vec![process.pid()]);
    let path = program.display();
    let own = of(&[&format!("{path}:own")], &Whom::Nobody);
    let (_, start, _) = file(&own.points[0]);
    let by_place = of(&[&format!("{path}:+{:#x}", start + 4)], &Whom::Nobody);
    assert_eq!(of(&[&format!("{path}:own+0x4")], &Whom::Nobody), by_place);
    assert_eq!(of(&[&format!("{path}:own+0")], &Whom::Nobody), own);
    // Which is the same place again.
    assert_eq!(of(&["program:own+4", "program:own+0x4", &format!("{path}:+{:#x}", start + 4)], &whom), by_place);
    let bare = of(&["own+4", "thrice+4"], &whom);
    assert_eq!(functions(&bare), [("program", "own+0x4"), ("libtwice.so.1", "thrice+0x4")]);
    assert!(bare.notes[1].starts_with("thrice: taken from libtwice.so.1 of process "), "{:?}", bare.notes);
}

#[test]
fn an_offset_outside_of_its_function_is_refused() {
    let folder = Folder::new();
    // `one` has two bytes, and `two` follows.
    let source = "__asm__(\".text\\n.type one, @function\\none: nop\\n ret\\n.size one, .-one\\n\"
        \".type two, @function\\ntwo: nop\\n ret\\n.size two, .-two\\n\");
        int main(void) { return 0; }";
    let program = folder.compile("program", source, &[]);
    let path = program.display();
    assert_eq!(of(&[&format!("{path}:one+1")], &Whom::Nobody).points[0].function, "one+0x1");
    let (what, advice) = error(&format!("{path}:one+2"), &Whom::Nobody);
    assert_eq!(what, "`one+0x2`: `one` ends before, at +0x2");
    assert_eq!(advice, "an offset below 0x2 where an instruction begins");
    let (what, advice) = error(&format!("{path}:onn+1"), &Whom::Nobody);
    assert_eq!((what.as_str(), advice.as_str()), ("no function `onn` in `program`", "`one`"));
}

#[test]
fn an_offset_in_one_of_several_functions_says_which_there_are() {
    let folder = Folder::new();
    let source = "namespace ns { struct store { int put(int); int put(char *); };
        int store::put(int a) { return a; } int store::put(char *a) { return *a; } }
        int main() { return 0; }";
    let program = folder.compile("cpp", source, &[]);
    let path = program.display();
    let (what, advice) = error(&format!("{path}:ns::store::put+1"), &Whom::Nobody);
    assert_eq!(what, format!("2 functions of {path} have the name `ns::store::put`: an offset is in one of them"));
    assert_eq!(advice, format!(r"`{path}:ns::store::put(int)+0x1`, `{path}:ns::store::put(char\*)+0x1`"));
    let one = of(&[&format!(r"{path}:ns::store::put(char\*)+1")], &Whom::Nobody);
    assert_eq!(one.points[0].function, "ns::store::put(char*)+0x1");
}

#[test]
fn a_stripped_program_says_what_to_do() {
    let folder = Folder::new();
    let program = folder.compile("bare", "int main(void) { return 0; }", &["-s"]);
    let (what, advice) = error(&format!("{}:mein", program.display()), &Whom::Nobody);
    assert_eq!(what, "no function `mein` in `bare`, which is stripped");
    assert_eq!(advice, format!("install its debug symbols, or give a place in it: `{}:+0xOFFSET`", program.display()));
}

#[test]
fn names_that_nothing_has_are_errors_with_the_nearest() {
    let folder = Folder::new();
    let (program, library) = made(&folder);
    let process = Waiting::start(&program);
    let whom = Whom::Processes(vec![process.pid()]);
    let (what, advice) = error("libtwice:twise", &whom);
    assert_eq!((what.as_str(), advice.as_str()), ("no function `twise` in `libtwice.so.1`", "`twice`"));
    let (what, advice) = error("libtwise:twice", &whom);
    assert_eq!(what, format!("process {} has no file `libtwise` mapped", process.pid()));
    assert!(advice.contains("libtwice.so.1") || advice.contains("program"), "{advice}");
    let (what, _) = error("no_such_function_at_all", &whom);
    assert!(what.starts_with("no function `no_such_function_at_all` in `program` and "), "{what}");
    let (what, advice) = error("no_such_function_at_all", &Whom::Nobody);
    assert_eq!(what, "no function `no_such_function_at_all` in the kernel");
    assert!(advice.contains("`libc:no_such_function_at_all`"), "{advice}");
    let (what, _) = error(&format!("{}x:f", library.display()), &Whom::Nobody);
    assert!(what.ends_with("no such file"), "{what}");
    assert_eq!(error("/etc/passwd:f", &Whom::Nobody).0, "`/etc/passwd` is no ELF file");
    assert_eq!(error("libnosuch:f", &Whom::Nobody).0, "no library and no program `libnosuch` is installed");
    assert_eq!(error("f", &Whom::Processes(vec![u32::MAX / 2])).0, "process 2147483647: no such process");
}
