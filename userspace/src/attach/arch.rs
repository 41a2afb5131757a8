//! What the kernel's ABI fixes for one architecture: where registers lie in its pt_regs (its asm/ptrace.h).

use probes_common::target::UNKNOWN_OFFSET;

use crate::btf::Found;

#[cfg(target_arch = "x86_64")]
mod offsets {
    pub const INSTRUCTION: u32 = 128;
    pub const STACK: u32 = 152;
    /// bp
    pub const FRAME: u32 = 32;
    /// The code segment: it tells 32-bit processes.
    pub const CODE_SEGMENT: u32 = 136;
    pub const REGS_BYTES: u32 = 168;
    pub const STACK_BYTES: u32 = 16_384;
}

/// Untested: no aarch64 machine was at hand.
#[cfg(target_arch = "aarch64")]
mod offsets {
    pub const INSTRUCTION: u32 = 256;
    pub const STACK: u32 = 248;
    /// x29
    pub const FRAME: u32 = 232;
    pub const CODE_SEGMENT: u32 = probes_common::target::UNKNOWN_OFFSET;
    pub const REGS_BYTES: u32 = 336;
    pub const STACK_BYTES: u32 = 16_384;
}

/// The instruction, stack and frame pointer; the size of all registers, and of the kernel's stack that they end.
use offsets::{CODE_SEGMENT, FRAME, INSTRUCTION, REGS_BYTES, STACK, STACK_BYTES};

pub const MEMBERS: [(&str, &str); 2] = [("task_struct", "stack"), ("task_struct", "flags")];

/// Constants of probes-ebpf/src/task.rs.
pub fn globals(found: &Found) -> Vec<(&'static str, Vec<u8>)> {
    let task = |member| found.offset("task_struct", member).unwrap_or(UNKNOWN_OFFSET);
    [
        ("TASK_STACK", task("stack")),
        ("TASK_FLAGS", task("flags")),
        ("STACK_BYTES", STACK_BYTES),
        ("REGS_BYTES", REGS_BYTES),
        ("REGS_IP", INSTRUCTION),
        ("REGS_SP", STACK),
        ("REGS_FRAME", FRAME),
        ("REGS_CS", CODE_SEGMENT),
    ]
    .map(|(name, value)| (name, value.to_ne_bytes().to_vec()))
    .to_vec()
}
