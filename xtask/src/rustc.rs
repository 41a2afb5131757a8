//! Stands between cargo and rustc while the kernel side is built: cargo's arguments in, rustc run.
//!
//! Cargo's `-C metadata` is a hash over, among others, the folder of rust-src, and rustc puts it
//! into every mangled name: the same code would give other bytes on another machine.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Set for the cargo that builds the kernel side, which is told that we are its rustc wrapper.
pub const AS_WRAPPER: &str = "SPOOR_XTASK_AS_RUSTC_WRAPPER";

/// Becomes rustc where cargo called us as its wrapper; else gives `None`.
pub fn wrap() -> Option<ExitCode> {
    env::var_os(AS_WRAPPER)?;
    let mut args = env::args_os().skip(1);
    let rustc = args.next()?;
    let error = Command::new(&rustc).args(steady_metadata(args.collect())).exec();
    eprintln!("error: start `{}`: {error}", rustc.display());
    Some(ExitCode::FAILURE)
}

/// Takes out `-C metadata=HASH` where the target is BPF: the names of these few crates differ, and
/// that is enough for rustc. Host crates keep theirs (there are two versions of syn).
fn steady_metadata(args: Vec<OsString>) -> Vec<OsString> {
    if !args.iter().any(|arg| arg == "bpfel-unknown-none") {
        return args;
    }
    let mut kept: Vec<OsString> = Vec::new();
    for arg in args {
        if arg.to_str().is_some_and(|arg| arg.starts_with("metadata=")) {
            kept.pop_if(|before| before == "-C");
        } else {
            kept.push(arg);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(line: &str) -> String {
        let args = steady_metadata(line.split(' ').map(OsString::from).collect());
        args.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn metadata_goes_for_bpf_and_stays_for_the_host() {
        assert_eq!(
            steady("--crate-name core -C metadata=1f -C extra-filename=-1f --target bpfel-unknown-none"),
            "--crate-name core -C extra-filename=-1f --target bpfel-unknown-none"
        );
        let host = "--crate-name syn -C metadata=1f -C extra-filename=-1f";
        assert_eq!(steady(host), host);
    }
}
