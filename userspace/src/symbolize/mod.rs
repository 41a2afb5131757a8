//! Numbers in, the names that people know them by out. Must not read clocks, maps or values of a session.
pub mod errno;
pub mod frame;
pub mod keys;
pub mod syscall;
