//! Packets that a socket has just refused, with the socket and why: noted where the kernel puts a packet into a receive
//! buffer, for the tracepoint behind, which before 5.17 tells neither. Between the two nothing else refuses on a CPU: both
//! are in one softirq.
use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use probes_common::udp::{BUFFER, MEMORY};

use crate::task::Kernel;

#[derive(Clone, Copy)]
pub struct Refused {
    /// The packet; 0: none.
    skb: u64,
    pub socket: u64,
    pub class: u64,
}

#[map]
static REFUSED: PerCpuArray<Refused> = PerCpuArray::with_max_entries(1, 0);

/// 1 as long as all of them are noted.
#[map]
static NOTED: Array<u32> = Array::with_max_entries(1, 0);

const ENOMEM: i32 = 12;

/// v5.10 net/ipv4/udp.c __udp_enqueue_schedule_skb: ENOMEM is the buffer of the socket, ENOBUFS the memory of all.
#[inline(always)]
pub fn note(socket: *const u8, skb: *const u8, result: i32) {
    if result >= 0 {
        return;
    }
    let Some(refused) = REFUSED.get_ptr_mut(0) else { return };
    let class = if result == -ENOMEM { BUFFER } else { MEMORY };
    // SAFETY: a live map value of this CPU, in a softirq, which no other interrupts.
    unsafe { refused.write(Refused { skb: skb as u64, socket: socket as u64, class: class.into() }) };
}

/// Only once: its memory becomes another packet's.
#[inline(always)]
pub fn take(skb: Kernel<true>) -> Option<Refused> {
    let noted = REFUSED.get_ptr_mut(0)?;
    // SAFETY: as above.
    unsafe {
        let refused = noted.read();
        if refused.skb != skb.0 as u64 {
            return None;
        }
        (*noted).skb = 0;
        Some(refused)
    }
}

/// 1 or 0, as in the map.
#[inline(always)]
pub fn are_noted() -> usize {
    // SAFETY: a live map value.
    NOTED.get_ptr(0).map_or(0, |noted| unsafe { noted.read() } as usize & 1)
}
