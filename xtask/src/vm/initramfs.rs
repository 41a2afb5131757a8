//! What the guest finds when it starts: static programs in, an initramfs file out.

use std::path::Path;

use anyhow::Result;

use super::cpio::Archive;
use crate::files;

/// Writes an initramfs with `init` as /init and the others in /bin.
///
/// The mount points are there, nothing is mounted: that is /init's first work.
pub fn pack(file: &Path, init: &Path, bin: &[(&str, &Path)]) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        archive.dir(folder);
    }
    // Standard output of /init; the kernel opens it before devtmpfs can be mounted.
    archive.char_device("dev/console", 5, 1);
    archive.program("init", &files::read(init)?);
    for (name, path) in bin {
        archive.program(&format!("bin/{name}"), &files::read(path)?);
    }
    files::write(file, &archive.finish())
}
