//! BPF instructions as values, and an assembler with labels.
//! Input: calls in program order; output: [`Code`], whose map references are still names.

/// One instruction. `imm` of a map load is filled in by whoever knows the map's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    pub dst: u8,
    pub src: u8,
    pub off: i16,
    pub imm: i32,
}

/// A register: r0 result and scratch, r1-r5 arguments and operands (a call clobbers them), r6-r9 kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg(pub u8);

pub const R0: Reg = Reg(0);
pub const R1: Reg = Reg(1);
pub const R2: Reg = Reg(2);
pub const R3: Reg = Reg(3);
pub const R4: Reg = Reg(4);
pub const R5: Reg = Reg(5);
pub const R6: Reg = Reg(6);
pub const R7: Reg = Reg(7);
pub const R8: Reg = Reg(8);
pub const R9: Reg = Reg(9);
/// The end of the stack; read only.
pub const R10: Reg = Reg(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
    Arsh = 0xc0,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Jump {
    Eq = 0x10,
    Gt = 0x20,
    Ge = 0x30,
    Set = 0x40,
    Ne = 0x50,
    Sgt = 0x60,
    Sge = 0x70,
    Lt = 0xa0,
    Le = 0xb0,
    Slt = 0xc0,
    Sle = 0xd0,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    B8 = 0x18,
    B4 = 0x00,
    B2 = 0x08,
    B1 = 0x10,
}

impl Size {
    pub fn of(bytes: u8) -> Size {
        match bytes {
            1 => Size::B1,
            2 => Size::B2,
            4 => Size::B4,
            _ => Size::B8,
        }
    }
}

/// Helpers that generated code calls, by their number in the kernel's ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Helper {
    MapLookup = 1,
    MapUpdate = 2,
    KtimeGetNs = 5,
    GetSmpProcessorId = 8,
    GetCurrentUidGid = 15,
    GetCurrentComm = 16,
    GetCurrentCgroupId = 80,
    ProbeReadUser = 112,
    ProbeReadKernel = 113,
    ProbeReadUserStr = 114,
    ProbeReadKernelStr = 115,
    RingbufReserve = 131,
    RingbufSubmit = 132,
    ThisCpuPtr = 154,
    GetAttachCookie = 174,
}

/// A map that generated code refers to; the loader knows its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapName {
    /// Rows by key.
    Table,
    /// Rows by a small number.
    Dense,
    /// Rows of a few keys, which come before the table.
    Front,
    /// The row of keys that found the table full.
    Other,
    /// Constants of this clause; referred to by value.
    Constants,
    /// The loss ledger.
    Loss,
    Ring,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(usize);

/// Finished instructions. Falls out at its end: there is no exit in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Code {
    pub insns: Vec<Insn>,
    /// Index of a two-instruction load, and the map whose descriptor belongs there.
    pub maps: Vec<(usize, MapName)>,
}

#[derive(Debug, Default)]
pub struct Assembler {
    code: Code,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

/// A jump reaches 32,767 instructions; an expression that needs more is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar;

impl Assembler {
    fn push(&mut self, code: u8, dst: Reg, src: u8, off: i16, imm: i32) -> usize {
        self.code.insns.push(Insn { code, dst: dst.0, src, off, imm });
        self.code.insns.len() - 1
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub fn bind(&mut self, label: Label) {
        debug_assert!(self.labels[label.0].is_none(), "a label is bound once");
        self.labels[label.0] = Some(self.code.insns.len());
    }

    pub fn alu(&mut self, op: Alu, dst: Reg, src: Reg) {
        self.push(0x0f | op as u8, dst, src.0, 0, 0);
    }

    pub fn alu_imm(&mut self, op: Alu, dst: Reg, imm: i32) {
        self.push(0x07 | op as u8, dst, 0, 0, imm);
    }

    pub fn neg(&mut self, dst: Reg) {
        self.push(0x07 | Alu::Neg as u8, dst, 0, 0, 0);
    }

    pub fn mov(&mut self, dst: Reg, src: Reg) {
        if dst != src {
            self.alu(Alu::Mov, dst, src);
        }
    }

    /// Any 64-bit constant, in one instruction where it fits.
    pub fn constant(&mut self, dst: Reg, value: u64) {
        match i32::try_from(value as i64) {
            Ok(imm) => self.alu_imm(Alu::Mov, dst, imm),
            Err(_) => {
                self.push(0x18, dst, 0, 0, value as i32);
                self.push(0, R0, 0, 0, (value >> 32) as i32);
            }
        }
    }

    /// The map itself, as a helper's first argument.
    pub fn map(&mut self, dst: Reg, map: MapName) {
        const BPF_PSEUDO_MAP_FD: u8 = 1;
        let at = self.push(0x18, dst, BPF_PSEUDO_MAP_FD, 0, 0);
        self.push(0, R0, 0, 0, 0);
        self.code.maps.push((at, map));
    }

    /// The address of the one value of `map`, plus `offset`.
    pub fn map_value(&mut self, dst: Reg, map: MapName, offset: u32) {
        const BPF_PSEUDO_MAP_VALUE: u8 = 2;
        let at = self.push(0x18, dst, BPF_PSEUDO_MAP_VALUE, 0, 0);
        self.push(0, R0, 0, 0, offset as i32);
        self.code.maps.push((at, map));
    }

    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(0x61 | size as u8, dst, base.0, off, 0);
    }

    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: Reg) {
        self.push(0x63 | size as u8, base, src.0, off, 0);
    }

    pub fn store_imm(&mut self, size: Size, base: Reg, off: i16, imm: i32) {
        self.push(0x62 | size as u8, base, 0, off, imm);
    }

    /// `*(u64 *)(base + off) += src`, atomically.
    pub fn atomic_add(&mut self, base: Reg, off: i16, src: Reg) {
        self.push(0xdb, base, src.0, off, 0);
    }

    /// Where `*(u64 *)(base + off)` is r0, stores `src` there; r0 becomes what was there. Kernel: 5.12.
    pub fn compare_exchange(&mut self, base: Reg, off: i16, src: Reg) {
        const BPF_CMPXCHG: i32 = 0xf1;
        self.push(0xdb, base, src.0, off, BPF_CMPXCHG);
    }

    /// Swaps `src` and `*(u64 *)(base + off)`. Kernel: 5.12.
    pub fn exchange(&mut self, base: Reg, off: i16, src: Reg) {
        const BPF_XCHG: i32 = 0xe1;
        self.push(0xdb, base, src.0, off, BPF_XCHG);
    }

    pub fn call(&mut self, helper: Helper) {
        self.push(0x85, R0, 0, 0, helper as i32);
    }

    pub fn goto(&mut self, to: Label) {
        let at = self.push(0x05, R0, 0, 0, 0);
        self.jumps.push((at, to));
    }

    pub fn jump(&mut self, op: Jump, left: Reg, right: Reg, to: Label) {
        let at = self.push(0x0d | op as u8, left, right.0, 0, 0);
        self.jumps.push((at, to));
    }

    pub fn jump_imm(&mut self, op: Jump, left: Reg, right: i32, to: Label) {
        let at = self.push(0x05 | op as u8, left, 0, 0, right);
        self.jumps.push((at, to));
    }

    pub fn finish(mut self) -> Result<Code, TooFar> {
        for (at, label) in &self.jumps {
            let to = self.labels[label.0].expect("every label that is jumped to is bound");
            self.code.insns[*at].off = i16::try_from(to as i64 - *at as i64 - 1).map_err(|_| TooFar)?;
        }
        Ok(self.code)
    }
}
