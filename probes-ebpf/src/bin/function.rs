//! Provider `function`: a firing for every call of a function, for its return, or for whatever passes a tracepoint or a USDT
//! probe.
//!
//! `hit` fires where it is attached. `enter` and `leave` belong together: what the first notes the second fires. How they
//! are attached is not known here (probes-ebpf/src/site.rs).
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{
    EbpfContext, Global,
    helpers::bpf_ktime_get_ns,
    macros::{kprobe, map},
    maps::{Array, HashMap},
    programs::ProbeContext,
};
use probes_common::{
    clause::{Head, TEXTS},
    function::{
        ARGUMENTS_MAX, AT_ENTRY, CALLS_MAX, Call, Calls, FACT_KSTACK, FACT_RETURN, FACT_USTACK, FIRST_CALLS,
        FIRST_CALLS_EACH, FirstCall, FunctionFiring, IN_USER, TEXT_OF_RETURN, TEXT_UNUSED, THREADS_MAX,
    },
    loss::LossKind,
    stack::{FRAMES_MAX, NO_STACK},
    text::TextCopy,
};
use probes_ebpf::{
    clause::{Frame, clause_in, wanted},
    loss, site, stacks,
    target::target,
    task::{Kernel, TASK_DIRECT},
    texts::Copy,
};

#[unsafe(no_mangle)]
static FACTS: Global<u32> = Global::new(0);
/// How many arguments the clause names.
#[unsafe(no_mangle)]
static ARGUMENTS: Global<u32> = Global::new(0);
/// For each text which argument points to it, and how long it can be.
#[unsafe(no_mangle)]
static TEXT_SOURCES: Global<[u32; TEXTS]> = Global::new([TEXT_UNUSED; TEXTS]);
#[unsafe(no_mangle)]
static TEXT_ROOMS: Global<[u32; TEXTS]> = Global::new([0; TEXTS]);
/// 1 where the programs are attached so that only the target's own calls come here, and nobody wants the head.
#[unsafe(no_mangle)]
static ALL_MEANT: Global<u32> = Global::new(0);

/// 1 where probes are put into the targets alone.
#[unsafe(no_mangle)]
static CONFINED: Global<u32> = Global::new(0);

/// 1 where the kernel has atomic exchanges: a slot can be taken that threads on other CPUs want, too.
#[unsafe(no_mangle)]
static EXCHANGES: Global<u32> = Global::new(0);

/// Asked before `CALLS`: an array is looked up in a fifth of the time.
#[map]
static FIRST: Array<FirstCall> = Array::with_max_entries(FIRST_CALLS, 0);

#[map]
static CALLS: HashMap<u64, Calls> = HashMap::with_max_entries(THREADS_MAX, 0);

probes_ebpf::births!(stacks::born);
probes_ebpf::ends!(forget);
probes_ebpf::execs!(|head, by_another| {
    // The kernel puts probes into the memory of the first thread that there was, which has gone.
    if by_another && CONFINED.load() != 0 {
        loss::count(LossKind::ExecUnseen);
    }
    forget(head);
});

#[kprobe]
pub fn hit(ctx: ProbeContext) -> u32 {
    let ctx = ctx.as_ptr();
    let Some(head) = meant() else { return 0 };
    let mut firing = MaybeUninit::<FunctionFiring>::uninit();
    let mut frame = Frame::uninit();
    let at = firing.as_mut_ptr();
    // SAFETY: the firing is this program's own stack; fields are written before the clause reads them.
    unsafe {
        addr_of_mut!((*at).head).write(head);
        addr_of_mut!((*at).point).write(site::point(ctx));
        if ARGUMENTS.load() != 0 {
            site::arguments(ctx, addr_of_mut!((*at).args).cast(), frame.as_mut_ptr().cast());
        }
    }
    fire(ctx, &mut firing, &mut frame);
    0
}

#[kprobe]
pub fn enter(ctx: ProbeContext) -> u32 {
    let ctx = ctx.as_ptr();
    let Some(head) = target() else { return 0 };
    let (frame, point) = (site::frame(ctx), site::point(ctx));
    let Some(call) = first_slot(&head, frame, point).or_else(|| next_slot(&head, frame, point)) else { return 0 };
    // SAFETY: a live map value, which is this call's until it returns.
    unsafe {
        (*call).frame = frame;
        (*call).point = point;
        if ARGUMENTS.load() != 0 {
            let mut scratch = 0;
            site::arguments(ctx, addr_of_mut!((*call).args).cast(), &mut scratch);
        }
        // Last: what is above is no part of the call.
        (*call).time_ns = bpf_ktime_get_ns();
    }
    0
}

#[kprobe]
pub fn leave(ctx: ProbeContext) -> u32 {
    // SAFETY: reads a clock. First: what is below is no part of the call.
    let now = unsafe { bpf_ktime_get_ns() };
    let ctx = ctx.as_ptr();
    let Some(head) = target() else { return 0 };
    let (frame_number, point) = (site::frame(ctx), site::point(ctx));
    let mut firing = MaybeUninit::<FunctionFiring>::uninit();
    let mut frame = Frame::uninit();
    let at = firing.as_mut_ptr();
    // SAFETY: as in `hit` and `enter`. What was noted is copied before the slot is free.
    unsafe {
        if let Some(first) = first_call(&head, point)
            .filter(|first| (**first).task == head.task && is_of(&raw const (**first).call, frame_number, point))
        {
            end(addr_of_mut!((*first).call), now, at);
            addr_of_mut!((*first).task).write_volatile(0);
        } else if let Some(calls) = CALLS.get_ptr_mut(head.task).filter(|calls| find(*calls, frame_number, point)) {
            let found = addr_of_mut!((*calls).found).read_volatile();
            end(slot(calls, found), now, at);
            // As a rule the last that began is the first that ends.
            if found + 1 == addr_of_mut!((*calls).top).read_volatile() {
                addr_of_mut!((*calls).top).write_volatile(found);
            }
        } else {
            loss::count(LossKind::BeganBefore);
            return 0;
        }
        addr_of_mut!((*at).head).write(head);
        addr_of_mut!((*at).point).write(point & !AT_ENTRY);
        addr_of_mut!((*at).ret).write(site::returned(ctx));
    }
    fire(ctx, &mut firing, &mut frame);
    0
}

/// Gives what was noted to the firing; the slot is free from then on.
///
/// # Safety
/// `call` is in a live map value, `at` this program's own stack.
#[inline(always)]
unsafe fn end(call: *mut Call, now: u64, at: *mut FunctionFiring) {
    // SAFETY: the caller's promise.
    unsafe {
        addr_of_mut!((*at).elapsed_ns).write(now - (*call).time_ns);
        let mut argument = 0;
        while argument < ARGUMENTS_MAX {
            if (argument as u32) < ARGUMENTS.load() {
                addr_of_mut!((*at).args).cast::<u64>().add(argument).write((*call).args[argument]);
            }
            argument += 1;
        }
        addr_of_mut!((*call).time_ns).write_volatile(0);
    }
}

/// # Safety
/// `call` is in a live map value.
#[inline(always)]
unsafe fn is_of(call: *const Call, frame: u64, point: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*call).frame == frame && (*call).point == point && (*call).time_ns != 0 }
}

/// The thread's first slot for calls of this point; others may have it.
#[inline(always)]
fn first_call(head: &Head, point: u64) -> Option<*mut FirstCall> {
    if EXCHANGES.load() == 0 {
        return None;
    }
    let of_thread = head.pid_tgid as u32 * FIRST_CALLS_EACH;
    FIRST.get_ptr_mut((of_thread + point as u32 % FIRST_CALLS_EACH) % FIRST_CALLS)
}

/// That slot for a call that begins, if it is free, or was left to a call that will not return: another one of the same
/// function is in its place on the stack.
#[inline(always)]
fn first_slot(head: &Head, frame: u64, point: u64) -> Option<*mut Call> {
    let first = first_call(head, point)?;
    // SAFETY: a live map value. Who is its owner writes to it, but for an interrupt's program, which leaves before that.
    unsafe {
        let call = addr_of_mut!((*first).call);
        if site::take(addr_of_mut!((*first).task), head.task) {
            (*first).tid = head.pid_tgid & 0xffff_ffff;
        } else if (*first).task == head.task && is_of(call, frame, point) {
            loss::count(LossKind::StartOverwritten);
        } else {
            return None;
        }
        Some(call)
    }
}

/// How many first slots the thread has in use.
#[inline(always)]
fn first_calls(head: &Head) -> u64 {
    let (mut count, mut number) = (0, 0);
    while number < FIRST_CALLS_EACH {
        // SAFETY: a live map value.
        count += first_call(head, number.into()).is_some_and(|first| unsafe { (*first).task } == head.task) as u64;
        number += 1;
    }
    count
}

/// A slot of the thread's other calls: as many in all as the kernel waits for.
#[inline(always)]
fn next_slot(head: &Head, frame: u64, point: u64) -> Option<*mut Call> {
    let Some(calls) = calls_of(head) else {
        loss::count(LossKind::StartFull);
        return None;
    };
    // SAFETY: `calls` is a live map value that only programs of this thread write.
    unsafe {
        let mut top = addr_of_mut!((*calls).top).read_volatile();
        if top >= (CALLS_MAX as u32 - FIRST_CALLS_EACH).into() {
            let room = CALLS_MAX as u64 - first_calls(head);
            if top >= room {
                make_room(calls, frame, point);
                top = addr_of_mut!((*calls).top).read_volatile();
                if top >= room {
                    loss::count(LossKind::TooDeep);
                    return None;
                }
            }
        }
        // Free until it has a time.
        addr_of_mut!((*calls).top).write_volatile(top + 1);
        Some(slot(calls, top))
    }
}

/// The current task as a firing's head, if it is one that the user asked for.
#[inline(always)]
fn meant() -> Option<Head> {
    if ALL_MEANT.load() != 0 { Some(Head { task: 0, pid_tgid: 0 }) } else { target() }
}

#[inline(always)]
fn wants(fact: u32) -> bool {
    FACTS.load() & fact != 0
}

/// Gives the firing to the clause: first what its predicate needs, and the rest if it is wanted.
#[inline(always)]
fn fire(ctx: *mut c_void, firing: &mut MaybeUninit<FunctionFiring>, frame: &mut Frame) {
    let at = firing.as_mut_ptr();
    if !copy_text(0, at) {
        return;
    }
    if !copy_text(1, at) {
        give_back(0, at);
        return;
    }
    if wanted(ctx, firing, frame) {
        // SAFETY: as in `hit`.
        unsafe {
            if wants(FACT_KSTACK) {
                addr_of_mut!((*at).kstack).write(stacks::kernel(ctx, FRAMES_MAX));
            }
            if wants(FACT_USTACK) {
                addr_of_mut!((*at).ustack).write(user_stack(ctx, &(*at).head, (*at).point));
            }
            addr_of_mut!((*at).point).write((*at).point & !AT_ENTRY);
        }
        keep_text(0, at);
        keep_text(1, at);
        clause_in(ctx, firing, frame);
    }
    give_back(0, at);
    give_back(1, at);
}

#[inline(always)]
fn is_used(text: usize) -> bool {
    TEXT_SOURCES.load()[text] != TEXT_UNUSED
}

/// Copies one of the texts, if the clause names it. False: nowhere to copy to.
#[inline(always)]
fn copy_text(text: usize, at: *mut FunctionFiring) -> bool {
    if !is_used(text) {
        return true;
    }
    let source = TEXT_SOURCES.load()[text] as usize;
    // SAFETY: as in `hit`.
    unsafe {
        let address = if source == TEXT_OF_RETURN as usize {
            (*at).ret
        } else {
            addr_of_mut!((*at).args).cast::<u64>().add(source).read()
        };
        let may_be_kernels = (*at).point & IN_USER == 0;
        let Some(copy) = Copy::of(address, TEXT_ROOMS.load()[text], may_be_kernels) else {
            loss::count(LossKind::TextFailed);
            return false;
        };
        addr_of_mut!((*at).texts[text].at).cast::<*mut TextCopy>().write(copy.text());
    }
    true
}

#[inline(always)]
fn keep_text(text: usize, at: *mut FunctionFiring) {
    if is_used(text) {
        // SAFETY: as in `hit`.
        unsafe {
            let id = Copy::at(addr_of_mut!((*at).texts[text].at).cast::<*mut TextCopy>().read()).keep();
            addr_of_mut!((*at).texts[text].id).write(id);
        }
    }
}

#[inline(always)]
fn give_back(text: usize, at: *mut FunctionFiring) {
    if is_used(text) {
        // SAFETY: as in `hit`.
        unsafe { Copy::at(addr_of_mut!((*at).texts[text].at).cast::<*mut TextCopy>().read()).give_back() };
    }
}

#[inline(always)]
fn user_stack(ctx: *mut c_void, head: &Head, point: u64) -> u64 {
    let tgid = (head.pid_tgid >> 32) as u32;
    if tgid == 0 {
        return NO_STACK;
    }
    let at_entry = !wants(FACT_RETURN) && point & AT_ENTRY != 0;
    if TASK_DIRECT.load() == 0 {
        if at_entry {
            return stacks::user_at_call(ctx, tgid, site::frame(ctx));
        }
        return stacks::user(ctx, tgid, FRAMES_MAX);
    }
    stacks::user_at_entry(ctx, Kernel::<true>(head.task as *const u8), tgid, at_entry)
}

/// What the thread is in the middle of; room for it where it is new.
#[inline(always)]
fn calls_of(head: &Head) -> Option<*mut Calls> {
    // Too large for the stack.
    static NOTHING: Calls = Calls {
        tid: 0,
        top: 0,
        found: 0,
        slots: [Call { time_ns: 0, frame: 0, point: 0, args: [0; ARGUMENTS_MAX] }; CALLS_MAX],
    };
    if let Some(calls) = CALLS.get_ptr_mut(head.task) {
        return Some(calls);
    }
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the stack")]
    CALLS.insert(head.task, &NOTHING, 0).ok()?;
    let calls = CALLS.get_ptr_mut(head.task)?;
    // SAFETY: a live map value.
    unsafe { (*calls).tid = head.pid_tgid & 0xffff_ffff };
    Some(calls)
}

/// # Safety
/// `calls` is a live map value.
#[inline(always)]
unsafe fn slot(calls: *mut Calls, number: u64) -> *mut Call {
    // SAFETY: below `CALLS_MAX`, a power of two.
    unsafe { addr_of_mut!((*calls).slots).cast::<Call>().add(number as usize & (CALLS_MAX - 1)) }
}

/// Looks for the last call that began so, and leaves its place in `found`. Loop counters lie in memory where the verifier
/// would otherwise walk everything behind the loop once for each of their values.
#[inline(always)]
fn find(calls: *mut Calls, frame: u64, point: u64) -> bool {
    // SAFETY: a live map value.
    unsafe {
        let found = addr_of_mut!((*calls).found);
        found.write_volatile(addr_of_mut!((*calls).top).read_volatile());
        let mut looked = 0;
        while looked < CALLS_MAX {
            let number = found.read_volatile();
            if number == 0 {
                return false;
            }
            found.write_volatile(number - 1);
            if is_of(slot(calls, number - 1), frame, point) {
                return true;
            }
            looked += 1;
        }
        false
    }
}

/// Drops the last calls as far as they never return, and free slots among them: calls whose frames lie where the stack has
/// been left, as after a longjmp, and one of the same function in the same place.
#[inline(always)]
fn make_room(calls: *mut Calls, frame: u64, point: u64) {
    // SAFETY: a live map value.
    unsafe {
        let top = addr_of_mut!((*calls).top);
        let mut looked = 0;
        while looked < CALLS_MAX {
            let number = top.read_volatile();
            if number == 0 {
                break;
            }
            let call = slot(calls, number - 1);
            let is_here = (*call).frame == frame && (*call).point == point;
            if (*call).time_ns != 0 && (*call).frame >= frame && !is_here {
                break;
            }
            if (*call).time_ns != 0 {
                loss::count(LossKind::StartOverwritten);
            }
            (*call).time_ns = 0;
            top.write_volatile(number - 1);
            looked += 1;
        }
    }
}

/// The current thread ends, or runs another program: its calls never return.
#[inline(always)]
fn forget(head: &Head) {
    if !wants(FACT_RETURN) {
        return;
    }
    let mut number = 0;
    while number < FIRST_CALLS_EACH {
        if let Some(first) = first_call(head, number.into()) {
            // SAFETY: a live map value; the owner is this thread.
            unsafe {
                if (*first).task == head.task {
                    if (*first).call.time_ns != 0 {
                        loss::count(LossKind::NeverReturned);
                    }
                    addr_of_mut!((*first).call.time_ns).write_volatile(0);
                    addr_of_mut!((*first).task).write_volatile(0);
                }
            }
        }
        number += 1;
    }
    let Some(calls) = CALLS.get_ptr_mut(head.task) else { return };
    // SAFETY: a live map value.
    unsafe {
        let top = addr_of_mut!((*calls).top);
        let mut looked = 0;
        while looked < CALLS_MAX {
            let number = top.read_volatile();
            if number == 0 {
                break;
            }
            if (*slot(calls, number - 1)).time_ns != 0 {
                loss::count(LossKind::NeverReturned);
            }
            top.write_volatile(number - 1);
            looked += 1;
        }
    }
    let _ = CALLS.remove(head.task);
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
