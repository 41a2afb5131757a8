//! Builds the tracee (tests/tracee): C sources in; libtracee.so, the dynamic program `tracee` and the archive that the
//! static workload has the same code from, out. By `cc`, which links Rust programs too: it is there where this runs.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is traced; the same code in the library and in the workload.
const TRACED: [&str; 4] = ["functions.c", "names.c", LINES, "usdt.S"];
/// Its lines are traced: it has debug information, and what each of them does stays where it is.
const LINES: &str = "lines.c";
/// Who calls it.
const CALLERS: [&str; 3] = ["protocol.c", "calls.c", "ends.c"];

fn main() {
    let sources = Path::new("tracee");
    println!("cargo::rerun-if-changed={}", sources.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let compiled = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|name| object(sources, &out, name)).collect() };
    let (traced, callers, main) = (compiled(&TRACED), compiled(&CALLERS), compiled(&["main.c"]));

    // Calls inside the library stay inside, and nothing is bound late: every call is one call.
    run(Command::new("cc")
        .current_dir(&out)
        .args(["-shared", "-o", "libtracee.so", "-Wl,-soname,libtracee.so"])
        .args(["-Wl,-Bsymbolic-functions", "-Wl,-z,now"])
        .args(&traced));
    run(Command::new("cc")
        .current_dir(&out)
        .args(["-pie", "-pthread", "-o", "tracee"])
        .args(&main)
        .args(&callers)
        // Not RUNPATH: cargo has our folder in the LD_LIBRARY_PATH of tests, which comes before that one.
        .args(["-L.", "-ltracee", "-Wl,-rpath,$ORIGIN", "-Wl,--disable-new-dtags", "-Wl,-z,now"]));

    // `ar` adds to an archive that is there.
    let _ = std::fs::remove_file(out.join("libtracee_static.a"));
    run(Command::new("ar").current_dir(&out).args(["crs", "libtracee_static.a"]).args(&callers).args(&traced));
    // The library itself names it: see workload/tracee.rs.
    println!("cargo::rustc-link-search=native={}", out.display());
}

fn object(sources: &Path, out: &Path, name: &str) -> PathBuf {
    let object = out.join(name).with_extension("o");
    // One level of optimization in every build: a tail call is a jump, and no function is copied.
    let level: &[&str] = if name == LINES { &["-O0", "-g"] } else { &["-O2"] };
    run(Command::new("cc")
        .args(level)
        .args(["-std=gnu11", "-fPIC", "-Wall", "-Wextra", "-pthread", "-c"])
        .arg(sources.join(name))
        .arg("-o")
        .arg(&object));
    object
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}");
}
