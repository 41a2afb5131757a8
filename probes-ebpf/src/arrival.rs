//! Signs of why a packet was lost where it arrives: its length, its checksum, and to whom it was sent.
use core::ptr::addr_of;

use aya_ebpf::Global;
use probes_common::{
    target::UNKNOWN_OFFSET,
    udp::{SIGN_CHECKSUM, SIGN_LENGTH, SIGN_MANY},
};

use crate::choice::{choose, is_below, is_equal};
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

const HEADER_BYTES: u64 = 8;

/// As bits of an index.
#[inline(always)]
pub fn signs(skb: Kernel<true>, family: u32, firing: &Firing) -> usize {
    let is_ipv6 = u64::from(family) >> 1 & 1;
    let length = has_bad_length(skb, is_ipv6) * SIGN_LENGTH as u64;
    let checksum = has_bad_checksum(skb) * SIGN_CHECKSUM as u64;
    let many = is_for_many(skb, is_ipv6, firing) * SIGN_MANY as u64;
    (length | checksum | many) as usize
}

/// Where what there is begins with UDP's header. In IPv6 0 is the length of a jumbogram.
#[inline(always)]
fn has_bad_length(skb: Kernel<true>, is_ipv6: u64) -> u64 {
    let there = u64::from(skb.read::<u32>(SKB_LEN.load()));
    let length = read_at::<u16>(skb.read::<u64>(SKB_DATA.load()) + 4).unwrap_or(0);
    let length = u64::from(u16::from_be(length));
    let is_jumbo = is_equal(length, 0) & is_ipv6;
    is_below(there, HEADER_BYTES) | is_below(there, length) | is_below(length, HEADER_BYTES) & (is_jumbo ^ 1)
}

/// The kernel has summed it up, and it was wrong (v5.10 net/core/skbuff.c __skb_checksum_complete). 0 where this kernel
/// does not keep that, or did not look.
#[inline(always)]
fn has_bad_checksum(skb: Kernel<true>) -> u64 {
    if SKB_SUMMED.load() == UNKNOWN_OFFSET || SKB_VALID.load() == UNKNOWN_OFFSET {
        return 0;
    }
    let summed = skb.read::<u8>(SKB_SUMMED.load()) >> SKB_SUMMED_BIT.load() & 1;
    let valid = skb.read::<u8>(SKB_VALID.load()) >> SKB_VALID_BIT.load() & 1;
    u64::from(summed & (valid ^ 1))
}

/// To a group, or to all. A link may also carry in a frame for many what is for one: the address decides.
#[inline(always)]
fn is_for_many(skb: Kernel<true>, is_ipv6: u64, firing: &Firing) -> u64 {
    const BROADCAST: u64 = 1;
    // SAFETY: this program's own stack, where the packet's addresses have been read to.
    let [high, low] = unsafe { addr_of!((*firing.as_ptr()).laddr).read() };
    let kind = if SKB_KIND.load() == UNKNOWN_OFFSET { 0 } else { skb.read::<u8>(SKB_KIND.load()) };
    let kind = u64::from(kind >> SKB_KIND_BIT.load() & 7);
    let to_all = is_equal(kind, BROADCAST) | is_equal(low >> 32, 0xffff_ffff);
    let to_group = choose(is_ipv6, is_equal(high & 0xff, 0xff), is_equal(low >> 32 & 0xf0, 0xe0));
    to_group | to_all & (is_ipv6 ^ 1)
}
