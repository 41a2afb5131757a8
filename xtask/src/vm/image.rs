//! The kernel of a Debian suite: a row of `KERNELS` in, its vmlinuz, version and modules out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::{Apt, Installed};
use super::kernels::Kernel;
use super::modules;
use crate::shell::{cmd, output};
use crate::{files, paths};

#[derive(Clone)]
pub struct Image {
    pub vmlinuz: PathBuf,
    /// As `uname -r` has it.
    pub release: String,
    /// In the order in which they load.
    pub modules: Vec<PathBuf>,
}

const MODULES: &str = "modules";

impl Image {
    /// From the cache in target/vm, else by apt. Remove target/vm to have newer ones.
    pub fn fetch(kernel: &Kernel) -> Result<Self> {
        let kept = paths::target("vm/kernels").join(kernel.suite);
        let kept_modules = kept.join(MODULES);
        if modules::extracted(&kept_modules).is_none() {
            eprintln!("fetching kernel {} from Debian {}", kernel.name, kernel.suite);
            Self::download(kernel, &kept).with_context(|| format!("fetch the kernel of Debian {}", kernel.suite))?;
        }
        let modules = modules::extracted(&kept_modules).context("the kernel was fetched without its modules")?;
        let (vmlinuz, release) = find(&kept)?.with_context(|| format!("no kernel in `{}`", kept.display()))?;
        Ok(Self { vmlinuz, release, modules })
    }

    fn download(kernel: &Kernel, kept: &Path) -> Result<()> {
        let main = [kernel.suite.to_owned()];
        let with_updates = [kernel.suite.to_owned(), format!("{}-security", kernel.suite)];
        if !kernel.security {
            return Self::download_from(&main, kernel, kept);
        }
        Self::download_from(&with_updates, kernel, kept).or_else(|error| {
            // The security archive of a suite that is archived loses packages before its index.
            eprintln!("{error:#}; without updates then");
            Self::download_from(&main, kernel, kept)
        })
    }

    fn download_from(suites: &[String], kernel: &Kernel, kept: &Path) -> Result<()> {
        let work = paths::target("vm/fetch").join(kernel.suite);
        files::remove(&work)?;
        let apt = Apt::new(work.join("apt"), suites, Installed::Nothing)?;
        let packages = parts(&apt, "linux-image-cloud-amd64")?;
        let tree = work.join("tree");
        for deb in apt.download(&packages)? {
            output(cmd("dpkg-deb", ["-x"]).arg(deb).arg(&tree))?;
        }
        let (vmlinuz, release) = find(&tree)?.with_context(|| format!("no vmlinuz in {packages:?}"))?;
        let alone = work.join("alone");
        files::make_folder(&alone)?;
        fs::rename(&vmlinuz, alone.join(format!("vmlinuz-{release}")))?;
        modules::extract(&tree, &alone.join(MODULES)).context("take the modules")?;
        files::make_folder(kept.parent().expect("below target"))?;
        files::remove(kept)?;
        // Last and in one step: a folder that exists is complete.
        fs::rename(&alone, kept).with_context(|| format!("make `{}`", kept.display()))?;
        files::remove(&work)
    }
}

/// The parts that an empty package stands for: what it needs in exactly its own version.
fn parts(apt: &Apt, package: &str) -> Result<Vec<String>> {
    let mut parts = exact(&apt.field(package, "Depends")?);
    let mut seen = 0;
    while seen < parts.len() {
        // linux-base-* and linux-binary-* of sid depend on nothing.
        let depends = apt.field(&parts[seen], "Depends").unwrap_or_default();
        for part in exact(&depends) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        seen += 1;
    }
    Ok(parts)
}

/// The names in a `Depends` field that ask for one version exactly.
fn exact(depends: &str) -> Vec<String> {
    depends
        .split(',')
        .filter(|one| one.contains("(= "))
        .filter_map(|one| one.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// A vmlinuz somewhere below a folder, and its release.
fn find(folder: &Path) -> Result<Option<(PathBuf, String)>> {
    for entry in fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))? {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() {
            find(&entry.path())?
        } else {
            release_of(&entry.path()).map(|release| (entry.path(), release))
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// From /boot/vmlinuz-RELEASE, or /usr/lib/modules/RELEASE/vmlinuz, where packages have it
/// since 7.x; `None` for any other file.
fn release_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    if name == "vmlinuz" {
        return Some(path.parent()?.file_name()?.to_str()?.to_owned());
    }
    name.strip_prefix("vmlinuz-").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_takes_the_parts_of_a_package_and_not_its_tools() {
        let depends = "dracut | initramfs-tools (>= 0.120), linux-base-7.2 (= 7.2-1), kmod, \
                       linux-binary-7.2 (= 7.2-1)";
        assert_eq!(exact(depends), ["linux-base-7.2", "linux-binary-7.2"]);
    }

    #[test]
    fn release_is_in_the_name_of_the_file_or_of_its_folder() {
        let release = |path: &str| release_of(Path::new(path));
        assert_eq!(release("t/boot/vmlinuz-6.1.0-cloud"), Some("6.1.0-cloud".into()));
        assert_eq!(release("t/usr/lib/modules/7.2+deb14/vmlinuz"), Some("7.2+deb14".into()));
        assert_eq!(release("t/boot/System.map-6.1.0-cloud"), None);
    }
}
