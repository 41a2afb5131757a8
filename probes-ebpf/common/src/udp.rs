//! The firing of the provider `udp`: the kernel frees a packet of UDP that nobody got.
use crate::clause::Head;

/// Bits of the global `FACTS`: what has to be read of a packet, or of the socket, for the fields that a clause names.
///
/// The other side's address, the packet's own numbers.
pub const FACT_PACKET: u32 = 1;
/// Who owns the socket.
pub const FACT_SOCKET: u32 = 2;
pub const FACT_KSTACK: u32 = 4;
pub const FACT_DEVICE: u32 = 8;
/// Sends that fail are asked for, and datagrams that were longer than their reader's buffer.
pub const FACT_SENT: u32 = 16;
pub const FACT_CUT: u32 = 32;

#[repr(C)]
pub struct UdpFiring {
    /// Of nobody: the process that happens to run is not the one that loses.
    pub head: Head,
    /// Namespace, family and class in one ([`crate::account`]).
    pub account: u64,
    /// Inode of the socket; 0: none is known.
    pub socket: u64,
    /// IPv6, or IPv4 mapped into it.
    pub laddr: [u64; 2],
    pub raddr: [u64; 2],
    pub ifname: [u64; 2],
    pub kstack: u64,
    /// The class, or from [`REASON_NAMED`] on the kernel's own reason.
    pub reason: u32,
    /// Inode of the network namespace; 0: not known any more.
    pub netns: u32,
    /// Of the datagram, without headers.
    pub bytes: u32,
    /// Datagrams that the packet stands for.
    pub datagrams: u32,
    pub truesize: u32,
    pub rcvbuf: u32,
    pub fill: u32,
    pub lport: u16,
    pub rport: u16,
    /// 4 or 6.
    pub family: u32,
    /// 1: on its way out.
    pub sent: u32,
    /// 1: it has come, and `bytes` of it are lost.
    pub cut: u32,
    pub unused: u32,
}

/// Functions of the kernel that packets are freed in, with what lies between them. A power of two.
pub const SITES_MAX: usize = 128;
/// Reasons that the kernel can have.
pub const REASONS_MAX: usize = 256;
/// A class from here on is a reason of the kernel that has no class of its own.
pub const REASON_NAMED: u32 = 64;
/// Class of what was longer than its reader's buffer.
pub const CUT: u32 = REASON_NAMED - 2;
/// In place of a class: the reason has none of its own.
pub const NO_CLASS: u8 = 0;
/// Class of what is no loss.
pub const NO_LOSS: u8 = REASON_NAMED as u8 - 1;
/// Classes of more than one reason, where function and reason say no more: the packet's signs, or what was noted before,
/// make one of the following of them.
pub const LENGTH_OR_MULTICAST: u8 = 19;
pub const AT_SOCKET: u8 = 22;
pub const ARRIVAL: u8 = 23;

pub const BUFFER: u8 = crate::account::BUFFER_FULL as u8;
pub const MEMORY: u8 = 2;
pub const NO_SOCKET: u8 = 3;
pub const CHECKSUM: u8 = 4;
pub const LENGTH: u8 = 6;
pub const FILTER_OR_POLICY: u8 = 25;
pub const MULTICAST: u8 = 26;
/// The packet has come to its device; of this host's own (veth) it still has its sender.
pub const BACKLOG: u8 = 17;

/// In place of a class: the function decides, by the row of [`Places::by_site`] that the low bits say.
pub const BY_SITE: u8 = 0x80;
pub const SITE_ROWS: usize = 4;
/// Sockets whose next datagram's length is kept. A power of two.
pub const NEXT_MAX: u32 = 16_384;
/// Error numbers that a send can return.
pub const ERRORS_MAX: usize = 1024;
/// What a packet tells of itself ([`Places::closer`]): UDP's length is wrong, the checksum was summed up and is wrong, it
/// was sent to many; and that it would have been noted if a buffer had refused it.
pub const SIGN_LENGTH: usize = 1;
pub const SIGN_CHECKSUM: usize = 2;
pub const SIGN_MANY: usize = 4;
pub const SIGN_NOTED: usize = 8;
pub const SIGNS: usize = 16;
/// Classes are below. A power of two.
pub const CLASSES_MAX: usize = 64;
/// Beside a class: it is no loss of UDP where the row [`TAKERS`] of the function says so.
pub const UNLESS_TAKER: u8 = 0x40;
pub const TAKERS: usize = 3;

/// The only value of the map `PLACES`: how a reason and the function that freed the packet become a class.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Places {
    /// Where the functions begin, in order, and where what lies between them does; the first is 0.
    pub starts: [u64; SITES_MAX],
    pub by_site: [[u8; SITES_MAX]; SITE_ROWS],
    pub by_reason: [u8; REASONS_MAX],
    /// What a send returned.
    pub by_error: [u8; ERRORS_MAX],
    /// What the signs of a packet make of a class; of most nothing else.
    pub closer: [[u8; SIGNS]; CLASSES_MAX],
}
