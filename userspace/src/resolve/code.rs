//! A file in, what has to be known of its code before its functions' arguments are read and their returns are waited for.
use std::fs::File;
use std::path::Path;

use object::{Object, ObjectSymbol, ReadCache};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Code {
    /// Its addresses have 32 bits, and its arguments lie on the stack.
    pub is_32_bit: bool,
    pub returns: Returns,
}

/// To see a function return, the kernel puts an address of its own in the place of the one that it returns to. Who reads
/// that place, or moves it, is led astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returns {
    #[default]
    Kept,
    /// Calls are left without a return by what this symbol stands for: an exception, another stack.
    MayBeLeft(&'static str),
    /// Only a panic leaves them.
    MayPanic,
    /// Its runtime moves stacks: Go.
    Moved,
}

/// What leads out of calls: exceptions of C++, and switches of stacks. Who imports only what goes on with an exception has
/// nothing that catches it.
const WAYS_OUT: [&str; 4] = ["__cxa_begin_catch", "__cxa_throw", "swapcontext", "setcontext"];
/// Of Rust, as of others without C++.
const PANIC: &str = "_Unwind_RaiseException";

const OF_GO: [&str; 2] = [".gopclntab", ".note.go.buildid"];

impl Code {
    /// What cannot be read is taken for ordinary: it says so elsewhere.
    pub fn of(file: &Path) -> Code {
        File::open(file).ok().and_then(|file| Code::read(&file)).unwrap_or_default()
    }

    fn read(file: &File) -> Option<Code> {
        let data = &ReadCache::new(file);
        let object = object::File::parse(data).ok()?;
        let returns = if OF_GO.iter().any(|section| object.section_by_name(section).is_some()) {
            Returns::Moved
        } else {
            let imported = |way: &str| {
                let mut symbols = object.dynamic_symbols();
                symbols.any(|symbol| symbol.is_undefined() && symbol.name() == Ok(way))
            };
            match WAYS_OUT.into_iter().find(|way| imported(way)) {
                Some(way) => Returns::MayBeLeft(way),
                None if imported(PANIC) => Returns::MayPanic,
                None => Returns::Kept,
            }
        };
        Some(Code { is_32_bit: !object.is_64(), returns })
    }
}

/// Functions that themselves read or change where others return to.
pub fn is_way_out(function: &str) -> bool {
    ["__cxa_", "_Unwind_", "__gxx_personality", "swapcontext", "setcontext", "__longjmp"]
        .iter()
        .any(|begin| function.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_panics_may_leave_its_calls() {
        // The test itself is one; where it is linked statically it imports nothing.
        let own = Code::of(Path::new("/proc/self/exe"));
        let expected = if cfg!(target_feature = "crt-static") { Returns::Kept } else { Returns::MayPanic };
        assert_eq!(own, Code { is_32_bit: false, returns: expected });
    }

    #[test]
    fn what_is_no_program_is_ordinary() {
        assert_eq!(Code::of(Path::new("/etc/passwd")), Code::default());
        assert_eq!(Code::of(Path::new("/nonexistent")), Code::default());
    }

    #[test]
    fn ways_out_are_known_by_name() {
        assert!(is_way_out("_Unwind_RaiseException") && is_way_out("__cxa_throw"));
        assert!(!is_way_out("malloc") && !is_way_out("longjmp"));
    }
}
