//! Arguments whose meaning depends on another argument of the same call.
use super::names::{self, TMPFILE_BIT};
use super::print::{open_flags, path, pointer, signal};
use super::row::{Arg, Row};
use super::view::View;
use super::{structs, write};

/// Whether the call looks at this argument at all.
pub fn is_shown(arg: Arg, index: usize, view: &View<'_>) -> bool {
    let before = |distance: usize| view.args[index - distance];
    match arg {
        Arg::CreateMode => before(1) & (libc::O_CREAT as u64 | TMPFILE_BIT) != 0,
        Arg::Device => matches!(before(1) as u32 & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK),
        Arg::NewAddress => before(1) & libc::MREMAP_MAYMOVE as u64 != 0 && before(1) & 6 != 0,
        Arg::FcntlValue => !matches!(
            before(1) as i32,
            libc::F_GETFD | libc::F_GETFL | 9 | 11 | libc::F_GETLEASE | libc::F_GETPIPE_SZ | libc::F_GET_SEALS
        ),
        Arg::IoctlValue => !matches!(before(1), libc::FIOCLEX | libc::FIONCLEX | libc::TIOCNOTTY),
        Arg::PrctlValue => {
            !matches!(view.int(0), libc::PR_GET_DUMPABLE | libc::PR_GET_KEEPCAPS | libc::PR_GET_TIMERSLACK)
        }
        Arg::PrctlRest => {
            !sets_a_number(view.int(0))
                && !matches!(
                    view.int(0),
                    libc::PR_SET_NAME | libc::PR_GET_NAME | libc::PR_SET_PDEATHSIG | libc::PR_GET_PDEATHSIG
                )
        }
        _ => true,
    }
}

/// Whether the call reads, or has filled, the memory behind an argument that it looks at.
pub fn is_read(arg: Arg, index: usize, row: &Row, view: &View<'_>) -> bool {
    match arg {
        Arg::Got | Arg::GotRandom | Arg::GotPath => view.returned().is_some_and(|bytes| bytes > 0),
        Arg::Given(length) | Arg::Sockaddr(length) | Arg::OptionValue(length) => view.args[usize::from(length)] != 0,
        Arg::Timespec if row.custom.is_some() => futex_parts(view).contains('t'),
        Arg::EpollEvent => view.int(1) != libc::EPOLL_CTL_DEL,
        Arg::PrctlValue => view.int(0) == libc::PR_SET_NAME,
        Arg::SignalSet => !structs::is_overwritten(index, view),
        _ => true,
    }
}

pub fn argument(out: &mut Vec<u8>, arg: Arg, index: usize, view: &View<'_>) {
    let value = view.args[index];
    match arg {
        Arg::OpenFlags => open_flags(out, u64::from(view.uint(index))),
        Arg::MapFlags => {
            names::MAP_TYPE.value(out, value & 0xf);
            names::MAP.more_bits(out, value & !0xf);
        }
        Arg::StatxFlags => {
            names::STATX_SYNC.value(out, value & 0x6000);
            names::AT.more_bits(out, u64::from(view.uint(index)) & !0x6000);
        }
        Arg::FileMode => file_mode(out, view.uint(index)),
        Arg::Device => device(out, view.uint(index)),
        Arg::FcntlValue => fcntl(out, index, view),
        Arg::IoctlCommand => ioctl(out, view.uint(index)),
        Arg::IoctlValue if takes_pointer(view.args[index - 1]) => pointer(out, value),
        Arg::SocketType => {
            names::SOCKET_TYPE.value(out, value & 0xf);
            names::SOCKET_FLAGS.more_bits(out, u64::from(view.uint(index)) & !0xf);
        }
        Arg::Protocol => match view.int(0) {
            libc::AF_INET | libc::AF_INET6 => names::INET.value(out, u64::from(view.uint(index))),
            libc::AF_NETLINK => names::NETLINK.value(out, u64::from(view.uint(index))),
            _ => write::decimal(out, u64::from(view.uint(index))),
        },
        Arg::OptionName => option_name(out, index, view),
        Arg::Signal => signal(out, view.uint(index)),
        Arg::FutexOp => futex_op(out, view.uint(index)),
        Arg::PrctlValue if view.int(0) == libc::PR_SET_NAME => path(out, index, view),
        Arg::PrctlValue if view.int(0) == libc::PR_SET_PDEATHSIG => signal(out, view.uint(index)),
        Arg::PrctlValue if sets_a_number(view.int(0)) || view.int(0) == libc::PR_SET_NO_NEW_PRIVS => {
            write::decimal(out, value);
        }
        _ => write::hex(out, value),
    }
}

/// prctl commands that take one number and nothing else.
fn sets_a_number(command: i32) -> bool {
    matches!(
        command,
        libc::PR_SET_DUMPABLE | libc::PR_SET_KEEPCAPS | libc::PR_SET_TIMERSLACK | libc::PR_SET_CHILD_SUBREAPER
    )
}

fn file_mode(out: &mut Vec<u8>, mode: u32) {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFREG => "S_IFREG|",
        libc::S_IFIFO => "S_IFIFO|",
        libc::S_IFCHR => "S_IFCHR|",
        libc::S_IFBLK => "S_IFBLK|",
        libc::S_IFSOCK => "S_IFSOCK|",
        libc::S_IFDIR => "S_IFDIR|",
        _ => return write::mode(out, mode & 0xffff),
    };
    out.extend_from_slice(kind.as_bytes());
    write::mode(out, mode & 0o7777);
}

/// The kernel's 32-bit form: 12 bits major, 20 bits minor (include/linux/kdev_t.h, new_decode_dev).
fn device(out: &mut Vec<u8>, device: u32) {
    out.extend_from_slice(b"makedev(");
    write::hex(out, u64::from(device >> 8 & 0xfff));
    out.extend_from_slice(b", ");
    write::hex(out, u64::from(device & 0xff | device >> 12 & 0xfff00));
    out.push(b')');
}

fn fcntl(out: &mut Vec<u8>, index: usize, view: &View<'_>) {
    match view.int(1) {
        libc::F_SETFD => names::FD.bits(out, u64::from(view.uint(index))),
        libc::F_SETFL => open_flags(out, u64::from(view.uint(index))),
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC | libc::F_SETPIPE_SZ | 8 => {
            write::signed(out, i64::from(view.int(index)));
        }
        10 => signal(out, view.uint(index)),
        libc::F_GETLK | libc::F_SETLK | libc::F_SETLKW | 12..=16 | libc::F_OFD_GETLK..=libc::F_OFD_SETLKW => {
            pointer(out, view.args[index]);
        }
        _ => write::hex(out, view.args[index]),
    }
}

fn ioctl(out: &mut Vec<u8>, command: u32) {
    if let Some(name) = names::IOCTL.name(u64::from(command)) {
        return out.extend_from_slice(name.as_bytes());
    }
    let direction = match command >> 30 {
        0 => "_IOC(_IOC_NONE, ",
        1 => "_IOC(_IOC_WRITE, ",
        2 => "_IOC(_IOC_READ, ",
        _ => "_IOC(_IOC_READ|_IOC_WRITE, ",
    };
    out.extend_from_slice(direction.as_bytes());
    write::hex(out, u64::from(command >> 8 & 0xff));
    out.extend_from_slice(b", ");
    write::hex(out, u64::from(command & 0xff));
    out.extend_from_slice(b", ");
    write::hex(out, u64::from(command >> 16 & 0x3fff));
    out.push(b')');
}

/// Of the commands that have a name here.
fn takes_pointer(command: u64) -> bool {
    names::IOCTL.name(command).is_some_and(|name| !matches!(name, "TIOCSCTTY" | "FICLONE"))
}

fn option_name(out: &mut Vec<u8>, index: usize, view: &View<'_>) {
    let value = u64::from(view.uint(index));
    match view.int(1) {
        libc::SOL_SOCKET => names::SOCKET_OPTION.value(out, value),
        libc::IPPROTO_TCP => names::TCP.value(out, value),
        libc::IPPROTO_IP => names::IP.value(out, value),
        libc::IPPROTO_IPV6 => names::IPV6.value(out, value),
        _ => write::hex(out, value),
    }
}

fn futex_op(out: &mut Vec<u8>, op: u32) {
    let command = op as i32 & libc::FUTEX_CMD_MASK;
    let Some(name) = names::FUTEX_COMMAND.name(u64::from(command as u32)) else {
        return names::FUTEX_COMMAND.value(out, u64::from(op));
    };
    out.extend_from_slice(name.as_bytes());
    if op as i32 & libc::FUTEX_PRIVATE_FLAG != 0 {
        out.extend_from_slice(b"_PRIVATE");
    }
    if op as i32 & libc::FUTEX_CLOCK_REALTIME != 0 {
        out.extend_from_slice(b"|FUTEX_CLOCK_REALTIME");
    }
}

/// Which of val, timeout, val2, uaddr2 and val3 it takes depends on the operation.
fn futex_parts(view: &View<'_>) -> &'static str {
    match view.int(1) & libc::FUTEX_CMD_MASK {
        libc::FUTEX_WAIT => "vt",
        libc::FUTEX_WAKE | libc::FUTEX_FD => "v",
        libc::FUTEX_REQUEUE => "v2a",
        libc::FUTEX_CMP_REQUEUE | libc::FUTEX_CMP_REQUEUE_PI => "v2a3",
        libc::FUTEX_LOCK_PI | 13 => "t",
        libc::FUTEX_UNLOCK_PI | libc::FUTEX_TRYLOCK_PI => "",
        libc::FUTEX_WAIT_BITSET => "vtb",
        libc::FUTEX_WAKE_BITSET => "vb",
        libc::FUTEX_WAIT_REQUEUE_PI => "vta",
        libc::FUTEX_WAKE_OP => "v2ah",
        _ => "vpah",
    }
}

pub fn futex(out: &mut Vec<u8>, view: &View<'_>) {
    pointer(out, view.args[0]);
    out.extend_from_slice(b", ");
    futex_op(out, view.uint(1));
    for part in futex_parts(view).bytes() {
        out.extend_from_slice(b", ");
        match part {
            b'v' => write::decimal(out, u64::from(view.uint(2))),
            b't' => structs::print(out, Arg::Timespec, 3, view),
            b'p' => pointer(out, view.args[3]),
            b'2' => write::decimal(out, u64::from(view.uint(3))),
            b'a' => pointer(out, view.args[4]),
            b'3' => write::decimal(out, u64::from(view.uint(5))),
            b'b' if view.uint(5) == u32::MAX => out.extend_from_slice(b"FUTEX_BITSET_MATCH_ANY"),
            _ => write::hex(out, u64::from(view.uint(5))),
        }
    }
}

/// The last two registers changed places between architectures (CONFIG_CLONE_BACKWARDS).
pub fn clone(out: &mut Vec<u8>, view: &View<'_>) {
    let (child_tid, tls) = if cfg!(target_arch = "x86_64") && !view.compat { (3, 4) } else { (4, 3) };
    let flags = i64::from(view.int(0)) as u64 & 0xffff_ff00;
    let has = |bits: i32| flags & u64::from(bits as u32) != 0;
    out.extend_from_slice(b"child_stack=");
    pointer(out, view.args[1]);
    out.extend_from_slice(b", flags=");
    let death = view.uint(0) & 0xff;
    if flags != 0 {
        names::CLONE.bits(out, flags);
    }
    if death != 0 || flags == 0 {
        if flags != 0 {
            out.push(b'|');
        }
        signal(out, death);
    }
    if has(libc::CLONE_PARENT_SETTID | libc::CLONE_PIDFD) {
        out.extend_from_slice(b", parent_tid=");
        pointer(out, view.args[2]);
    }
    if has(libc::CLONE_SETTLS) {
        out.extend_from_slice(b", tls=");
        write::hex(out, view.args[tls]);
    }
    if has(libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID) {
        out.extend_from_slice(b", child_tidptr=");
        pointer(out, view.args[child_tid]);
    }
}
