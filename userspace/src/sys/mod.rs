//! The raw calls that the libraries lack. The only folder of user space with unsafe code.
#![allow(unsafe_code)]

pub mod bpf;
pub mod bpf_stats;
pub mod command;
pub mod files;
pub mod memory;
pub mod net;
pub mod perf;
pub mod perf_ring;
pub mod process;
pub mod tracefs;
