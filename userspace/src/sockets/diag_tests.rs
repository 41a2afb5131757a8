use std::net::UdpSocket as Socket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::*;

impl UdpSocket {
    /// Of which nothing is known but its address.
    pub fn bound(local: &str) -> UdpSocket {
        UdpSocket {
            local: local.parse().unwrap(),
            remote: None,
            interface: None,
            inode: 0,
            cookie: None,
            uid: 0,
            rmem: None,
            rcvbuf: None,
            wmem: None,
            sndbuf: None,
            drops: 0,
            rx_queue: 0,
            tx_queue: 0,
        }
    }
}

fn inode_of(socket: &Socket) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

fn find(sockets: Vec<UdpSocket>, inode: u64) -> UdpSocket {
    sockets.into_iter().find(|socket| socket.inode == inode).expect("it is open")
}

/// One datagram of 100 bytes waits in each, so that the queue is not empty and not full.
#[test]
fn a_socket_is_told_with_what_it_holds() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(reader) = Socket::bind(any) else { continue };
        let writer = Socket::bind(any).unwrap();
        writer.connect(reader.local_addr().unwrap()).unwrap();
        assert_eq!(writer.send(&[0; 100]).unwrap(), 100);
        let full = find(udp_sockets().unwrap(), inode_of(&reader));
        assert_eq!((full.local, full.remote), (reader.local_addr().unwrap(), None));
        assert!(full.rx_queue > 100 && full.drops == 0, "{full:?}");
        let sending = find(udp_sockets().unwrap(), inode_of(&writer));
        assert_eq!((sending.remote, sending.rx_queue), (Some(reader.local_addr().unwrap()), 0));
    }
}

/// What both of them tell is the same, and the kernel's two ways of saying how much waits agree.
#[test]
fn sock_diag_and_proc_tell_the_same() {
    let reader = Socket::bind("127.0.0.1:0").unwrap();
    let writer = Socket::bind("127.0.0.1:0").unwrap();
    writer.connect(reader.local_addr().unwrap()).unwrap();
    assert_eq!(writer.send(&[0; 512]).unwrap(), 512);
    for socket in [&reader, &writer] {
        let Ok(asked) = asked() else { return };
        let asked = find(asked, inode_of(socket));
        let read = find(of_proc(Path::new("/proc/thread-self/net")).unwrap(), inode_of(socket));
        assert_eq!(asked.rmem, Some(asked.rx_queue));
        assert!(asked.cookie.is_some_and(|cookie| cookie != 0) && asked.rcvbuf.is_some_and(|bytes| bytes > 0));
        let unknown = UdpSocket { cookie: None, rmem: None, rcvbuf: None, wmem: None, sndbuf: None, ..asked };
        assert_eq!(unknown, read);
    }
}

#[test]
fn a_list_that_ends_in_an_error_is_an_error() {
    // NLMSG_DONE with -ENOENT: struct nlmsghdr, then the number.
    let mut done = [20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    done[16..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
    let mut sockets = Vec::new();
    assert_eq!(read(&done, &mut sockets).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    done[16..].fill(0);
    assert_eq!(read(&done, &mut sockets).unwrap(), Answered::All);
    for cut in 1..done.len() {
        assert!(read(&done[..cut], &mut sockets).is_err(), "{cut} bytes");
    }
    assert_eq!(sockets, []);
}
