//! Puts a clause's code in the place of the marker that its provider calls (probes-ebpf/src/clause.rs).
//! Input: the provider's instructions and the clause's; output: one program. Jumps across the place are stretched.
use probes_common::clause::CLAUSE_MARKER;

use super::insn::{Code, Insn, MapName};

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const LOAD_64: u8 = 0x18;
const BPF_PSEUDO_CALL: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceError {
    /// A jump would be longer than 32,767 instructions.
    TooLong,
}

/// Replaces every marker by `code`, whose map references become what `descriptor` says.
pub fn splice(host: &[Insn], code: &Code, descriptor: impl Fn(MapName) -> i32) -> Result<Vec<Insn>, SpliceError> {
    let mut clause = code.insns.clone();
    for (at, map) in &code.maps {
        clause[*at].imm = descriptor(*map);
    }
    // Where each instruction of the host begins in the result.
    let mut begins = Vec::with_capacity(host.len() + 1);
    let mut length = 0;
    for insn in host {
        begins.push(length);
        length += if is_marker(insn) { clause.len() } else { 1 };
    }
    begins.push(length);

    let mut spliced = Vec::with_capacity(length);
    let mut second_half = false;
    for (at, insn) in host.iter().enumerate() {
        if is_marker(insn) {
            spliced.extend_from_slice(&clause);
            continue;
        }
        let mut insn = *insn;
        if !second_half {
            let moved = |distance: i64| {
                let target = (at as i64 + 1 + distance) as usize;
                begins[target] as i64 - begins[at] as i64 - 1
            };
            if is_jump(&insn) {
                insn.off = i16::try_from(moved(insn.off.into())).map_err(|_| SpliceError::TooLong)?;
            } else if insn.code == CALL && insn.src == BPF_PSEUDO_CALL {
                insn.imm = moved(insn.imm.into()) as i32;
            }
        }
        second_half = !second_half && insn.code == LOAD_64;
        spliced.push(insn);
    }
    Ok(spliced)
}

/// How often the program hands a firing to its clause.
pub fn markers(host: &[Insn]) -> usize {
    host.iter().filter(|insn| is_marker(insn)).count()
}

fn is_marker(insn: &Insn) -> bool {
    insn.code == CALL && insn.src == 0 && insn.imm == CLAUSE_MARKER
}

/// Jumps of class JMP and JMP32 that go by an offset.
fn is_jump(insn: &Insn) -> bool {
    matches!(insn.code & 7, 5 | 6) && insn.code != CALL && insn.code != EXIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::insn::{Alu, Assembler, Jump, R0, R1};

    fn marker() -> Insn {
        Insn { code: CALL, dst: 0, src: 0, off: 0, imm: CLAUSE_MARKER }
    }

    fn exit() -> Insn {
        Insn { code: EXIT, dst: 0, src: 0, off: 0, imm: 0 }
    }

    fn three_insns() -> Code {
        let mut asm = Assembler::default();
        for _ in 0..3 {
            asm.alu_imm(Alu::Mov, R0, 7);
        }
        asm.finish().unwrap()
    }

    #[test]
    fn jump_over_the_clause_is_stretched_both_ways() {
        let forth = Insn { code: 0x05 | Jump::Eq as u8, dst: 1, src: 0, off: 1, imm: 0 };
        let back = Insn { code: 0x05, dst: 0, src: 0, off: -3, imm: 0 };
        let spliced = splice(&[forth, marker(), back, exit()], &three_insns(), |_| 0).unwrap();
        assert_eq!(spliced.len(), 6);
        assert_eq!((spliced[0].off, spliced[4].off), (3, -5));
    }

    #[test]
    fn second_half_of_a_constant_is_not_taken_for_a_jump() {
        let half = Insn { code: 0, dst: 0, src: 0, off: 0, imm: 5 };
        let host = [Insn { code: LOAD_64, dst: 1, src: 0, off: 0, imm: 9 }, half, marker(), exit()];
        assert_eq!(splice(&host, &three_insns(), |_| 0).unwrap()[..2], host[..2]);
    }

    #[test]
    fn map_references_become_descriptors() {
        let mut asm = Assembler::default();
        asm.map(R1, MapName::Ring);
        let spliced = splice(&[marker(), exit()], &asm.finish().unwrap(), |_| 42).unwrap();
        assert_eq!(spliced[0].imm, 42);
    }

    #[test]
    fn jump_that_becomes_too_long_is_refused() {
        let mut asm = Assembler::default();
        for _ in 0..40_000 {
            asm.alu_imm(Alu::Mov, R0, 7);
        }
        let over = Insn { code: 0x05, dst: 0, src: 0, off: 1, imm: 0 };
        assert_eq!(splice(&[over, marker(), exit()], &asm.finish().unwrap(), |_| 0), Err(SpliceError::TooLong));
    }
}
