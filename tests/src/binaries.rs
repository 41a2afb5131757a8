//! Where the programs are: the environment says, or /bin in a virtual machine, or cargo's folders.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::vm;

/// `SPOOR_BIN`, else the release build beside the test's own, which cargo brings up to date first.
pub fn spoor() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| named("SPOOR_BIN", "/bin/spoor").unwrap_or_else(build_spoor))
}

/// `WORKLOAD_BIN`, else the one that cargo built for this test.
pub fn workload() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        named("WORKLOAD_BIN", "/bin/workload").unwrap_or_else(|| {
            let path = target_folder().join(debug_or_release()).join("workload");
            assert!(path.exists(), "{} is missing: cargo build -p spoor-tests --bin workload", path.display());
            path
        })
    })
}

/// `TRACEE_BIN`, else the one that this package's build script made: linked dynamically, to [`tracee_library`].
pub fn tracee() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| named("TRACEE_BIN", "/bin/tracee").unwrap_or_else(|| Path::new(env!("OUT_DIR")).join("tracee")))
}

/// `RSYSLOG_TREE`, else where `cargo xtask test` unpacked Debian's rsyslogd to: the folder of its `usr`. None: it did not.
pub fn rsyslog() -> Option<PathBuf> {
    let folder = named("RSYSLOG_TREE", "/rsyslog").unwrap_or_else(|| target_folder().join("vm/rsyslog"));
    folder.exists().then_some(folder)
}

/// Beside the program that is linked to it.
pub fn tracee_library() -> PathBuf {
    tracee().with_file_name("libtracee.so")
}

fn named(variable: &str, in_vm: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None if vm::is_init() => Some(PathBuf::from(in_vm)),
        None => None,
    }
}

/// Tests are TARGET/[TRIPLE/]debug/deps/NAME-HASH, the bench is TARGET/[TRIPLE/]release/bench.
fn test_folder() -> PathBuf {
    let test = std::env::current_exe().expect("/proc is mounted");
    let folder = test.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a folder").to_owned()
    } else {
        folder.to_owned()
    }
}

fn debug_or_release() -> String {
    test_folder().file_name().expect("has a name").to_string_lossy().into_owned()
}

fn target_folder() -> PathBuf {
    test_folder().parent().expect("debug is in a target folder").to_owned()
}

/// Cargo is quick where nothing changed, and a stale binary would make every test lie.
fn build_spoor() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace");
    let target = target_folder();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "spoor", "--target-dir"])
        .arg(&target)
        .current_dir(workspace)
        .status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "cargo build of spoor: {status:?}; or set SPOOR_BIN");
    target.join("release/spoor")
}
