//! `workload [--wait] [--hold] [--exit CODE] NAME ARG...`: does exactly N of a thing, and says so.
//!
//! With `--wait` it prints `ready PID` and blocks until a line comes on stdin, so that a tracer can attach; it does the
//! work, prints `done` and one line of JSON with what it did, with `--hold` waits for another line, and leaves.
//! No runtime of Rust's under it (`no_main`), raw system calls, nothing allocated between `ready` and the end: a process
//! that is traced from `ready` on makes the calls that `--help` names, one readv (two with `--hold`), one writev and one
//! exit_group, and not one more. Run as a traced command it adds what its loader and C library do before `main`.
#![no_main]

mod burn;
mod calls;
mod children;
mod code;
mod compat;
mod deep;
mod exec;
mod inflight;
mod namespace;
mod protocol;
mod signals;
mod stray;
mod strings;
mod sys;
mod thread;
mod threads;
mod time;
mod tracee;
mod udp;
mod udp_sockets;
mod waits;

use core::ffi::{CStr, c_char, c_int};
use core::str::FromStr;

use protocol::{Did, Protocol, fail};

/// The arguments after the name.
pub struct Args(Vec<&'static str>);

impl Args {
    pub fn text(&self, at: usize, what: &str) -> &'static str {
        self.0.get(at).copied().unwrap_or_else(|| fail(format_args!("argument {what} is missing; see --help")))
    }

    pub fn number<T: FromStr>(&self, at: usize, what: &str) -> T {
        let text = self.text(at, what);
        text.parse().unwrap_or_else(|_| fail(format_args!("`{text}` is no {what}")))
    }

    pub fn optional<T: FromStr>(&self, at: usize, what: &str) -> Option<T> {
        (at < self.0.len()).then(|| self.number(at, what))
    }

    pub fn from(&self, at: usize) -> &[&'static str] {
        self.0.get(at..).unwrap_or_default()
    }
}

type Work = fn(&Args, &Protocol) -> Did;

/// Name, arguments, what it does in system calls, and the code.
const WORKS: &[(&str, &str, &str, Work)] = &[
    ("getppid", "N", "N getppid", calls::getppid),
    ("mix", "N", "N getppid, 2N close(-1) = EBADF, 3N read of 1 byte of /dev/zero", calls::mix),
    ("errors", "N", "N openat of a missing path = ENOENT, N close(-1) = EBADF, N lseek(pipe) = ESPIPE", calls::errors),
    ("badnr", "N", "N of number 9999 and N of number -1, both = ENOSYS", calls::badnr),
    ("keys", "K N", "close(1000000+i) = EBADF for i in 0..K, each N times, in turns", calls::keys),
    ("values", "V...", "getppid with arg0 = V for each V (signed or not, 64 bits)", calls::values),
    ("range", "N", "getppid with arg0 = 0, 1 .. N-1", calls::range),
    (
        "returns",
        "V...",
        "lseek that returns V for each V >= 0; of the negative ones -9, -22 and -29 can be had",
        calls::returns,
    ),
    ("comm", "NAME N", "1 prctl(PR_SET_NAME) before ready; N getppid. NAME with \\n \\t \\e \\\\ \\xHH", calls::comm),
    ("hostile-comm", "N", "comm ESC [2J BEL LF 0xff: 1 prctl before ready; N getppid", calls::hostile_comm),
    ("long-string", "N [BYTES]", "N openat of a path of BYTES (1000: ENAMETOOLONG) that is not there", strings::long),
    ("strings", "DIR", "known paths and payloads, one call each; see strings.rs", strings::strings),
    (
        "threads",
        "T N",
        "T threads made before ready, N getppid each; then 1+T writev and 2T readv more (T of them began before), T exit",
        threads::threads,
    ),
    (
        "hot-threads",
        "T N CPU [NS]",
        "as threads, all on one CPU; with NS one more, SCHED_FIFO, does 1 nanosleep of NS and 1 getppid in turns until the others are done",
        threads::hot,
    ),
    ("exit-thread", "N", "N clone of threads that leave by N exit; at most 64 at a time", threads::exits),
    ("fork", "N", "N fork, N wait4; the children leave by exit_group at once", children::fork),
    ("vfork", "N", "N vfork, N wait4; the same", children::vfork),
    ("clone", "N", "N clone, N wait4; the same", children::clone),
    ("clone3", "N", "N clone3, N wait4; the same", children::clone3),
    (
        "exit-group",
        "K T",
        "K clone, K wait4; each child makes T threads (clone) that spin, then leaves by 1 exit_group",
        children::exit_group,
    ),
    (
        "children",
        "K N [DEPTH]",
        "K clone, K wait4; each child N getppid; with DEPTH it makes a child itself, and so on",
        children::children,
    ),
    (
        "child-exists",
        "K N",
        "K children made before ready; 1 writev, K wait4; each child 1 readv that began before, N getppid",
        children::existing,
    ),
    ("sigreturn", "N", "N tgkill to itself, N rt_sigreturn", signals::sigreturn),
    ("signals-found", "", "says which signals it found blocked and ignored", signals::found),
    ("sigkill-me", "N", "N getppid, 1 kill(self, SIGKILL); prints nothing more", signals::sigkill),
    (
        "compat",
        "N",
        "N int 0x80 getpid (i386 number 20), 2N getppid; `unsupported` where the kernel has no int 0x80",
        compat::getpid,
    ),
    (
        "compat-exit",
        "K",
        "K clone, K wait4; the children leave by int 0x80 exit_group (i386 number 252)",
        compat::exits,
    ),
    (
        "exits-at-once",
        "K T",
        "K clone, K wait4; each child makes T threads (clone), and all of them and itself leave by exit at one moment",
        threads::exits_at_once,
    ),
    (
        "exec-thread",
        "PATH N",
        "1 execve of PATH by a thread that is not the first; the new image does N getppid",
        exec::by_a_thread,
    ),
    ("exec", "PATH N", "N execve of itself in a chain; each image does what its loader does", exec::exec),
    ("sleep-ns", "N NS", "N nanosleep of NS", time::sleep),
    ("known-latency", "N", "N nanosleep of 1 ms", time::known),
    ("paced", "RATE SECONDS", "RATE * SECONDS getppid, evenly; the clock by vDSO", time::paced),
    ("full", "SECONDS", "getppid at full rate; says how many", time::full),
    (
        "burn",
        "A:B:C SECONDS",
        "CPU time in spoor_burn_a, _b and _c in these shares, called by spoor_burn_caller; says how many ns; clock_gettime",
        burn::burn,
    ),
    ("mangled", "NS", "CPU time, half in a function of C++, half in one of Rust; clock_gettime", burn::mangled),
    (
        "deep",
        "DEPTH NS",
        "CPU time in spoor_deep, which is DEPTH calls of itself deep, all with frames; clock_gettime",
        deep::deep,
    ),
    ("astray", "NS", "CPU time in spoor_astray, whose frame pointer is none; clock_gettime", deep::astray),
    ("touch", "N", "N page faults in spoor_touch", deep::touch),
    (
        "jit",
        "NS",
        "0.2 s in spoor_burn_b, then NS in code that it makes; mmap, mprotect, openat, write, clock_gettime",
        code::jit,
    ),
    (
        "late",
        "PATH STORM NS",
        "0.2 s in spoor_burn_b, then NS in spoor_burn_a of PATH, a copy of this program; 1 openat, 1 mmap, clock_gettime; before, with STORM, 1 sched_setaffinity, 1 clone, 1 wait4; the child STORM mmap and munmap",
        code::late,
    ),
    (
        "brief",
        "K NS [PATH]",
        "K clone, K wait4; each child NS in spoor_burn_a, with PATH after 1 execve of it",
        children::brief,
    ),
    ("spend", "NS", "NS in spoor_burn_a; prints nothing", children::spend),
    (
        "naps",
        "T N NS",
        "T threads made before ready, each N nanosleep of NS in spoor_nap; says how many ns; 1+T writev, T readv more",
        waits::naps,
    ),
    (
        "handoff",
        "futex|pipe N NS",
        "a thread made before ready waits N times in spoor_lock or spoor_read, until the first one, which naps NS each time, wakes it in spoor_unlock or spoor_write; says how many and how long",
        waits::handoff,
    ),
    (
        "compete",
        "CPU NS",
        "two threads made before ready, both on CPU for NS; says how much of it each had",
        waits::compete,
    ),
    (
        "born",
        "thread|process K N NS",
        "K threads or processes, one after the other; each N nanosleep of NS in spoor_nap, and its end",
        waits::born,
    ),
    (
        "lives",
        "NS",
        "three threads, one that runs, one that sleeps, one that does both, made before ready, that stay; then three such that are born and end; says which, and how long each lived",
        waits::lives,
    ),
    (
        "stray",
        "NS",
        "nanosleep of NS in spoor_stray, with frame pointers of every kind, one after the other; says how many",
        stray::stray,
    ),
    ("hang", "", "a thread in spoor_read, from before ready to the end", waits::hang),
    (
        "inflight",
        "",
        "a thread in read of a pipe; a line: 1 byte read, the next read blocks, `blocked`; a line: that one too",
        inflight::inflight,
    ),
    ("tracee", "MODE WORD...", "calls of the functions in tests/tracee; see `tracee --help`", tracee::tracee),
    (
        "udp-sockets",
        "N",
        "UDP sockets of 127.0.0.1 with a buffer of 4096 that were each sent N of 512 bytes: one full, one read; one of ::1 that a child made before ready holds too; two on one port; says ports, buffers and how many were kept",
        udp_sockets::sockets,
    ),
    (
        "udp-receiver",
        "ADDR:PORT OPTION...",
        "1 recvfrom of each datagram that is there and 1 more (EAGAIN), on each socket; prints `ready PID PORT`; --rcvbuf BYTES, --rcvbufforce BYTES, --sockets N, --join GROUP%INDEX, --connect ADDR:PORT, --read all|none|N (of each socket), --room BYTES, --filter-drop, --reuse-port, --reuse-address, --gro, --encap (ESP in UDP), --poll (1 poll before), --bad-address (recvfrom to address 8)",
        udp::receiver,
    ),
    (
        "udp-sender",
        "ADDR:PORT N BYTES OPTION...",
        "N sendto of BYTES; prints `ready PID PORT`, and how they ended; --sndbuf BYTES, --segment BYTES (UDP_SEGMENT), --df, --probe (as large as the device takes), --recverr, --connect",
        udp::sender,
    ),
    (
        "in-pidns",
        "CMD ARG...",
        "runs CMD as PID 1 of a new PID namespace with its own /proc; prints `launched PID`",
        namespace::inside,
    ),
    (
        "elsewhere",
        "DIR ARG...",
        "runs DIR/hidden, a copy of this program, in a mount namespace of its own where a tmpfs is on DIR",
        namespace::elsewhere,
    ),
    (
        "linked-elsewhere",
        "DIR PROGRAM LIBRARY ARG...",
        "runs DIR/hidden, a copy of PROGRAM, beside a copy of LIBRARY, in such a namespace",
        namespace::linked_elsewhere,
    ),
    (
        "enter-pidns",
        "PID CMD ARG...",
        "runs CMD in the PID and mount namespaces of PID; prints `launched PID`",
        namespace::enter,
    ),
];

/// # Safety
/// `argv` holds `argc` strings that live as long as the process: the C library, which calls this, sees to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let mut words = (0..argc as usize).map(|i| {
        // SAFETY: the caller's promise.
        let word: &'static CStr = unsafe { CStr::from_ptr(*argv.add(i)) };
        word.to_str().unwrap_or_else(|_| fail(format_args!("argument {i} is not UTF-8")))
    });
    words.next();
    let mut protocol = Protocol::default();
    let name = loop {
        match words.next() {
            Some("--wait") => protocol.wait = true,
            Some("--hold") => protocol.hold = true,
            Some("--exit") => protocol.exit = words.next().and_then(|code| code.parse().ok()).unwrap_or(1),
            Some("--help") => return help(),
            Some(name) => break name,
            None => fail(format_args!("which workload? see --help")),
        }
    };
    let args = Args(words.collect());
    let Some((.., work)) = WORKS.iter().find(|(known, ..)| *known == name) else {
        fail(format_args!("no workload `{name}`; see --help"));
    };
    let did = work(&args, &protocol);
    protocol.end(&did)
}

fn help() -> c_int {
    protocol::say("workload [--wait] [--hold] [--exit CODE] NAME ARG...");
    for (name, args, what, _) in WORKS {
        let head = format!("{name} {args}");
        protocol::say(&format!("  {head:<24} {what}"));
    }
    0
}
