//! Texts that arguments point to, each kept once, as stacks are and in the same map.
use core::mem::offset_of;
use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user_str};
use probes_common::{
    stack::{Scratch, Stack},
    text::{TEXT_BYTES_MAX, TEXT_CUT, TEXT_OWNER, TEXT_ROOM, TextCopy},
};

use crate::stacks;

/// A copy in the making; to be given back.
#[derive(Clone, Copy)]
pub struct Copy {
    scratch: *mut Scratch,
}

const WORDS: usize = TEXT_ROOM / 8;

impl Copy {
    /// Copies a text of the current process's, or where that `may_be_kernels` of the kernel's, which ends with a NUL or with its
    /// `room`, up to [`TEXT_BYTES_MAX`] + 1. None: nowhere to copy to.
    #[inline(always)]
    pub fn of(address: u64, room: u32, may_be_kernels: bool) -> Option<Copy> {
        let copy = Copy { scratch: stacks::claim()? };
        let text = copy.text();
        // SAFETY: a live map value that is ours, and as long.
        unsafe {
            let bytes = addr_of_mut!((*text).bytes).cast::<u8>();
            // One by one, or zeros are written by a loop over bytes.
            let mut word = 0;
            while word < WORDS {
                bytes.cast::<u64>().add(word).write_volatile(0);
                word += 1;
            }
            // The helpers put a NUL in the place of the last byte that there is room for.
            let read = if may_be_kernels && (address as i64) < 0 {
                bpf_probe_read_kernel_str(bytes.cast(), room + 1, address as *const _)
            } else {
                bpf_probe_read_user_str(bytes.cast(), room + 1, address as *const _)
            };
            (*text).length = if read > TEXT_BYTES_MAX as i64 + 1 {
                bytes.add(TEXT_BYTES_MAX).write_volatile(0);
                TEXT_CUT + TEXT_BYTES_MAX as i64
            } else if read > 0 {
                read - 1
            } else {
                read
            };
        }
        Some(copy)
    }

    /// The copy that is there.
    ///
    /// # Safety
    /// It is what [`Copy::text`] gave, and was not given back.
    #[inline(always)]
    pub unsafe fn at(text: *mut TextCopy) -> Copy {
        const OFFSET: usize = offset_of!(Scratch, stack) + offset_of!(Stack, addresses);
        // SAFETY: the caller's promise.
        Copy { scratch: unsafe { text.cast::<u8>().sub(OFFSET) }.cast() }
    }

    /// Where the copy is.
    #[inline(always)]
    pub fn text(self) -> *mut TextCopy {
        // SAFETY: a scratch's addresses are as long.
        unsafe { addr_of_mut!((*self.scratch).stack.addresses).cast() }
    }

    /// Keeps it; its id.
    #[inline(always)]
    pub fn keep(self) -> u64 {
        const BYTES: i64 = TEXT_CUT - 1;
        // SAFETY: a live map value that is ours.
        unsafe {
            let length = (*self.text()).length;
            let bytes = if length < 0 { 0 } else { length & BYTES };
            let words = 1 + (bytes as u32).div_ceil(8);
            addr_of_mut!((*self.scratch).stack.frames).write_volatile(words);
            stacks::keep(TEXT_OWNER, self.scratch)
        }
    }

    #[inline(always)]
    pub fn give_back(self) {
        // SAFETY: a live map value that is ours.
        unsafe { (*self.scratch).in_use = 0 }
    }
}
