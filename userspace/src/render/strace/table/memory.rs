//! Rows of calls on memory.
use crate::render::strace::names as n;
use crate::render::strace::row::Arg::*;
use crate::render::strace::row::{Ret, Row, row};

pub static ROWS: &[Row] = &[
    row("brk", &[Ptr]).ret(Ret::Hex),
    row("mmap", &[Ptr, Size, Bits(&n::PROT), MapFlags, Int, HexLong]).ret(Ret::Hex).native(),
    // i386: one pointer to the six.
    row("mmap", &[Ptr]).ret(Ret::Hex).compat(),
    // The offset is in pages.
    row("mmap2", &[Ptr, Size, Bits(&n::PROT), MapFlags, Int, HexLong]).ret(Ret::Hex),
    row("munmap", &[Ptr, Size]),
    row("mremap", &[Ptr, Size, Size, Bits(&n::MREMAP), NewAddress]).ret(Ret::Hex),
    row("mprotect", &[Ptr, Size, Bits(&n::PROT)]),
    row("pkey_mprotect", &[Ptr, Size, Bits(&n::PROT), Int]),
    row("pkey_alloc", &[HexLong, HexLong]),
    row("pkey_free", &[Int]),
    row("madvise", &[Ptr, Size, Value(&n::MADVISE)]),
    row("process_madvise", &[Int, Ptr, Size, Value(&n::MADVISE), Hex]),
    row("msync", &[Ptr, Size, Bits(&n::MSYNC)]),
    row("mincore", &[Ptr, Size, Ptr]),
    row("mlock", &[Ptr, Size]),
    row("mlock2", &[Ptr, Size, Hex]),
    row("munlock", &[Ptr, Size]),
    row("mlockall", &[Bits(&n::MLOCKALL)]),
    row("munlockall", &[]),
    row("mseal", &[Ptr, Size, HexLong]),
    row("map_shadow_stack", &[Ptr, Size, Hex]).ret(Ret::Hex),
    row("remap_file_pages", &[Ptr, Size, Bits(&n::PROT), Size, MapFlags]),
    row("membarrier", &[Value(&n::MEMBARRIER), Hex]),
    row("mbind", &[Ptr, Size, Uint, Ptr, Size, Hex]),
    row("set_mempolicy", &[Uint, Ptr, Size]),
    row("get_mempolicy", &[Ptr, Ptr, Size, Ptr, Hex]),
    row("move_pages", &[Int, Size, Ptr, Ptr, Ptr, Hex]),
    row("process_vm_readv", &[Int, Ptr, Size, Ptr, Size, HexLong]),
    row("process_vm_writev", &[Int, Ptr, Size, Ptr, Size, HexLong]),
    row("shmget", &[Hex, Size, Hex]),
    row("shmat", &[Int, Ptr, Hex]).ret(Ret::Hex),
    row("shmdt", &[Ptr]),
    row("shmctl", &[Int, Int, Ptr]),
    row("userfaultfd", &[Bits(&n::OPEN)]),
];
