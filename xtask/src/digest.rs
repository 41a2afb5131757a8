//! Tells whether the committed objects come from these sources: a folder in, sha256 in hex out.
//! Shared with userspace/build.rs through `#[path]`, so std and sha2 only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The digest of every `*.rs` and `Cargo.toml` below `folder` (probes-ebpf).
///
/// Shape: for each file, in the byte order of their paths: the path relative to `folder`, a NUL,
/// the length as u64 little endian, the bytes. The length keeps two files from being read as one.
/// Not the compiler's version: who only builds spoor has no nightly to ask; `ebpf --check` has.
pub fn of_sources(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let mut named = Vec::new();
    for file in files {
        let relative = file.strip_prefix(folder).expect("found below `folder`");
        named.push((relative.to_string_lossy().into_owned(), file));
    }
    named.sort();

    let mut sha = Sha256::new();
    for (name, file) in named {
        let bytes = fs::read(file)?;
        sha.update(name.as_bytes());
        sha.update([0]);
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(&bytes);
    }
    Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") || path.ends_with("Cargo.toml") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own per test, with these files in it.
    fn folder(test: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("spoor-digest-{}-{test}", std::process::id()));
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn digest(test: &str, files: &[(&str, &str)]) -> String {
        let folder = folder(test, files);
        let digest = of_sources(&folder).unwrap();
        fs::remove_dir_all(folder).unwrap();
        digest
    }

    #[test]
    fn digest_is_the_same_in_any_folder_and_order_of_creation() {
        let one = digest("one", &[("src/a.rs", "a"), ("src/b.rs", "b"), ("Cargo.toml", "c")]);
        let two = digest("two", &[("Cargo.toml", "c"), ("src/b.rs", "b"), ("src/a.rs", "a")]);
        assert_eq!(one, two);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn digest_ignores_what_is_no_source() {
        let one = digest("plain", &[("a.rs", "a")]);
        let two = digest("extra", &[("a.rs", "a"), ("README.md", "x"), ("a.rs.swp", "x")]);
        assert_eq!(one, two);
    }

    #[test]
    fn digest_changes_with_a_name_a_byte_and_a_border_between_files() {
        let base = digest("base", &[("a.rs", "12"), ("b.rs", "3")]);
        for (test, files) in [
            ("name", [("a.rs", "12"), ("c.rs", "3")]),
            ("byte", [("a.rs", "12"), ("b.rs", "4")]),
            ("border", [("a.rs", "1"), ("b.rs", "23")]),
        ] {
            assert_ne!(base, digest(test, &files), "{test}");
        }
    }

    #[test]
    fn digest_of_one_known_file_is_the_documented_bytes() {
        let mut sha = Sha256::new();
        sha.update(b"src/a.rs\0\x02\0\0\0\0\0\0\0hi");
        let hex: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest("known", &[("src/a.rs", "hi")]), hex);
    }
}
