//! The ways to attach to tracepoints, and which of them this kernel takes.
use std::os::fd::AsFd;

use crate::btf::Found;
use crate::program::insn::{Alu, Assembler, Helper, Insn, R0, R1, Size};
use crate::sys::bpf::{self, MapSpec, ProgramSpec};
use crate::sys::process;

/// What a program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// tp_btf: arguments are pointers of known type. Kernel: 5.5 and BTF.
    Typed,
    /// raw_tp: arguments are numbers.
    Raw,
    /// The tracepoint's perf event, whose programs run with preemption off on every kernel.
    Classic,
    /// A function's first instruction (fentry), and where it returns (fexit): no way of its own, but beside one.
    Entry,
    Return,
}

/// One way to attach, with what its programs may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub hook: Hook,
    /// bpf_get_current_task_btf. Kernel: 5.11.
    pub task_direct: bool,
    /// bpf_task_pt_regs. Kernel: 5.15.
    pub task_pt_regs: bool,
}

impl Path {
    /// From the one that costs least to the one that asks least.
    const ALL: [Path; 4] = [
        Path { hook: Hook::Typed, task_direct: true, task_pt_regs: true },
        Path { hook: Hook::Typed, task_direct: true, task_pt_regs: false },
        Path { hook: Hook::Typed, task_direct: false, task_pt_regs: false },
        Path { hook: Hook::Raw, task_direct: false, task_pt_regs: false },
    ];
    /// Costs 30 ns more a firing, and loses none.
    const NOT_PREEMPTED: Path = Path { hook: Hook::Classic, task_direct: true, task_pt_regs: true };

    /// Those to be tried, in their order. Without tracepoints it does not matter how they are attached to.
    pub fn candidates(found: &Found, tracepoints: bool) -> Vec<Path> {
        let preempted = tracepoints && typed_programs_are_preempted(found);
        let first = preempted.then_some(Path::NOT_PREEMPTED);
        first.into_iter().chain(Path::ALL).collect()
    }

    /// Typed and raw programs are taken where they were seen not to be preempted, or the kernel is too old to do it.
    /// Whether that was seen is known of x86_64 only.
    pub fn is_never_preempted(self) -> bool {
        self.hook == Hook::Classic || cfg!(target_arch = "x86_64")
    }

    /// Programs are given pointers that the verifier knows.
    pub fn is_typed(self) -> bool {
        self.hook != Hook::Raw
    }

    pub fn is_last_resort(self) -> bool {
        self.hook == Hook::Raw
    }

    /// The section that the programs come from.
    pub fn name(self) -> &'static str {
        match self.hook {
            Hook::Typed => "tp_btf",
            Hook::Raw => "raw_tp",
            Hook::Classic => "tracepoint",
            Hook::Entry => "fentry",
            Hook::Return => "fexit",
        }
    }
}

/// Of the preempt count: how often preemption was disabled.
const PREEMPT_MASK: i32 = 0xff;

/// Whether typed and raw programs run with preemption on, as on 7.2. There, what happens on a CPU while such a program is
/// preempted on it is missed: half of all calls where busy threads share a CPU. Found out by looking: a program at
/// sys_enter reads the count. What cannot be found out is no.
fn typed_programs_are_preempted(found: &Found) -> bool {
    preempt_count_in_a_program(found).is_some_and(|count| count & PREEMPT_MASK == 0)
}

fn preempt_count_in_a_program(found: &Found) -> Option<i32> {
    const SYS_ENTER: &str = "sys_enter";
    let (variable, tracepoint) = (found.preempt_count?, *found.tracepoints.get(SYS_ENTER)?);
    let map = bpf::map_create(&MapSpec {
        name: "preempt",
        map_type: bpf::MAP_TYPE_ARRAY,
        key_bytes: 4,
        value_bytes: 8,
        max_entries: 1,
        flags: 0,
        inner: None,
    })
    .ok()?;
    let insns = store_preempt_count(variable, map.as_fd());
    let program = bpf::prog_load(
        &ProgramSpec {
            name: "preempt",
            program_type: bpf::PROG_TYPE_TRACING,
            attach_type: bpf::ATTACH_TRACE_RAW_TP,
            attach_btf_id: tracepoint,
            insns: &insns,
            license: c"GPL",
        },
        false,
    )
    .ok()?;
    let link = bpf::raw_tracepoint_open(None, program.as_fd()).ok()?;
    let mut value = [0u8; 8];
    // Any call of anybody will do; this is one.
    process::exists(std::process::id());
    drop(link);
    bpf::map_lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut value).ok()?;
    let [count, seen] = [0, 4].map(|at| i32::from_ne_bytes(value[at..at + 4].try_into().expect("four bytes")));
    (seen != 0).then_some(count)
}

/// `value.count = *this_cpu_ptr(&variable); value.seen = 1;`
fn store_preempt_count(variable: u32, map: std::os::fd::BorrowedFd) -> Vec<Insn> {
    use std::os::fd::AsRawFd;
    const PSEUDO_MAP_VALUE: u8 = 2;
    const PSEUDO_BTF_ID: u8 = 3;
    let load_64 =
        |src, imm| [Insn { code: 0x18, dst: R1.0, src, off: 0, imm }, Insn { code: 0, dst: 0, src: 0, off: 0, imm: 0 }];
    let mut insns = load_64(PSEUDO_BTF_ID, variable as i32).to_vec();
    let mut asm = Assembler::default();
    asm.call(Helper::ThisCpuPtr);
    asm.load(Size::B4, R0, R0, 0);
    insns.extend(asm.finish().expect("no jumps").insns);
    insns.extend(load_64(PSEUDO_MAP_VALUE, map.as_raw_fd()));
    let mut asm = Assembler::default();
    asm.store(Size::B4, R1, 0, R0);
    asm.store_imm(Size::B4, R1, 4, 1);
    asm.alu_imm(Alu::Mov, R0, 0);
    insns.extend(asm.finish().expect("no jumps").insns);
    insns.push(Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 });
    insns
}
