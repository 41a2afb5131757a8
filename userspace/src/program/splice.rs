//! Puts a clause's code in the place of the marker that its provider calls (probes-ebpf/src/clause.rs), and what depends on
//! the way of attaching in the places of others. Input: the provider's instructions and those parts; output: one program. Jumps across the place are stretched, and
//! what the clause reads and writes through its base registers goes to the stack through r10: before 6.8 the verifier
//! follows the precision of a spilled number through r10 only, takes two paths that differ in it for one, and cuts a
//! branch out as dead that is not (v6.8 kernel/bpf/verifier.c: backtrack_insn, INSN_F_STACK_ACCESS).
use probes_common::clause::{ARGUMENTS_MARKER, CLAUSE_MARKER, PREDICATE_MARKER};

use super::codegen::{FIRING, FRAME};
use super::insn::{Code, Insn, MapName, R2, R3, R10, Reg};

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const LOAD_64: u8 = 0x18;
const MOVE_64: u8 = 0xbf;
const ADD_64_IMM: u8 = 0x07;
const BPF_PSEUDO_CALL: u8 = 1;
/// Classes of instructions: loads, stores of constants and of registers.
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceError {
    /// A jump would be longer than 32,767 instructions.
    TooLong,
    /// The provider does not set r2 and r3 to places on its stack right before the marker.
    NoFrame,
}

impl std::fmt::Display for SpliceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpliceError::TooLong => write!(f, "the expression is too long for one BPF program"),
            SpliceError::NoFrame => write!(f, "the provider's program does not say where its firing is"),
        }
    }
}

impl std::error::Error for SpliceError {}

/// What to put in the place of one marker.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub marker: i32,
    pub code: &'a Code,
}

/// Replaces every marker by its part's code, whose map references become what `descriptor` says.
pub fn splice(host: &[Insn], parts: &[Part], descriptor: impl Fn(MapName) -> i32) -> Result<Vec<Insn>, SpliceError> {
    let resolved: Vec<(i32, Vec<Insn>)> =
        parts.iter().map(|part| (part.marker, resolve(part.code, &descriptor))).collect();
    let part_of = |insn: &Insn| resolved.iter().find(|(marker, _)| is_call_of(insn, *marker));
    // Where each instruction of the host begins in the result.
    let mut begins = Vec::with_capacity(host.len() + 1);
    let mut length = 0;
    for insn in host {
        begins.push(length);
        length += part_of(insn).map_or(1, |(_, code)| code.len());
    }
    begins.push(length);

    let mut spliced = Vec::with_capacity(length);
    let mut second_half = false;
    for (at, insn) in host.iter().enumerate() {
        if let Some((marker, code)) = part_of(insn) {
            let bases = bases(*marker, &host[..at])?;
            spliced.extend(code.iter().map(|insn| through_r10(*insn, bases)));
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

fn resolve(code: &Code, descriptor: &impl Fn(MapName) -> i32) -> Vec<Insn> {
    let mut insns = code.insns.clone();
    for (at, map) in &code.maps {
        insns[*at].imm = descriptor(*map);
    }
    insns
}

/// Where on the stack the bases of the code at a marker point. None: they are used as they are.
type Bases = [Option<i16>; 2];

/// Arguments may go to a map's value; the clause works on the stack only.
fn bases(marker: i32, before: &[Insn]) -> Result<Bases, SpliceError> {
    let (firing, frame) = (stack_address(before, R2), stack_address(before, R3));
    match marker {
        CLAUSE_MARKER | PREDICATE_MARKER if firing.is_none() || frame.is_none() => Err(SpliceError::NoFrame),
        CLAUSE_MARKER | PREDICATE_MARKER | ARGUMENTS_MARKER => Ok([firing, frame]),
        _ => Ok([None, None]),
    }
}

/// How often the program hands a firing to its clause.
pub fn markers(host: &[Insn]) -> usize {
    host.iter().filter(|insn| is_call_of(insn, CLAUSE_MARKER)).count()
}

/// Where on the stack `reg` points behind these instructions: `reg = r10; reg += offset` stand in one piece.
fn stack_address(before: &[Insn], reg: Reg) -> Option<i16> {
    let add = before.iter().rposition(|insn| insn.code == ADD_64_IMM && insn.dst == reg.0)?;
    let mov = before.get(add.checked_sub(1)?)?;
    let straight = before[add + 1..].iter().all(|insn| !writes_or_branches(insn, reg));
    let from_r10 = mov.code == MOVE_64 && mov.dst == reg.0 && mov.src == R10.0;
    if from_r10 && straight { i16::try_from(before[add].imm).ok() } else { None }
}

fn writes_or_branches(insn: &Insn, reg: Reg) -> bool {
    let class = insn.code & 7;
    matches!(class, 5 | 6) || (insn.dst == reg.0 && !matches!(class, ST | STX))
}

/// An access through a base register that points to the stack becomes one of the stack itself.
fn through_r10(mut insn: Insn, [firing, frame]: Bases) -> Insn {
    let base = match insn.code & 7 {
        LDX => &mut insn.src,
        ST | STX => &mut insn.dst,
        _ => return insn,
    };
    let at = match Reg(*base) {
        FIRING => firing,
        FRAME => frame,
        _ => None,
    };
    let Some(at) = at else { return insn };
    *base = R10.0;
    insn.off += at;
    insn
}

fn is_call_of(insn: &Insn, helper: i32) -> bool {
    insn.code == CALL && insn.src == 0 && insn.imm == helper
}

/// Jumps of class JMP and JMP32 that go by an offset.
fn is_jump(insn: &Insn) -> bool {
    matches!(insn.code & 7, 5 | 6) && insn.code != CALL && insn.code != EXIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::insn::{Alu, Assembler, Jump, R0, R1, Size};

    fn marker() -> Insn {
        Insn { code: CALL, dst: 0, src: 0, off: 0, imm: CLAUSE_MARKER }
    }

    fn clause(code: &Code) -> Part<'_> {
        Part { marker: CLAUSE_MARKER, code }
    }

    /// Both places and the marker, as a provider has them.
    fn call() -> [Insn; 5] {
        let mut asm = Assembler::default();
        for (reg, offset) in [(R2, -384), (R3, -256)] {
            asm.mov(reg, R10);
            asm.alu_imm(Alu::Add, reg, offset);
        }
        let [a, b, c, d] = asm.finish().unwrap().insns[..] else { unreachable!("four instructions") };
        [a, b, c, d, marker()]
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
        let forth = Insn { code: 0x05 | Jump::Eq as u8, dst: 1, src: 0, off: 5, imm: 0 };
        let back = Insn { code: 0x05, dst: 0, src: 0, off: -7, imm: 0 };
        let host = [&[forth][..], &call(), &[back, exit()]].concat();
        let spliced = splice(&host, &[clause(&three_insns())], |_| 0).unwrap();
        assert_eq!(spliced.len(), 10);
        assert_eq!((spliced[0].off, spliced[8].off), (7, -9));
    }

    #[test]
    fn second_half_of_a_constant_is_not_taken_for_a_jump() {
        let half = Insn { code: 0, dst: 0, src: 0, off: 0, imm: 5 };
        let load = Insn { code: LOAD_64, dst: 1, src: 0, off: 0, imm: 9 };
        let host = [&[load, half][..], &call(), &[exit()]].concat();
        assert_eq!(splice(&host, &[clause(&three_insns())], |_| 0).unwrap()[..2], host[..2]);
    }

    #[test]
    fn map_references_become_descriptors() {
        let mut asm = Assembler::default();
        asm.map(R1, MapName::Ring);
        let spliced = splice(&call(), &[clause(&asm.finish().unwrap())], |_| 42).unwrap();
        assert_eq!(spliced[4].imm, 42);
    }

    #[test]
    fn accesses_through_the_bases_go_to_the_stack() {
        let mut asm = Assembler::default();
        asm.load(Size::B8, R0, FIRING, 16);
        asm.store(Size::B8, FRAME, 8, R0);
        asm.store_imm(Size::B4, FRAME, 16, 7);
        asm.load(Size::B8, R0, R1, 8);
        asm.mov(R1, FRAME);
        let code = asm.finish().unwrap();
        let mut wanted = Assembler::default();
        wanted.load(Size::B8, R0, R10, -384 + 16);
        wanted.store(Size::B8, R10, -256 + 8, R0);
        wanted.store_imm(Size::B4, R10, -256 + 16, 7);
        wanted.load(Size::B8, R0, R1, 8);
        wanted.mov(R1, FRAME);
        assert_eq!(splice(&call(), &[clause(&code)], |_| 0).unwrap()[4..], wanted.finish().unwrap().insns);
    }

    #[test]
    fn marker_whose_firing_is_not_known_to_be_on_the_stack_is_refused() {
        let [mov, add, ..] = call();
        let overwritten = Insn { code: 0xb7, dst: R2.0, src: 0, off: 0, imm: 1 };
        let branch = Insn { code: 0x05, dst: 0, src: 0, off: 0, imm: 0 };
        for host in [vec![marker()], vec![mov, add, marker()], [&call()[..4], &[overwritten, marker()]].concat()] {
            assert_eq!(splice(&host, &[clause(&three_insns())], |_| 0), Err(SpliceError::NoFrame));
        }
        let host = [&call()[..4], &[branch, marker()]].concat();
        assert_eq!(splice(&host, &[clause(&three_insns())], |_| 0), Err(SpliceError::NoFrame));
    }

    #[test]
    fn jump_that_becomes_too_long_is_refused() {
        let mut asm = Assembler::default();
        for _ in 0..40_000 {
            asm.alu_imm(Alu::Mov, R0, 7);
        }
        let over = Insn { code: 0x05, dst: 0, src: 0, off: 5, imm: 0 };
        let host = [&[over][..], &call(), &[exit()]].concat();
        assert_eq!(splice(&host, &[clause(&asm.finish().unwrap())], |_| 0), Err(SpliceError::TooLong));
    }
}
