//! `cargo xtask ebpf`: sources of the kernel side in, userspace/objects/*.bpf.o and their digest out.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::advice::Advise;
use crate::files::{read, remove, write};
use crate::shell::{self, cargo};
use crate::{digest, paths, rustc, toolchain};

const TARGET: &str = "bpfel-unknown-none";

#[derive(clap::Args)]
pub struct Args {
    /// Build from scratch and compare byte for byte with the committed objects
    #[arg(long, conflicts_with = "debug_log")]
    check: bool,
    /// Build with kernel-side log messages, into target/ebpf/debug
    #[arg(long)]
    debug_log: bool,
}

/// One built object and the place it belongs.
struct Object {
    built: PathBuf,
    name: String,
}

pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let linker = toolchain::bpf_linker()?;
    toolchain::rust_src()?;
    let target = match (args.check, args.debug_log) {
        (true, _) => "ebpf/check",
        (_, true) => "ebpf/build-log",
        _ => "ebpf/build",
    };
    if args.check {
        remove(&paths::target(target))?;
    }
    let objects = build(target, &linker, args.debug_log)?;
    let sources = digest::of_sources(&paths::root().join("probes-ebpf")).context("digest sources")?;
    let committed = paths::root().join("userspace/objects");
    if args.check {
        compare(&objects, &sources, &committed)?;
    } else if args.debug_log {
        install(&objects, None, &paths::target("ebpf/debug"))?;
    } else {
        install(&objects, Some(&sources), &committed)?;
    }
    // After the objects are there, so that one can load and try what clippy does not like yet.
    lint()?;
    eprintln!("{} objects in {:.1} s", objects.len(), started.elapsed().as_secs_f32());
    Ok(())
}

/// Clippy checks the kernel side for the host, where it needs neither nightly nor build-std.
fn lint() -> Result<()> {
    shell::run(
        // Release, since that profile aborts on panic; no_std programs cannot unwind.
        cargo("ebpf/lint", ["clippy", "--quiet", "--package", "probes-ebpf", "--release"]).args([
            "--all-features",
            "--",
            "-D",
            "warnings",
        ]),
    )
    .context("lint probes-ebpf")
}

/// Builds every program; gives the objects in the order of their names.
fn build(target: &str, linker: &Path, debug_log: bool) -> Result<Vec<Object>> {
    let mut command = cargo(target, ["+nightly", "build", "--package", "probes-ebpf", "--bins"]);
    command.args(["--locked", "--target", TARGET, "--profile", "bpf", "-Z", "build-std=core"]);
    // No debuginfo: it is only good for BTF, which the loader would have to take out again
    // (DESIGN.md, `.BTF.ext`), and it holds paths. bpf-linker does the LTO.
    for setting in ["inherits='release'", "debug=0", "package.probes-ebpf.debug=0", "lto='off'"] {
        command.args(["--config", &format!("profile.bpf.{setting}")]);
    }
    if debug_log {
        command.args(["--features", "log"]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", remap()?);
    command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);
    command.env("RUSTC_WRAPPER", env::current_exe().context("find xtask")?);
    command.env(rustc::AS_WRAPPER, "1");
    shell::run(&mut command).context("build probes-ebpf")?;

    let built = paths::target(target).join(TARGET).join("bpf");
    let mut objects = Vec::new();
    let bins = paths::root().join("probes-ebpf/src/bin");
    for entry in fs::read_dir(&bins).with_context(|| format!("read `{}`", bins.display()))? {
        let source = PathBuf::from(entry?.file_name());
        let stem = source.with_extension("");
        let name = format!("{}.bpf.o", stem.display());
        objects.push(Object { built: built.join(stem), name });
    }
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(objects)
}

/// Flags that take this machine's folders out of the objects (they are in panic locations).
fn remap() -> Result<OsString> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = OsString::new();
    for (from, to) in [(Some(paths::root()), "spoor"), (cargo_home, "cargo"), (Some(toolchain::sysroot()?), "rust")] {
        let Some(from) = from else { continue };
        if !flags.is_empty() {
            flags.push("\x1f"); // CARGO_ENCODED_RUSTFLAGS separates with it: paths may hold blanks
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    Ok(flags)
}

/// Copies the objects to `folder` and removes those that have no source any more.
fn install(objects: &[Object], sources: Option<&str>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    for stale in stale(objects, folder)? {
        remove(&folder.join(stale))?;
    }
    for object in objects {
        let bytes = read(&object.built)?;
        write(&folder.join(&object.name), &bytes)?;
        println!("{:>8} B  {}", bytes.len(), folder.join(&object.name).display());
    }
    // Last: a build that stops half-way leaves a digest that does not match.
    sources.map_or(Ok(()), |digest| write(&folder.join("DIGEST"), format!("{digest}\n").as_bytes()))
}

/// Says every difference between what was built and what is committed.
fn compare(objects: &[Object], sources: &str, folder: &Path) -> Result<()> {
    let mut differences = Vec::new();
    for object in objects {
        let (built, committed) = (read(&object.built)?, fs::read(folder.join(&object.name)));
        match committed {
            Ok(committed) if committed == built => println!("same  {}", object.name),
            Ok(committed) => differences.push(format!(
                "`{}`: committed {} B, built {} B, first different byte {}",
                object.name,
                committed.len(),
                built.len(),
                committed.iter().zip(&built).take_while(|(a, b)| a == b).count()
            )),
            Err(error) => differences.push(format!("`{}`: {error}", object.name)),
        }
    }
    for stale in stale(objects, folder)? {
        differences.push(format!("`{stale}`: has no source"));
    }
    match fs::read_to_string(folder.join("DIGEST")) {
        Ok(digest) if digest.trim() == sources => println!("same  DIGEST"),
        Ok(digest) => differences.push(format!("`DIGEST`: {} for {sources}", digest.trim())),
        Err(error) => differences.push(format!("`DIGEST`: {error}")),
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(anyhow!("the committed objects are not what the sources give: {}", differences.join("; ")))
        .advise("cargo xtask ebpf, and commit userspace/objects")
}

/// Objects in `folder` that were not built now.
fn stale(objects: &[Object], folder: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".bpf.o") && objects.iter().all(|object| object.name != name) {
            stale.push(name);
        }
    }
    Ok(stale)
}
