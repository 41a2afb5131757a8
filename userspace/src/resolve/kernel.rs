//! A pattern in, the kernel's functions that match it out, with their parameters. Reads /proc/kallsyms, ftrace's list of
//! functions and BTF, and attaches nothing: what the kernel refuses all the same, it says when a probe is attached.
mod inside;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::{fs, thread};

use anyhow::Context;

pub use super::kallsyms::VMLINUX;
use super::kallsyms::{Kallsyms, Symbol};
use super::{Argument, Place, Point, Value};
use crate::btf::Btf;
use crate::btf::signature::{Signature, module_signatures, signatures};
use crate::program::glob::Glob;
use crate::symbolize::demangle::demangle;
use crate::sys::tracefs;

/// Ranges of code where no probe can be: entries from user space, what runs without instrumentation, what probes
/// themselves need, and what was freed when the kernel had started (v6.18 kernel/kprobes.c).
const FORBIDDEN: [(&str, &str); 4] = [
    ("__entry_text_start", "__entry_text_end"),
    ("__noinstr_text_start", "__noinstr_text_end"),
    ("__kprobes_text_start", "__kprobes_text_end"),
    ("_sinittext", "_einittext"),
];

/// The kernel's functions as of now. Reading costs some 40 ms, so several patterns had better ask one of these.
pub struct Functions {
    kallsyms: Kallsyms,
    /// ftrace's list. `None` inside: it cannot be read.
    traced: OnceCell<Option<String>>,
    btf: Option<Btf>,
}

impl Functions {
    /// `first`: what will be asked first. The kernel writes its two lists as they are read, and a slow machine takes half a
    /// second for each: two threads read at once.
    ///
    /// Errors: /proc/kallsyms cannot be read.
    pub fn read(first: &Glob) -> anyhow::Result<Functions> {
        thread::scope(|scope| {
            let list = first.is_literal().is_none().then(|| thread::Builder::new().spawn_scoped(scope, read_traced));
            let text = fs::read_to_string("/proc/kallsyms").context("read the kernel's functions in /proc/kallsyms")?;
            let (traced, btf) = (OnceCell::new(), Btf::of_running_kernel().ok());
            let functions = Functions { kallsyms: Kallsyms::parse(text), traced, btf };
            // Where no thread may be started, it is read when it is needed.
            if let Some(Ok(list)) = list {
                let _ = functions.traced.set(list.join().expect("no panic in a thread"));
            }
            Ok(functions)
        })
    }

    /// Functions whose name matches, by name. A pattern that is more than a name leaves out what cannot be probed, as far
    /// as the kernel tells, and has each function once, whatever names it has.
    ///
    /// Beside them what those of the kernel itself take and return, by symbol, as far as BTF tells.
    pub fn matching(&self, glob: &Glob) -> (Vec<Point>, HashMap<String, Signature>) {
        let matcher = glob.matcher();
        let matches = |symbol: &Symbol| symbol.names().any(|name| matcher(name.as_bytes())) && symbol.is_function();
        let mut symbols: Vec<Symbol> = self.symbols().filter(matches).collect();
        if glob.is_literal().is_none() {
            let traced = self.traced.get_or_init(read_traced);
            let blacklist = fs::read_to_string("/sys/kernel/debug/kprobes/blacklist").unwrap_or_default();
            Probeable::new(self, traced.as_deref(), &blacklist).retain(&mut symbols);
            one_name_each(&mut symbols);
        }
        symbols.sort_unstable_by_key(|symbol| (symbol.name, symbol.module));
        symbols.dedup_by_key(|symbol| (symbol.name, symbol.module));
        self.points(&symbols)
    }

    /// How often the kernel has these names, where that is more than once. A kprobe of such a name is refused (6.7), or
    /// is at the first place only.
    pub fn ambiguous<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<(String, usize)> {
        let mut counts: HashMap<&str, usize> = names.into_iter().map(|name| (name, 0)).collect();
        for symbol in self.symbols() {
            if let Some(count) = counts.get_mut(symbol.name) {
                *count += 1;
            }
        }
        let mut ambiguous: Vec<_> =
            counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, count)| (name.to_owned(), count)).collect();
        ambiguous.sort_unstable();
        ambiguous
    }

    /// All names of functions, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.symbols().filter(Symbol::is_function).map(|symbol| symbol.name)
    }

    fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.kallsyms.symbols()
    }

    fn points(&self, symbols: &[Symbol]) -> (Vec<Point>, HashMap<String, Signature>) {
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for symbol in symbols {
            names.entry(symbol.module).or_default().push(symbol.name);
        }
        let mut modules: HashMap<&str, (Arc<str>, HashMap<String, Signature>)> = names
            .into_iter()
            .map(|(module, names)| (module, (module.into(), self.signatures(module, &names))))
            .collect();
        let point = |symbol: &Symbol| {
            let (module, signatures) = &modules[symbol.module];
            Point {
                place: Place::Kernel { symbol: symbol.name.to_owned(), offset: 0 },
                function: demangle(symbol.name),
                module: Arc::clone(module),
                arguments: signatures.get(symbol.name).map(arguments).unwrap_or_default(),
            }
        };
        let points = symbols.iter().map(point).collect();
        (points, modules.remove(VMLINUX).map(|(_, signatures)| signatures).unwrap_or_default())
    }

    /// Empty where the kernel has no BTF, or had none made for the module.
    fn signatures(&self, module: &str, names: &[&str]) -> HashMap<String, Signature> {
        let Some(kernel) = &self.btf else { return HashMap::new() };
        if module == VMLINUX {
            return signatures(kernel, names);
        }
        Btf::of_module(module).map(|module| module_signatures(kernel, &module, names)).unwrap_or_default()
    }
}

fn read_traced() -> Option<String> {
    tracefs::read("available_filter_functions").ok()
}

fn arguments(signature: &Signature) -> Vec<Argument> {
    let named = |index: usize, name: &str| if name.is_empty() { format!("arg{index}") } else { name.to_owned() };
    let argument = |(index, parameter): (usize, &crate::btf::signature::Parameter)| Argument {
        name: named(index, &parameter.name),
        ty: parameter.ty,
        bytes: parameter.bytes,
        value: Value::Parameter(index as u8),
    };
    signature.parameters.iter().enumerate().map(argument).collect()
}

/// What is known about where probes can be.
struct Probeable<'a> {
    functions: &'a Functions,
    /// Name and module of the functions that begin with a call for ftrace; empty where the list cannot be read.
    traced: HashSet<(&'a str, &'a str)>,
    forbidden: Vec<std::ops::Range<u64>>,
    blacklist: HashSet<&'a str>,
}

impl<'a> Probeable<'a> {
    fn new(functions: &'a Functions, traced: Option<&'a str>, blacklist: &'a str) -> Probeable<'a> {
        let is_border = |symbol: &Symbol| {
            symbol.address != 0
                && symbol.name.starts_with('_')
                && FORBIDDEN.iter().any(|(start, end)| symbol.name == *start || symbol.name == *end)
        };
        let borders = functions.symbols().filter(is_border).map(|symbol| (symbol.name, symbol.address));
        let borders: HashMap<&str, u64> = borders.collect();
        let range = |(start, end): &(&str, &str)| Some(*borders.get(start)?..*borders.get(end)?);
        Probeable {
            functions,
            traced: traced.unwrap_or_default().lines().filter_map(traced_function).collect(),
            forbidden: FORBIDDEN.iter().filter_map(range).collect(),
            blacklist: blacklist.lines().filter_map(|line| line.split_ascii_whitespace().nth(1)).collect(),
        }
    }

    fn retain(&self, symbols: &mut Vec<Symbol>) {
        let is_listed = |symbol: &Symbol| self.traced.contains(&(symbol.name, symbol.module));
        // ftrace's list has one name of each address.
        let mut by_another: HashSet<u64> = HashSet::new();
        if !self.traced.is_empty() {
            let unlisted = symbols.iter().filter(|symbol| symbol.address != 0 && !is_listed(symbol));
            let unlisted: HashSet<u64> = unlisted.map(|symbol| symbol.address).collect();
            let others = self.functions.symbols().filter(|symbol| unlisted.contains(&symbol.address));
            by_another.extend(others.filter(is_listed).map(|symbol| symbol.address));
        }
        symbols.retain(|symbol| {
            let is_traced = self.traced.is_empty() || is_listed(symbol) || by_another.contains(&symbol.address);
            let is_forbidden = self.forbidden.iter().any(|range| range.contains(&symbol.address))
                || symbol.module == VMLINUX && self.blacklist.contains(symbol.name);
            is_traced && !is_forbidden
        });
    }
}

/// `name` or `name [module]`.
fn traced_function(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    Some((name, words.next().map_or(VMLINUX, |module| module.trim_matches(['[', ']']))))
}

/// Of the names of one address, the one that people use: a pattern must not make two probes of one function.
fn one_name_each(symbols: &mut Vec<Symbol>) {
    let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
    symbols.sort_by_key(|symbol| (symbol.address, underscores(symbol.name), symbol.name.len(), symbol.name));
    symbols.dedup_by(|next, kept| next.address == kept.address && kept.address != 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T first
ffffffff81000010 t __pfx_vfs_read
ffffffff81000020 T vfs_read
ffffffff81000100 t vfs_walk.isra.0
ffffffff81000180 t vfs_walk.isra.0.cold
ffffffff81000200 t vfs_same
ffffffff81000300 t vfs_same
ffffffff81000400 t __vfs_alias
ffffffff81000400 T vfs_alias
ffffffff81000400 W ___vfs_alias
ffffffff81000500 D vfs_data
ffffffff81000600 T __noinstr_text_start
ffffffff81000610 t vfs_noinstr
ffffffff81000700 T __noinstr_text_end
ffffffff81000710 t vfs_untraced
ffffffff81000720 T _RNvCs1_3vfs4rust
ffffffff81000800 t __SCT__vfs_call
ffffffff81000900 t vfs_blacklisted
ffffffffc0000000 t vfs_module\t[nfs]
ffffffffc0000000 t $x\t[nfs]
ffffffffc0000100 t vfs_same\t[nfs]
ffffffffc0800000 t vfs_bpf_prog\t[bpf]
not a line
";
    const TRACED: &str = "vfs_read\nvfs_walk.isra.0\nvfs_same\nvfs_same\n__vfs_alias\nvfs_noinstr\n_RNvCs1_3vfs4rust\n\
        vfs_blacklisted\nvfs_module [nfs]\nvfs_same [nfs]\n__ftrace_invalid_address___16\n";

    fn of(kallsyms: &str, traced: Option<&str>) -> Functions {
        Functions {
            kallsyms: Kallsyms::parse(kallsyms.to_owned()),
            traced: OnceCell::from(traced.map(str::to_owned)),
            btf: None,
        }
    }

    fn matching(functions: &Functions, pattern: &str) -> Vec<String> {
        let (points, _) = functions.matching(&Glob::parse(pattern.as_bytes()).unwrap());
        let shown = |point: Point| {
            let Place::Kernel { symbol, .. } = point.place else { panic!("{:?}", point.place) };
            format!("{}`{symbol}", point.module)
        };
        points.into_iter().map(shown).collect()
    }

    #[test]
    fn pattern_gives_each_function_that_can_be_probed_once() {
        let traced = of(KALLSYMS, Some(TRACED));
        let everywhere = [
            "vmlinux`vfs_alias",
            "vmlinux`vfs_blacklisted",
            "nfs`vfs_module",
            "vmlinux`vfs_read",
            "nfs`vfs_same",
            "vmlinux`vfs_same",
            "vmlinux`vfs_walk.isra.0",
        ];
        assert_eq!(matching(&traced, "vfs_*"), everywhere);
        let mut untraced = everywhere.to_vec();
        untraced.insert(6, "vmlinux`vfs_untraced");
        assert_eq!(matching(&of(KALLSYMS, None), "vfs_*"), untraced);
    }

    #[test]
    fn function_that_the_kernel_puts_on_its_blacklist_is_left_out() {
        let functions = of(KALLSYMS, None);
        let mut symbols: Vec<Symbol> = functions.symbols().filter(|symbol| symbol.name.ends_with("ed")).collect();
        let blacklist = "0xffffffff81000900-0xffffffff81000910\tvfs_blacklisted\n";
        Probeable::new(&functions, None, blacklist).retain(&mut symbols);
        assert_eq!(symbols.iter().map(|symbol| symbol.name).collect::<Vec<_>>(), ["vfs_untraced"]);
    }

    #[test]
    fn name_is_found_with_and_without_what_the_compiler_added() {
        let functions = of(KALLSYMS, Some(TRACED));
        assert_eq!(matching(&functions, "vfs_walk"), ["vmlinux`vfs_walk.isra.0"]);
        assert_eq!(matching(&functions, "vfs_walk.isra.0"), ["vmlinux`vfs_walk.isra.0"]);
        assert_eq!(matching(&functions, "vfs_walk*.cold"), [""; 0]);
        assert_eq!(matching(&functions, "vfs::rust"), ["vmlinux`_RNvCs1_3vfs4rust"]);
        assert_eq!(functions.matching(&Glob::parse(b"vfs::r*").unwrap()).0[0].function, "vfs::rust");
    }

    #[test]
    fn name_that_may_be_refused_is_for_the_kernel_to_refuse() {
        let functions = of(KALLSYMS, Some(TRACED));
        assert_eq!(matching(&functions, "vfs_noinstr"), ["vmlinux`vfs_noinstr"]);
        assert_eq!(matching(&functions, "___vfs_alias"), ["vmlinux`___vfs_alias"]);
        for none in ["_stext", "__pfx_vfs_read", "vfs_data", "__SCT__vfs_call", "vfs_bpf_prog", "$x"] {
            assert_eq!(matching(&functions, none), [""; 0], "{none}");
        }
    }

    #[test]
    fn names_that_several_functions_have_are_counted() {
        let functions = of(KALLSYMS, None);
        assert_eq!(functions.ambiguous(["vfs_read", "vfs_same", "absent"]), [("vfs_same".to_owned(), 3)]);
        assert_eq!(functions.names().filter(|name| *name == "vfs_same").count(), 3);
    }

    #[test]
    fn hidden_addresses_hide_no_names() {
        let hidden = "0000000000000000 T vfs_read\n0000000000000000 T vfs_write\n0000000000000000 T _etext\n";
        assert_eq!(matching(&of(hidden, None), "vfs_*"), ["vmlinux`vfs_read", "vmlinux`vfs_write"]);
        assert_eq!(matching(&of(hidden, Some("vfs_read\n")), "vfs_*"), ["vmlinux`vfs_read"]);
    }

    /// Every kernel has vfs_read; its parameters are in the kernel's BTF, if it has one.
    #[test]
    fn parameters_of_this_kernels_functions_are_told() {
        let glob = Glob::parse(b"vfs_read").unwrap();
        let (points, signatures) = Functions::read(&glob).unwrap().matching(&glob);
        let [point] = &points[..] else { panic!("{points:?}") };
        assert_eq!((point.function.as_str(), &*point.module), ("vfs_read", VMLINUX));
        if fs::exists("/sys/kernel/btf/vmlinux").unwrap() {
            let names: Vec<_> =
                point.arguments.iter().map(|argument| (argument.name.as_str(), argument.value)).collect();
            let expected = ["file", "buf", "count", "pos"].into_iter().zip((0..).map(Value::Parameter));
            assert_eq!(names, expected.collect::<Vec<_>>());
            assert_eq!(signatures["vfs_read"].parameters.len(), 4);
        }
    }
}
