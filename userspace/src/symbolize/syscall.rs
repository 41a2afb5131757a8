//! Ids of system calls in, names out: `read`, `i386:getpid` for a 32-bit call, the number where there is no name.
//! Must not know what a call's arguments mean; that is `render::strace`.
//!
//! The tables are those of the architecture that spoor was built for: x86_64 with i386, or aarch64 with arm. The second
//! pair compiles from the same code, but no test of it can run here: untested.
use std::borrow::Cow;

use syscalls::Sysno as Native;
#[cfg(target_arch = "aarch64")]
use syscalls::arm::Sysno as Compat;
#[cfg(target_arch = "x86_64")]
use syscalls::x86::Sysno as Compat;

use crate::program::field::Names;

/// What stands before the name of a 32-bit call, so that `getpid` means the native one and `i386:*` all the others.
#[cfg(target_arch = "x86_64")]
pub const COMPAT_PREFIX: &str = "i386:";
#[cfg(target_arch = "aarch64")]
pub const COMPAT_PREFIX: &str = "arm:";

/// Newer than the crate's tables, or named otherwise by strace. Since 5.x a new call has one number everywhere.
/// Source: include/uapi/asm-generic/unistd.h, scripts/syscall.tbl.
const ADDED: [(u32, &str); 2] = [
    (470, "listns"),           // 6.19
    (471, "rseq_slice_yield"), // 7.0
];

/// No number of a named call is this large; names and rows are looked for below it.
pub const NUMBERS: u32 = 512;

/// The id of a call: its number as the kernel saw it, and whether it came in by the 32-bit door.
pub const fn id(number: u32, compat: bool) -> u64 {
    (number as u64) << 1 | compat as u64
}

/// The call's number, as the kernel saw it: -1 is `u32::MAX`.
pub const fn number(id: u64) -> u32 {
    (id >> 1) as u32
}

pub const fn is_compat(id: u64) -> bool {
    id & 1 != 0
}

/// The call's name without a prefix; nothing where the number has none.
pub fn plain_name(id: u64) -> Option<&'static str> {
    let nr = number(id);
    if let Some((_, name)) = ADDED.iter().find(|(added, _)| *added == nr) {
        return Some(name);
    }
    if is_compat(id) {
        return Compat::new(nr as usize).map(|sysno| sysno.name());
    }
    match Native::new(nr as usize)?.name() {
        // aarch64: the crate has the name of the kernel's macro, not of the call.
        "fstatat" => Some("newfstatat"),
        name => Some(name),
    }
}

/// Names of system calls; a value is an id as [`id`] makes it.
pub struct Syscalls;

pub static SYSCALLS: Syscalls = Syscalls;

impl Names for Syscalls {
    fn name(&self, id: u64) -> Cow<'static, str> {
        match (plain_name(id), is_compat(id)) {
            (Some(name), false) => Cow::Borrowed(name),
            (Some(name), true) => Cow::Owned(format!("{COMPAT_PREFIX}{name}")),
            (None, false) => Cow::Owned((number(id) as i32).to_string()),
            (None, true) => Cow::Owned(format!("{COMPAT_PREFIX}{}", number(id) as i32)),
        }
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        // Not Sysno::iter(): it leaves out the last call of the table.
        let ids = |compat| (0..NUMBERS).map(move |nr| id(nr, compat));
        let named = ids(false).chain(ids(true)).filter(|id| plain_name(*id).is_some());
        named.map(|id| (self.name(id), id)).collect()
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<u64> {
        SYSCALLS.all().into_iter().find(|(known, _)| known == name).map(|(_, id)| id)
    }

    #[test]
    fn native_and_compat_numbers_have_their_own_names() {
        assert_eq!(SYSCALLS.name(id(0, false)), "read");
        assert_eq!(SYSCALLS.name(id(39, false)), "getpid");
        assert_eq!(SYSCALLS.name(id(20, true)), "i386:getpid");
        assert_eq!(value("getpid"), Some(id(39, false)));
        assert_eq!(value("i386:getpid"), Some(id(20, true)));
    }

    #[test]
    fn an_unknown_number_prints_as_its_number() {
        assert_eq!(SYSCALLS.name(id(9999, false)), "9999");
        assert_eq!(SYSCALLS.name(id(9999, true)), "i386:9999");
        assert_eq!(SYSCALLS.name(id(-1i32 as u32, false)), "-1");
        assert_eq!(SYSCALLS.name(id(337, false)), "337");
    }

    /// Numbers as in arch/x86/entry/syscalls/syscall_64.tbl of 7.0.
    #[test]
    fn the_newest_calls_are_known() {
        let newest = [
            (335, "uretprobe"),
            (336, "uprobe"),
            (449, "futex_waitv"),
            (450, "set_mempolicy_home_node"),
            (451, "cachestat"),
            (452, "fchmodat2"),
            (453, "map_shadow_stack"),
            (454, "futex_wake"),
            (455, "futex_wait"),
            (456, "futex_requeue"),
            (457, "statmount"),
            (458, "listmount"),
            (459, "lsm_get_self_attr"),
            (460, "lsm_set_self_attr"),
            (461, "lsm_list_modules"),
            (462, "mseal"),
            (463, "setxattrat"),
            (464, "getxattrat"),
            (465, "listxattrat"),
            (466, "removexattrat"),
            (467, "open_tree_attr"),
            (468, "file_getattr"),
            (469, "file_setattr"),
            (470, "listns"),
            (471, "rseq_slice_yield"),
        ];
        for (number, name) in newest {
            assert_eq!(SYSCALLS.name(id(number, false)), name);
            assert_eq!(value(name), Some(id(number, false)));
        }
    }

    #[test]
    fn all_gives_every_name_once_and_name_takes_it_back() {
        let all = SYSCALLS.all();
        let mut names: Vec<_> = all.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|(name, id)| SYSCALLS.name(*id) == *name));
        assert!(all.iter().filter(|(_, id)| !is_compat(*id)).count() > 370);
        assert!(all.iter().filter(|(_, id)| is_compat(*id)).count() > 430);
    }
}
