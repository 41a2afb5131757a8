//! Patterns and a target in, points out: asks the target's files, the kernel, tracefs, each in its turn.
mod inside;
mod line;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;

use crate::error::Advice;
use crate::program::error::printable;
use crate::program::glob::Glob;
use crate::sys::memory::Unreadable;

use super::aliases::{Aliases, is_same};
use super::functions::{Chooser, Function, Functions};
use super::glob::NameGlob;
use super::ifunc;
use super::libraries::{Target, Whom};
use super::module::Module;
use super::near::Near;
use super::pattern::Pattern;
use super::{Place, Point, Resolved, kernel, tracepoint, usdt};

/// Files that are asked for names like one that none has.
const MOST_ASKED: usize = 8;

/// Errors: a pattern that nothing matches, with the nearest names; a file or a process that is not there.
pub fn resolve(patterns: &[Pattern], whom: &Whom) -> Result<Resolved> {
    let targets = targets(patterns, whom)?;
    Ok(Search::of(patterns, &targets)?.found.resolved)
}

/// With the other names of the code that was found, from its files as they were read for it.
///
/// Errors: as [`resolve`].
pub fn with_aliases(patterns: &[Pattern], whom: &Whom) -> Result<(Resolved, Aliases)> {
    let targets = targets(patterns, whom)?;
    let search = Search::of(patterns, &targets)?;
    let aliases = Aliases::of(&search.found.resolved.points, &search.opened_files());
    Ok((search.found.resolved, aliases))
}

fn targets(patterns: &[Pattern], whom: &Whom) -> Result<Vec<Target>> {
    let needs_files = patterns.iter().any(|pattern| {
        !matches!(pattern, Pattern::Kernel { .. } | Pattern::KernelOffset { .. } | Pattern::Tracepoint { .. })
    });
    Ok(if needs_files { whom.targets()? } else { Vec::new() })
}

struct Search<'a> {
    targets: &'a [Target],
    opened: HashMap<(u64, u64), Option<Rc<Functions>>>,
    /// One path for each file.
    files: HashMap<(u64, u64), Arc<Path>>,
    kernel: Option<Rc<kernel::Functions>>,
    found: Found,
}

/// Of one file, in order: offset, and whether it is a USDT probe.
type Instructions = Vec<(u64, bool)>;

#[derive(Default)]
struct Found {
    resolved: Resolved,
    /// Instructions that are known, by their file; the last one is asked for most. Paths are compared as they are: to hash
    /// one costs more than to find its functions' names.
    instructions: Vec<(Arc<Path>, Instructions)>,
    others: HashSet<Place>,
}

impl Found {
    fn point(&mut self, point: Point) {
        let is_new = match &point.place {
            Place::User { file, offset, usdt, .. } => {
                let (instructions, instruction) = (self.instructions_of(file), (*offset, usdt.is_some()));
                let place = instructions.binary_search(&instruction);
                place.inspect_err(|at| instructions.insert(*at, instruction)).is_err()
            }
            other => self.others.insert(other.clone()),
        };
        if is_new {
            self.resolved.points.push(point);
        }
    }

    /// All functions of one file that match, in the order of their offsets.
    fn functions(&mut self, functions: Vec<Function>, file: &Arc<Path>, module: &Arc<str>) {
        let mut instructions = std::mem::take(self.instructions_of(file));
        let known = instructions.len();
        self.resolved.points.reserve(functions.len());
        for function in functions {
            let instruction = (function.offset, false);
            if instructions[..known].binary_search(&instruction).is_err() {
                instructions.push(instruction);
                self.resolved.points.push(point(entry(file, function.offset), function.name, module));
            }
        }
        // Finds that both halves are in order.
        instructions.sort();
        *self.instructions_of(file) = instructions;
    }

    fn instructions_of(&mut self, file: &Arc<Path>) -> &mut Instructions {
        let known = self.instructions.iter().rposition(|(known, _)| is_same(known, file));
        let at = known.unwrap_or_else(|| {
            self.instructions.push((Arc::clone(file), Vec::new()));
            self.instructions.len() - 1
        });
        &mut self.instructions[at].1
    }

    fn note(&mut self, note: String) {
        if !self.resolved.notes.contains(&note) {
            self.resolved.notes.push(note);
        }
    }

    fn refuse(&mut self, name: String, why: String) {
        if !self.resolved.refused.iter().any(|(known, _)| *known == name) {
            self.resolved.refused.push((name, why));
        }
    }
}

impl Search<'_> {
    fn of<'a>(patterns: &[Pattern], targets: &'a [Target]) -> Result<Search<'a>> {
        let mut search =
            Search { targets, opened: HashMap::new(), files: HashMap::new(), kernel: None, found: Found::default() };
        patterns.iter().try_for_each(|pattern| search.pattern(pattern))?;
        Ok(search)
    }

    fn pattern(&mut self, pattern: &Pattern) -> Result<()> {
        match pattern {
            Pattern::Function { module: Some(module), glob } => self.in_module(module, glob),
            Pattern::Function { module: None, glob } => self.anywhere(glob),
            Pattern::Offset { module, offset } => self.offset(module, *offset),
            Pattern::FunctionOffset { module: Some(module), function, offset } => {
                self.inside_of_module(module, function, *offset)
            }
            Pattern::FunctionOffset { module: None, function, offset } => self.inside_anywhere(function, *offset),
            Pattern::Line { module, source, line } => self.line(module, source, *line),
            Pattern::Kernel { glob } => {
                let functions = self.kernel(glob)?;
                let near = |near: &mut Near| functions.names().for_each(|name| near.see(name));
                let (points, signatures) = functions.matching(glob);
                self.found.resolved.signatures.extend(signatures);
                self.keep(points, ("kernel function", "kernel:"), &[glob], near)
            }
            Pattern::KernelOffset { function, offset } => {
                let functions = self.kernel(function)?;
                let near = |near: &mut Near| functions.names().for_each(|name| near.see(name));
                let point = functions.inside(function, *offset)?;
                self.keep(point.into_iter().collect(), ("kernel function", "kernel:"), &[function], near)
            }
            Pattern::Tracepoint { group, event } => {
                let points = tracepoint::points(group, event)?;
                let near =
                    |near: &mut Near| tracepoint::names().unwrap_or_default().iter().for_each(|name| near.see(name));
                self.keep(points, ("tracepoint", "tracepoint:"), &[group, event], near)
            }
            Pattern::Usdt { module, provider, name } => self.usdt(module.as_deref(), provider, name),
        }
    }

    /// `near`: shows what there is to whoever looks for names like one that there is not. A name is given back as a pattern
    /// with what stands before it.
    fn keep(
        &mut self,
        points: Vec<Point>,
        (what, before): (&str, &str),
        globs: &[&Glob],
        see_all: impl FnOnce(&mut Near),
    ) -> Result<()> {
        if points.is_empty() {
            let names: Vec<String> = globs.iter().map(|glob| String::from_utf8_lossy(&glob.pattern()).into()).collect();
            let name = names.join(":");
            let mut near = Near::new(&name);
            see_all(&mut near);
            let near: Vec<String> = near.names().iter().map(|name| format!("`{before}{}`", printable(name))).collect();
            let advice = match near.is_empty() {
                true => {
                    format!("spoor list '{before}*{}*'", if globs.len() > 1 { ":*" } else { "" }).replace("**", "*")
                }
                false => near.join(", "),
            };
            return Err(Advice::new(format!("no {what} `{}`", printable(&name)), advice).into());
        }
        points.into_iter().for_each(|point| self.found.point(point));
        Ok(())
    }

    /// The files of that name, of each target that has one.
    fn named(&mut self, text: &str) -> Result<Vec<(usize, Module)>> {
        let mut modules = Vec::new();
        let mut without = Vec::new();
        for (at, target) in self.targets.iter().enumerate() {
            match target.named(text) {
                Ok(found) => modules.extend(found.into_iter().map(|module| (at, module))),
                Err(error) => without.push(error),
            }
        }
        if modules.is_empty() {
            let error = without.into_iter().next();
            return Err(error.unwrap_or_else(|| Advice::new("no target", "-p PID")).into());
        }
        without.iter().for_each(|error| self.found.note(error.to_string()));
        Ok(modules)
    }

    fn in_module(&mut self, text: &str, glob: &NameGlob) -> Result<()> {
        let modules = self.named(text)?;
        let mut any = false;
        for (at, module) in &modules {
            let Some(functions) = self.open(module) else {
                let what = format!("`{}` is no ELF file", printable(&module.path.display().to_string()));
                return Err(Advice::new(what, "a program or a library").into());
            };
            any |= self.functions(*at, module, &functions, glob);
        }
        if any { Ok(()) } else { Err(self.none_in(&modules, glob).into()) }
    }

    /// A bare name: of each target the first file that has it, else the kernel.
    fn anywhere(&mut self, glob: &NameGlob) -> Result<()> {
        let mut any = false;
        for (at, target) in self.targets.iter().enumerate() {
            for module in &target.modules {
                let Some(functions) = self.open(module) else { continue };
                if self.functions(at, module, &functions, glob) {
                    let from = format!("{} of {}", printable(&module.name()), target.whose);
                    self.found.note(format!("{}: taken from {from}", printable(glob.text())));
                    any = true;
                    break;
                }
            }
        }
        if any {
            return Ok(());
        }
        // A name that is too long for it is none of the kernel's.
        if let Ok(short) = Glob::parse(glob.text().as_bytes()) {
            let (points, signatures) = self.kernel(&short)?.matching(&short);
            self.found.resolved.signatures.extend(signatures);
            if !points.is_empty() {
                self.found.note(format!("{}: taken from the kernel", printable(glob.text())));
                return self.keep(points, ("kernel function", "kernel:"), &[&short], |_| ());
            }
        }
        Err(self.nowhere(glob).into())
    }

    /// No target and no kernel has it.
    fn nowhere(&mut self, glob: &NameGlob) -> Advice {
        let targets = self.targets.iter().enumerate();
        let modules = targets.flat_map(|(at, target)| target.modules.iter().map(move |module| (at, module.clone())));
        let modules: Vec<_> = modules.collect();
        if modules.is_empty() {
            let name = printable(glob.text());
            let advice = format!("name its file, as in `libc:{name}`, or a process, -p PID");
            Advice::new(format!("no function `{name}` in the kernel"), advice)
        } else {
            self.none_in(&modules, glob)
        }
    }

    /// Whether any matches, be it without a place.
    fn functions(&mut self, at: usize, module: &Module, functions: &Functions, glob: &NameGlob) -> bool {
        let matching = functions.matching(glob);
        self.chosen(at, module, functions, &matching.choosers);
        let any = !matching.functions.is_empty() || !matching.choosers.is_empty();
        let (file, name): (_, Arc<str>) = (self.file(module), module.name().into());
        self.found.functions(matching.functions, &file, &name);
        any
    }

    /// The functions that the process uses for names that leave it open.
    fn chosen(&mut self, at: usize, module: &Module, functions: &Functions, matching: &[Chooser]) {
        if matching.is_empty() {
            return;
        }
        let all = functions.choosers();
        let choices = self.choices(at, module, functions, &all);
        // What was chosen, and for which of the names.
        let mut chosen: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for chooser in matching {
            let own = choices.as_ref().ok().and_then(|choices| choices.get(&chooser.address));
            match (own, &choices) {
                (Some(own), _) => {
                    for address in own {
                        chosen.entry(*address).or_default().insert(&chooser.name);
                    }
                }
                (None, Ok(_)) => self.found.refuse(chooser.name.clone(), not_chosen(module)),
                (None, Err(why)) => self.found.refuse(chooser.name.clone(), why.clone()),
            }
        }
        // A name with several versions may have the one and lack the other.
        let has: HashSet<&str> = chosen.values().flatten().copied().collect();
        self.found.resolved.refused.retain(|(name, _)| !has.contains(name.as_str()));
        for (address, names) in &chosen {
            let Some(offset) = functions.layout.code_offset(*address) else { continue };
            let Some(name) = names.iter().min_by_key(|name| (name.starts_with('_'), **name)) else { continue };
            let place = entry(&self.file(module), offset);
            self.found.point(point(place, (*name).to_owned(), &module.name().into()));
            self.tell_shared(module, name, *address, &all, choices.as_ref().ok());
        }
    }

    /// Calls by another name are counted as well.
    fn tell_shared(
        &mut self,
        module: &Module,
        name: &str,
        address: u64,
        all: &HashMap<String, Vec<u64>>,
        choices: Option<&ifunc::Choices>,
    ) {
        let is_it = |chooser: &u64| {
            choices.and_then(|choices| choices.get(chooser)).is_some_and(|chosen| chosen.contains(&address))
        };
        let shared = all.iter().filter(|(_, choosers)| choosers.iter().any(is_it)).map(|(name, _)| printable(name));
        // `__memcpy` is no news.
        let others: BTreeSet<String> = shared.filter(|other| !other.starts_with('_') && other != name).collect();
        if !others.is_empty() {
            let others: Vec<String> = others.into_iter().collect();
            let module = printable(&module.name());
            let name = printable(name);
            self.found.note(format!("{name}: the same code of {module} is {} as well", others.join(", ")));
        }
    }

    fn choices(
        &mut self,
        at: usize,
        module: &Module,
        functions: &Functions,
        all: &HashMap<String, Vec<u64>>,
    ) -> Result<ifunc::Choices, String> {
        let Some(mapped) = &module.mapped else { return Err(not_chosen(module)) };
        let pid = mapped.pid;
        let modules: Vec<(&Module, Rc<Functions>)> =
            self.targets[at].modules.iter().filter_map(|module| Some((module, self.open(module)?))).collect();
        let modules: Vec<(&Module, &Functions)> =
            modules.iter().map(|(module, functions)| (*module, &**functions)).collect();
        ifunc::choices((module, functions), &modules, all).map_err(|error| match error {
            Unreadable::Forbidden => format!("the memory of process {pid} may not be read: run as root"),
            Unreadable::Nothing => format!("process {pid} has ended"),
        })
    }

    fn offset(&mut self, text: &str, offset: u64) -> Result<()> {
        for (_, module) in self.named(text)? {
            let shown = printable(&module.path.display().to_string());
            let Some(functions) = self.open(&module) else {
                return Err(Advice::new(format!("`{shown}` is no ELF file"), "a program or a library").into());
            };
            has_code(&functions, offset, &shown)?;
            let (name, is_entry) = match functions.at(offset) {
                Some((name, 0)) => (name, true),
                Some((name, distance)) => (format!("{name}+{distance:#x}"), false),
                None => (format!("+{offset:#x}"), false),
            };
            let file = self.file(&module);
            let place = Place::User { file, offset, is_entry, usdt: None };
            self.found.point(point(place, name, &module.name().into()));
        }
        Ok(())
    }

    fn usdt(&mut self, module: Option<&str>, provider: &Glob, name: &Glob) -> Result<()> {
        let modules: Vec<Module> = match module {
            Some(text) => self.named(text)?.into_iter().map(|(_, module)| module).collect(),
            None => self.targets.iter().flat_map(|target| target.modules.iter().cloned()).collect(),
        };
        if modules.is_empty() {
            let what = "a USDT probe needs a file or a process that has it";
            return Err(Advice::new(what, "`usdt:PATH:PROVIDER:NAME`, or -p PID").into());
        }
        let mut points = Vec::new();
        let mut near = Vec::new();
        let any = Glob::parse(b"*").expect("a pattern");
        for module in modules {
            let file = self.file(&module);
            let found = usdt::points(&file, provider, name)?;
            if found.is_empty() && near.len() < MOST_ASKED {
                near.push(file);
            }
            points.extend(found.into_iter().map(|point| Point { module: module.name().into(), ..point }));
        }
        let near = |seen: &mut Near| {
            let points = near.iter().filter_map(|file| usdt::points(file, &any, &any).ok()).flatten();
            points.for_each(|point| seen.see(&point.function));
        };
        let before = module.map_or("usdt:".to_owned(), |module| format!("usdt:{}:", printable(module)));
        self.keep(points, ("USDT probe", &before), &[provider, name], near)
    }

    fn none_in(&mut self, modules: &[(usize, Module)], glob: &NameGlob) -> Advice {
        let name = printable(glob.text());
        let mut near = Near::new(glob.text());
        let mut stripped = None;
        let mut names: Vec<String> = Vec::new();
        for (_, module) in modules {
            let shown = format!("`{}`", printable(&module.name()));
            if names.contains(&shown) {
                continue;
            }
            names.push(shown);
            if names.len() <= MOST_ASKED
                && let Some(functions) = self.open(module)
            {
                functions.near(&mut near);
                if functions.is_stripped() && stripped.is_none() {
                    stripped = Some(printable(&module.path.display().to_string()));
                }
            }
        }
        let place = match &names[..] {
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} others, and in the kernel", rest.len()),
            [] => "any file".to_owned(),
        };
        let near: Vec<String> = near.names().iter().map(|name| format!("`{}`", printable(name))).collect();
        let stripped = stripped.filter(|_| names.len() == 1);
        let is_stripped = if stripped.is_some() { ", which is stripped" } else { "" };
        let advice = match (near.is_empty(), stripped) {
            (false, _) => near.join(", "),
            (true, Some(path)) => format!("install its debug symbols, or give a place in it: `{path}:+0xOFFSET`"),
            (true, None) => match modules.first() {
                Some((_, module)) => format!("spoor list '{}:*' shows what there is", printable(&module.name())),
                None => "`libc:malloc`, where the file is named as well".to_owned(),
            },
        };
        Advice::new(format!("no function `{name}` in {place}{is_stripped}"), advice)
    }

    /// Read once for all patterns.
    fn kernel(&mut self, first: &Glob) -> Result<Rc<kernel::Functions>> {
        if self.kernel.is_none() {
            self.kernel = Some(Rc::new(kernel::Functions::read(first)?));
        }
        Ok(Rc::clone(self.kernel.as_ref().expect("just read")))
    }

    fn open(&mut self, module: &Module) -> Option<Rc<Functions>> {
        let opened = self.opened.entry(module.identity);
        opened.or_insert_with(|| Functions::open(&module.file, Some(module.whereabouts())).map(Rc::new)).clone()
    }

    /// By the paths that points have.
    fn opened_files(&self) -> Vec<(Arc<Path>, Rc<Functions>)> {
        let functions = |identity| self.opened.get(identity)?.clone();
        self.files.iter().filter_map(|(identity, file)| Some((Arc::clone(file), functions(identity)?))).collect()
    }

    fn file(&mut self, module: &Module) -> Arc<Path> {
        Arc::clone(self.files.entry(module.identity).or_insert_with(|| module.file.as_path().into()))
    }
}

fn has_code(functions: &Functions, offset: u64, shown: &str) -> Result<(), Advice> {
    if functions.layout.code_ranges().any(|code| code.contains(&offset)) {
        return Ok(());
    }
    let code = functions.layout.code_ranges().map(|code| format!("+{:#x} to +{:#x}", code.start, code.end));
    let code: Vec<String> = code.collect();
    let advice = match code.is_empty() {
        true => "a program or a library: it has no code at all".to_owned(),
        false => format!("its code is from {}; an address is no place in the file", code.join(", ")),
    };
    Err(Advice::new(format!("`{shown}`: no code at +{offset:#x} in the file"), advice))
}

fn entry(file: &Arc<Path>, offset: u64) -> Place {
    Place::User { file: Arc::clone(file), offset, is_entry: true, usdt: None }
}

fn point(place: Place, function: String, module: &Arc<str>) -> Point {
    Point { place, function, module: Arc::clone(module), arguments: Vec::new() }
}

fn not_chosen(module: &Module) -> String {
    match &module.mapped {
        Some(mapped) => format!(
            "process {} has not asked {} for it yet, which chooses its code then: name the code itself",
            mapped.pid,
            printable(&module.name())
        ),
        None => format!(
            "{} chooses its code when a process starts: -p PID, or name the code itself",
            printable(&module.name())
        ),
    }
}
