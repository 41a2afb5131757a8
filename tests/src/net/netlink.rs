//! Messages to the kernel: a header, attributes that may hold others, an errno back. Not the netlink crates: they have
//! neither the token bucket nor the firewall's messages, and these need no more than the links do.
//! Source: v6.12 Documentation/userspace-api/netlink/intro.rst.
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;
use crate::patience;

pub const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
pub const REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

/// One or several, each with a header.
#[derive(Default)]
pub struct Messages {
    bytes: Vec<u8>,
    count: u32,
}

/// What stands behind a header, or in an attribute that holds others.
#[derive(Default)]
pub struct Body(Vec<u8>);

impl Body {
    pub fn of(fixed: &[u8]) -> Body {
        Body(fixed.to_vec())
    }

    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Body {
        self.0.extend(((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// With the NUL at its end.
    pub fn text(self, kind: u16, text: &str) -> Body {
        self.bytes(kind, &[text.as_bytes(), b"\0"].concat())
    }

    pub fn number(self, kind: u16, number: u32) -> Body {
        self.bytes(kind, &number.to_ne_bytes())
    }

    /// As nf_tables has all of its.
    pub fn big_endian(self, kind: u16, number: u32) -> Body {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub fn nest(self, kind: u16, inner: Body) -> Body {
        self.bytes(kind | libc::NLA_F_NESTED as u16, &inner.0)
    }
}

impl Messages {
    pub fn one(kind: u16, flags: u16, body: Body) -> Messages {
        Messages::default().and(kind, flags, body)
    }

    pub fn and(mut self, kind: u16, flags: u16, body: Body) -> Messages {
        self.count += 1;
        let flags = flags | libc::NLM_F_REQUEST as u16;
        self.bytes.extend((body.0.len() as u32 + 16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend(body.0);
        self
    }

    /// Sends them all and waits for the answer to the one that asks for it, or to one that fails.
    ///
    /// Errors: the outer one where the kernel cannot be asked, the inner one its answer.
    pub fn send(self, namespace: &Namespace, family: i32) -> Result<io::Result<()>> {
        namespace.run(|| {
            let netlink = Domain::from(libc::AF_NETLINK);
            let socket = match Socket::new(netlink, Type::RAW, Some(Protocol::from(family))) {
                Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(Err(error)),
                socket => socket.context("a netlink socket")?,
            };
            socket.set_read_timeout(Some(patience().max(Duration::from_secs(1))))?;
            (&socket).write_all(&self.bytes).context("send to the kernel")?;
            loop {
                let mut answer = [0; 4096];
                let length = match (&socket).read(&mut answer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("the kernel does not answer"),
                    length => length.context("the kernel's answer")?,
                };
                if let Some(result) = result(&answer[..length])? {
                    return Ok(result);
                }
            }
        })
    }
}

/// The first message of an answer: nlmsghdr, then the errno.
fn result(answer: &[u8]) -> Result<Option<io::Result<()>>> {
    let word = |at: usize| answer.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
    let (Some(kind), Some(error)) = (word(4), word(16)) else { bail!("an answer of {} bytes", answer.len()) };
    match (kind & 0xffff, error) {
        (libc::NLMSG_ERROR, 0) => Ok(Some(Ok(()))),
        (libc::NLMSG_ERROR, error) => Ok(Some(Err(io::Error::from_raw_os_error(-error)))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_4_bytes_and_their_length_is_without_that() {
        let body = Body::default().text(1, "veth").nest(2, Body::default().big_endian(3, 7));
        let [length, first] = [9u16, 1].map(u16::to_ne_bytes);
        let [outer, second, inner, third] = [12u16, 0x8002, 8, 3].map(u16::to_ne_bytes);
        let expected = [&length[..], &first, b"veth\0\0\0\0", &outer, &second, &inner, &third, &[0, 0, 0, 7]].concat();
        assert_eq!(body.0, expected);
    }

    #[test]
    fn an_answer_is_an_errno_or_nothing_wanted() {
        let answer = |kind: i32, error: i32| [20, kind, 1, 0, error].map(i32::to_ne_bytes).concat();
        assert!(result(&answer(libc::NLMSG_ERROR, 0)).unwrap().unwrap().is_ok());
        let refused = result(&answer(libc::NLMSG_ERROR, -libc::EPERM)).unwrap().unwrap();
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(result(&answer(libc::NLMSG_DONE, 0)).unwrap().is_none());
        assert!(result(&[0; 8]).is_err());
    }
}
