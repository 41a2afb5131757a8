//! A short name or a path in, the files that it means to the target out. Follows the dynamic linker where no process does
//! it for us.
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Advice;
use crate::program::error::printable;
use crate::symbolize::debug_file::open_regular;
use crate::sys::command::find_command;

use super::dynamic::{Dynamic, Machine};
use super::glob::NameGlob;
use super::ld_cache::Cache;
use super::module::{Module, is_called};
use super::near::Near;
use super::process;

const CACHE: &str = "/etc/ld.so.cache";
const MOST_CACHE: u64 = 32 << 20;
/// Those of Debian and its kin.
#[cfg(target_arch = "x86_64")]
const MULTIARCH: [&str; 2] = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];
#[cfg(target_arch = "aarch64")]
const MULTIARCH: [&str; 2] = ["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// Of glibc and musl.
const FOLDERS: [&str; 8] =
    [MULTIARCH[0], MULTIARCH[1], "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"];
/// A program's script may name another script (v5.10 fs/exec.c: exec_binprm).
const MOST_SCRIPTS: usize = 5;
const MOST_LIBRARIES: usize = 4096;

/// Whose files are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Nobody,
    Processes(Vec<u32>),
    /// The file of a command that has not begun.
    Command(PathBuf),
}

#[derive(Debug)]
pub struct Target {
    pub pid: Option<u32>,
    /// Its executable, then its libraries in the order in which names are looked up.
    pub modules: Vec<Module>,
    /// `process 42`; nothing for nobody.
    pub whose: String,
}

impl Whom {
    /// One for each process. Errors: no such process, or a command that is no program.
    pub fn targets(&self) -> Result<Vec<Target>, Advice> {
        match self {
            Whom::Nobody => Ok(vec![Target { pid: None, modules: Vec::new(), whose: String::new() }]),
            Whom::Command(file) => {
                let modules = of_command(file)?;
                Ok(vec![Target { pid: None, modules, whose: format!("`{}`", shown(file)) }])
            }
            Whom::Processes(pids) => pids
                .iter()
                .map(|pid| {
                    let modules = process::modules(*pid)?;
                    Ok(Target { pid: Some(*pid), modules, whose: format!("process {pid}") })
                })
                .collect(),
        }
    }
}

impl Target {
    /// Errors: there is none.
    pub fn named(&self, text: &str) -> Result<Vec<Module>, Advice> {
        if text.contains('/') {
            return self.of_path(Path::new(text)).map(|module| vec![module]).ok_or_else(|| {
                let what = format!("`{}`: no such file", printable(text));
                Advice::new(what, "a path, or a short name as `libc`")
            });
        }
        let wanted = wanted(text);
        let mut found: Vec<Module> = self.modules.iter().filter(|module| wanted(&module.name())).cloned().collect();
        if found.is_empty() && self.pid.is_none() {
            found = installed(&wanted, text);
        }
        if found.is_empty() { Err(self.none_is_called(text)) } else { Ok(found) }
    }

    /// In the target's mount namespace, else in ours. A file that is mapped goes before one that has its path by now.
    fn of_path(&self, path: &Path) -> Option<Module> {
        let path = std::path::absolute(path).ok()?;
        let root = self.pid.map_or_else(|| PathBuf::from("/"), process::root);
        let found = Module::of_path(&root, &path);
        let is_it = |module: &&Module| {
            module.path == path
                || found.as_ref().is_some_and(|found| module.identity == found.identity || module.path == found.path)
        };
        let mapped = self.modules.iter().find(is_it).cloned();
        mapped.or(found).or_else(|| Module::of_path(Path::new("/"), &path))
    }

    fn none_is_called(&self, text: &str) -> Advice {
        let text = printable(text);
        let mut near = Near::new(&text);
        if self.pid.is_none() {
            cache().names().for_each(|name| near.see(name));
        }
        self.modules.iter().for_each(|module| near.see(&module.name()));
        let mut names: Vec<String> = near.names().into_iter().map(printable).collect();
        if names.is_empty() {
            names = self.modules.iter().take(4).map(|module| printable(&module.name())).collect();
        }
        let what = match self.pid {
            Some(_) => format!("{} has no file `{text}` mapped", self.whose),
            None => format!("no library and no program `{text}` is installed"),
        };
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let advice = match (self.pid, names.is_empty()) {
            (_, true) => "give the file's path".to_owned(),
            (Some(_), _) => format!("{}; or the path of a file that is not loaded yet", names.join(", ")),
            (None, _) => format!("{}; or the file's path", names.join(", ")),
        };
        Advice::new(what, advice)
    }
}

/// Short names, whole ones, and globs of them.
fn wanted(text: &str) -> impl Fn(&str) -> bool {
    let glob = text.contains('*').then(|| NameGlob::parse(text).ok()).flatten();
    let text = text.to_owned();
    move |name| is_called(name, &text) || glob.as_ref().is_some_and(|glob| glob.matches(name.as_bytes()))
}

/// What nobody has mapped: those that the dynamic linker knows, else what lies where it looks, else a program.
/// All of a name are meant, as those for newer processors: which one is loaded is for the linker to say.
fn installed(wanted: &impl Fn(&str) -> bool, text: &str) -> Vec<Module> {
    let here = |path: &Path| Module::of_path(Path::new("/"), path);
    let mut found: Vec<Module> = cache().find(wanted).filter_map(|path| here(Path::new(path))).collect();
    if found.is_empty() {
        let entries = FOLDERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let named = entries.filter(|entry| wanted(&entry.file_name().to_string_lossy()));
        let mut paths: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
        paths.sort();
        // `libm.so` is a script for the linker.
        let is_elf = |module: &Module| open_regular(&module.file).is_some_and(|file| Dynamic::read(&file).is_some());
        found = paths.iter().filter_map(|path| here(path)).filter(is_elf).collect();
    }
    if found.is_empty() {
        found.extend(find_command(OsStr::new(text)).and_then(|path| here(&path)));
    }
    let mut seen = HashSet::new();
    found.retain(|module| seen.insert(module.identity));
    found
}

fn cache() -> Cache {
    let bytes = File::open(CACHE).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MOST_CACHE).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    bytes.map(|bytes| Cache::read(&bytes)).unwrap_or_default()
}

/// A program and what the dynamic linker will load with it, in its order.
fn of_command(file: &Path) -> Result<Vec<Module>, Advice> {
    let no_program = || Advice::new(format!("`{}`: no ELF file", shown(file)), "a program, or `-p PID`");
    let program = interpreter_of_script(file).ok_or_else(no_program)?;
    let executable = Module::of_path(Path::new("/"), &program).ok_or_else(no_program)?;
    let dynamic = open_regular(&executable.file).and_then(|file| Dynamic::read(&file)).ok_or_else(no_program)?;
    let linker = Linker {
        machine: dynamic.machine,
        executable_rpath: folders(&dynamic.rpath.clone().unwrap_or_default(), &executable),
        from_environment: folders(&environment("LD_LIBRARY_PATH"), &executable),
        cache: cache(),
    };
    let is_dynamic = dynamic.interpreter.is_some();
    let interpreter = dynamic.interpreter.clone();
    let mut modules = vec![executable];
    let mut dynamics = vec![dynamic];
    if is_dynamic {
        let preload = environment("LD_PRELOAD");
        for name in preload.split([' ', ':']).filter(|name| !name.is_empty()) {
            linker.load(name, 0, &mut modules, &mut dynamics);
        }
    }
    let mut at = 0;
    while at < modules.len() && modules.len() < MOST_LIBRARIES {
        for name in dynamics[at].needed.clone() {
            linker.load(&name, at, &mut modules, &mut dynamics);
        }
        at += 1;
    }
    if let Some(interpreter) = interpreter {
        linker.load(&interpreter, 0, &mut modules, &mut dynamics);
    }
    Ok(modules)
}

fn environment(name: &str) -> String {
    std::env::var_os(name).unwrap_or_default().to_string_lossy().into_owned()
}

struct Linker {
    machine: Machine,
    executable_rpath: Vec<PathBuf>,
    from_environment: Vec<PathBuf>,
    cache: Cache,
}

impl Linker {
    /// What module `by` needs, if it is to be found and not there yet.
    /// Source: ld.so(8), the order of the folders.
    fn load(&self, name: &str, by: usize, modules: &mut Vec<Module>, dynamics: &mut Vec<Dynamic>) {
        let (loader, asks) = (&modules[by], &dynamics[by]);
        let mut paths = Vec::new();
        if name.contains('/') {
            paths.extend(expanded(name, loader));
        } else {
            let mut searched: Vec<PathBuf> = Vec::new();
            if asks.runpath.is_none() {
                searched.extend(folders(asks.rpath.as_deref().unwrap_or_default(), loader));
                searched.extend(self.executable_rpath.iter().cloned());
            }
            searched.extend(self.from_environment.iter().cloned());
            searched.extend(folders(asks.runpath.as_deref().unwrap_or_default(), loader));
            paths.extend(searched.iter().map(|folder| folder.join(name)));
            paths.extend(self.cache.find(|known| known == name).map(PathBuf::from));
            paths.extend(FOLDERS.iter().map(|folder| Path::new(folder).join(name)));
        }
        let found = paths.iter().find_map(|path| {
            let module = Module::of_path(Path::new("/"), path)?;
            let dynamic = Dynamic::read(&open_regular(&module.file)?)?;
            (dynamic.machine == self.machine).then_some((module, dynamic))
        });
        if let Some((module, dynamic)) = found
            && !modules.iter().any(|known| known.identity == module.identity)
        {
            modules.push(module);
            dynamics.push(dynamic);
        }
    }
}

fn folders(list: &str, of: &Module) -> Vec<PathBuf> {
    list.split([':', ';']).filter(|folder| !folder.is_empty()).filter_map(|folder| expanded(folder, of)).collect()
}

/// None where there is a `$` that only the dynamic linker knows.
fn expanded(path: &str, of: &Module) -> Option<PathBuf> {
    let folder = of.path.parent()?.to_string_lossy();
    let path = path.replace("${ORIGIN}", &folder).replace("$ORIGIN", &folder);
    (!path.contains('$')).then(|| PathBuf::from(path))
}

/// The program that runs a script; any other file itself.
fn interpreter_of_script(file: &Path) -> Option<PathBuf> {
    let mut file = file.to_path_buf();
    for _ in 0..MOST_SCRIPTS {
        let mut line = Vec::new();
        open_regular(&file)?.take(256).read_to_end(&mut line).ok()?;
        let Some(rest) = line.strip_prefix(b"#!") else { return Some(file) };
        let rest = String::from_utf8_lossy(rest).into_owned();
        file = rest.lines().next()?.split_ascii_whitespace().next()?.into();
    }
    None
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
