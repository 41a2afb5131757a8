//! The text of /proc/kallsyms in, its symbols of code out.
use std::borrow::Cow;
use std::ops::Range;

use crate::symbolize::demangle::demangle;

/// The module of what the kernel itself holds.
pub const VMLINUX: &str = "vmlinux";

/// Parsed once: it is gone through several times, and has some 200,000 lines.
pub struct Kallsyms {
    text: String,
    places: Vec<Places>,
}

/// Where in the text the parts of a symbol are.
struct Places {
    address: u64,
    name: Range<u32>,
    /// Empty: the kernel's own.
    module: Range<u32>,
}

/// A place in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// 0 where the kernel hides it (kptr_restrict).
    pub address: u64,
    pub name: &'a str,
    pub module: &'a str,
}

impl Kallsyms {
    /// Lines of `address type name`, and `[module]` after a tab. Leaves out data, and what is no such line.
    pub fn parse(text: String) -> Kallsyms {
        let mut places = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            places.extend(parse(line.trim_end_matches('\n'), start));
            start += line.len();
        }
        Kallsyms { text, places }
    }

    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        let part = |range: &Range<u32>| &self.text[range.start as usize..range.end as usize];
        self.places.iter().map(move |places| Symbol {
            address: places.address,
            name: part(&places.name),
            module: if places.module.is_empty() { VMLINUX } else { part(&places.module) },
        })
    }
}

/// `start`: of the line in the text.
fn parse(line: &str, start: usize) -> Option<Places> {
    let (address, rest) = line.split_once(' ')?;
    let rest = rest.strip_prefix(['t', 'T', 'w', 'W'])?.strip_prefix(' ')?;
    let (name, module) = rest.split_once('\t').unwrap_or((rest, ""));
    let name_start = start + line.len() - rest.len();
    let module_start = name_start + name.len() + "\t[".len();
    let range = |start: usize, bytes: usize| Some(u32::try_from(start).ok()?..u32::try_from(start + bytes).ok()?);
    let module = module.strip_prefix('[').and_then(|module| module.strip_suffix(']'));
    Some(Places {
        address: u64::from_str_radix(address, 16).ok()?,
        name: range(name_start, name.len())?,
        module: module.map_or(Some(0..0), |module| range(module_start, module.len()))?,
    })
}

impl Symbol<'_> {
    /// Whether it is the beginning of a function, and not some other place in code that has a name.
    pub fn is_function(&self) -> bool {
        let name = self.name;
        // Padding before functions, the checks of calls through pointers, calls that the kernel itself rewrites.
        let is_glue = ["__pfx_", "__cfi_", "__SCT__"].iter().any(|glue| name.starts_with(glue));
        // `$x` and `$d` mark code and data on arm64; `.slowpath` is a label of assembly.
        let is_label = name.starts_with(['$', '.']);
        let is_border = name.ends_with("_text_start")
            || name.ends_with("_text_end")
            || matches!(name, "_text" | "_stext" | "_etext" | "_sinittext" | "_einittext");
        // Half of a function, which nobody calls.
        let is_cold = name.split('.').skip(1).any(|part| part == "cold");
        // BPF programs, and code that ftrace and kprobes make at run time.
        let is_made = self.module == "bpf" || self.module.starts_with("__builtin__");
        !is_glue && !is_label && !is_border && !is_cold && !is_made
    }

    /// The names that a pattern may mean: the symbol, without what the compiler added, as in the source.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let bare = self.name.split_once('.').map(|(bare, _)| bare.into());
        let is_mangled = self.name.starts_with("_R") || self.name.starts_with("_Z");
        let source = is_mangled.then(|| demangle(self.name).into());
        [Some(self.name.into()), bare, source].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_symbols_of_code_with_their_modules() {
        let text = "ffffffff81000020 T vfs_read\nffffffffc0000000 t nfs_read\t[nfs]\nffffffff81000500 D data\n\
            \nnot a line\nzz T no_address\n0000000000000000 W hidden\nffffffff81000600 t last";
        let kallsyms = Kallsyms::parse(text.to_owned());
        let symbol = |address, name, module| Symbol { address, name, module };
        let expected = [
            symbol(0xffff_ffff_8100_0020, "vfs_read", VMLINUX),
            symbol(0xffff_ffff_c000_0000, "nfs_read", "nfs"),
            symbol(0, "hidden", VMLINUX),
            symbol(0xffff_ffff_8100_0600, "last", VMLINUX),
        ];
        assert_eq!(kallsyms.symbols().collect::<Vec<_>>(), expected);
    }
}
