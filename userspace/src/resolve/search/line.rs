//! `MODULE:FILE:LINE`: the places of a line in the files of that name.
use std::sync::Arc;

use anyhow::Result;

use super::{Search, point};
use crate::error::Advice;
use crate::program::error::printable;
use crate::resolve::Place;
use crate::resolve::functions::Functions;
use crate::resolve::lines::{self, Code, Line, Missing};
use crate::resolve::module::Module;

/// Names that a note has room for.
const MOST_NAMED: usize = 5;

impl Search<'_> {
    pub fn line(&mut self, text: &str, source: &str, line: u64) -> Result<()> {
        for (_, module) in self.named(text)? {
            let shown = printable(&module.path.display().to_string());
            let Some(functions) = self.open(&module) else {
                return Err(Advice::new(format!("`{shown}` is no ELF file"), "a program or a library").into());
            };
            let asked = format!("{}:{line}", printable(source));
            let Some(bytes) = functions.with_dwarf() else {
                let what = format!("`{shown}` has no debug information, which tells where `{asked}` is");
                let advice =
                    format!("install its debug symbols, build it with -g, or give a place in it: `{shown}:+0xOFFSET`");
                return Err(Advice::new(what, advice).into());
            };
            let found = lines::find(&bytes, source, line, &*functions);
            let found = found.map_err(|missing| refused(&missing, &shown, printable(source), line))?;
            self.place(&module, &functions, source, line, &found);
        }
        Ok(())
    }

    fn place(&mut self, module: &Module, functions: &Functions, source: &str, asked: u64, found: &Line) {
        let name = format!("{source}:{}", found.line);
        let shown = printable(&name);
        if found.line != asked {
            self.found.note(format!(
                "{}:{asked} has no code: the next line that has some is {}",
                printable(source),
                found.line
            ));
        }
        if found.sources.len() > 1 {
            self.found.note(format!("{shown} is a line of {} files: {}", found.sources.len(), some(&found.sources)));
        }
        if found.unread > 0 {
            let parts = if found.unread == 1 { "a part" } else { "parts" };
            self.found.note(format!(
                "{shown}: {parts} of the debug information of {} could not be read",
                printable(&module.name())
            ));
        }
        let offsets: Vec<u64> =
            found.addresses.iter().filter_map(|address| functions.layout.code_offset(*address)).collect();
        let mut places = Vec::new();
        let (file, module_name) = (self.file(module), Arc::from(module.name()));
        for offset in offsets {
            let around = functions.at(offset);
            places.push(match &around {
                Some((function, 0)) => function.clone(),
                Some((function, distance)) => format!("{function}+{distance:#x}"),
                None => format!("+{offset:#x}"),
            });
            let is_entry = matches!(around, Some((_, 0)));
            let place = Place::User { file: Arc::clone(&file), offset, is_entry, usdt: None };
            self.found.point(point(place, name.clone(), &module_name));
        }
        if places.len() > 1 {
            self.found.note(format!("{shown} is at {} places: {}", places.len(), some(&places)));
        }
    }
}

impl Code for Functions {
    fn has(&self, address: u64) -> bool {
        self.layout.code_offset(address).is_some()
    }

    fn function(&self, address: u64) -> Option<u64> {
        let (_, distance) = self.at(self.layout.code_offset(address)?)?;
        Some(address - distance)
    }
}

fn refused(missing: &Missing, module: &str, source: String, line: u64) -> Advice {
    match missing {
        Missing::Unreadable(why) => {
            let what = format!("the debug information of `{module}` cannot be read: {}", printable(why));
            Advice::new(what, format!("a place in the file: `{module}:+0xOFFSET`"))
        }
        Missing::Source { near } => {
            let what = format!("no source file `{source}` in the debug information of `{module}`");
            let near: Vec<String> = near.iter().map(|name| format!("`{}`", printable(name))).collect();
            let advice =
                if near.is_empty() { "the end of its path, as in `src/worker.c`".to_owned() } else { near.join(", ") };
            Advice::new(what, advice)
        }
        Missing::Line { last: 0 } => {
            Advice::new(format!("`{source}` has no code in `{module}`"), "a line of a source file that has some")
        }
        Missing::Line { last } => {
            let what = format!("`{source}` has no code in `{module}` from line {line} on");
            Advice::new(what, format!("a line up to {last}, which is the last that has code"))
        }
    }
}

fn some(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMED).map(|name| printable(name)).collect();
    if names.len() > MOST_NAMED {
        shown.push(format!("and {} more", names.len() - MOST_NAMED));
    }
    shown.join(", ")
}
