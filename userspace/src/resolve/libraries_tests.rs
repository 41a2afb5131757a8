//! What short names mean without a process.
use std::path::{Path, PathBuf};

use super::libraries::Whom;
use super::module::Module;
use super::testing::{Folder, Waiting};

fn named(whom: &Whom, text: &str) -> Vec<Module> {
    let targets = whom.targets().unwrap();
    targets[0].named(text).unwrap()
}

#[test]
fn libc_is_found_in_the_cache_and_is_the_one_that_runs() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let found = named(&Whom::Nobody, "libc");
    let paths: Vec<String> = found.iter().map(|module| module.path.display().to_string()).collect();
    assert!(paths.iter().any(|path| maps.contains(path.as_str())), "{paths:?}");
}

#[test]
fn a_program_is_found_where_commands_are() {
    let found = named(&Whom::Nobody, "sh");
    assert_eq!(found[0].file, Path::new("/bin/sh").canonicalize().unwrap());
    assert_eq!(found.len(), 1);
}

/// `program` needs `one/libone.so`, which needs `libtwo.so` of the folder above: each is found by its own RUNPATH.
#[test]
fn a_command_has_the_libraries_that_it_will_load_in_their_order() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("one")).unwrap();
    let two = folder.compile("libtwo.so", "int two(void) { return 2; }", &["-shared", "-fPIC"]);
    let one = folder.compile(
        "one/libone.so",
        "int two(void); int one(void) { return two() - 1; }",
        &["-shared", "-fPIC", "-Wl,-rpath,${ORIGIN}/..", "-L", folder.0.to_str().unwrap(), "-ltwo"],
    );
    let source = "#include <stdio.h>\nint one(void); int main(void) { printf(\"%d\\n\", one()); fflush(stdout); return getchar(); }";
    let options = [
        "-Wl,-rpath,$ORIGIN/one",
        "-L",
        folder.0.join("one").to_str().unwrap(),
        "-lone",
        "-Wl,-rpath-link",
        folder.0.to_str().unwrap(),
    ]
    .map(str::to_owned);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let program = folder.compile("program", source, &options);
    let files = |whom: &Whom| -> Vec<PathBuf> {
        whom.targets().unwrap()[0].modules.iter().map(|module| module.file.clone()).collect()
    };
    let process = Waiting::start(&program);
    assert_eq!(process.said, "1");
    let running = files(&Whom::Processes(vec![process.pid()]));
    assert_eq!(running[..2], [program.clone(), one]);
    assert!(running.contains(&two));
    assert_eq!(files(&Whom::Command(program.clone())), running);
    // A script's program is what runs it.
    let script = folder.path("script");
    std::fs::write(&script, format!("#! {} -x\n", program.display())).unwrap();
    assert_eq!(files(&Whom::Command(script)), running);
    std::fs::write(folder.path("text"), "no program\n").unwrap();
    assert!(Whom::Command(folder.path("text")).targets().unwrap_err().to_string().ends_with("no ELF file"));
}
