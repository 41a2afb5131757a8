//! Counting what could not be recorded.
use aya_ebpf::{macros::map, maps::PerCpuArray};
use probes_common::loss::{LOSS_KINDS, LossKind};

use crate::atomic;

#[map]
static LOSS: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_KINDS as u32, 0);

#[inline(always)]
pub fn count(kind: LossKind) {
    if let Some(counter) = LOSS.get_ptr_mut(kind as u32) {
        // SAFETY: the lookup's result is a live, aligned map value.
        unsafe { atomic::add(counter, 1) };
    }
}
