//! The emulator: this machine in, a QEMU that boots every kernel of ours out.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::unpacked;
use crate::shell::{cmd, output};

const NAME: &str = "qemu";
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
        let kept = unpacked::folder(NAME);
        for unpacked in [None, kept.exists().then(|| kept.clone())] {
            if let Ok(qemu) = Self::usable(unpacked) {
                return Ok(qemu);
            }
        }
        eprintln!("fetching QEMU");
        download().context("fetch QEMU")?;
        Self::usable(Some(kept))
    }

    pub fn command(&self) -> Command {
        let Some(root) = &self.unpacked else {
            return cmd(PROGRAM, [""; 0]);
        };
        let mut command = cmd(&root.join("usr/bin").join(PROGRAM).to_string_lossy(), [""; 0]);
        command.env("LD_LIBRARY_PATH", unpacked::library_path(root));
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

fn download() -> Result<()> {
    let own = unpacked::codename()?;
    // bookworm's own is too old, see `MAJOR`.
    let from = if own == "bookworm" { "bookworm-backports" } else { &own };
    unpacked::fetch(NAME, "qemu-system-x86", from)
}
