//! `bpf(2)`: maps, programs, links. Input: plain values; output: owned descriptors or the kernel's error.
use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::process;
use crate::program::insn::Insn;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_NEXT_KEY: i32 = 4;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const RAW_TRACEPOINT_OPEN: i32 = 17;
const MAP_FREEZE: i32 = 22;
const MAP_LOOKUP_BATCH: i32 = 24;
const LINK_CREATE: i32 = 28;
const ITER_CREATE: i32 = 33;

pub const MAP_TYPE_HASH: u32 = 1;
pub const MAP_TYPE_ARRAY: u32 = 2;
pub const MAP_TYPE_PROG_ARRAY: u32 = 3;
pub const MAP_TYPE_PERCPU_HASH: u32 = 5;
pub const MAP_TYPE_PERCPU_ARRAY: u32 = 6;
pub const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
pub const MAP_TYPE_RINGBUF: u32 = 27;
pub const F_NO_PREALLOC: u32 = 1;
/// Programs can only read it.
pub const F_RDONLY_PROG: u32 = 1 << 7;

pub const PROG_TYPE_KPROBE: u32 = 2;
pub const PROG_TYPE_TRACEPOINT: u32 = 5;
pub const PROG_TYPE_PERF_EVENT: u32 = 7;
pub const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
pub const PROG_TYPE_TRACING: u32 = 26;
pub const ATTACH_TRACE_RAW_TP: u32 = 23;
pub const ATTACH_TRACE_FENTRY: u32 = 24;
pub const ATTACH_TRACE_FEXIT: u32 = 25;
pub const ATTACH_TRACE_ITER: u32 = 28;
const ATTACH_PERF_EVENT: u32 = 41;
pub const ATTACH_TRACE_KPROBE_MULTI: u32 = 42;
pub const ATTACH_TRACE_UPROBE_MULTI: u32 = 48;

/// The kernel takes a shorter or longer attribute as long as what it does not know is zero.
pub(super) fn bpf<T>(command: i32, attr: &mut T) -> Result<i32> {
    // SAFETY: `attr` is the kernel's layout for `command`, and every address in it outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as i32) }
}

/// Makes something that takes kernel memory. Before 5.11 that memory counts against RLIMIT_MEMLOCK, 64 KiB by default,
/// and what goes beyond is EPERM: raised once where the kernel complains, so that newer ones keep the limit as it is.
fn make<T>(command: i32, attr: &mut T) -> Result<OwnedFd> {
    match bpf(command, attr) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && process::raise_memlock() => bpf(command, attr),
        made => made,
    }
    .map(owned)
}

pub(super) fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just made this descriptor for us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

fn address_mut<T: ?Sized>(of: &mut T) -> u64 {
    std::ptr::from_mut(of).cast::<u8>() as u64
}

/// Names that the kernel shows: 15 bytes of letters, digits, `_` and `.`.
fn object_name(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().take(15).zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() || from == b'_' { from } else { b'_' };
    }
    short
}

#[derive(Debug, Clone, Copy)]
pub struct MapSpec<'a> {
    pub name: &'a str,
    pub map_type: u32,
    pub key_bytes: u32,
    pub value_bytes: u32,
    pub max_entries: u32,
    pub flags: u32,
    /// What the maps in a map of maps look like.
    pub inner: Option<BorrowedFd<'a>>,
}

pub fn map_create(spec: &MapSpec) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
    }
    let mut attr = Attr {
        map_type: spec.map_type,
        key_size: spec.key_bytes,
        value_size: spec.value_bytes,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        inner_map_fd: spec.inner.map_or(0, |fd| fd.as_raw_fd() as u32),
        numa_node: 0,
        map_name: object_name(spec.name),
    };
    make(MAP_CREATE, &mut attr)
}

#[repr(C)]
struct Element {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn element(map: BorrowedFd, key: u64, value: u64) -> Element {
    Element { map_fd: map.as_raw_fd() as u32, pad: 0, key, value, flags: 0 }
}

/// `key` and `value` are as long as the map says, per-CPU values once a possible CPU.
pub fn map_update(map: BorrowedFd, key: &[u8], value: &[u8]) -> Result<()> {
    bpf(MAP_UPDATE_ELEM, &mut element(map, address(key), address(value))).map(drop)
}

/// False where there is no such key.
pub fn map_lookup(map: BorrowedFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
    match bpf(MAP_LOOKUP_ELEM, &mut element(map, address(key), address_mut(value))) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

pub fn map_delete(map: BorrowedFd, key: &[u8]) -> Result<()> {
    bpf(MAP_DELETE_ELEM, &mut element(map, address(key), 0)).map(drop)
}

/// The key after `key`, or the first; false at the end.
pub fn map_next_key(map: BorrowedFd, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
    match bpf(MAP_GET_NEXT_KEY, &mut element(map, key.map_or(0, address), address_mut(next))) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// User space cannot write it any more; the verifier takes its values as constants.
pub fn map_freeze(map: BorrowedFd) -> Result<()> {
    let mut fd = map.as_raw_fd();
    bpf(MAP_FREEZE, &mut fd).map(drop)
}

/// Where a batch left off; the kernel's own notion, as long as a key or a `u32`.
#[derive(Debug, Clone)]
pub struct BatchCursor {
    token: Vec<u8>,
    started: bool,
}

impl BatchCursor {
    pub fn new(key_bytes: usize) -> Self {
        BatchCursor { token: vec![0; key_bytes.max(8)], started: false }
    }
}

/// What one batch gave: elements, and whether they were the last. Kernel: 5.6 (hash), 5.13 (per-CPU array).
pub fn map_lookup_batch(
    map: BorrowedFd,
    cursor: &mut BatchCursor,
    keys: &mut [u8],
    values: &mut [u8],
    room: u32,
) -> Result<(u32, bool)> {
    #[repr(C)]
    struct Attr {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    let mut out = cursor.token.clone();
    let mut attr = Attr {
        in_batch: if cursor.started { address(cursor.token.as_slice()) } else { 0 },
        out_batch: address_mut(out.as_mut_slice()),
        keys: address_mut(keys),
        values: address_mut(values),
        count: room,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    let last = match bpf(MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => false,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    cursor.token = out;
    cursor.started = true;
    Ok((attr.count, last))
}

#[derive(Debug)]
pub struct ProgramSpec<'a> {
    pub name: &'a str,
    pub program_type: u32,
    pub attach_type: u32,
    /// Id in the kernel's BTF of what it attaches to; 0 for none.
    pub attach_btf_id: u32,
    pub insns: &'a [Insn],
    pub license: &'a CStr,
}

/// A program that the kernel refused, with what the verifier said.
#[derive(Debug)]
pub struct LoadError {
    pub error: Error,
    pub log: String,
}

/// Loads a program; where that fails and `log` is asked for, once more to hear why.
pub fn prog_load(spec: &ProgramSpec, log: bool) -> std::result::Result<OwnedFd, LoadError> {
    let error = match prog_load_once(spec, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if !log || error.raw_os_error() == Some(libc::EPERM) {
        return Err(LoadError { error, log: String::new() });
    }
    let mut bytes = vec![0; 1 << 24];
    match prog_load_once(spec, &mut bytes) {
        Ok(fd) => Ok(fd),
        Err(error) => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            Err(LoadError { error, log: String::from_utf8_lossy(&bytes[..end]).into_owned() })
        }
    }
}

fn prog_load_once(spec: &ProgramSpec, log: &mut [u8]) -> Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Attr {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
    }
    let code: Vec<[u8; 8]> = spec.insns.iter().map(encode).collect();
    let mut attr = Attr {
        prog_type: spec.program_type,
        insn_cnt: code.len() as u32,
        insns: address(code.as_slice()),
        license: spec.license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { address_mut(log) },
        prog_name: object_name(spec.name),
        expected_attach_type: spec.attach_type,
        attach_btf_id: spec.attach_btf_id,
        ..Attr::default()
    };
    make(PROG_LOAD, &mut attr)
}

fn encode(insn: &Insn) -> [u8; 8] {
    let [o0, o1] = insn.off.to_le_bytes();
    let [i0, i1, i2, i3] = insn.imm.to_le_bytes();
    [insn.code, insn.dst | insn.src << 4, o0, o1, i0, i1, i2, i3]
}

/// Attaches to a raw tracepoint by name, or (None) to the one that the program was loaded for.
pub fn raw_tracepoint_open(name: Option<&CStr>, program: BorrowedFd) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    let mut attr =
        Attr { name: name.map_or(0, |name| name.as_ptr() as u64), prog_fd: program.as_raw_fd() as u32, pad: 0 };
    bpf(RAW_TRACEPOINT_OPEN, &mut attr).map(owned)
}

/// Attaches to what the program was loaded for. Kernel: 5.8 for what walks (bpf_iter).
pub fn link_create(program: BorrowedFd, attach_type: u32) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
    }
    let mut attr = Attr { prog_fd: program.as_raw_fd() as u32, target_fd: 0, attach_type, flags: 0 };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Instructions of one file, each with a cookie that the program can ask for.
#[derive(Debug, Clone, Copy)]
pub struct UprobeMulti<'a> {
    pub path: &'a CStr,
    pub offsets: &'a [u64],
    pub cookies: &'a [u64],
    /// Of semaphores that count who listens; 0 for none. None: no point has one.
    pub semaphores: Option<&'a [u64]>,
    /// Only in this process; 0 for all. Before 6.10 the kernel takes it for a thread.
    pub pid: i32,
    /// At the return from the function that begins there.
    pub at_return: bool,
}

/// Attaches to all of them, or to none.
///
/// Errors: EINVAL where the kernel does not know such links, or cannot probe one of the instructions. Kernel: 6.6.
pub fn link_uprobes(program: BorrowedFd, points: &UprobeMulti) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        count: u32,
        multi_flags: u32,
        pid: i32,
        pad: u32,
    }
    const RETURN: u32 = 1;
    let mut attr = Attr {
        prog_fd: program.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: ATTACH_TRACE_UPROBE_MULTI,
        flags: 0,
        path: points.path.as_ptr() as u64,
        offsets: address(points.offsets),
        ref_ctr_offsets: points.semaphores.map_or(0, address),
        cookies: address(points.cookies),
        count: points.offsets.len() as u32,
        multi_flags: if points.at_return { RETURN } else { 0 },
        pid: points.pid,
        pad: 0,
    };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Attaches to functions of the kernel by their symbols, to all or to none.
///
/// Errors: ESRCH for a symbol that is none. Kernel: 5.18.
pub fn link_kprobes(program: BorrowedFd, symbols: &[&CStr], cookies: &[u64], at_return: bool) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        multi_flags: u32,
        count: u32,
        symbols: u64,
        addresses: u64,
        cookies: u64,
    }
    const RETURN: u32 = 1;
    let names: Vec<u64> = symbols.iter().map(|symbol| symbol.as_ptr() as u64).collect();
    let mut attr = Attr {
        prog_fd: program.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: ATTACH_TRACE_KPROBE_MULTI,
        flags: 0,
        multi_flags: if at_return { RETURN } else { 0 },
        count: names.len() as u32,
        symbols: address(names.as_slice()),
        addresses: 0,
        cookies: address(cookies),
    };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Runs the program at the perf event's hits, with a cookie. Kernel: 5.15.
pub fn link_perf_event(program: BorrowedFd, event: BorrowedFd, cookie: u64) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        cookie: u64,
    }
    let mut attr = Attr {
        prog_fd: program.as_raw_fd() as u32,
        target_fd: event.as_raw_fd() as u32,
        attach_type: ATTACH_PERF_EVENT,
        flags: 0,
        cookie,
    };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// A walk of the link's program, which takes place when the descriptor is read. Kernel: 5.8.
pub fn iter_create(link: BorrowedFd) -> Result<OwnedFd> {
    let mut attr = [link.as_raw_fd() as u32, 0];
    bpf(ITER_CREATE, &mut attr).map(owned)
}

/// What the kernel tells about a loaded program. None: this kernel does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgramInfo {
    /// Firings that it missed because a BPF program ran on the CPU already. Kernel: 5.12.
    pub recursion_misses: Option<u64>,
    /// Instructions that the verifier walked. Kernel: 5.16.
    pub verified_insns: Option<u32>,
    pub run_time_ns: u64,
    pub run_count: u64,
}

pub fn prog_info(program: BorrowedFd) -> Result<ProgramInfo> {
    #[repr(C)]
    struct Attr {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    // struct bpf_prog_info: run_time_ns at 192, run_cnt 200, recursion_misses 208, verified_insns 216 (v6.1
    // include/uapi/linux/bpf.h). The kernel says how much of it there is.
    let mut info = [0u64; 32];
    let mut attr =
        Attr { bpf_fd: program.as_raw_fd() as u32, info_len: size_of_val(&info) as u32, info: address_mut(&mut info) };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    let told = |byte: usize| (attr.info_len as usize >= byte + 8).then(|| info[byte / 8]);
    Ok(ProgramInfo {
        recursion_misses: told(208),
        verified_insns: told(216).map(|word| word as u32),
        run_time_ns: info[24],
        run_count: info[25],
    })
}

/// Runs a raw tracepoint program once with `args` as its context. Kernel: 5.10.
pub fn prog_test_run(program: BorrowedFd, args: &[u64]) -> Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Attr {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }
    let mut attr = Attr {
        prog_fd: program.as_raw_fd() as u32,
        ctx_size_in: size_of_val(args) as u32,
        ctx_in: address(args),
        ..Attr::default()
    };
    bpf(PROG_TEST_RUN, &mut attr).map(drop)
}
