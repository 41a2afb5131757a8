//! The text of /proc/net/udp and udp6 in, sockets out: what there is where the kernel has no sock_diag for UDP.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::diag::UdpSocket;

/// Lines that are none of a socket, as the header, are left out.
pub fn parse(text: &str) -> Vec<UdpSocket> {
    text.lines().filter_map(socket).collect()
}

/// By position: the header has two words where the lines have one (v5.10 net/ipv4/udp.c, udp4_format_sock).
fn socket(line: &str) -> Option<UdpSocket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[_, local, remote, _, queues, _, _, uid, _, inode, _, _, drops, ..] = fields.as_slice() else { return None };
    let (tx_queue, rx_queue) = queues.split_once(':')?;
    Some(UdpSocket {
        local: address(local)?,
        remote: Some(address(remote)?).filter(|remote| remote.port() != 0),
        interface: None,
        inode: inode.parse().ok()?,
        cookie: None,
        uid: uid.parse().ok()?,
        rmem: None,
        rcvbuf: None,
        wmem: None,
        sndbuf: None,
        drops: drops.parse().ok()?,
        rx_queue: u32::from_str_radix(rx_queue, 16).ok()?,
        tx_queue: u32::from_str_radix(tx_queue, 16).ok()?,
    })
}

/// `0100007F:0035`: the address in words of 32 bits, each as the processor reads it, and the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(words.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address: IpAddr = match words.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut octets = [0; 16];
            for (at, place) in octets.chunks_exact_mut(4).enumerate() {
                place.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  331: 0100007F:14E9 00000000:0000 07 00000000:00001A00 00:00000000 00000000   107        0 48213 2 0000000000000000 94
 2047: 0A01A8C0:C350 0801A8C0:0035 01 00000300:00000000 00:00000000 00000000     0        0 50011 2 ffff8a1c05e4b400 4294967295
";
    const UDP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  400: 00000000000000000000000001000000:2710 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5150 2 0000000000000000 0
  401: 0000000000000000FFFF00000100007F:2711 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5151 2 0000000000000000 3
";

    #[test]
    fn sockets_of_ipv4_have_their_queues_and_drops() {
        let sockets = parse(UDP);
        let [bound, connected] = sockets.as_slice() else { panic!("{sockets:?}") };
        assert_eq!((bound.local.to_string().as_str(), bound.remote), ("127.0.0.1:5353", None));
        assert_eq!((bound.inode, bound.uid, bound.drops, bound.rx_queue, bound.tx_queue), (48213, 107, 94, 0x1a00, 0));
        assert_eq!((bound.rcvbuf, bound.rmem, bound.cookie), (None, None, None));
        assert_eq!(connected.local.to_string(), "192.168.1.10:50000");
        assert_eq!(connected.remote.map(|remote| remote.to_string()).as_deref(), Some("192.168.1.8:53"));
        assert_eq!((connected.drops, connected.tx_queue), (u32::MAX, 0x300));
    }

    #[test]
    fn ipv4_in_ipv6_stays_what_the_kernel_has() {
        let locals: Vec<String> = parse(UDP6).iter().map(|socket| socket.local.to_string()).collect();
        assert_eq!(locals, ["[::1]:10000", "[::ffff:127.0.0.1]:10001"]);
    }

    #[test]
    fn lines_that_are_none_of_a_socket_are_left_out() {
        for line in ["", "sl", "1: 0100007F:0035", "1: é00007F:0035 0:0 7 0:0 0:0 0 0 0 1 2 0 0", &"x ".repeat(13)] {
            assert_eq!(parse(line), [], "{line}");
        }
    }
}
