//! Texts as the kernel side keeps them: each once, under the hash of what it holds, beside the stacks.

/// A text of the process's or the kernel's, found where an argument points.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// Where its copy is: a [`TextCopy`], while the firing lives.
    pub at: u64,
    /// Its id in the map `STACKS`.
    pub id: u64,
}

/// A text as it is kept: like the addresses of a stack, whose owner is [`TEXT_OWNER`]. Its first word, then its bytes with
/// zeros up to a whole word.
#[repr(C)]
pub struct TextCopy {
    /// Bytes without the NUL at its end, with [`TEXT_CUT`] added if it goes on; or a negative errno.
    pub length: i64,
    pub bytes: [u8; TEXT_ROOM],
}

/// Longer texts are cut.
pub const TEXT_BYTES_MAX: usize = 255;
pub const TEXT_CUT: i64 = 1 << 32;
/// Room for one byte more, which tells that it goes on, and a NUL.
pub const TEXT_ROOM: usize = TEXT_BYTES_MAX + 9;
pub const TEXT_OWNER: u32 = u32::MAX;
