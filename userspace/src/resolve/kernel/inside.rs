//! A function of the kernel and an offset in, the instruction's point out, if it lies in that function at all: the kernel
//! itself would put the probe into the next one.
use super::{Functions, Symbol};
use crate::error::Advice;
use crate::program::glob::Glob;
use crate::resolve::{Place, Point};

impl Functions {
    /// None: no function has that name. At offset 0 it is the function.
    ///
    /// Errors: several functions have the name; the function ends before; the kernel does not tell where.
    pub fn inside(&self, name: &Glob, offset: u64) -> Result<Option<Point>, Advice> {
        let Some(symbol) = self.only(name)? else { return Ok(None) };
        let point = self.points(&[symbol]).0.remove(0);
        if offset == 0 {
            return Ok(Some(point));
        }
        let shown = &point.function;
        let Some(size) = self.size(&symbol) else {
            let what = format!("`{shown}+{offset:#x}`: the kernel does not tell where `{shown}` ends");
            return Err(Advice::new(what, "run as root, with kernel.kptr_restrict at most 1"));
        };
        if offset >= size {
            let what = format!("`{shown}+{offset:#x}`: `{shown}` ends before, at +{size:#x}");
            return Err(Advice::new(what, format!("an offset below {size:#x} where an instruction begins")));
        }
        Ok(Some(Point {
            function: format!("{shown}+{offset:#x}"),
            place: Place::Kernel { symbol: symbol.name.to_owned(), offset },
            // Named ones have left their registers, or may have.
            arguments: Vec::new(),
            ..point
        }))
    }

    /// The function that has exactly this name, else the only one that may be meant by it.
    fn only(&self, name: &Glob) -> Result<Option<Symbol<'_>>, Advice> {
        let matcher = name.matcher();
        let meant = |symbol: &Symbol| symbol.is_function() && symbol.names().any(|name| matcher(name.as_bytes()));
        let mut symbols: Vec<Symbol> = self.symbols().filter(meant).collect();
        if symbols.iter().any(|symbol| matcher(symbol.name.as_bytes())) {
            symbols.retain(|symbol| matcher(symbol.name.as_bytes()));
        }
        match symbols[..] {
            [] => Ok(None),
            [symbol] => Ok(Some(symbol)),
            [first, ..] => {
                let mut names: Vec<&str> = symbols.iter().map(|symbol| symbol.name).collect();
                names.dedup();
                let name = String::from_utf8_lossy(&name.pattern()).into_owned();
                let advice = match names[..] {
                    [_] => format!("kernel:{} without an offset", first.name),
                    _ => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
                };
                let what = format!("{} functions of the kernel have the name `{name}`", symbols.len());
                Err(Advice::new(format!("{what}: an offset is in one of them"), advice))
            }
        }
    }

    /// Bytes to the next symbol, padding included. None: addresses are hidden, or there is no next one.
    fn size(&self, function: &Symbol) -> Option<u64> {
        let start = Some(function.address).filter(|start| *start != 0)?;
        let next = self.symbols().map(|symbol| symbol.address).filter(|address| *address > start).min();
        next.map(|next| next - start)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;

    use super::*;
    use crate::resolve::kallsyms::Kallsyms;

    const KALLSYMS: &str = "\
ffffffff81000020 T vfs_read
ffffffff81000020 T __vfs_alias
ffffffff81000100 t vfs_walk.isra.0
ffffffff810000e0 t __pfx_vfs_walk.isra.0
ffffffff81000200 t vfs_same
ffffffff81000300 t vfs_same
ffffffff81000400 t vfs_cut.isra.0
ffffffff81000410 t vfs_cut.part.0
";

    fn inside(kallsyms: &str, name: &str, offset: u64) -> Result<Option<(String, Place)>, String> {
        let functions =
            Functions { kallsyms: Kallsyms::parse(kallsyms.to_owned()), traced: OnceCell::from(None), btf: None };
        let found = functions.inside(&Glob::parse(name.as_bytes()).unwrap(), offset);
        let found = found.map_err(|error| format!("{error}; try {}", error.advice()))?;
        Ok(found.map(|point| (point.function, point.place)))
    }

    fn place(symbol: &str, offset: u64) -> Place {
        Place::Kernel { symbol: symbol.to_owned(), offset }
    }

    #[test]
    fn an_offset_is_in_the_function_up_to_the_next_symbol() {
        let read = |offset| inside(KALLSYMS, "vfs_read", offset);
        assert_eq!(read(0x1a), Ok(Some(("vfs_read+0x1a".to_owned(), place("vfs_read", 0x1a)))));
        assert_eq!(read(0), Ok(Some(("vfs_read".to_owned(), place("vfs_read", 0)))));
        assert!(read(0xbf).is_ok());
        let error = read(0xc0).unwrap_err();
        assert!(error.contains("`vfs_read+0xc0`: `vfs_read` ends before, at +0xc0"), "{error}");
        assert!(error.contains("try an offset below 0xc0"), "{error}");
        let walk = inside(KALLSYMS, "vfs_walk", 4);
        assert_eq!(walk, Ok(Some(("vfs_walk.isra.0+0x4".to_owned(), place("vfs_walk.isra.0", 4)))));
        assert_eq!(inside(KALLSYMS, "vfs_none", 4), Ok(None));
    }

    #[test]
    fn an_offset_in_several_functions_is_refused() {
        let error = inside(KALLSYMS, "vfs_same", 4).unwrap_err();
        assert!(error.contains("2 functions of the kernel have the name `vfs_same`"), "{error}");
        assert!(error.contains("try kernel:vfs_same without an offset"), "{error}");
        let error = inside(KALLSYMS, "vfs_cut", 4).unwrap_err();
        assert!(error.contains("try `vfs_cut.isra.0`, `vfs_cut.part.0`"), "{error}");
        assert!(inside(KALLSYMS, "vfs_cut.isra.0", 4).is_ok());
    }

    #[test]
    fn an_offset_in_a_function_that_ends_nobody_knows_where_is_refused() {
        let hidden = "0000000000000000 T vfs_read\n0000000000000000 T vfs_write\n";
        let error = inside(hidden, "vfs_read", 4).unwrap_err();
        assert!(error.contains("does not tell where `vfs_read` ends") && error.contains("kptr_restrict"), "{error}");
        assert!(inside(KALLSYMS, "vfs_cut.part.0", 4).is_err());
        assert_eq!(inside(hidden, "vfs_read", 0), Ok(Some(("vfs_read".to_owned(), place("vfs_read", 0)))));
    }
}
