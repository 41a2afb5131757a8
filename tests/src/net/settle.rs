//! Was everything handled that was sent? Each CPU has a queue of its own for what arrives, in order. So one packet more
//! is sent from each CPU, and when they have come through, so has everything before them.
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;
use crate::{patience, sys};

pub struct Marker {
    from: Socket,
    to: Socket,
    address: IpAddr,
}

impl Marker {
    /// Its packets are of a protocol for experiments (RFC 3692): nobody counts them as UDP, or drops them for what UDP
    /// is dropped for.
    pub fn new(from: &Namespace, to: &Namespace, address: IpAddr) -> Result<Marker> {
        let socket = || {
            let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(253))).context("a raw socket")?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            Ok(socket)
        };
        Ok(Marker { from: from.run(socket)?, to: to.run(socket)?, address })
    }

    /// A moment passes after devices and addresses are there until nothing is lost any more.
    pub fn first(&self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < patience() {
            // The way may not be there yet, which is an error too.
            if self.send(0).is_ok() && self.received(0)? {
                return Ok(());
            }
        }
        self.send(0).with_context(|| format!("nothing comes through to {}", self.address))
    }

    pub fn settle(&self) -> Result<()> {
        std::thread::scope(|scope| scope.spawn(|| self.settle_here()).join().unwrap_or_else(|_| bail!("panicked")))
    }

    /// Moves the calling thread from CPU to CPU.
    fn settle_here(&self) -> Result<()> {
        for cpu in sys::own_cpus()? {
            sys::run_on(cpu)?;
            let number = cpu as u64 + 1;
            self.send(number)?;
            let started = Instant::now();
            while !self.received(number)? {
                ensure!(started.elapsed() < patience(), "what was sent on CPU {cpu} does not arrive");
            }
        }
        Ok(())
    }

    fn send(&self, number: u64) -> Result<()> {
        let to = SocketAddr::new(self.address, 0);
        self.from.send_to(&number.to_ne_bytes(), &to.into()).context("send a marker")?;
        Ok(())
    }

    /// Waits a little for this one; others are of before.
    fn received(&self, number: u64) -> Result<bool> {
        let mut packet = [0; 64];
        loop {
            match (&self.to).read(&mut packet) {
                // Behind a header of IPv4.
                Ok(length) if packet[..length].ends_with(&number.to_ne_bytes()) => return Ok(true),
                Ok(_) => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("receive a marker"),
            }
        }
    }
}
