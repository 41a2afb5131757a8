//! Provider `udp`: a firing for every packet of UDP that the kernel frees instead of handing it on, at skb:kfree_skb.
#![no_std]
#![no_main]

mod cuts;
mod sends;

use core::hint::black_box;
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
        BY_SITE, CLASSES_MAX, FACT_KSTACK, FACT_SENT, NO_CLASS, NO_LOSS, Places, REASON_NAMED, REASONS_MAX, SIGN_NOTED,
        SIGNS, SITE_ROWS, SITES_MAX, TAKERS, UNLESS_TAKER,
    },
};
use probes_ebpf::{
    arrival,
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
    let is_udp = match refused {
        Some(refused) => read_receiver(skb, Kernel::<false>(refused.socket as *const u8), family, firing),
        None if receiver.is_null() => read_packet(skb, family, firing),
        None => read_receiver(skb, Kernel::<true>(receiver), family, firing),
    };
    if !is_udp {
        return false;
    }
    let class = match refused {
        Some(refused) => Some(refused.class as u8 as u32),
        // What a socket refused, it told why.
        None if !receiver.is_null() => class_of(reason, ctx.arg(1)),
        None => class_of(reason, ctx.arg(1)).and_then(|class| closer(skb, (class, family), firing)),
    };
    let Some(class) = class else { return false };
    complete(skb, (class, family), firing);
    if wants(FACT_SENT)
        && let Some(sender) = sender(skb, firing)
    {
        sends::was_freed(sender);
    }
    let kstack = if wants(FACT_KSTACK) { stacks::kernel(ctx.as_ptr(), FRAMES_MAX) } else { 0 };
    // SAFETY: this program's own stack.
    unsafe { addr_of_mut!((*firing.as_mut_ptr()).kstack).write(kstack) };
    true
}

/// One reason out of a class of several, where something tells it.
#[inline(always)]
fn closer(skb: Kernel<true>, (class, family): (u32, u32), firing: &Firing) -> Option<u32> {
    if class as usize >= CLASSES_MAX {
        return Some(class);
    }
    let places = PLACES.get_ptr(0)?;
    let noted = if REASON_TOLD.load() != 0 { 0 } else { refused::are_noted() * SIGN_NOTED };
    let signs = arrival::signs(skb, family, firing) | noted;
    // SAFETY: a live map value; indexes are masked.
    Some(
        unsafe { (*places).closer[black_box(class as usize) & (CLASSES_MAX - 1)][black_box(signs) & (SIGNS - 1)] }
            .into(),
    )
}

/// What a reason and the function that freed the packet mean. None: no loss.
#[inline(always)]
fn class_of(reason: u32, location: u64) -> Option<u32> {
    let places = PLACES.get_ptr(0)?;
    let named = REASON_NAMED.saturating_add(reason);
    if reason as usize >= REASONS_MAX {
        return Some(named);
    }
    // SAFETY: a live map value; indexes are masked, and the compiler does not know that they need not be.
    let class = unsafe {
        let by = (*places).by_reason[black_box(reason as usize) & (REASONS_MAX - 1)];
        if by & BY_SITE != 0 {
            let site = site_of(&raw const (*places).starts, location);
            (*places).by_site[by as usize & (SITE_ROWS - 1)][site]
        } else if by & UNLESS_TAKER != 0 {
            let site = site_of(&raw const (*places).starts, location);
            if (*places).by_site[TAKERS][site] == NO_LOSS { NO_LOSS } else { by & !UNLESS_TAKER }
        } else {
            by
        }
    };
    match class {
        NO_LOSS => None,
        NO_CLASS => Some(named),
        class => Some(class.into()),
    }
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
        // All ones where it begins above.
        let above = (location.wrapping_sub(start) as i64 >> 63) as usize;
        site = (site + (step & !above)) & (SITES_MAX - 1);
        step /= 2;
    }
    site
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
