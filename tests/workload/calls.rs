//! Calls that one thread makes in a row, counted.
use crate::protocol::{Did, Protocol, fail};
use crate::{Args, sys};

pub fn getppid(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    protocol.start();
    repeat_getppid(n);
    Did::new().and("getppid", n)
}

pub fn repeat_getppid(n: u64) {
    for _ in 0..n {
        sys::getppid();
    }
}

pub fn mix(args: &Args, protocol: &Protocol) -> Did {
    let n: u64 = args.number(0, "N");
    let zero = sys::must(sys::openat(c"/dev/zero", libc::O_RDONLY, 0), "open /dev/zero") as i32;
    protocol.start();
    for _ in 0..n {
        sys::getppid();
        for _ in 0..2 {
            sys::close(-1);
        }
        for _ in 0..3 {
            sys::read(zero, &mut [0]);
        }
    }
    Did::new().and("getppid", n).and("close", 2 * n).and("read", 3 * n)
}

pub fn errors(args: &Args, protocol: &Protocol) -> Did {
    let n: u64 = args.number(0, "N");
    let [pipe, _] = sys::pipe();
    protocol.start();
    for _ in 0..n {
        sys::openat(c"/spoor-no-such-path", libc::O_RDONLY, 0);
        sys::close(-1);
        sys::lseek(pipe, 0, libc::SEEK_SET);
    }
    Did::new().and("openat", n).and("close", n).and("lseek", n)
}

pub fn badnr(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    protocol.start();
    for _ in 0..n {
        sys::number(9999);
        sys::number(-1);
    }
    Did::new().and("9999", n).and("-1", n)
}

pub fn keys(args: &Args, protocol: &Protocol) -> Did {
    let (k, n): (u64, u64) = (args.number(0, "K"), args.number(1, "N"));
    protocol.start();
    for _ in 0..n {
        for key in 0..k {
            sys::close(1_000_000 + key as i64);
        }
    }
    Did::new().and("close", k * n)
}

pub fn values(args: &Args, protocol: &Protocol) -> Did {
    let parse = |text: &str| text.parse::<i64>().map(|value| value as u64).or_else(|_| text.parse::<u64>());
    let numbers =
        args.from(0).iter().map(|text| parse(text).unwrap_or_else(|_| fail(format_args!("`{text}` is no number"))));
    let values: Vec<u64> = numbers.collect();
    protocol.start();
    for value in &values {
        sys::getppid_with(*value);
    }
    Did::new().and("getppid", values.len() as u64)
}

pub fn range(args: &Args, protocol: &Protocol) -> Did {
    let n = args.number(0, "N");
    protocol.start();
    for value in 0..n {
        sys::getppid_with(value);
    }
    Did::new().and("getppid", n)
}

/// An empty memfd takes any offset; the errors come from a closed descriptor, a negative offset and a pipe.
pub fn returns(args: &Args, protocol: &Protocol) -> Did {
    let values: Vec<i64> = (0..args.from(0).len()).map(|i| args.number(i, "result")).collect();
    // SAFETY: a string that ends.
    let file = unsafe { sys::call(libc::SYS_memfd_create, [c"spoor".as_ptr() as u64, 0, 0, 0, 0, 0]) };
    let file = sys::must(file, "memfd_create") as i32;
    let [pipe, _] = sys::pipe();
    protocol.start();
    for value in &values {
        let (fd, offset) = match value {
            -9 => (-1, 0),
            -22 => (file, -1),
            -29 => (pipe, 0),
            _ => (file, *value),
        };
        if sys::lseek(fd, offset, libc::SEEK_SET) != *value {
            fail(format_args!("lseek cannot return {value}"));
        }
    }
    Did::new().and("lseek", values.len() as u64)
}

pub fn comm(args: &Args, protocol: &Protocol) -> Did {
    let (name, n) = (unescape(args.text(0, "NAME")), args.number(1, "N"));
    named(&name, n, protocol)
}

pub fn hostile_comm(args: &Args, protocol: &Protocol) -> Did {
    named(b"\x1b[2J\x07\n\xff", args.number(0, "N"), protocol)
}

fn named(name: &[u8], n: u64, protocol: &Protocol) -> Did {
    let mut bytes = [0u8; 16];
    let len = name.len().min(15);
    bytes[..len].copy_from_slice(&name[..len]);
    // SAFETY: 16 bytes that end with a NUL.
    let ret = unsafe { sys::call(libc::SYS_prctl, [libc::PR_SET_NAME as u64, bytes.as_ptr() as u64, 0, 0, 0, 0]) };
    sys::must(ret, "prctl");
    protocol.start();
    repeat_getppid(n);
    Did::new().and("getppid", n)
}

/// `\n \t \e \\ \xHH`; everything else stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'e') => 0x1b,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut hex = || (bytes.next().unwrap_or(b'?') as char).to_digit(16);
                match (hex(), hex()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => fail(format_args!("`{text}`: \\x wants two hexadecimal digits")),
                }
            }
            _ => fail(format_args!("`{text}`: unknown escape")),
        });
    }
    out
}
