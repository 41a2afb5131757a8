//! What one row of the call table says: how each argument prints, how the result prints, on which kind of call.
use super::flags::Flags;
use super::view::View;

/// How one argument prints, and so what the probe has to copy out for it.
#[derive(Clone, Copy)]
pub enum Arg {
    /// A descriptor, or any C int.
    Int,
    /// A descriptor of a folder: `AT_FDCWD`.
    DirFd,
    Uint,
    /// A C long: offsets, timeouts.
    Long,
    /// A C unsigned long or size_t.
    Size,
    /// A C unsigned int, mostly flags that have no names here.
    Hex,
    /// A C unsigned long, mostly handles and offsets.
    HexLong,
    /// An address, or anything behind one that is not copied out.
    Ptr,
    /// A user or group: -1 means "leave as it is".
    Owner,
    /// Permission bits.
    Mode,
    /// Permission bits, there only where the flags before them create a file.
    CreateMode,
    /// A file type with its permission bits.
    FileMode,
    /// A device number, there only where the mode before it makes a device.
    Device,
    /// A NUL-terminated string.
    Path,
    /// A buffer that the call filled: as many bytes as it returned.
    Got,
    /// The same, printed in hex.
    GotRandom,
    /// The same, with a NUL at its end.
    GotPath,
    /// A buffer handed in, with the argument that has its length.
    Given(u8),
    /// A socket address handed in, with the argument that has its length.
    Sockaddr(u8),
    /// A socket option handed in, with the argument that has its length.
    OptionValue(u8),
    Timespec,
    Timeval,
    SignalSet,
    PollFds,
    EpollEvent,
    CloneArgs,
    Bits(&'static Flags),
    Value(&'static Flags),
    OpenFlags,
    MapFlags,
    NewAddress,
    StatxFlags,
    FcntlValue,
    IoctlCommand,
    IoctlValue,
    SocketType,
    Protocol,
    OptionName,
    Signal,
    FutexOp,
    PrctlValue,
    /// The arguments after it, which most commands do not look at.
    PrctlRest,
}

/// How a result prints where it is no error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    Int,
    Hex,
    Mode,
    /// 0 says that the time ran out.
    Polled,
    /// Depends on the command (argument 1).
    Fcntl,
}

/// Which calls of this name the row is for: 32-bit ones may take their arguments otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    Both,
    Native,
    Compat,
}

/// Writes the arguments of a call whose order or number is not that of the table.
pub type Custom = fn(&mut Vec<u8>, &View<'_>);

pub struct Row {
    pub name: &'static str,
    pub args: &'static [Arg],
    pub ret: Ret,
    pub abi: Abi,
    pub custom: Option<Custom>,
}

pub const fn row(name: &'static str, args: &'static [Arg]) -> Row {
    Row { name, args, ret: Ret::Int, abi: Abi::Both, custom: None }
}

impl Row {
    pub const fn ret(mut self, ret: Ret) -> Self {
        self.ret = ret;
        self
    }

    pub const fn native(mut self) -> Self {
        self.abi = Abi::Native;
        self
    }

    pub const fn compat(mut self) -> Self {
        self.abi = Abi::Compat;
        self
    }

    pub const fn custom(mut self, custom: Custom) -> Self {
        self.custom = Some(custom);
        self
    }
}
