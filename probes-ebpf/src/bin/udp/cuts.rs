//! Datagrams that were longer than their reader's buffer: the rest of them is lost.
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    macros::{btf_tracepoint, fentry, map},
    maps::LruHashMap,
    programs::{BtfTracePointContext, FEntryContext},
};
use probes_common::loss::LossKind;
use probes_common::stack::FRAMES_MAX;
use probes_common::target::UNKNOWN_OFFSET;
use probes_common::udp::{CUT, FACT_KSTACK};
use probes_ebpf::{
    atomic, call,
    clause::clause,
    datagram::{Firing, account, complete, family, inode_of, read_receiver, read_socket, socket_family, wants},
    loss,
    site::take,
    stacks,
    task::Kernel,
};

/// Offsets: in struct sk_buff,
#[unsafe(no_mangle)]
static CUT_SKB_LEN: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_USERS: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct sock and udp_sock,
#[unsafe(no_mangle)]
static SOCK_QUEUE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static UDP_QUEUE: Global<u32> = Global::new(UNKNOWN_OFFSET);

/// The reader has its copy of a datagram: socket, packet, and how many bytes were copied; less than 0 where it stays in the
/// queue. A reader that asks for the whole length with MSG_TRUNC is told it, and cannot be told from one that read it.
#[fentry(function = "skb_consume_udp")]
pub fn read(ctx: FEntryContext) -> i32 {
    let (sk, skb) = (Kernel::<true>(ctx.arg(0)), Kernel::<true>(ctx.arg(1)));
    let copied = ctx.arg::<i32>(2);
    let length = skb.read::<u32>(CUT_SKB_LEN.load());
    if copied < 0 || copied as u32 >= length {
        return 0;
    }
    // Nothing copied of what stays in the queue is 0, too; but then the queue holds it as well.
    if copied == 0 && skb.read::<u32>(SKB_USERS.load()) != 1 {
        return 0;
    }
    let Some(family) = family(skb) else { return 0 };
    let mut firing = MaybeUninit::uninit();
    if read_receiver(skb, sk, family, &mut firing) {
        complete(skb, (CUT, family), &mut firing);
        fire(ctx.as_ptr(), length - copied as u32, &mut firing);
    }
    0
}

/// Without that function: how long the datagram is that will be read next, as seen before it is. For each socket 0, or the
/// length and one; and the socket's inode, since addresses are used again.
#[map]
static NEXT: LruHashMap<u64, [u64; 2]> = LruHashMap::with_max_entries(1, 0);

/// A datagram was queued. Kernel: 6.4.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn queued(ctx: BtfTracePointContext) -> i32 {
    let sk = Kernel::<true>(ctx.arg(0));
    if socket_family(sk).is_some() {
        look_at_next(sk);
    }
    0
}

/// A read returned. Kernel: 6.4.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn received(ctx: BtfTracePointContext) -> i32 {
    // v6.18 include/linux/socket.h: MSG_PEEK, MSG_ERRQUEUE. What is looked at stays; errors are another queue.
    const NOT_TAKEN: i32 = 0x2 | 0x2000;
    let sk = Kernel::<true>(ctx.arg(0));
    let (copied, flags) = (ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    let Some(family) = socket_family(sk) else { return 0 };
    if copied < 0 || flags & NOT_TAKEN != 0 {
        return 0;
    }
    let copied = copied as u32;
    match taken(sk) {
        Some(length) if copied < length && is_full(copied) => {
            let mut firing = MaybeUninit::uninit();
            read_socket(sk, &mut firing);
            account((CUT, family), &mut firing);
            fire(ctx.as_ptr(), length - copied, &mut firing);
        }
        // It may have been longer.
        None if call::buffer_bytes() == Some(copied.into()) => loss::count(LossKind::LengthUnseen),
        _ => {}
    }
    look_at_next(sk);
    0
}

/// Whether no more than this would have gone into the buffer, as far as can be seen.
#[inline(always)]
fn is_full(copied: u32) -> bool {
    call::buffer_bytes().is_none_or(|bytes| bytes == copied.into())
}

#[inline(always)]
fn fire(ctx: *mut c_void, lost: u32, firing: &mut Firing) {
    let at = firing.as_mut_ptr();
    // SAFETY: `at` is this program's own stack.
    unsafe {
        // The datagram itself has come.
        addr_of_mut!((*at).datagrams).write(0);
        addr_of_mut!((*at).cut).write(1);
        addr_of_mut!((*at).bytes).write(lost);
        addr_of_mut!((*at).sent).write(0);
        addr_of_mut!((*at).kstack).write(if wants(FACT_KSTACK) { stacks::kernel(ctx, FRAMES_MAX) } else { 0 });
    }
    clause(ctx, firing);
}

/// The length of the datagram that was read, where it was seen before. What comes next is not known from here on.
#[inline(always)]
fn taken(sk: Kernel<true>) -> Option<u32> {
    let next = NEXT.get_ptr_mut(sk.0 as u64)?.cast::<u64>();
    // SAFETY: a live map value. Added to, and not written, since what comes next must not be read before this is 0.
    unsafe {
        let length = next.read_volatile();
        atomic::add(next, 0u64.wrapping_sub(length));
        let is_same = next.add(1).read_volatile() == inode_of(sk);
        (is_same && length != 0).then(|| length as u32 - 1)
    }
}

/// Notes the length of the first in the queue, unless that is known.
#[inline(always)]
fn look_at_next(sk: Kernel<true>) {
    let inode = inode_of(sk);
    let Some(next) = NEXT.get_ptr_mut(sk.0 as u64) else {
        let Some((_, length)) = first(sk) else { return };
        // Another CPU may have been first, and has seen the same or one that was queued before.
        let _ = NEXT.insert(sk.0 as u64, [u64::from(length) + 1, inode], NOEXIST);
        return;
    };
    let next = next.cast::<u64>();
    // SAFETY: a live map value.
    unsafe {
        if next.add(1).read_volatile() != inode {
            next.write_volatile(0);
            next.add(1).write_volatile(inode);
        }
        if next.read_volatile() != 0 {
            return;
        }
        let Some((packet, length)) = first(sk) else { return };
        if take(next, u64::from(length) + 1) && first(sk).is_none_or(|(now, _)| now != packet) {
            // It was taken in the meantime.
            next.write_volatile(0);
        }
    }
}

/// v6.18 include/uapi/linux/bpf.h: BPF_NOEXIST.
const NOEXIST: u64 = 1;

/// The packet that will be read next, and its length.
#[inline(always)]
fn first(sk: Kernel<true>) -> Option<(u64, u32)> {
    // What the reader has already taken over from the socket's queue comes first (v6.18 net/ipv4/udp.c __skb_recv_udp).
    let at = |offset: u32| {
        let queue = sk.0 as u64 + u64::from(offset);
        let packet = Kernel::<false>(queue as *const u8).read::<u64>(0);
        (packet != 0 && packet != queue).then_some(packet)
    };
    let packet = at(UDP_QUEUE.load()).or_else(|| at(SOCK_QUEUE.load()))?;
    Some((packet, Kernel::<false>(packet as *const u8).read(CUT_SKB_LEN.load())))
}
