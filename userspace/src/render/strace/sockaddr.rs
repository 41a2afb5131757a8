//! Bytes of a socket address in, strace's text of it out.
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::escape::quoted;
use super::{names, write};

/// `length` is what the caller said; `bytes` may be shorter where not all was copied.
pub fn sockaddr(out: &mut Vec<u8>, bytes: &[u8], length: u32) {
    let bytes = &bytes[..bytes.len().min(length as usize)];
    let Some((family, data)) = bytes.split_first_chunk::<2>() else {
        return quoted(out, bytes);
    };
    let family = u16::from_ne_bytes(*family);
    out.extend_from_slice(b"{sa_family=");
    names::FAMILY.value(out, u64::from(family));
    if !data.is_empty() {
        out.extend_from_slice(b", ");
        address(out, family, data);
    }
    out.push(b'}');
}

fn address(out: &mut Vec<u8>, family: u16, data: &[u8]) {
    match (i32::from(family), data.len()) {
        (libc::AF_UNIX, _) => unix(out, data),
        (libc::AF_INET, 14..) => {
            port(out, b"sin_port=htons(", data);
            let [a, b, c, d] = [data[2], data[3], data[4], data[5]];
            let _ = write!(out, ", sin_addr=inet_addr(\"{}\")", Ipv4Addr::new(a, b, c, d));
        }
        (libc::AF_INET6, 22..) => inet6(out, data),
        (libc::AF_NETLINK, 10..) => {
            let padding = u16::from_ne_bytes([data[0], data[1]]);
            if padding != 0 {
                let _ = write!(out, "nl_pad={padding:#x}, ");
            }
            let [pid, groups] = [2, 6].map(|at| word(data, at));
            let _ = write!(out, "nl_pid={}, nl_groups={groups:08x}", pid as i32);
        }
        _ => {
            out.extend_from_slice(b"sa_data=");
            quoted(out, data);
        }
    }
}

/// A name that starts with NUL is abstract, not a path, and NUL does not end it.
fn unix(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(b"sun_path=");
    match data.split_first() {
        Some((0, name)) => {
            out.push(b'@');
            quoted(out, name);
        }
        _ => quoted(out, data.split(|byte| *byte == 0).next().unwrap_or_default()),
    }
}

fn inet6(out: &mut Vec<u8>, data: &[u8]) {
    port(out, b"sin6_port=htons(", data);
    let mut address = [0; 16];
    address.copy_from_slice(&data[6..22]);
    let flow = u32::from_be(word(data, 2));
    let address = Ipv6Addr::from(address);
    let _ = write!(out, ", sin6_flowinfo=htonl({flow}), inet_pton(AF_INET6, \"{address}\", &sin6_addr)");
    if data.len() >= 26 {
        let _ = write!(out, ", sin6_scope_id={}", word(data, 22));
    }
}

fn port(out: &mut Vec<u8>, name: &[u8], data: &[u8]) {
    out.extend_from_slice(name);
    write::decimal(out, u64::from(u16::from_be_bytes([data[0], data[1]])));
    out.push(b')');
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}
