//! CPU time in known shares, in functions with known names and a known caller.
use core::arch::naked_asm;

use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

/// Spins `rounds` times, in a frame of its own that a walk by frame pointers finds, whatever the compiler's options are.
macro_rules! burn {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        pub extern "C" fn $name(rounds: u64) {
            #[cfg(target_arch = "x86_64")]
            naked_asm!("push rbp", "mov rbp, rsp", "2: dec rdi", "jnz 2b", "pop rbp", "ret");
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "stp x29, x30, [sp, #-16]!",
                "mov x29, sp",
                "2: subs x0, x0, #1",
                "b.ne 2b",
                "ldp x29, x30, [sp], #16",
                "ret"
            );
        }
    };
}

burn!(
    #[unsafe(no_mangle)]
    spoor_burn_a
);
burn!(
    #[unsafe(no_mangle)]
    spoor_burn_b
);
burn!(
    #[unsafe(no_mangle)]
    spoor_burn_c
);
burn!(
    /// As g++ calls `spoor::burn(char const*, unsigned long)`.
    #[unsafe(export_name = "_ZN5spoor4burnEPKcm")]
    cpp
);
burn!(
    /// As rustc calls it.
    rust
);

/// Who calls them all.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn spoor_burn_caller(rounds: u64, burn: extern "C" fn(u64)) {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("push rbp", "mov rbp, rsp", "call rsi", "pop rbp", "ret");
    #[cfg(target_arch = "aarch64")]
    naked_asm!("stp x29, x30, [sp, #-16]!", "mov x29, sp", "blr x1", "ldp x29, x30, [sp], #16", "ret");
}

const BURNS: [extern "C" fn(u64); 3] = [spoor_burn_a, spoor_burn_b, spoor_burn_c];

/// Slices of random length, so that no sampler can stay in step with them.
const SLICE_NS_MIN: u64 = 100_000;
const SLICE_NS_MAX: u64 = 500_000;

pub fn burn(args: &Args, protocol: &Protocol) -> Did {
    let shares = shares(args.text(0, "A:B:C"));
    let seconds: f64 = args.number(1, "SECONDS");
    let length = (seconds * 1e9) as u64;
    let burner = Burner::new();
    let mut random = sys::now_ns() | 1;
    protocol.start();
    let begin = sys::thread_cpu_ns();
    let (mut now, mut spent_ns, mut slices) = (begin, [0u64; 3], 0);
    while now - begin < length {
        let with_share = (0..shares.len()).filter(|which| shares[*which] > 0);
        let next = with_share.max_by_key(|which| behind(&shares, &spent_ns, *which)).unwrap_or(0);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let slice_ns = SLICE_NS_MIN + random % (SLICE_NS_MAX - SLICE_NS_MIN);
        spoor_burn_caller(burner.rounds_of(slice_ns), BURNS[next]);
        let then = now;
        now = sys::thread_cpu_ns();
        spent_ns[next] += now - then;
        slices += 1;
    }
    Did::new()
        .and("spoor_burn_a_ns", spent_ns[0])
        .and("spoor_burn_b_ns", spent_ns[1])
        .and("spoor_burn_c_ns", spent_ns[2])
        .and("cpu_ns", now - begin)
        .and("slices", slices)
}

/// CPU time in one function after the other.
#[derive(Clone, Copy)]
pub struct Burner {
    rounds_per_us: u64,
}

impl Burner {
    pub fn new() -> Burner {
        Burner { rounds_per_us: calibrated() }
    }

    pub fn rounds_of(self, ns: u64) -> u64 {
        (self.rounds_per_us * ns / 1000).max(1)
    }

    /// At least so much of it; what it was.
    pub fn spend(self, ns: u64, burn: extern "C" fn(u64)) -> u64 {
        let begin = sys::thread_cpu_ns();
        loop {
            spoor_burn_caller(self.rounds_of(SLICE_NS_MIN), burn);
            let spent_ns = sys::thread_cpu_ns() - begin;
            if spent_ns >= ns {
                return spent_ns;
            }
        }
    }
}

/// Half of the time each in a function of C++ and one of Rust.
pub fn mangled(args: &Args, protocol: &Protocol) -> Did {
    let ns = args.number::<u64>(0, "NS");
    let burner = Burner::new();
    protocol.start();
    Did::new().and("cpp_ns", burner.spend(ns / 2, cpp)).and("rust_ns", burner.spend(ns / 2, rust))
}

/// How much of what is due to it a function has not had, times the sum of all shares.
fn behind(shares: &[u64; 3], spent_ns: &[u64; 3], which: usize) -> i128 {
    let all: u64 = spent_ns.iter().sum();
    let total: u64 = shares.iter().sum();
    i128::from(all) * i128::from(shares[which]) - i128::from(spent_ns[which]) * i128::from(total)
}

fn shares(text: &str) -> [u64; 3] {
    let mut shares = [0; 3];
    let mut parts = text.split(':');
    for share in &mut shares {
        *share = parts
            .next()
            .and_then(|part| part.parse().ok())
            .unwrap_or_else(|| fail(format_args!("`{text}` is no A:B:C")));
    }
    if parts.next().is_some() || shares.iter().sum::<u64>() == 0 {
        fail(format_args!("`{text}` is no A:B:C"));
    }
    shares
}

/// Rounds in a microsecond.
fn calibrated() -> u64 {
    const ROUNDS: u64 = 1 << 22;
    let start = sys::thread_cpu_ns();
    spoor_burn_caller(ROUNDS, spoor_burn_a);
    (ROUNDS * 1000 / (sys::thread_cpu_ns() - start).max(1)).max(1)
}
