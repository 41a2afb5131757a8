//! Numbers in, the names that people know them by out. Must not read clocks, maps or values of a session.
mod debug_file;
pub mod demangle;
mod dwarf;
mod elf;
pub mod errno;
mod files;
pub mod frame;
mod image;
mod kernel;
pub mod keys;
mod maps;
mod perf_map;
mod process;
pub mod stacks;
pub mod syscall;
pub mod told;
mod vdso;
mod xz;
