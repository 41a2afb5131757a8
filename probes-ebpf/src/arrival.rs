//! Why a packet was lost where it arrives, as the packet itself tells: its length, its checksum, and to whom it was sent.
use core::ptr::addr_of;

use aya_ebpf::Global;
use probes_common::{
    target::UNKNOWN_OFFSET,
    udp::{ARRIVAL, CHECKSUM, LENGTH, MULTICAST, NO_SOCKET},
};

use crate::datagram::{Firing, SKB_DATA, SKB_LEN, read_at};
use crate::task::Kernel;

/// Bits of struct sk_buff: the byte that they are in, and which of its bits.
#[unsafe(no_mangle)]
static SKB_SUMMED: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_SUMMED_BIT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_VALID: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_VALID_BIT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_KIND: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_KIND_BIT: Global<u32> = Global::new(0);

const HEADER_BYTES: u32 = 8;

/// `class` is of several reasons; this is the one, in the order in which the kernel looks (v5.10 net/ipv4/udp.c
/// __udp4_lib_rcv).
#[inline(always)]
pub fn class_of(skb: Kernel<true>, (class, family): (u8, u32), firing: &Firing) -> u8 {
    if has_bad_length(skb, family) {
        LENGTH
    } else if has_bad_checksum(skb) {
        CHECKSUM
    } else if is_for_many(skb, family, firing) {
        MULTICAST
    } else if class == ARRIVAL {
        NO_SOCKET
    } else {
        class
    }
}

/// What there is begins with UDP's header here. In IPv6 0 is the length of a jumbogram.
#[inline(always)]
fn has_bad_length(skb: Kernel<true>, family: u32) -> bool {
    let there = skb.read::<u32>(SKB_LEN.load());
    if there < HEADER_BYTES {
        return true;
    }
    let Some(length) = read_at::<u16>(skb.read::<u64>(SKB_DATA.load()) + 4) else { return false };
    let length = u32::from(u16::from_be(length));
    let is_jumbo = family == 6 && length == 0;
    length > there || length < HEADER_BYTES && !is_jumbo
}

/// The kernel has summed it up, and it was wrong. False where this kernel does not keep that, or did not look.
#[inline(always)]
pub fn has_bad_checksum(skb: Kernel<true>) -> bool {
    if SKB_SUMMED.load() == UNKNOWN_OFFSET || SKB_VALID.load() == UNKNOWN_OFFSET {
        return false;
    }
    let summed = skb.read::<u8>(SKB_SUMMED.load()) >> SKB_SUMMED_BIT.load() & 1;
    let valid = skb.read::<u8>(SKB_VALID.load()) >> SKB_VALID_BIT.load() & 1;
    summed == 1 && valid == 0
}

/// To a group, or to all. A link may also carry in a frame for many what is for one: the address decides.
#[inline(always)]
fn is_for_many(skb: Kernel<true>, family: u32, firing: &Firing) -> bool {
    // SAFETY: this program's own stack, where the packet's addresses have been read to.
    let [high, low] = unsafe { addr_of!((*firing.as_ptr()).laddr).read() };
    if family == 6 {
        return high as u8 == 0xff;
    }
    const BROADCAST: u8 = 1;
    let is_broadcast =
        SKB_KIND.load() != UNKNOWN_OFFSET && skb.read::<u8>(SKB_KIND.load()) >> SKB_KIND_BIT.load() & 7 == BROADCAST;
    is_broadcast || (low >> 32) as u8 & 0xf0 == 0xe0 || low >> 32 == 0xffff_ffff
}
