//! Provider `profile`: a firing for every sample that a perf event takes of a target.
//!
//! Births, ends and execs only keep the list of targets, and tell user space whose addresses mean something else from now
//! on.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    bindings::bpf_perf_event_data,
    macros::{map, perf_event},
    maps::PerCpuArray,
    programs::PerfEventContext,
};
use probes_common::{
    profile::{FACT_KSTACK, FACT_LEAF, FACT_USTACK, ProfileFiring, SAMPLES_TAKEN},
    stack::{FRAMES_MAX, NO_STACK},
};
use probes_ebpf::{atomic, clause::clause, stacks, target::target};

#[unsafe(no_mangle)]
static FACTS: Global<u32> = Global::new(0);

/// Everything that the events gave, of whomever: what they should have given less this was throttled.
#[map]
static SAMPLES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

probes_ebpf::births!(stacks::born);
probes_ebpf::ends!();
probes_ebpf::execs!();

#[perf_event]
pub fn sample(ctx: PerfEventContext) -> u32 {
    if let Some(samples) = SAMPLES.get_ptr_mut(SAMPLES_TAKEN) {
        // SAFETY: a live map value.
        unsafe { atomic::add(samples, 1) };
    }
    let mut firing = MaybeUninit::uninit();
    if sampled(ctx.as_ptr(), &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

#[inline(always)]
fn wants(fact: u32) -> bool {
    FACTS.load() & fact != 0
}

#[inline(always)]
fn sampled(ctx: *mut c_void, firing: &mut MaybeUninit<ProfileFiring>) -> bool {
    let Some(head) = target() else { return false };
    let tgid = (head.pid_tgid >> 32) as u32;
    // The idle task is nobody's time.
    if tgid == 0 {
        return false;
    }
    let firing = firing.as_mut_ptr();
    // SAFETY: `firing` is this program's own stack, `ctx` its context; fields are written before the clause reads them.
    unsafe {
        let leaf_in_kernel = if wants(FACT_LEAF) { stacks::kernel(ctx, 1) } else { NO_STACK };
        addr_of_mut!((*firing).leaf).write(if leaf_in_kernel != NO_STACK || !wants(FACT_LEAF) {
            leaf_in_kernel
        } else {
            stacks::user(ctx, tgid, 1)
        });
        addr_of_mut!((*firing).in_kernel).write((leaf_in_kernel != NO_STACK) as u64);
        addr_of_mut!((*firing).kstack).write(if wants(FACT_KSTACK) {
            stacks::kernel(ctx, FRAMES_MAX)
        } else {
            NO_STACK
        });
        addr_of_mut!((*firing).ustack).write(if wants(FACT_USTACK) {
            stacks::user(ctx, tgid, FRAMES_MAX)
        } else {
            NO_STACK
        });
        addr_of_mut!((*firing).weight).write((*ctx.cast::<bpf_perf_event_data>()).sample_period);
        addr_of_mut!((*firing).head).write(head);
    }
    true
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
