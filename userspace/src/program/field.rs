//! The typed facts that expressions can name: a provider's own and those that every firing has.
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::tree::Type;

/// Words of a string field: 16 bytes, NUL padded (the kernel's TASK_COMM_LEN).
pub const TEXT_WORDS: usize = 2;

/// The longest text that is copied from where an argument points to.
pub const COPIED_BYTES: usize = probes_common::text::TEXT_BYTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A plain number: a count, an id, a bit set.
    None,
    Ns,
    Bytes,
}

/// Names of an enumeration's values, such as system calls and errnos.
pub trait Names: Sync {
    /// The name of `value`; an unknown one prints as its number.
    fn name(&self, value: u64) -> Cow<'static, str>;
    /// Every name with its value, for suggestions and patterns. A name may stand more than once.
    fn all(&self) -> Vec<(Cow<'static, str>, u64)>;
}

/// Facts about the machine's state when the probe fired, which cost a helper call: taken only where a clause names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Common {
    Pid,
    Tid,
    Comm,
    Cpu,
    Uid,
    Gid,
    Ppid,
    Cgroup,
    Timestamp,
}

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `size` bytes (1, 2, 4 or 8; 16 for a string) at `offset` of the provider's firing.
    Firing {
        offset: u16,
        size: u8,
    },
    Common(Common),
    /// An argument of the point that was hit, by its number. Those that a clause names stand in the firing from `offset` on,
    /// in the order of their numbers.
    Argument {
        offset: u16,
        number: u16,
    },
    /// The text that an argument, or what was returned, points to; likewise.
    Copied {
        offset: u16,
        number: u16,
    },
    /// An expression over the provider's other fields, such as `(ret < 0) * -ret`.
    Computed(&'static str),
}

#[derive(Clone, Copy)]
pub enum Kind {
    Number(Type),
    /// A number that people know by name; compared with names, not with numbers.
    Enumeration(&'static dyn Names),
    Text,
    /// A stack's id: only a key.
    Stack(Half),
    /// An address of the internet, 16 bytes, where one of IPv4 is mapped into IPv6: only a key.
    Address,
    /// A socket, by its inode, for the processes that hold it: only a key.
    Owner(Owner),
}

/// What of the processes that hold a socket is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Name and id.
    Process,
    Pid,
    Comm,
}

/// Whose frames a stack has, or what of its leaf is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Kernel,
    User,
    /// The function of the only frame.
    Function,
    /// The module of the only frame.
    Module,
}

/// One typed fact: a row of a provider's table.
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub source: Source,
    /// Values are below this number except for rare ones: an array can be indexed with them. 0: no such bound.
    pub domain: u32,
    /// What the provider has to gather for it, a bit set whose meaning is the provider's own.
    pub facts: u32,
    /// One line for `spoor list`.
    pub doc: &'static str,
}

impl Field {
    /// A text that lies elsewhere: a key holds its id.
    pub fn is_copied(&self) -> bool {
        matches!(self.source, Source::Copied { .. })
    }

    /// Bytes of the longest text.
    pub fn text_room(&self) -> usize {
        match self.source {
            Source::Copied { .. } => COPIED_BYTES,
            // The kernel keeps the name of a thread with the NUL that ends it.
            Source::Common(Common::Comm) => TEXT_WORDS * 8 - 1,
            _ => TEXT_WORDS * 8,
        }
    }

    pub fn ty(&self) -> Type {
        match self.kind {
            Kind::Number(ty) => ty,
            _ => Type::Unsigned,
        }
    }
}

// A field is a row of a static table: its name identifies it within one provider.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.source == other.source
    }
}

impl Eq for Field {}

impl Hash for Field {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.source.hash(state);
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.name)
    }
}

const fn common(name: &'static str, kind: Kind, unit: Unit, which: Common, domain: u32, doc: &'static str) -> Field {
    Field { name, kind, unit, source: Source::Common(which), domain, facts: 0, doc }
}

const U: Kind = Kind::Number(Type::Unsigned);

/// What every firing has, whatever the provider.
pub static COMMON: [Field; 9] = [
    common("pid", U, Unit::None, Common::Pid, 0, "process id (tgid), in spoor's PID namespace"),
    common("tid", U, Unit::None, Common::Tid, 0, "thread id, in spoor's PID namespace"),
    common("comm", Kind::Text, Unit::None, Common::Comm, 0, "name of the thread, up to 15 bytes"),
    common("cpu", U, Unit::None, Common::Cpu, 4096, "CPU that it happened on"),
    common("uid", U, Unit::None, Common::Uid, 0, "real user id"),
    common("gid", U, Unit::None, Common::Gid, 0, "real group id"),
    common("ppid", U, Unit::None, Common::Ppid, 0, "process id of the parent, in the first PID namespace"),
    common("cgroup", U, Unit::None, Common::Cgroup, 0, "id of the cgroup (v2), as in `stat -c %i` of its folder"),
    common("timestamp", U, Unit::Ns, Common::Timestamp, 0, "monotonic time of the firing"),
];
