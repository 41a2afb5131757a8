//! The emulator: this machine in, a QEMU that boots every kernel of ours out.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{Apt, Installed};
use crate::shell::{cmd, output};
use crate::{files, paths};

const PROGRAM: &str = "qemu-system-x86_64";

// The 7.2 of bookworm crashes the 6.12 guest in one boot of four; 10 never did.
const MAJOR: u32 = 10;

pub struct Qemu {
    /// The folder that Debian's packages are unpacked to; `None`: the machine's own QEMU.
    unpacked: Option<PathBuf>,
    pub version: String,
}

impl Qemu {
    /// The machine's, where it is new enough, else Debian's, unpacked into target/vm/qemu.
    pub fn find() -> Result<Self> {
        let kept = paths::target("vm/qemu");
        for unpacked in [None, kept.exists().then(|| kept.clone())] {
            if let Ok(qemu) = Self::usable(unpacked) {
                return Ok(qemu);
            }
        }
        eprintln!("fetching QEMU");
        download(&kept).context("fetch QEMU")?;
        Self::usable(Some(kept))
    }

    pub fn command(&self) -> Command {
        let Some(root) = &self.unpacked else {
            return cmd(PROGRAM, [""; 0]);
        };
        let mut command = cmd(&root.join("usr/bin").join(PROGRAM).to_string_lossy(), [""; 0]);
        let libraries = ["usr/lib", "lib"].map(|lib| root.join(lib).join("x86_64-linux-gnu"));
        command.env("LD_LIBRARY_PATH", env::join_paths(libraries).expect("no `:` in target"));
        for data in ["usr/share/seabios", "usr/share/qemu"] {
            command.arg("-L").arg(root.join(data));
        }
        command
    }

    fn usable(unpacked: Option<PathBuf>) -> Result<Self> {
        let mut qemu = Self { unpacked, version: String::new() };
        let said = output(qemu.command().arg("--version"))?;
        let version = said.split_whitespace().nth(3).unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < MAJOR) {
            bail!("QEMU {version} is older than {MAJOR}");
        }
        qemu.version = version.to_owned();
        Ok(qemu)
    }
}

/// Unpacks rather than installs: needs no root, and leaves the machine's packages as they are.
fn download(kept: &Path) -> Result<()> {
    let work = paths::target("vm/fetch/qemu");
    files::remove(&work)?;
    let own = codename()?;
    // bookworm's own is too old, see `MAJOR`.
    let from = if own == "bookworm" { "bookworm-backports".to_owned() } else { own.clone() };
    let suites = [own.clone(), format!("{own}-security"), from.clone()];
    let suites = if from == own { &suites[..2] } else { &suites[..] };
    let apt = Apt::new(work.join("apt"), suites, Installed::OfThisMachine)?;
    let tree = work.join("tree");
    files::make_folder(&tree)?;
    for deb in apt.download_with_needs("qemu-system-x86", &from)? {
        output(cmd("dpkg-deb", ["-x"]).arg(deb).arg(&tree))?;
    }
    files::remove(kept)?;
    fs::rename(&tree, kept).with_context(|| format!("make `{}`", kept.display()))?;
    files::remove(&work)
}

fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("read `/etc/os-release`")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(str::to_owned).context("`/etc/os-release` has no VERSION_CODENAME")
}
