//! What the loader puts where a provider's program asks how it was attached (probes-ebpf/src/site.rs): which point was hit,
//! what its arguments are, what it returned.
use probes_common::clause::{ARGUMENTS_MARKER, EXCHANGE_MARKER, FRAME_MARKER, POINT_MARKER, RETURNED_MARKER};
use probes_common::loss::LossKind;

use super::{FIRING, FRAME, Generator, Machine, Result};
use crate::program::argument::{Register, Value};
use crate::program::insn::{Alu, Assembler, Code, Helper, Jump, R0, R1, R2, R3, R8, Reg, Size};
use crate::program::tree::Type;

/// How a program is attached, as far as it sees that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Site {
    pub context: Context,
    pub cookie: Cookie,
    /// The value of each argument that the clause names, in their order.
    pub arguments: Vec<Operand>,
    /// For a return: how it is told apart from others.
    pub leaves: Option<Leave>,
}

/// What a program's context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The registers, as uprobes and kprobes have them.
    Registers,
    /// A word for each parameter, and behind them the result: fentry and fexit.
    Words { parameters: u8 },
    /// A tracepoint's record.
    Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cookie {
    /// The kernel keeps one for each point. Kernel: 5.15.
    Kept,
    /// The program is attached to one point only.
    Constant(u64),
}

/// A value and how wide it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operand {
    pub value: Value,
    pub bytes: u32,
    pub ty: Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leave {
    /// How much the stack pointer is above that of the entry.
    pub stack_above: i32,
    /// The result's width and sign.
    pub bytes: u32,
    pub ty: Type,
}

/// Where the architecture's struct pt_regs has what a call is made with.
#[cfg(target_arch = "x86_64")]
mod registers {
    // di, si, dx, cx, r8, r9
    pub const PARAMETERS: [i16; 6] = [112, 104, 96, 88, 72, 64];
    pub const RESULT: i16 = 80;
    pub const STACK: i16 = 152;
    /// The return address is taken off the stack before the caller goes on.
    pub const RETURN_ABOVE: i32 = 8;
}

/// Untested: no aarch64 machine was at hand.
#[cfg(target_arch = "aarch64")]
mod registers {
    pub const PARAMETERS: [i16; 6] = [0, 8, 16, 24, 32, 40];
    pub const RESULT: i16 = 0;
    pub const STACK: i16 = 248;
    pub const RETURN_ABOVE: i32 = 0;
}

pub use registers::{RETURN_ABOVE, STACK};

/// Parameters that are passed in registers.
pub const PARAMETERS: u8 = registers::PARAMETERS.len() as u8;

/// Code for each marker that a program may have. `compare_exchange`: the kernel has atomic exchanges (5.12).
pub fn compile(site: &Site, machine: &Machine) -> Result<Vec<(i32, Code)>> {
    let plain = |write: &dyn Fn(&mut Assembler)| {
        let mut asm = Assembler::default();
        write(&mut asm);
        asm.finish().map_err(|_| super::CodegenError::TooLong)
    };
    let context = site.context;
    Ok(vec![
        (
            POINT_MARKER,
            plain(&|asm| match site.cookie {
                Cookie::Kept => asm.call(Helper::GetAttachCookie),
                Cookie::Constant(cookie) => asm.constant(R0, cookie),
            })?,
        ),
        (
            FRAME_MARKER,
            plain(&|asm| match context {
                Context::Registers => {
                    asm.load(Size::B8, R0, R1, registers::STACK);
                    if let Some(leave) = site.leaves {
                        asm.alu_imm(Alu::Sub, R0, leave.stack_above);
                    }
                }
                // It lies in the trampoline's frame, which both programs are called from.
                Context::Words { .. } => asm.mov(R0, R1),
                Context::Record => asm.alu_imm(Alu::Mov, R0, 0),
            })?,
        ),
        (
            RETURNED_MARKER,
            plain(&|asm| match context {
                Context::Registers => {
                    asm.load(Size::B8, R0, R1, registers::RESULT);
                    extend_result(asm, site.leaves);
                }
                Context::Words { parameters } => {
                    asm.load(Size::B8, R0, R1, i16::from(parameters) * 8);
                    extend_result(asm, site.leaves);
                }
                Context::Record => asm.alu_imm(Alu::Mov, R0, 0),
            })?,
        ),
        (EXCHANGE_MARKER, exchange(machine.compare_exchange)?),
        (ARGUMENTS_MARKER, arguments(site, machine)?),
    ])
}

/// For programs that have no other marker than this one.
pub fn exchange(atomically: bool) -> Result<Code> {
    let mut asm = Assembler::default();
    if atomically {
        asm.alu_imm(Alu::Mov, R0, 0);
        asm.compare_exchange(R1, 0, R2);
    } else {
        let taken = asm.label();
        asm.load(Size::B8, R0, R1, 0);
        asm.jump_imm(Jump::Ne, R0, 0, taken);
        asm.store(Size::B8, R1, 0, R2);
        asm.bind(taken);
    }
    asm.finish().map_err(|_| super::CodegenError::TooLong)
}

fn extend_result(asm: &mut Assembler, leave: Option<Leave>) {
    if let Some(leave) = leave {
        extend(asm, R0, leave.bytes, leave.ty);
    }
}

/// Widens the low `bytes` to 64 bits.
fn extend(asm: &mut Assembler, reg: Reg, bytes: u32, ty: Type) {
    if !matches!(bytes, 1 | 2 | 4) {
        return;
    }
    let shift = 64 - bytes as i32 * 8;
    asm.alu_imm(Alu::Lsh, reg, shift);
    asm.alu_imm(if ty == Type::Signed { Alu::Arsh } else { Alu::Rsh }, reg, shift);
}

/// r1 the context, r2 where to, r3 scratch.
fn arguments(site: &Site, machine: &Machine) -> Result<Code> {
    let mut generator = Generator::new(machine.clone());
    generator.asm.mov(FIRING, R2);
    generator.asm.mov(FRAME, R3);
    generator.asm.mov(R8, R1);
    for (place, operand) in site.arguments.iter().enumerate() {
        generator.argument(site.context, *operand, place as i16 * 8)?;
    }
    let end = generator.end;
    generator.asm.bind(end);
    generator.asm.finish().map_err(|_| super::CodegenError::TooLong)
}

impl Generator {
    fn argument(&mut self, context: Context, operand: Operand, to: i16) -> Result<()> {
        let asm = &mut self.asm;
        match operand.value {
            Value::Constant(value) => asm.constant(R0, value as u64),
            Value::Parameter(number) => match context {
                Context::Words { .. } => asm.load(Size::B8, R0, R8, i16::from(number) * 8),
                _ => {
                    let offset = registers::PARAMETERS.get(usize::from(number)).copied().unwrap_or(0);
                    asm.load(Size::B8, R0, R8, offset);
                }
            },
            Value::Register(register) => load_register(asm, R0, register),
            Value::Memory { base, displacement, index } => {
                load_register(asm, R3, base);
                if let Some((index, scale)) = index {
                    load_register(asm, R0, index);
                    asm.alu_imm(Alu::Mul, R0, scale.into());
                    asm.alu(Alu::Add, R3, R0);
                }
                asm.constant(R0, displacement as u64);
                asm.alu(Alu::Add, R3, R0);
                self.copy_argument(Helper::ProbeReadUser, operand.bytes, to)?;
            }
            Value::Record(offset) if aligned(offset, operand.bytes) => {
                asm.load(Size::of(operand.bytes as u8), R0, R8, offset as i16);
            }
            Value::Record(offset) => {
                asm.mov(R3, R8);
                asm.alu_imm(Alu::Add, R3, offset as i32);
                self.copy_argument(Helper::ProbeReadKernel, operand.bytes, to)?;
            }
            Value::RecordText(offset) => {
                asm.mov(R0, R8);
                asm.alu_imm(Alu::Add, R0, offset as i32);
            }
            Value::RecordDataLoc(offset) => {
                asm.load(Size::B4, R1, R8, offset as i16);
                asm.alu_imm(Alu::And, R1, 0xffff);
                asm.mov(R0, R8);
                asm.alu(Alu::Add, R0, R1);
            }
            Value::RecordRelLoc(offset) => {
                asm.load(Size::B4, R1, R8, offset as i16);
                asm.alu_imm(Alu::And, R1, 0xffff);
                asm.mov(R0, R8);
                asm.alu_imm(Alu::Add, R0, offset as i32 + 4);
                asm.alu(Alu::Add, R0, R1);
            }
        }
        if !operand.value.is_text() {
            extend(&mut self.asm, R0, operand.bytes, operand.ty);
        }
        self.asm.store(Size::B8, FIRING, to, R0);
        Ok(())
    }

    /// Copies from the address in r3 to r0, by way of the argument's own place. What cannot be read is 0, and counted.
    fn copy_argument(&mut self, helper: Helper, bytes: u32, to: i16) -> Result<()> {
        let read = self.asm.label();
        self.asm.store_imm(Size::B8, FIRING, to, 0);
        self.asm.mov(R1, FIRING);
        self.asm.alu_imm(Alu::Add, R1, to.into());
        self.asm.alu_imm(Alu::Mov, R2, bytes as i32);
        self.asm.call(helper);
        self.asm.jump_imm(Jump::Eq, R0, 0, read);
        self.count_loss(LossKind::ArgumentUnreadable)?;
        self.asm.bind(read);
        self.asm.load(Size::B8, R0, FIRING, to);
        Ok(())
    }
}

fn load_register(asm: &mut Assembler, to: Reg, register: Register) {
    asm.load(Size::B8, to, R8, register.offset as i16);
    if register.shift > 0 {
        asm.alu_imm(Alu::Rsh, to, i32::from(register.shift) * 8);
    }
}

fn aligned(offset: u32, bytes: u32) -> bool {
    matches!(bytes, 1 | 2 | 4 | 8) && offset.is_multiple_of(bytes)
}
