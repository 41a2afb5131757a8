//! What a dynamic program is loaded with: a program in, its loader and libraries with their places in a guest out.
//! They are this machine's own: the guest has the C library that the program was linked to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::unpacked;
use crate::advice::Advise;
use crate::shell::{cmd, output};

/// Each with its path in the guest, without the leading `/`: where the loader looks for it there. What lies in `folder`,
/// beside the program or as a package is unpacked, is in `to`, as the program itself has to be.
pub fn libraries(program: &Path, folder: &Path, to: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut command = cmd("ldd", [program]);
    let said = output(command.env("LD_LIBRARY_PATH", unpacked::library_path(folder))).advise("install libc-bin")?;
    let mut libraries = Vec::new();
    for path in paths(&said)? {
        let place = match path.strip_prefix(folder) {
            Ok(name) => format!("{to}/{}", name.display()),
            Err(_) => path.strip_prefix("/").context("ldd says whole paths")?.display().to_string(),
        };
        libraries.push((place, path));
    }
    Ok(libraries)
}

/// Reads lines `NAME => PATH (ADDRESS)` and, of the loader, `PATH (ADDRESS)`. The vDSO has no path.
fn paths(said: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in said.lines().map(str::trim) {
        let (name, found) = line.split_once(" => ").unwrap_or(("", line));
        if found.starts_with("not found") {
            bail!("library `{name}` is not found");
        }
        let path = found.rsplit_once(" (").map_or(found, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_libraries_and_of_the_loader() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tliba.so => /t/out dir/liba.so (0x00007f1)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f3)\n";
        let expected = ["/t/out dir/liba.so", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths(said).unwrap(), expected.map(PathBuf::from));
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error_with_its_name() {
        let error = paths("\tlibz.so.1 => not found\n").unwrap_err();
        assert_eq!(error.to_string(), "library `libz.so.1` is not found");
    }
}
