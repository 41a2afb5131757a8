//! The worker's part with datagrams, from one socket of its own to another on loopback.
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};
use spoor_tests::{Result, bail, ensure};

use crate::worker::{Batches, quietly};

const BATCH: u64 = 1_000;
const BATCHES_MAX: usize = 3_000;
const PAYLOAD: [u8; 100] = [b'x'; 100];
/// More than fits any datagram.
static TOO_LONG: [u8; 70_000] = [b'x'; 70_000];
/// Full after a few.
const SMALL_BUFFER: usize = 4_096;

struct Pair {
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Pair {
    fn new(receive_buffer: Option<usize>) -> Result<Pair> {
        let receiver = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        if let Some(bytes) = receive_buffer {
            receiver.set_recv_buffer_size(bytes)?;
        }
        receiver.set_nonblocking(true)?;
        receiver.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let receiver = UdpSocket::from(receiver);
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        sender.connect(receiver.local_addr()?)?;
        Ok(Pair { sender, receiver })
    }

    /// 1 if it was sent.
    fn send(&self) -> u64 {
        u64::from(self.sender.send(&PAYLOAD).is_ok())
    }

    /// 1 if there was one.
    fn read(&self, room: &mut [u8]) -> u64 {
        u64::from(self.receiver.recv(room).is_ok())
    }

    fn read_all(&self) -> u64 {
        let mut room = [0; 2 * PAYLOAD.len()];
        std::iter::repeat_with(|| self.read(&mut room)).take_while(|read| *read == 1).sum()
    }
}

/// To one who does not read: `lost good-batches ns-per-datagram`.
pub fn flood(best_ns: &mut u64) -> Result<String> {
    let pair = Pair::new(Some(SMALL_BUFFER))?;
    let mut sent: u64 = (0..BATCH).map(|_| pair.send()).sum();
    let batches = quietly(|| {
        Batches::measure(BATCHES_MAX, BATCH, best_ns, || sent += (0..BATCH).map(|_| pair.send()).sum::<u64>())
    });
    Ok(format!("{} {}", sent - pair.read_all(), batches.answer()))
}

/// Sent and read: `0 good-batches ns-per-datagram`.
pub fn delivered(best_ns: &mut u64) -> Result<String> {
    let pair = Pair::new(None)?;
    let mut room = [0; 2 * PAYLOAD.len()];
    let (mut sent, mut read) = (0, 0);
    let batches = quietly(|| {
        Batches::measure(BATCHES_MAX, BATCH, best_ns, || {
            for _ in 0..BATCH {
                sent += pair.send();
                read += pair.read(&mut room);
            }
        })
    });
    ensure!(sent == read, "{sent} sent and {read} read");
    Ok(format!("0 {}", batches.answer()))
}

/// So many `lost`, `refused` by the kernel as too long, `cut` by their reader, or `delivered`.
pub fn some(which: &str, count: u64) -> Result<u64> {
    let pair = Pair::new((which == "lost").then_some(SMALL_BUFFER))?;
    let mut done = 0;
    while done < count {
        done += match which {
            "lost" => pair.send(),
            "refused" => u64::from(pair.sender.send(&TOO_LONG).is_err()),
            "cut" => pair.send() * pair.read(&mut [0; PAYLOAD.len() / 2]),
            "delivered" => pair.send() * pair.read(&mut [0; 2 * PAYLOAD.len()]),
            other => bail!("no such datagrams: {other}"),
        };
    }
    Ok(done - if which == "lost" { pair.read_all() } else { 0 })
}
