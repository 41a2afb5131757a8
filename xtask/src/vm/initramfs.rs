//! What the guest finds when it starts: programs and their libraries in, an initramfs file out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cpio::Archive;
use crate::files;

/// Writes an initramfs with `init` as /init and the others at their paths there, which have no leading `/`.
///
/// The mount points are there, nothing is mounted: that is /init's first work.
pub fn pack(file: &Path, init: &Path, others: &[(String, PathBuf)]) -> Result<()> {
    let mut archive = Archive::default();
    for folder in folders(others.iter().map(|(path, _)| path.as_str())) {
        archive.dir(folder);
    }
    // Standard output of /init; the kernel opens it before devtmpfs can be mounted.
    archive.char_device("dev/console", 5, 1);
    archive.program("init", &files::read(init)?);
    for (path, source) in others {
        archive.program(path, &files::read(source)?);
    }
    files::write(file, &archive.finish())
}

/// The mount points and what the files lie in, parents first.
fn folders<'a>(files: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut folders = BTreeSet::from(["bin", "dev", "etc", "proc", "run", "sys", "tmp"]);
    for file in files {
        folders.extend(file.match_indices('/').map(|(end, _)| &file[..end]));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_files_come_once_and_after_their_parents() {
        let files = ["bin/spoor", "lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libm.so.6", "lib64/ld.so"];
        let folders: Vec<_> = folders(files.into_iter()).into_iter().collect();
        let expected = ["bin", "dev", "etc", "lib", "lib/x86_64-linux-gnu", "lib64", "proc", "run", "sys", "tmp"];
        assert_eq!(folders, expected);
    }
}
