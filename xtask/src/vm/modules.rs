//! The kernel modules that a guest needs: an unpacked package in, plain files in the order in which they load out.
//! Debian's cloud kernels have what the network tests use as modules only, and a guest has no modprobe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;

/// Pairs of devices, a queue that fills, the sockets' own counters, packet filters.
const WANTED: [&str; 4] = ["veth", "sch_tbf", "udp_diag", "nf_tables"];

/// Which ones a folder was made for: another list makes another folder.
const LIST: &str = "wanted";

/// Writes `NN-NAME.ko` for each wanted module of `tree`, and before it for those that it needs.
///
/// One that is not there as a file is in the kernel already, or a test will say what it misses.
pub fn extract(tree: &Path, to: &Path) -> Result<()> {
    let mut found = BTreeMap::new();
    find(tree, &mut found)?;
    let mut loaded = Vec::new();
    for name in WANTED {
        load(name, &found, &mut loaded)?;
    }
    files::make_folder(to)?;
    for (number, (name, bytes)) in loaded.iter().enumerate() {
        files::write(&to.join(format!("{number:02}-{name}.ko")), bytes)?;
    }
    files::write(&to.join(LIST), WANTED.join(" ").as_bytes())
}

/// What `extract` wrote, in order; `None` where it wrote nothing, or other modules than are wanted now.
pub fn extracted(folder: &Path) -> Option<Vec<PathBuf>> {
    if fs::read(folder.join(LIST)).ok()? != WANTED.join(" ").as_bytes() {
        return None;
    }
    let paths = fs::read_dir(folder).ok()?.map(|entry| Some(entry.ok()?.path())).collect::<Option<Vec<_>>>()?;
    let mut modules: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|is| is == "ko")).collect();
    modules.sort();
    Some(modules)
}

/// Appends what `name` needs, then `name`, each once.
fn load(name: &str, found: &BTreeMap<String, PathBuf>, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let Some(path) = found.get(name).filter(|_| loaded.iter().all(|(one, _)| one != name)) else {
        return Ok(());
    };
    let bytes = read(path)?;
    // No circles: depmod refuses them.
    for needed in depends(&bytes) {
        load(&needed, found, loaded)?;
    }
    loaded.push((name.to_owned(), bytes));
    Ok(())
}

/// The file's bytes, without compression: kernels before 5.17 load no other.
fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path)?;
    if path.extension().is_none_or(|extension| extension != "xz") {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut plain)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
        .with_context(|| format!("unpack `{}`", path.display()))?;
    Ok(plain)
}

/// The names in `depends=a,b` of its `.modinfo`, a list of strings that end in NUL.
fn depends(module: &[u8]) -> Vec<String> {
    let lists = module.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(b"depends="));
    let names = lists.flat_map(|list| list.split(|byte| *byte == b','));
    names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).replace('-', "_")).collect()
}

/// Every module below a folder, by its name as the kernel has it.
fn find(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read `{}`", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), found)?;
        } else if let Some((name, "" | ".xz")) = entry.file_name().to_string_lossy().split_once(".ko") {
            found.insert(name.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_are_the_names_of_other_modules_as_the_kernel_has_them() {
        assert_eq!(depends(b"\x7fELF\0license=GPL\0depends=nfnetlink,crc-32\0name=x\0"), ["nfnetlink", "crc_32"]);
        assert_eq!(depends(b"\0depends=\0undepends=x\0"), [""; 0]);
    }

    #[test]
    fn a_module_comes_after_what_it_needs_and_once() {
        let folder = crate::paths::target("tmp-modules-test");
        files::remove(&folder).unwrap();
        files::make_folder(&folder.join("tree/kernel")).unwrap();
        for (name, needs) in [("udp_diag", "inet-diag"), ("inet-diag", ""), ("veth", ""), ("other", "")] {
            let bytes = format!("\0depends={needs}\0name={name}");
            files::write(&folder.join(format!("tree/kernel/{name}.ko")), bytes.as_bytes()).unwrap();
        }
        let to = folder.join("modules");
        assert_eq!(extracted(&to), None);
        extract(&folder.join("tree"), &to).unwrap();
        let names = ["00-veth.ko", "01-inet_diag.ko", "02-udp_diag.ko"].map(|name| to.join(name));
        assert_eq!(extracted(&to).unwrap(), names);
        files::write(&to.join(LIST), b"veth").unwrap();
        assert_eq!(extracted(&to), None);
        files::remove(&folder).unwrap();
    }
}
