//! Numbers in, the names that people know them by out. Must not read clocks, maps or values of a session.
mod debug_file;
mod demangle;
mod elf;
pub mod errno;
pub mod frame;
pub mod keys;
mod perf_map;
pub mod syscall;
mod xz;
