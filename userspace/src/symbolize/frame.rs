//! A frame of a stack, named as far as it can be.

/// Where one return address (or the leaf's instruction) lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// In the process's or the kernel's memory.
    pub address: u64,
    pub place: Place,
    /// Source of the outermost function, where it was asked for and is known.
    pub source: Option<Source>,
    /// Functions inlined at this place, innermost first, where they were asked for.
    pub inlined: Vec<Inlined>,
}

/// What is known of a place; what is not has a reason, never a blank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `module` is the file's name without its folders, a kernel module's, `vmlinux`, `[vdso]`, or `[jit]` of a perf map.
    Symbol {
        module: String,
        name: String,
        offset: u64,
    },
    /// An offset in the module's file.
    Offset {
        module: String,
        offset: u64,
        why: Unknown,
    },
    Address {
        why: Unknown,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// The file has no symbols for this place.
    Stripped,
    /// The file is gone or cannot be read.
    NoFile,
    /// The process had nothing mapped there.
    NoMapping,
    /// Memory that is no code: the walk up the stack went astray.
    NotCode,
    /// Code that the process has made itself, of which no /tmp/perf-PID.map tells.
    NoPerfMap,
    /// The process ended before its memory map was read.
    ProcessGone,
    /// The process's memory map is not for us to read: no CAP_SYS_PTRACE.
    Denied,
    /// /proc/sys/kernel/kptr_restrict, or no CAP_SYSLOG.
    KernelHidden,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    pub file: String,
    pub line: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inlined {
    pub name: String,
    pub source: Option<Source>,
}

/// A user and a kernel half, each leaf first. A half that was not taken is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stack {
    pub kernel: Vec<Frame>,
    pub user: Vec<Frame>,
    /// The stack was deeper than what was taken.
    pub kernel_cut: bool,
    pub user_cut: bool,
    /// The walk up the user stack ended where it cannot have begun: no frame pointers.
    pub user_broken: bool,
    /// There was one, and the kernel side could not keep it.
    pub kernel_lost: bool,
    pub user_lost: bool,
}

impl Stack {
    /// No frames, and nothing says why.
    pub fn is_empty(&self) -> bool {
        self.kernel.is_empty() && self.user.is_empty() && !self.kernel_lost && !self.user_lost
    }
}
