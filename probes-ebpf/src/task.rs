//! The current task, and kernel memory by offsets that user space read from the running kernel's BTF.
use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs},
};
use probes_common::target::UNKNOWN_OFFSET;

/// 1 where `bpf_get_current_task_btf` exists (5.11) and its pointers can be read directly.
#[unsafe(no_mangle)]
pub static TASK_DIRECT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_TGID: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static TASK_TID: Global<u32> = Global::new(UNKNOWN_OFFSET);

/// 1 where bpf_task_pt_regs exists (5.15).
#[unsafe(no_mangle)]
pub static TASK_PT_REGS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static TASK_STACK: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static STACK_BYTES: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static REGS_BYTES: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_FLAGS: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// Offsets in the architecture's pt_regs: instruction, stack and frame pointer, and the code segment, which x86_64 has.
#[unsafe(no_mangle)]
pub static REGS_SP: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static REGS_IP: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static REGS_FRAME: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static REGS_CS: Global<u32> = Global::new(UNKNOWN_OFFSET);

/// Flags of kernel threads and those of io_uring, which have no user registers (v6.18 include/linux/sched.h: PF_KTHREAD,
/// PF_USER_WORKER, PF_IO_WORKER).
pub const NO_USER: u32 = 0x20_4010;

/// An object of the kernel: a pointer that the verifier knows by type (`DIRECT`), or an address to copy from.
#[derive(Clone, Copy)]
pub struct Kernel<const DIRECT: bool>(pub *const u8);

impl<const DIRECT: bool> Kernel<DIRECT> {
    /// Reads a `T` at `offset`; 0 where a copy fails.
    #[inline(always)]
    pub fn read<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: either the verifier checks the load against the object's BTF type and the kernel catches a fault, or
        // bpf_probe_read_kernel copies and reports a fault.
        unsafe {
            let at = self.0.add(offset as usize).cast::<T>();
            if DIRECT { *at } else { bpf_probe_read_kernel(at).unwrap_or_default() }
        }
    }
}

/// The task that runs now.
#[derive(Clone, Copy)]
pub struct Task {
    pub address: *const u8,
}

impl Task {
    #[inline(always)]
    pub fn current() -> Task {
        // SAFETY: both helpers take nothing and return the current task.
        let address = unsafe {
            if TASK_DIRECT.load() != 0 {
                bpf_get_current_task_btf() as *const u8
            } else {
                bpf_get_current_task() as *const u8
            }
        };
        Task { address }
    }

    #[inline(always)]
    pub fn read<T: Copy + Default>(self, offset: u32) -> T {
        if TASK_DIRECT.load() != 0 {
            Kernel::<true>(self.address).read(offset)
        } else {
            Kernel::<false>(self.address).read(offset)
        }
    }
}

/// Whether these registers are of code that is not 32-bit.
#[inline(always)]
pub fn is_64_bit<const DIRECT: bool>(regs: Kernel<DIRECT>) -> bool {
    const USER64: u64 = 0x33;
    REGS_CS.load() == UNKNOWN_OFFSET || regs.read::<u64>(REGS_CS.load()) == USER64
}

/// Where the registers lie that a task entered the kernel with.
#[inline(always)]
pub fn regs_of<const DIRECT: bool>(task: Kernel<DIRECT>) -> *const u8 {
    if TASK_PT_REGS.load() != 0 && DIRECT {
        // SAFETY: the task is a BTF pointer.
        return unsafe { bpf_task_pt_regs(task.0 as *mut _) } as *const u8;
    }
    // At the top of its kernel stack (v5.10 arch/x86/include/asm/processor.h task_pt_regs).
    let stack: u64 = task.read(TASK_STACK.load());
    (stack + STACK_BYTES.load() as u64 - REGS_BYTES.load() as u64) as *const u8
}
