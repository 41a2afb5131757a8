//! What building for BPF needs: a bare machine in, nightly's rust-src and bpf-linker out.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::advice::Advise;
use crate::shell::{self, cmd, output};
use crate::{paths, toolchain};

// 0.10 loads rustc's own libLLVM, so that reader and producer of the bitcode are the same; later
// ones want an LLVM of the system. Goes on when nightly moves to LLVM 23 (bpf-linker issue 387).
const BPF_LINKER: &str = "0.10.4";

/// The bpf-linker of our version: the one in PATH, else ours in target/tools, else installed there.
pub fn bpf_linker() -> Result<PathBuf> {
    let tools = paths::target("tools");
    let ours = tools.join("bin/bpf-linker");
    for candidate in [PathBuf::from("bpf-linker"), ours.clone()] {
        let version = output(cmd(&candidate.to_string_lossy(), ["--version"]).env("LC_ALL", "C"));
        if version.is_ok_and(|said| said.split_whitespace().nth(1) == Some(BPF_LINKER)) {
            return Ok(candidate);
        }
    }
    eprintln!("installing bpf-linker {BPF_LINKER} (about 80 s)");
    let version = format!("={BPF_LINKER}");
    // Not into ~/.cargo: somebody may need another version there.
    shell::run(shell::cargo("tools/build", ["install", "bpf-linker", "--locked"]).args([
        "--version".as_ref(),
        version.as_ref(),
        "--root".as_ref(),
        tools.as_os_str(),
    ]))
    .context("install bpf-linker")
    .advise(format!("cargo install bpf-linker --version ={BPF_LINKER} --locked"))?;
    Ok(ours)
}

/// The folder of the nightly toolchain.
pub fn sysroot() -> Result<PathBuf> {
    let sysroot = output(cmd("rustc", ["+nightly", "--print", "sysroot"]).env_remove("RUSTC"))
        .context("find the nightly toolchain")
        .advise("rustup toolchain install nightly --profile minimal")?;
    Ok(sysroot.into())
}

/// Sees to it that the sources of `core` are there: by rustup, else from `SPOOR_RUST_LIBRARY`.
pub fn rust_src() -> Result<()> {
    let library = toolchain::sysroot()?.join("lib/rustlib/src/rust/library");
    if library.join("core/src/lib.rs").exists() {
        return Ok(());
    }
    eprintln!("installing rust-src for nightly");
    let by_rustup = output(&mut cmd("rustup", ["component", "add", "rust-src", "--toolchain", "nightly"]));
    let Err(why) = by_rustup else { return Ok(()) };
    let Some(tarball) = env::var_os("SPOOR_RUST_LIBRARY") else {
        return Err(why.context("install rust-src: SPOOR_RUST_LIBRARY is not set, and rustup failed"))
            .advise("SPOOR_RUST_LIBRARY=rust-library.tar.xz, the `library/` tree of rust-src");
    };
    eprintln!("{why:#}; unpacking {}", tarball.display());
    fs::create_dir_all(&library).with_context(|| format!("make `{}`", library.display()))?;
    let unpacked = output(cmd("tar", ["-xf"]).arg(&tarball).arg("-C").arg(&library).arg("--no-same-owner"));
    if unpacked.is_err() {
        // Half a tree would count as installed the next time.
        let _ = fs::remove_dir_all(&library);
    }
    unpacked
        .map(drop)
        .with_context(|| format!("unpack SPOOR_RUST_LIBRARY=`{}`", tarball.display()))
        .advise("give the path of the `library/` tree of rust-src as .tar.xz")
}
