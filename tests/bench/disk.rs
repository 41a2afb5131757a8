//! What has to be on the machine: a program and every shared library that it loads. Of scripts (bcc) the interpreter and
//! the library that compiles, and of what that includes, the kernel's headers, nothing: at least so much.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use spoor_tests::{Context, Result, binaries, ensure};

use crate::once::push;
use crate::report::Table;
use crate::rounds::Stage;
use crate::sys;

const PEERS: [(&str, &[&str]); 5] = [
    ("bpftrace", &["usr/bin/bpftrace"]),
    ("syscount-libbpf", &["usr/sbin/syscount-libbpf"]),
    ("bcc, at least", &["usr/bin/python3", "usr/lib/x86_64-linux-gnu/libbcc.so.0"]),
    ("perf", &["usr/bin/perf"]),
    ("strace", &["usr/bin/strace"]),
];

pub fn disk(stage: &mut Stage) -> Result<Table> {
    let mut table = Table::new("disk");
    let mut tell = |name: &str, root: &Path, programs: &[PathBuf]| -> Result<()> {
        let files = files(root, programs).with_context(|| format!("what {name} needs"))?;
        let mut bytes = 0;
        for file in &files {
            bytes += std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
        }
        push(&mut table, &format!("{name}: {} files", files.len()), "MB", &[bytes as f64 / 1e6], None);
        Ok(())
    };
    tell("spoor", Path::new("/"), &[std::path::absolute(binaries::spoor())?])?;
    for (name, programs) in PEERS {
        if let Some(root) = stage.peers {
            tell(name, root, &programs.iter().map(|path| root.join(path)).collect::<Vec<_>>())?;
        }
    }
    Ok(table)
}

/// The programs' own files and all that the loader says they load, each once.
fn files(root: &Path, programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for program in programs {
        files.insert(within(root, program)?);
        let inside = Path::new("/").join(program.strip_prefix(root)?);
        let mut command = Command::new("/usr/bin/ldd");
        if root != Path::new("/") {
            sys::inside(&mut command, root);
        }
        let said = command.arg(&inside).output().context("run ldd")?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let is_static =
            text.contains("statically linked") || String::from_utf8_lossy(&said.stderr).contains("not a dynamic");
        ensure!(said.status.success() || is_static, "ldd {}: {text}", inside.display());
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or the loader's path alone.
        let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        for path in paths {
            files.insert(within(root, &root.join(path.trim_start_matches('/')))?);
        }
    }
    Ok(files)
}

/// The file that a path leads to, with links that begin at the root of the folder.
fn within(root: &Path, path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..16 {
        let Ok(link) = std::fs::read_link(&path) else { break };
        path = match link.strip_prefix("/") {
            Ok(below) => root.join(below),
            Err(_) => path.parent().context("a link lies in a folder")?.join(link),
        };
    }
    path.canonicalize().with_context(|| format!("{}", path.display()))
}
