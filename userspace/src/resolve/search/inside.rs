//! `MODULE:FUNCTION+OFFSET`: an instruction of a function, if it lies in that function at all: the next one begins where it
//! ends.
use std::sync::Arc;

use anyhow::Result;

use super::{Search, entry, has_code, point};
use crate::error::Advice;
use crate::program::error::printable;
use crate::program::glob::{Glob, escape};
use crate::resolve::Place;
use crate::resolve::functions::{Function, Functions};
use crate::resolve::glob::NameGlob;
use crate::resolve::module::Module;

/// Functions of one name that advice has room for.
const MOST_NAMED: usize = 5;

impl Search<'_> {
    pub fn inside_of_module(&mut self, text: &str, name: &NameGlob, offset: u64) -> Result<()> {
        let modules = self.named(text)?;
        let mut any = false;
        for (_, module) in &modules {
            let Some(functions) = self.open(module) else {
                let what = format!("`{}` is no ELF file", printable(&module.path.display().to_string()));
                return Err(Advice::new(what, "a program or a library").into());
            };
            any |= self.inside(module, &functions, name, offset)?;
        }
        if any { Ok(()) } else { Err(self.none_in(&modules, name).into()) }
    }

    /// Where the function's name alone would be taken from.
    pub fn inside_anywhere(&mut self, name: &NameGlob, offset: u64) -> Result<()> {
        let mut any = false;
        for target in self.targets {
            for module in &target.modules {
                let Some(functions) = self.open(module) else { continue };
                if self.inside(module, &functions, name, offset)? {
                    let from = format!("{} of {}", printable(&module.name()), target.whose);
                    self.found.note(format!("{}: taken from {from}", printable(name.text())));
                    any = true;
                    break;
                }
            }
        }
        if any {
            return Ok(());
        }
        if let Ok(short) = Glob::parse(name.text().as_bytes())
            && let Some(point) = self.kernel(&short)?.inside(&short, offset)?
        {
            self.found.note(format!("{}: taken from the kernel", printable(name.text())));
            self.found.point(point);
            return Ok(());
        }
        Err(self.nowhere(name).into())
    }

    /// Whether the file has the function.
    ///
    /// Errors: several functions have the name; the function ends before; a process chooses its code.
    fn inside(&mut self, module: &Module, functions: &Functions, name: &NameGlob, offset: u64) -> Result<bool, Advice> {
        let found = functions.matching(name);
        let mut meant = found.functions;
        let how = meant.iter().map(|function| function.how).min();
        meant.retain(|function| Some(function.how) == how);
        let path = printable(&module.path.display().to_string());
        let function = match &meant[..] {
            [function] => function,
            [_, _, ..] => return Err(several(&meant, name, offset, &path)),
            [] if found.choosers.is_empty() => return Ok(false),
            [] => {
                let name = printable(name.text());
                let what = format!("`{name}+{offset:#x}`: {path} chooses the code of `{name}` when a process starts");
                return Err(Advice::new(what, format!("name the code itself, or its place: `{path}:+0xOFFSET`")));
            }
        };
        let shown = printable(&function.name);
        if offset >= function.size {
            let (size, what) = (function.size, format!("`{shown}+{offset:#x}`: `{shown}` ends before, at"));
            return Err(match size {
                // That may be so, or the file does not tell.
                1 => Advice::new(
                    format!("{what} +0x1 as far as {path} tells"),
                    format!("a place in it: `{path}:+0xOFFSET`"),
                ),
                _ => Advice::new(
                    format!("{what} +{size:#x}"),
                    format!("an offset below {size:#x} where an instruction begins"),
                ),
            });
        }
        let at = function.offset.saturating_add(offset);
        has_code(functions, at, &path)?;
        let file = self.file(module);
        let found = match offset {
            0 => point(entry(&file, at), function.name.clone(), &module.name().into()),
            _ => {
                let place = Place::User { file: Arc::clone(&file), offset: at, is_entry: false, usdt: None };
                point(place, format!("{}+{offset:#x}", function.name), &module.name().into())
            }
        };
        self.found.point(found);
        Ok(true)
    }
}

/// Each by its name, if it has one of its own, else by its place.
fn several(functions: &[Function], name: &NameGlob, offset: u64, path: &str) -> Advice {
    let shown = printable(name.text());
    let what = format!("{} functions of {path} have the name `{shown}`: an offset is in one of them", functions.len());
    let is_own = |name: &str| functions.iter().filter(|function| function.name == name).count() == 1;
    let each = functions.iter().take(MOST_NAMED).map(|function| match is_own(&function.name) {
        true => {
            format!("`{path}:{}+{offset:#x}`", printable(&String::from_utf8_lossy(&escape(function.name.as_bytes()))))
        }
        false => format!("`{path}:+{:#x}`", function.offset.saturating_add(offset)),
    });
    Advice::new(what, each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::functions::How;

    /// As each source file may have a `static` one.
    #[test]
    fn functions_of_one_name_are_told_apart_by_their_places() {
        let function =
            |name: &str, offset| Function { name: name.to_owned(), address: offset, offset, size: 8, how: How::Linker };
        let functions = [function("put", 0x1000), function("put", 0x1020), function("put(int)", 0x1040)];
        let error = several(&functions, &NameGlob::parse("put").unwrap(), 4, "/opt/app");
        assert_eq!(error.to_string(), "3 functions of /opt/app have the name `put`: an offset is in one of them");
        assert_eq!(error.advice(), "`/opt/app:+0x1004`, `/opt/app:+0x1024`, `/opt/app:put(int)+0x4`");
    }
}
