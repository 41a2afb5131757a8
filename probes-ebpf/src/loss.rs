//! Counting what could not be recorded.
#[cfg(target_arch = "bpf")]
use core::arch::asm;

use aya_ebpf::{macros::map, maps::PerCpuArray};
use probes_common::loss::{LOSS_KINDS, LossKind};

#[map]
static LOSS: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_KINDS as u32, 0);

#[inline(always)]
pub fn count(kind: LossKind) {
    if let Some(counter) = LOSS.get_ptr_mut(kind as u32) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: the lookup's result is a live, aligned map value. Atomic, since a program that runs in an interrupt or
        // after a preemption on this CPU may count too.
        // By hand: LLVM offers BPF an atomic add with a result only, which kernels before 5.12 do not have.
        unsafe {
            asm!("lock *(u64 *)({at} + 0) += {one}", at = in(reg) counter, one = in(reg) 1u64)
        };
        #[cfg(not(target_arch = "bpf"))]
        let _ = counter;
    }
}
