//! Numbers in, the names that people know them by out. Must not read clocks, maps or values of a session.
pub(crate) mod debug_file;
pub mod demangle;
mod dwarf;
pub(crate) mod elf;
pub mod errno;
mod files;
pub mod frame;
pub(crate) mod image;
mod kernel;
pub mod keys;
pub(crate) mod maps;
mod perf_map;
mod process;
pub mod stacks;
pub mod syscall;
pub mod told;
mod vdso;
pub(crate) mod xz;
