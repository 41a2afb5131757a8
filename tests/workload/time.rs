//! Calls of a known length, and calls at a known rate.
use core::hint::spin_loop;

use crate::protocol::{Did, Protocol};
use crate::{Args, sys};

pub fn sleep(args: &Args, protocol: &Protocol) -> Did {
    sleep_for(args.number(0, "N"), args.number(1, "NS"), protocol)
}

pub fn known(args: &Args, protocol: &Protocol) -> Did {
    sleep_for(args.number(0, "N"), 1_000_000, protocol)
}

fn sleep_for(n: u64, ns: u64, protocol: &Protocol) -> Did {
    protocol.start();
    let start = sys::now_ns();
    for _ in 0..n {
        sys::nanosleep(ns);
    }
    // What a tracer may have seen at most, all calls together.
    let elapsed = sys::now_ns() - start;
    Did::new().and("nanosleep", n).and("elapsed_ns", elapsed)
}

/// Spins until each call is due; one that comes late is caught up with.
pub fn paced(args: &Args, protocol: &Protocol) -> Did {
    let (rate, seconds): (u64, f64) = (args.number(0, "RATE"), args.number(1, "SECONDS"));
    let count = (rate as f64 * seconds) as u64;
    protocol.start();
    let start = sys::now_ns();
    let mut late_ns = 0;
    for i in 0..count {
        let due = start + (i as u128 * 1_000_000_000 / rate as u128) as u64;
        let mut now = sys::now_ns();
        late_ns = late_ns.max(now.saturating_sub(due));
        while now < due {
            spin_loop();
            now = sys::now_ns();
        }
        sys::getppid();
    }
    Did::new().and("getppid", count).and("late_ns_max", late_ns).and("elapsed_ns", sys::now_ns() - start)
}

pub fn full(args: &Args, protocol: &Protocol) -> Did {
    let seconds: f64 = args.number(0, "SECONDS");
    let length = (seconds * 1e9) as u64;
    protocol.start();
    let start = sys::now_ns();
    let mut count = 0;
    while sys::now_ns() - start < length {
        for _ in 0..256 {
            sys::getppid();
        }
        count += 256;
    }
    Did::new().and("getppid", count).and("elapsed_ns", sys::now_ns() - start)
}
