//! Addresses of one file with DWARF in, source lines and inlined functions out, by blazesym.
//! It maps the file: one that is cut short in the meantime ends spoor with a SIGBUS, so it is asked only for what the
//! symbol table does not have.
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use blazesym::symbolize::source::{Elf, Source as From};
use blazesym::symbolize::{CodeInfo, Input, Symbolized, Symbolizer};

use super::demangle::demangle;
use super::frame::{Inlined, Source};
use super::stacks::Options;

pub struct Dwarf {
    symbolizer: Symbolizer,
    file: PathBuf,
    options: Options,
}

/// What DWARF knows of one address.
pub struct Lines {
    /// Name and start of the outermost function.
    pub function: Option<(String, u64)>,
    pub source: Option<Source>,
    pub inlined: Vec<Inlined>,
}

impl Dwarf {
    /// `file` must stay open as long as this lives.
    pub fn new(file: &File, options: Options) -> Dwarf {
        let symbolizer = Symbolizer::builder().enable_code_info(true).enable_inlined_fns(options.inlines).build();
        Dwarf { symbolizer, file: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), options }
    }

    pub fn lines(&self, address: u64) -> Option<Lines> {
        let file = From::Elf(Elf::new(&self.file));
        let Symbolized::Sym(found) = self.symbolizer.symbolize_single(&file, Input::VirtOffset(address)).ok()? else {
            return None;
        };
        let source = |code: Option<&CodeInfo>| code.filter(|_| self.options.lines).map(source);
        let inlined = found.inlined.iter().rev().filter(|_| self.options.inlines);
        Some(Lines {
            function: (!found.name.is_empty()).then(|| (demangle(&found.name), found.addr)),
            source: source(found.code_info.as_deref()),
            inlined: inlined
                .map(|function| Inlined { name: demangle(&function.name), source: source(function.code_info.as_ref()) })
                .collect(),
        })
    }
}

fn source(code: &CodeInfo) -> Source {
    Source { file: code.to_path().to_string_lossy().into_owned(), line: code.line }
}
