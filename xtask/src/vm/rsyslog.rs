//! The syslog daemon that the kernel tests trace: nothing in, Debian's rsyslogd as plain files out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{libraries, unpacked};
use crate::shell::{cmd, output};

const NAME: &str = "rsyslog";
const PROGRAM: &str = "usr/sbin/rsyslogd";
/// What it loads by itself to read UDP: the input, and its helpers for the network.
const MODULES: [&str; 2] = ["imudp.so", "lmnet.so"];

pub struct Rsyslog {
    folder: PathBuf,
}

impl Rsyslog {
    /// Debian's, unpacked into target/vm/rsyslog, also where the machine has one: that may be set up in any way.
    pub fn fetch() -> Result<Self> {
        if let Ok(kept) = Self::usable() {
            return Ok(kept);
        }
        eprintln!("fetching rsyslogd");
        unpacked::codename().and_then(|own| unpacked::fetch(NAME, "rsyslog", &own)).context("fetch rsyslogd")?;
        Self::usable()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a guest needs of it, with the paths there, below `to`.
    pub fn files(&self, to: &str) -> Result<Vec<(String, PathBuf)>> {
        let modules = MODULES.map(|module| format!("usr/lib/x86_64-linux-gnu/rsyslog/{module}"));
        let mut files = Vec::new();
        for own in [PROGRAM.to_owned()].into_iter().chain(modules) {
            let path = self.folder.join(&own);
            files.extend(libraries(&path, &self.folder, to)?);
            files.push((format!("{to}/{own}"), path));
        }
        Ok(files)
    }

    fn usable() -> Result<Self> {
        let folder = unpacked::folder(NAME);
        let mut command = cmd(&folder.join(PROGRAM).to_string_lossy(), [""; 0]);
        output(command.arg("-v").env("LD_LIBRARY_PATH", unpacked::library_path(&folder)))?;
        Ok(Self { folder })
    }
}
