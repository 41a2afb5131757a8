//! Provider `udp`: a firing for every packet of UDP that the kernel frees instead of handing it on, at skb:kfree_skb.
#![no_std]
#![no_main]

mod cuts;
mod sends;

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    macros::{btf_tracepoint, fexit, map},
    maps::Array,
    programs::{BtfTracePointContext, FExitContext},
};
use probes_common::{
    stack::FRAMES_MAX,
    udp::{
        BACKLOG, BY_SITE, CLASSES_MAX, FACT_KSTACK, FACT_SENT, NO_CLASS, NO_LOSS, Places, REASON_NAMED, REASONS_MAX,
        SIGN_NOTED, SIGNS, SITE_ROWS, SITES_MAX, TAKERS, UNLESS_TAKER,
    },
};
use probes_ebpf::{
    arrival,
    choice::{choose, is_below, is_equal, opaque},
    clause::clause,
    datagram::{Firing, complete, family, read_packet, read_receiver, sender, wants},
    refused, stacks,
    task::Kernel,
};

/// 1 where the tracepoint tells a reason (5.17), and the socket (6.11).
#[unsafe(no_mangle)]
static REASON_TOLD: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SOCKET_TOLD: Global<u32> = Global::new(0);

#[map]
static PLACES: Array<Places> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "kfree_skb")]
pub fn dropped(ctx: BtfTracePointContext) -> i32 {
    let mut firing = MaybeUninit::uninit();
    if is_loss(&ctx, &mut firing) {
        clause(ctx.as_ptr(), &mut firing);
    }
    0
}

/// Only where the tracepoint tells no reason.
#[fexit(function = "__udp_enqueue_schedule_skb")]
pub fn enqueued(ctx: FExitContext) -> i32 {
    refused::note(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[inline(always)]
fn is_loss(ctx: &BtfTracePointContext, firing: &mut Firing) -> bool {
    let skb = Kernel::<true>(ctx.arg(0));
    let Some(family) = family(skb) else { return false };
    let reason = if REASON_TOLD.load() != 0 { ctx.arg::<u32>(2) } else { 0 };
    let receiver: *const u8 = if SOCKET_TOLD.load() != 0 { ctx.arg(3) } else { core::ptr::null() };
    let refused = if REASON_TOLD.load() != 0 { None } else { refused::take(skb) };
    let placed = if refused.is_some() { 0 } else { class_at(reason, ctx.arg(1)) };
    if placed == NO_LOSS.into() {
        return false;
    }
    let is_udp = match refused {
        Some(refused) => read_receiver(skb, Kernel::<false>(refused.socket as *const u8), family, firing),
        None if receiver.is_null() => read_packet(skb, family, placed == BACKLOG.into(), firing),
        None => read_receiver(skb, Kernel::<true>(receiver), family, firing),
    };
    if !is_udp {
        return false;
    }
    let class = match refused {
        Some(refused) => refused.class as u8 as u32,
        None => closer(placed, skb, (reason, family), firing, !receiver.is_null()),
    };
    complete(skb, (class, family), firing);
    if wants(FACT_SENT)
        && let Some(sender) = sender(skb, placed == BACKLOG.into(), firing)
    {
        sends::was_freed(sender);
    }
    let kstack = if wants(FACT_KSTACK) { stacks::kernel(ctx.as_ptr(), FRAMES_MAX) } else { 0 };
    // SAFETY: this program's own stack.
    unsafe { addr_of_mut!((*firing.as_mut_ptr()).kstack).write(kstack) };
    true
}

/// What a reason and the function that freed the packet mean.
#[inline(always)]
fn class_at(reason: u32, location: u64) -> u64 {
    let Some(places) = PLACES.get_ptr(0) else { return NO_LOSS.into() };
    // The last stands for all that the table has no room for, and is none of the kernel's.
    let is_in_table = is_below(reason.into(), REASONS_MAX as u64);
    let row = choose(is_in_table, reason.into(), REASONS_MAX as u64 - 1);
    // SAFETY: a live map value; indexes are masked, and the compiler does not know that they need not be.
    unsafe {
        let by = u64::from((*places).by_reason[opaque(row) as usize & (REASONS_MAX - 1)]);
        if by & u64::from(BY_SITE | UNLESS_TAKER) == 0 {
            return by;
        }
        let site = site_of(&raw const (*places).starts, location);
        let is_by_site = by >> BY_SITE.trailing_zeros() & 1;
        let row = choose(is_by_site, by, TAKERS as u64);
        let at_site = u64::from((*places).by_site[opaque(row) as usize & (SITE_ROWS - 1)][site]);
        let is_unless_taker = by >> UNLESS_TAKER.trailing_zeros() & 1;
        let is_no_loss_there = is_equal(at_site, NO_LOSS.into()) & (is_by_site | is_unless_taker);
        let class = choose(is_by_site, at_site, by & !u64::from(UNLESS_TAKER));
        choose(is_no_loss_there, NO_LOSS.into(), class)
    }
}

/// The class that the packet's own signs make of one of several reasons.
#[inline(always)]
fn closer(class: u64, skb: Kernel<true>, (reason, family): (u32, u32), firing: &Firing, is_told: bool) -> u32 {
    let noted = if REASON_TOLD.load() != 0 { 0 } else { refused::are_noted() * SIGN_NOTED };
    // What a socket refused, it told why.
    let signs = if is_told { 0 } else { (arrival::signs(skb, family, firing) | noted) as u64 };
    let Some(places) = PLACES.get_ptr(0) else { return 0 };
    // SAFETY: a live map value; indexes are masked.
    let closer = unsafe {
        let closer = &raw const (*places).closer;
        (*closer)[opaque(class) as usize & (CLASSES_MAX - 1)][opaque(signs) as usize & (SIGNS - 1)]
    };
    let named = REASON_NAMED.saturating_add(reason);
    choose(is_equal(class, NO_CLASS.into()), named.into(), closer.into()) as u32
}

/// The last that begins at or below `location`. Without branches: the verifier would walk what is behind once for each way.
///
/// # Safety
/// `starts` is in a live map value.
#[inline(always)]
unsafe fn site_of(starts: *const [u64; SITES_MAX], location: u64) -> usize {
    let mut site = 0;
    let mut step = SITES_MAX / 2;
    while step > 0 {
        let next = (site + step) & (SITES_MAX - 1);
        // SAFETY: the index is masked.
        let start = unsafe { starts.cast::<u64>().add(next).read() };
        // Both are of the kernel's half of addresses.
        let is_above = is_below(location, start);
        site = (site + choose(is_above, 0, step as u64) as usize) & (SITES_MAX - 1);
        step /= 2;
    }
    site
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
