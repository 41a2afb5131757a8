//! A program in, the same program out, which the kernel runs on the stack of the thread that it came from.
//!
//! From 6.13 on programs of kprobes have one stack a CPU (v6.13 kernel/bpf/verifier.c: bpf_enable_priv_stack), as if none
//! of them began while another one runs. Those of uprobes do: they can be preempted, and a thread that then comes to a
//! probe on that CPU overwrites what the first one has on its stack. A program that can call others by their number has no
//! such stack; this one can, where it never comes to.
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::program::insn::Insn;
use crate::sys::bpf::{self, MapSpec};

const MOVE_IMM: u8 = 0xb7;
const JUMP_IF_EQUAL_IMM: u8 = 0x15;
const LOAD_64: u8 = 0x18;
const PSEUDO_MAP_FD: u8 = 1;
const CALL: u8 = 0x85;
const TAIL_CALL: i32 = 12;

/// The map has to be there until the program is loaded.
pub fn on_own_stack(insns: Vec<Insn>) -> io::Result<(Vec<Insn>, OwnedFd)> {
    let others = bpf::map_create(&MapSpec {
        name: "no_programs",
        map_type: bpf::MAP_TYPE_PROG_ARRAY,
        key_bytes: 4,
        value_bytes: 4,
        max_entries: 1,
        flags: 0,
        inner: None,
    })?;
    let insn = |code, dst, src, off, imm| Insn { code, dst, src, off, imm };
    // r1 is the context, as the call wants it.
    let never = [
        insn(LOAD_64, 2, PSEUDO_MAP_FD, 0, others.as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(MOVE_IMM, 3, 0, 0, 0),
        insn(CALL, 0, 0, 0, TAIL_CALL),
    ];
    let mut whole = vec![insn(MOVE_IMM, 0, 0, 0, 0), insn(JUMP_IF_EQUAL_IMM, 0, 0, never.len() as i16, 0)];
    whole.extend(never);
    whole.extend(insns);
    Ok((whole, others))
}
