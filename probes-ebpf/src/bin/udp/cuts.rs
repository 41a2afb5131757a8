//! Datagrams that were longer than their reader's buffer: the rest of them is lost.
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::{
    EbpfContext, Global,
    macros::{btf_tracepoint, fentry, map},
    maps::Array,
    programs::{BtfTracePointContext, FEntryContext},
};
use probes_common::loss::LossKind;
use probes_common::stack::FRAMES_MAX;
use probes_common::target::UNKNOWN_OFFSET;
use probes_common::udp::{CUT, FACT_KSTACK, NEXT_MAX};
use probes_ebpf::{
    atomic, call,
    choice::opaque,
    clause::clause,
    datagram::{
        Firing, SKB_LEN, account, complete, family, fill, inode_of, read_receiver, read_socket, socket_family, wants,
    },
    loss,
    site::take,
    stacks,
    task::Kernel,
};

/// Offsets: in struct sk_buff,
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
    let length = skb.read::<u32>(SKB_LEN.load());
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

/// What is known of a socket's queue, at the place that its inode says: those of sockets are numbered one by one. A place is
/// of the socket that used it last; where two share one, one is not known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Next {
    inode: u64,
    /// 0, or the length of the datagram that will be read next, and one.
    length: u64,
}

/// Without that function: how long the datagram is that will be read next, as seen before it is.
#[map]
static NEXT: Array<Next> = Array::with_max_entries(1, 0);

/// A datagram was queued. Kernel: 6.4.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn queued(ctx: BtfTracePointContext) -> i32 {
    let sk = Kernel::<true>(ctx.arg(0));
    if socket_family(sk).is_none() {
        return 0;
    }
    let inode = inode_of(sk);
    let Some(next) = place_of(inode) else { return 0 };
    // SAFETY: a live map value.
    unsafe {
        if addr_of!((*next).inode).read_volatile() != inode {
            claim(next, inode);
        }
        note(next, || queue_head(sk));
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
    let inode = inode_of(sk);
    let Some(next) = place_of(inode) else { return 0 };
    let copied = copied as u32;
    // SAFETY: a live map value.
    let length = unsafe { taken(next, inode) };
    if length == 0 {
        // It may have been longer.
        if call::buffer_bytes() == Some(copied.into()) {
            loss::count(LossKind::LengthUnseen);
        }
    } else if u64::from(copied) + 1 < length && is_full(copied) {
        let mut firing = MaybeUninit::uninit();
        read_socket(sk, &mut firing);
        account((CUT, family), &mut firing);
        fire(ctx.as_ptr(), length as u32 - 1 - copied, &mut firing);
    }
    if has_more(sk) {
        // SAFETY: a live map value.
        unsafe { note(next, || first(sk)) };
    }
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

#[inline(always)]
fn place_of(inode: u64) -> Option<*mut Next> {
    // Of the kernel's own sockets, which have none.
    if inode == 0 {
        return None;
    }
    NEXT.get_ptr_mut(inode as u32 & (NEXT_MAX - 1))
}

/// # Safety
/// `next` is a live map value.
#[inline(always)]
unsafe fn claim(next: *mut Next, inode: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        addr_of_mut!((*next).length).write_volatile(0);
        addr_of_mut!((*next).inode).write_volatile(inode);
    }
}

/// The length and one of the datagram that was read; 0: it was not seen before. What comes next is not known from here on.
///
/// # Safety
/// As above.
#[inline(always)]
unsafe fn taken(next: *mut Next, inode: u64) -> u64 {
    // SAFETY: the caller's promise. Added to, and not written, since what comes next must not be read before this is 0.
    unsafe {
        if addr_of!((*next).inode).read_volatile() != inode {
            claim(next, inode);
            return 0;
        }
        let place = addr_of_mut!((*next).length);
        let length = place.read_volatile();
        atomic::add(place, 0u64.wrapping_sub(length));
        length
    }
}

/// Notes the length of the first in the queue, unless that is known.
///
/// # Safety
/// As above.
#[inline(always)]
unsafe fn note(next: *mut Next, head: impl Fn() -> Option<Packet>) {
    // SAFETY: the caller's promise.
    unsafe {
        let place = addr_of_mut!((*next).length);
        if place.read_volatile() != 0 {
            return;
        }
        let Some(packet) = head() else { return };
        if take(place, u64::from(packet.length) + 1) && head().is_none_or(|now| now.address != packet.address) {
            // It was taken in the meantime.
            place.write_volatile(0);
        }
    }
}

/// Something waits to be read. The kernel gives the room back at once where it was the last.
#[inline(always)]
fn has_more(sk: Kernel<true>) -> bool {
    fill(sk) != 0
}

struct Packet {
    address: u64,
    length: u32,
}

/// The packet that will be read next. What the reader has already taken over from the socket's queue comes first
/// (v6.18 net/ipv4/udp.c __skb_recv_udp).
#[inline(always)]
fn first(sk: Kernel<true>) -> Option<Packet> {
    let queue = sk.0 as u64 + u64::from(UDP_QUEUE.load());
    let packet = Kernel::<false>(queue as *const u8).read::<u64>(0);
    if packet == 0 || packet == queue {
        return queue_head(sk);
    }
    Some(Packet { address: packet, length: Kernel::<false>(packet as *const u8).read(SKB_LEN.load()) })
}

/// The first in the queue that the kernel puts packets into.
#[inline(always)]
fn queue_head(sk: Kernel<true>) -> Option<Packet> {
    let queue = sk.0 as u64 + u64::from(SOCK_QUEUE.load());
    let packet = sk.read::<u64>(SOCK_QUEUE.load());
    if opaque(packet) == queue {
        return None;
    }
    Some(Packet { address: opaque(packet), length: Kernel::<true>(packet as *const u8).read(SKB_LEN.load()) })
}
