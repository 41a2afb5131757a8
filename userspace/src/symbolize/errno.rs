//! Error numbers in, names and strace's words for them out. The same on every architecture that spoor runs on.
use std::borrow::Cow;

use syscalls::Errno;

use crate::program::field::Names;

/// The kernel takes -1 to -4095 of a result as an error (include/linux/err.h).
pub const ERRNO_MAX: u32 = 4095;

/// More than one name for one number; the kernel's own name comes first in [`name`].
const ALIASES: [(&str, u32); 3] = [("EWOULDBLOCK", 11), ("EDEADLOCK", 35), ("ENOTSUP", 95)];

/// Where glibc's words, which strace prints, are not those of the crate (the kernel's header comments).
const WORDS: [(u32, &str); 19] = [
    (5, "Input/output error"),
    (9, "Bad file descriptor"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (18, "Invalid cross-device link"),
    (23, "Too many open files in system"),
    (25, "Inappropriate ioctl for device"),
    (33, "Numerical argument out of domain"),
    (34, "Numerical result out of range"),
    (35, "Resource deadlock avoided"),
    (37, "No locks available"),
    (38, "Function not implemented"),
    (40, "Too many levels of symbolic links"),
    (74, "Bad message"),
    (84, "Invalid or incomplete multibyte or wide character"),
    (95, "Operation not supported"),
    (102, "Network dropped connection on reset"),
    (122, "Disk quota exceeded"),
    (125, "Operation canceled"),
];

/// Results that the caller never sees: the kernel restarts the call or turns them into EINTR on its way out.
/// Source: include/linux/errno.h; the words are strace's.
const RESTARTS: [(u32, &str); 4] = [
    (512, "To be restarted if SA_RESTART is set"),
    (513, "To be restarted"),
    (514, "To be restarted if no handler"),
    (516, "Interrupted by signal"),
];

/// The name of an error number; nothing where it has none: 0, 41, 58, 134 and above but for the kernel's own 512 to 531.
pub fn name(errno: u32) -> Option<&'static str> {
    if errno > ERRNO_MAX {
        return None;
    }
    Errno::new(errno as i32).name()
}

/// What strace prints after the name.
pub fn words(errno: u32) -> Option<&'static str> {
    let ours = WORDS.iter().find(|(number, _)| *number == errno);
    let ours = ours.or_else(|| RESTARTS.iter().find(|(number, _)| *number == errno));
    match ours {
        Some((_, words)) => Some(words),
        None if errno > ERRNO_MAX => None,
        None => Errno::new(errno as i32).description(),
    }
}

/// Whether the kernel keeps this result to itself and restarts the call, or says EINTR.
pub fn is_restart(errno: u32) -> bool {
    RESTARTS.iter().any(|(number, _)| *number == errno)
}

/// Names of error numbers; a value is the positive number, 0 is no error and prints as `0`.
pub struct Errnos;

pub static ERRNOS: Errnos = Errnos;

impl Names for Errnos {
    fn name(&self, errno: u64) -> Cow<'static, str> {
        match u32::try_from(errno).ok().and_then(name) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned((errno as i64).to_string()),
        }
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        let named = (1..=ERRNO_MAX).filter_map(|errno| Some((name(errno)?, errno)));
        named.chain(ALIASES).map(|(name, errno)| (Cow::Borrowed(name), u64::from(errno))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 41 and 58 are holes (EWOULDBLOCK and EDEADLOCK took other numbers).
    #[test]
    fn every_error_of_user_space_has_a_name_and_words() {
        for errno in (1..=133).filter(|errno| ![41, 58].contains(errno)) {
            assert!(name(errno).is_some_and(|name| name.starts_with('E')), "{errno}");
            assert!(words(errno).is_some(), "{errno}");
        }
        assert_eq!(name(2), Some("ENOENT"));
        assert_eq!(words(2), Some("No such file or directory"));
    }

    /// Rust's Display of an OS error is glibc's strerror and the number.
    #[cfg(target_env = "gnu")]
    #[test]
    fn words_are_those_of_the_c_library() {
        for errno in (1..=133).filter(|errno| ![41, 58].contains(errno)) {
            let libc = std::io::Error::from_raw_os_error(errno as i32).to_string();
            assert_eq!(format!("{} (os error {errno})", words(errno).unwrap()), libc);
        }
    }

    #[test]
    fn results_of_restarted_calls_have_names() {
        let kernel = [
            (512, "ERESTARTSYS"),
            (513, "ERESTARTNOINTR"),
            (514, "ERESTARTNOHAND"),
            (515, "ENOIOCTLCMD"),
            (516, "ERESTART_RESTARTBLOCK"),
            (524, "ENOTSUPP"),
        ];
        for (errno, name) in kernel {
            assert_eq!(ERRNOS.name(errno), name);
        }
        assert!(is_restart(512) && is_restart(516) && !is_restart(515));
    }

    #[test]
    fn no_error_and_unknown_errors_print_as_numbers() {
        assert_eq!(ERRNOS.name(0), "0");
        assert_eq!(ERRNOS.name(4000), "4000");
        assert_eq!(ERRNOS.name(41), "41");
        assert_eq!(ERRNOS.name(-1i64 as u64), "-1");
    }

    #[test]
    fn aliases_can_be_asked_for() {
        let all = ERRNOS.all();
        let value = |name: &str| all.iter().find(|(known, _)| known == name).map(|(_, errno)| *errno);
        assert_eq!(value("EAGAIN"), Some(11));
        assert_eq!(value("EWOULDBLOCK"), Some(11));
        assert_eq!(value("ENOTSUP"), Some(95));
    }
}
