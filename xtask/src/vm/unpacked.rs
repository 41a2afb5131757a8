//! Debian packages as plain files: a package in, a folder in target with it and what the machine lacks for it out.
//! Unpacks rather than installs: needs no root, and leaves the machine's packages as they are.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::{Apt, Installed};
use crate::shell::{cmd, output};
use crate::{files, paths};

/// Where [`fetch`] leaves `name`.
pub fn folder(name: &str) -> PathBuf {
    paths::target("vm").join(name)
}

/// Makes [`folder`] from `package` of the suite `from`; what it needs may come from the machine's own suite, too.
pub fn fetch(name: &str, package: &str, from: &str) -> Result<()> {
    let (kept, work) = (folder(name), folder("fetch").join(name));
    files::remove(&work)?;
    let own = codename()?;
    let mut suites = vec![own.clone(), format!("{own}-security")];
    if from != own {
        suites.push(from.to_owned());
    }
    let apt = Apt::new(work.join("apt"), &suites, Installed::OfThisMachine)?;
    let tree = work.join("tree");
    files::make_folder(&tree)?;
    for deb in apt.download_with_needs(package, from)? {
        output(cmd("dpkg-deb", ["-x"]).arg(deb).arg(&tree))?;
    }
    files::remove(&kept)?;
    // Last and in one step: a folder that exists is complete.
    fs::rename(&tree, &kept).with_context(|| format!("make `{}`", kept.display()))?;
    files::remove(&work)
}

/// `LD_LIBRARY_PATH` for the programs in a folder.
pub fn library_path(folder: &Path) -> OsString {
    let libraries = ["usr/lib", "lib"].map(|lib| folder.join(lib).join("x86_64-linux-gnu"));
    env::join_paths(libraries).expect("no `:` in target")
}

/// The machine's own suite.
pub fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("read `/etc/os-release`")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(str::to_owned).context("`/etc/os-release` has no VERSION_CODENAME")
}
