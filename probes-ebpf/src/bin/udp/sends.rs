//! Sends that failed: the datagram never was a packet, or the packet was freed and is counted there.
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fexit, map},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, FExitContext},
};
use probes_common::stack::FRAMES_MAX;
use probes_common::udp::{ERRORS_MAX, FACT_KSTACK, FACT_PACKET, NO_LOSS};
use probes_ebpf::{
    call,
    clause::clause,
    datagram::{Firing, account, read_destination, read_socket, socket_family, wants},
    stacks,
    task::Kernel,
};

use crate::PLACES;

/// The socket whose packet was freed last on its way out, on this CPU: what its send then returns is no second loss.
#[map]
static FREED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A packet of this socket was freed, and counted.
#[inline(always)]
pub fn was_freed(sk: u64) {
    if let Some(freed) = FREED.get_ptr_mut(0) {
        // SAFETY: a live map value of this CPU.
        unsafe { freed.write(sk) };
    }
}

/// What every send returned. Kernel: 6.4.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sent(ctx: BtfTracePointContext) -> i32 {
    let sk = Kernel::<true>(ctx.arg(0));
    let returned = ctx.arg::<i32>(1);
    if is_loss(sk, returned) {
        let to = || call::destination().unwrap_or(0);
        let read = |address| call::read_user(address);
        fire(ctx.as_ptr(), sk, returned, || call::buffer_bytes().unwrap_or(0), to, read);
    }
    0
}

/// The same on older kernels.
#[fexit(function = "udp_sendmsg")]
pub fn sent_4(ctx: FExitContext) -> i32 {
    let sk = Kernel::<true>(ctx.arg(0));
    // To an address of IPv4 by a socket of IPv6: the other function returns it, too.
    if socket_family(sk) == Some(4) {
        returned(&ctx, sk);
    }
    0
}

#[fexit(function = "udpv6_sendmsg")]
pub fn sent_6(ctx: FExitContext) -> i32 {
    returned(&ctx, Kernel(ctx.arg(0)));
    0
}

#[inline(always)]
fn returned(ctx: &FExitContext, sk: Kernel<true>) {
    // Behind the socket, the message and its length.
    let returned = ctx.arg::<i32>(3);
    if is_loss(sk, returned) {
        // v6.18 include/linux/socket.h struct msghdr: the address comes first.
        let to = || Kernel::<true>(ctx.arg(1)).read(0);
        let read = |address| Some(Kernel::<false>(address as *const u8).read(0));
        fire(ctx.as_ptr(), sk, returned, || ctx.arg(2), to, read);
    }
}

#[inline(always)]
fn is_loss(sk: Kernel<true>, returned: i32) -> bool {
    let Some(freed) = FREED.get_ptr_mut(0) else { return false };
    // SAFETY: a live map value of this CPU.
    let is_counted = unsafe {
        let is_ours = *freed == sk.0 as u64;
        if is_ours {
            *freed = 0;
        }
        is_ours
    };
    returned < 0 && !is_counted
}

#[inline(always)]
fn fire(
    ctx: *mut c_void,
    sk: Kernel<true>,
    returned: i32,
    bytes: impl FnOnce() -> u64,
    to: impl FnOnce() -> u64,
    read: impl Fn(u64) -> Option<u64>,
) {
    let Some(family) = socket_family(sk) else { return };
    let Some(places) = PLACES.get_ptr(0) else { return };
    let error = returned.unsigned_abs() as usize;
    if error >= ERRORS_MAX {
        return;
    }
    // SAFETY: a live map value; the index is masked.
    let class = unsafe { (*places).by_error[core::hint::black_box(error) & (ERRORS_MAX - 1)] };
    if class == NO_LOSS {
        return;
    }
    let mut firing: Firing = MaybeUninit::uninit();
    let at = firing.as_mut_ptr();
    // First of all, or the firing would lie where the buffer's parts did, and its place be known from there
    // (userspace/src/program/splice.rs).
    // SAFETY: `at` is this program's own stack.
    unsafe { addr_of_mut!((*at).cut).write_volatile(0) };
    let bytes = bytes();
    read_socket(sk, &mut firing);
    // SAFETY: written by `read_socket`.
    if wants(FACT_PACKET) && unsafe { (*at).rport } == 0 {
        let to = to();
        read_destination(&mut firing, |offset| read(to.wrapping_add(offset)));
    }
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).bytes).write(bytes as u32);
        addr_of_mut!((*at).datagrams).write(1);
        addr_of_mut!((*at).sent).write(1);
        // Of the other direction.
        addr_of_mut!((*at).rcvbuf).write(0);
        addr_of_mut!((*at).fill).write(0);
        addr_of_mut!((*at).kstack).write(if wants(FACT_KSTACK) { stacks::kernel(ctx, FRAMES_MAX) } else { 0 });
    }
    account((class.into(), family), &mut firing);
    clause(ctx, &mut firing);
}
