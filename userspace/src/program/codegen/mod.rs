//! A typed clause in, instructions out. The loader puts them where the provider calls its clause
//! (probes-ebpf/src/clause.rs): r1 context, r2 firing, r3 scratch; falling out at the end is returning.
//!
//! While the code runs, r6 is the firing, r7 the scratch, r8 the slot in front of the table, and r9 the row that is
//! updated. Everything that can fail or fault comes before the row is looked up, so a firing is in all of its functions or
//! in none.
mod aggregate;
mod buckets;
mod expr;
mod facts;
pub mod front;
mod functions;
pub mod site;
mod stream;
mod text;

use probes_common::clause::FRAME_BYTES;
use probes_common::loss::LossKind;

use super::argument::Used;
use super::insn::{Alu, Assembler, Code, Helper, Insn, Jump, Label, MapName, R0, R1, R2, R3, R6, R7, R8, Reg, Size};
use super::layout::Layout;
use super::tree::{Action, Clause, Expr};
use facts::Facts;
use front::Front;

/// What the generated code may rely on: the running kernel, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The firing's task is a pointer that the verifier knows: its fields are loaded directly.
    pub task_direct: bool,
    /// Offsets in task_struct; None where the kernel has no BTF.
    pub task_comm: Option<u32>,
    pub task_real_parent: Option<u32>,
    pub task_tgid: Option<u32>,
    /// The firing is about the task in its head, which is not the one at work: facts come from there.
    pub another: Option<Another>,
    /// BPF_CMPXCHG (5.12). Kernels without it run tracing programs with preemption off, and have no rows in front of the
    /// table.
    pub compare_exchange: bool,
    /// Size of the provider's firing, for streamed records.
    pub firing_bytes: u16,
    /// Where the firing's texts begin; they are its last fields. None: it has none.
    pub firing_texts: Option<u16>,
    /// Tables are reached through maps of one map, which user space exchanges.
    pub intervals: bool,
    /// The arguments of a point that the clause names.
    pub used: Used,
    /// The largest table with a row for each value of a small domain.
    pub dense_bytes: u64,
    /// Room for rows in front of the table, for each CPU.
    pub front_bytes: u64,
}

/// Offsets that lead from a task to what helpers tell of the current one only. None where the kernel has no BTF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Another {
    /// task_struct's cred, and its uid and gid.
    pub cred: Option<[u32; 3]>,
    /// task_struct's cgroups, css_set's dfl_cgrp, cgroup's kn, kernfs_node's id.
    pub cgroup: Option<[u32; 4]>,
}

/// A clause's code and what has to exist for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub code: Code,
    /// The value of the map [`MapName::Constants`].
    pub constants: Vec<u8>,
    pub shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Table { key_bytes: usize, layout: Layout, dense: Option<u32>, front: Option<Front> },
    Stream { record_bytes: usize, wide_record_bytes: usize },
}

/// Why a well-typed clause has no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodegenError {
    /// Key, facts and temporaries do not fit into the scratch.
    Frame,
    /// A jump would be too long.
    TooLong,
    /// The kernel's BTF is missing: a field cannot be found.
    NoBtf(&'static str),
}

impl std::fmt::Display for CodegenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CodegenError::Frame => {
                write!(
                    f,
                    "the clause needs more than the {FRAME_BYTES} bytes of stack that there are; use fewer keys or a simpler expression"
                )
            }
            CodegenError::TooLong => write!(f, "the expression is too long for one BPF program"),
            CodegenError::NoBtf(field) => write!(f, "field `{field}` needs the kernel's BTF, which is not there"),
        }
    }
}

impl std::error::Error for CodegenError {}

/// What the firing and the scratch are reached through; accesses become accesses of the stack when the code is spliced in.
pub const FIRING: Reg = R6;
pub const FRAME: Reg = R7;

type Result<T> = std::result::Result<T, CodegenError>;

pub fn compile(clause: &Clause, machine: &Machine) -> Result<Compiled> {
    compile_behind(clause, machine, Vec::new())
}

/// The clause in two parts, for a provider that asks for the predicate first: whether the firing is wanted (r0), and what to
/// do with one that is. They share the second one's constants.
pub fn compile_parts(clause: &Clause, machine: &Machine) -> Result<(Code, Compiled)> {
    let mut generator = Generator::new(machine.clone());
    generator.predicate(clause.predicate.as_ref())?;
    let code = generator.asm.finish().map_err(|_| CodegenError::TooLong)?;
    let action = Clause { predicate: None, action: clause.action.clone() };
    Ok((code, compile_behind(&action, machine, generator.constants)?))
}

/// `constants`: those that are there already.
fn compile_behind(clause: &Clause, machine: &Machine, constants: Vec<u8>) -> Result<Compiled> {
    let mut generator = Generator::new(machine.clone());
    generator.constants = constants;
    let shape = generator.clause(clause)?;
    let mut code = generator.asm.finish().map_err(|_| CodegenError::TooLong)?;
    // The splice continues behind the last instruction: a jump to the end needs no instruction of its own.
    debug_assert!(code.insns.last().is_some_and(|last| *last != Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 }));
    code.insns.shrink_to_fit();
    Ok(Compiled { code, constants: generator.constants, shape })
}

struct Generator {
    asm: Assembler,
    machine: Machine,
    facts: Facts,
    constants: Vec<u8>,
    frame_used: usize,
    /// Where a firing that is not wanted, or is done, goes.
    end: Label,
    /// Where a division by zero goes; bound only if one is possible.
    divide_by_zero: Label,
    can_divide_by_zero: bool,
}

/// An offset from r7, of eight bytes or more.
type Slot = i16;

impl Generator {
    fn new(machine: Machine) -> Self {
        let mut asm = Assembler::default();
        let end = asm.label();
        let divide_by_zero = asm.label();
        Generator {
            asm,
            machine,
            facts: Facts::default(),
            constants: Vec::new(),
            frame_used: 0,
            end,
            divide_by_zero,
            can_divide_by_zero: false,
        }
    }

    fn clause(&mut self, clause: &Clause) -> Result<Shape> {
        self.asm.mov(FIRING, R2);
        self.asm.mov(FRAME, R3);
        if matches!(clause.action, Action::Stream) {
            self.asm.mov(R8, R1);
        }
        if let Some(predicate) = &clause.predicate {
            self.gather(predicate)?;
            let end = self.end;
            self.branch(predicate, end, false)?;
        }
        let shape = match &clause.action {
            Action::Aggregate { keys, columns } => self.aggregate(keys, columns)?,
            Action::Stream => self.stream()?,
        };
        if self.can_divide_by_zero {
            self.asm.goto(self.end);
            self.asm.bind(self.divide_by_zero);
            self.count_loss(LossKind::DivideByZero)?;
        }
        self.asm.bind(self.end);
        Ok(shape)
    }

    /// Leaves 1 or 0 in r0. A fault counts as a loss and as a no.
    fn predicate(&mut self, predicate: Option<&Expr>) -> Result<()> {
        let Some(predicate) = predicate else {
            self.asm.alu_imm(Alu::Mov, R0, 1);
            return Ok(());
        };
        self.asm.mov(FIRING, R2);
        self.asm.mov(FRAME, R3);
        self.gather(predicate)?;
        let (unwanted, done) = (self.asm.label(), self.end);
        self.branch(predicate, unwanted, false)?;
        self.asm.alu_imm(Alu::Mov, R0, 1);
        self.asm.goto(done);
        if self.can_divide_by_zero {
            self.asm.bind(self.divide_by_zero);
            self.count_loss(LossKind::DivideByZero)?;
        }
        self.asm.bind(unwanted);
        self.asm.alu_imm(Alu::Mov, R0, 0);
        self.asm.bind(done);
        Ok(())
    }

    fn slot(&mut self, bytes: usize) -> Result<Slot> {
        let at = self.frame_used;
        self.frame_used += bytes.next_multiple_of(8);
        if self.frame_used > FRAME_BYTES { Err(CodegenError::Frame) } else { Ok(at as Slot) }
    }

    /// Adds bytes to the constants and says where they are.
    fn constant_bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = self.constants.len();
        self.constants.extend_from_slice(bytes);
        self.constants.resize(self.constants.len().next_multiple_of(8), 0);
        at as u32
    }

    /// `r1 = map`, for a table that may be exchanged the one that is in its place now. Clobbers r0-r5.
    fn load_map(&mut self, map: MapName) -> Result<()> {
        self.asm.map(R1, map);
        if !self.machine.intervals || !matches!(map, MapName::Table | MapName::Dense | MapName::Front | MapName::Other)
        {
            return Ok(());
        }
        let zero = self.slot(8)?;
        self.frame_used -= 8;
        self.asm.store_imm(Size::B4, FRAME, zero, 0);
        self.asm.mov(R2, FRAME);
        self.asm.alu_imm(Alu::Add, R2, zero.into());
        self.asm.call(Helper::MapLookup);
        // There always is one; the verifier wants to see it checked.
        let end = self.end;
        self.asm.jump_imm(Jump::Eq, R0, 0, end);
        self.asm.mov(R1, R0);
        Ok(())
    }

    /// `r1 = map; r2 = &slot; r0 = bpf_map_lookup_elem(r1, r2)`
    fn lookup(&mut self, map: MapName, key: Slot) -> Result<()> {
        self.load_map(map)?;
        self.asm.mov(R2, FRAME);
        self.asm.alu_imm(Alu::Add, R2, key.into());
        self.asm.call(Helper::MapLookup);
        Ok(())
    }

    /// Adds one to a counter of the ledger. Clobbers r0-r5.
    fn count_loss(&mut self, kind: LossKind) -> Result<()> {
        let key = self.slot(8)?;
        let absent = self.asm.label();
        self.asm.store_imm(Size::B4, FRAME, key, kind as i32);
        self.lookup(MapName::Loss, key)?;
        self.frame_used -= 8;
        self.asm.jump_imm(Jump::Eq, R0, 0, absent);
        self.asm.alu_imm(Alu::Mov, R1, 1);
        self.asm.atomic_add(R0, 0, R1);
        self.asm.bind(absent);
        Ok(())
    }
}
