//! A call as its printers see it: arguments as wide as the caller's registers, texts by argument.
use super::{Call, Text, TextKind};
use crate::symbolize::errno::ERRNO_MAX;
use crate::symbolize::syscall::is_compat;

pub struct View<'a> {
    pub args: [u64; 6],
    pub compat: bool,
    pub ret: Option<i64>,
    texts: &'a [Option<Text>; 2],
}

impl<'a> View<'a> {
    pub fn new(call: &'a Call) -> Self {
        let compat = is_compat(call.id);
        let args = if compat { call.args.map(|arg| u64::from(arg as u32)) } else { call.args };
        Self { args, compat, ret: call.ret, texts: &call.texts }
    }

    pub fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }

    pub fn uint(&self, index: usize) -> u32 {
        self.args[index] as u32
    }

    pub fn long(&self, index: usize) -> i64 {
        if self.compat { i64::from(self.int(index)) } else { self.args[index] as i64 }
    }

    /// The error number, where the call failed.
    pub fn errno(&self) -> Option<u32> {
        let ret = self.ret?;
        (-i64::from(ERRNO_MAX)..0).contains(&ret).then(|| ret.unsigned_abs() as u32)
    }

    /// How many bytes the call returned; nothing where it failed or never returned.
    pub fn returned(&self) -> Option<u64> {
        self.ret.and_then(|ret| u64::try_from(ret).ok())
    }

    /// What was copied out for an argument, if it could be read.
    pub fn text(&self, index: usize) -> Option<&'a Text> {
        let texts = self.texts.iter().flatten();
        texts.filter(|text| text.kind != TextKind::Unreadable).find(|text| usize::from(text.arg) == index)
    }

    /// How many bytes the call put into the buffer of an argument; its size is the next argument.
    ///
    /// What the call returned can be more: a length that was asked for, or that of a datagram (MSG_TRUNC).
    pub fn filled(&self, index: usize) -> Option<u64> {
        Some(self.returned()?.min(self.args[index + 1]))
    }

    /// Those bytes, as far as they were copied.
    pub fn got(&self, index: usize) -> Option<&'a [u8]> {
        let filled = self.filled(index)?;
        let bytes = &self.text(index)?.bytes;
        Some(&bytes[..bytes.len().min(usize::try_from(filled).unwrap_or(usize::MAX))])
    }

    /// The bytes behind an argument of a fixed size, if as many could be read.
    pub fn fixed<const N: usize>(&self, index: usize) -> Option<&'a [u8; N]> {
        self.text(index)?.bytes.first_chunk()
    }
}
