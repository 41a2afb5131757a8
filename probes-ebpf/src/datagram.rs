//! A packet of UDP and its socket, read into a firing. Where the kernel tells the socket that would have got it (6.11), all
//! that the default report needs is read from that; else the packet's own headers say whose it was.
use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};
use probes_common::{
    account::{ACCOUNT_FAMILY, ACCOUNT_NAMESPACE},
    target::UNKNOWN_OFFSET,
    udp::{FACT_DEVICE, FACT_PACKET, FACT_SOCKET, UdpFiring},
};

use crate::choice::is_below;
use crate::task::Kernel;

#[unsafe(no_mangle)]
static UDP_FACTS: Global<u32> = Global::new(0);
/// Offsets: in struct sk_buff,
#[unsafe(no_mangle)]
static SKB_SK: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_DEV: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static SKB_LEN: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_DATA_LEN: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_PROTOCOL: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_NETWORK: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_TRANSPORT: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_HEAD: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
pub static SKB_DATA: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_END: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_TRUESIZE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SKB_INTERFACE: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct skb_shared_info,
#[unsafe(no_mangle)]
static SEGMENTS: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct net_device,
#[unsafe(no_mangle)]
static DEV_NET: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static DEV_NAME: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct sock,
#[unsafe(no_mangle)]
static SOCK_FAMILY: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_NUMBER: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_ADDRESS: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_ADDRESS6: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_PEER: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_PEER6: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_PEER_PORT: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_NET: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_PROTOCOL: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_TYPE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_RCVBUF: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_FILL: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static SOCK_SOCKET: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct socket, file and inode,
#[unsafe(no_mangle)]
static SOCKET_FILE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static FILE_INODE: Global<u32> = Global::new(UNKNOWN_OFFSET);
#[unsafe(no_mangle)]
static INODE_NUMBER: Global<u32> = Global::new(UNKNOWN_OFFSET);
/// struct net.
#[unsafe(no_mangle)]
static NET_NUMBER: Global<u32> = Global::new(UNKNOWN_OFFSET);

/// On the program's stack, as it is filled.
pub type Firing = MaybeUninit<UdpFiring>;

const UDP: u16 = 17;
const SOCK_DGRAM: u16 = 2;
/// As they lie in the packet.
const IPV4: u16 = 0x0800u16.to_be();
const IPV6: u16 = 0x86ddu16.to_be();
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

#[inline(always)]
pub fn wants(facts: u32) -> bool {
    UDP_FACTS.load() & facts != 0
}

/// 4 or 6. None: it is of another protocol.
#[inline(always)]
pub fn family(skb: Kernel<true>) -> Option<u32> {
    match skb.read::<u16>(SKB_PROTOCOL.load()) {
        IPV4 => Some(4),
        IPV6 => Some(6),
        _ => None,
    }
}

/// What the account is kept by, and what of the packet itself is not read yet.
#[inline(always)]
pub fn complete(skb: Kernel<true>, (class, family): (u32, u32), firing: &mut Firing) {
    let at = firing.as_mut_ptr();
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).truesize).write(skb.read(SKB_TRUESIZE.load()));
        addr_of_mut!((*at).datagrams).write(segments(skb));
        addr_of_mut!((*at).cut).write(0);
        if wants(FACT_DEVICE) {
            addr_of_mut!((*at).ifname).write(device_name(skb));
        }
    }
    account((class, family), firing);
}

/// What the account is kept by. The namespace is read.
#[inline(always)]
pub fn account((class, family): (u32, u32), firing: &mut Firing) {
    let at = firing.as_mut_ptr();
    // SAFETY: `at` is this program's own stack.
    unsafe {
        // One by one, or zeros are written by a call of memset.
        addr_of_mut!((*at).head.task).write_volatile(0);
        addr_of_mut!((*at).head.pid_tgid).write_volatile(0);
        addr_of_mut!((*at).reason).write(class);
        addr_of_mut!((*at).family).write(family);
        let of_family = family << ACCOUNT_FAMILY | class & 0xffff;
        addr_of_mut!((*at).account).write(u64::from((*at).netns) << ACCOUNT_NAMESPACE | u64::from(of_family));
    }
}

/// 4 or 6, of a socket of UDP. None: it is of another protocol.
#[inline(always)]
pub fn socket_family(sk: Kernel<true>) -> Option<u32> {
    if sk.read::<u16>(SOCK_PROTOCOL.load()) != UDP || sk.read::<u16>(SOCK_TYPE.load()) != SOCK_DGRAM {
        return None;
    }
    match sk.read::<u16>(SOCK_FAMILY.load()) {
        AF_INET => Some(4),
        AF_INET6 => Some(6),
        _ => None,
    }
}

/// What a socket alone tells, where there is no packet.
#[inline(always)]
pub fn read_socket(sk: Kernel<true>, firing: &mut Firing) {
    read_local(sk, firing);
    let at = firing.as_mut_ptr();
    // SAFETY: `at` is this program's own stack.
    unsafe {
        if wants(FACT_PACKET) {
            addr_of_mut!((*at).raddr).write(if sk.read::<u16>(SOCK_FAMILY.load()) == AF_INET6 {
                [sk.read(SOCK_PEER6.load()), sk.read(SOCK_PEER6.load() + 8)]
            } else {
                mapped(sk.read(SOCK_PEER.load()))
            });
            addr_of_mut!((*at).rport).write(u16::from_be(sk.read(SOCK_PEER_PORT.load())));
        }
        if wants(FACT_DEVICE) {
            addr_of_mut!((*at).ifname[0]).write_volatile(0);
            addr_of_mut!((*at).ifname[1]).write_volatile(0);
        }
        addr_of_mut!((*at).truesize).write(0);
    }
}

/// Whom a datagram is sent to, where the socket is connected to nobody: from a struct sockaddr, by `read`.
#[inline(always)]
pub fn read_destination(firing: &mut Firing, read: impl Fn(u64) -> Option<u64>) {
    let at = firing.as_mut_ptr();
    // Family, port, and an address of IPv4; one of IPv6 follows behind 4 bytes more.
    let Some(head) = read(0) else { return };
    // SAFETY: `at` is this program's own stack.
    unsafe {
        match head as u16 {
            AF_INET => addr_of_mut!((*at).raddr).write(mapped((head >> 32) as u32)),
            AF_INET6 => {
                let (Some(first), Some(second)) = (read(8), read(16)) else { return };
                addr_of_mut!((*at).raddr).write([first, second]);
            }
            _ => return,
        }
        addr_of_mut!((*at).rport).write(u16::from_be((head >> 16) as u16));
    }
}

/// How much of the receive buffer is in use.
#[inline(always)]
pub fn fill(sk: Kernel<true>) -> u32 {
    sk.read(SOCK_FILL.load())
}

/// Whose it is, and its buffer.
#[inline(always)]
fn read_local<const DIRECT: bool>(sk: Kernel<DIRECT>, firing: &mut Firing) {
    let at = firing.as_mut_ptr();
    let net = Kernel::<DIRECT>(sk.read::<u64>(SOCK_NET.load()) as *const u8);
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).socket).write(if wants(FACT_SOCKET) { inode_of(sk) } else { 0 });
        addr_of_mut!((*at).netns).write(net.read(NET_NUMBER.load()));
        addr_of_mut!((*at).laddr).write(if sk.read::<u16>(SOCK_FAMILY.load()) == AF_INET6 {
            [sk.read(SOCK_ADDRESS6.load()), sk.read(SOCK_ADDRESS6.load() + 8)]
        } else {
            mapped(sk.read(SOCK_ADDRESS.load()))
        });
        addr_of_mut!((*at).lport).write(sk.read(SOCK_NUMBER.load()));
        addr_of_mut!((*at).rcvbuf).write(sk.read(SOCK_RCVBUF.load()));
        addr_of_mut!((*at).fill).write(sk.read(SOCK_FILL.load()));
    }
}

/// The socket that sent the packet, and is told by its device that it was lost. None: it has come from elsewhere.
/// `has_come` as in [`read_packet`].
#[inline(always)]
pub fn sender(skb: Kernel<true>, has_come: bool, firing: &Firing) -> Option<u64> {
    // SAFETY: written by whoever read the packet.
    let sent = unsafe { (*firing.as_ptr()).sent };
    (sent != 0 || has_come).then(|| skb.read(SKB_SK.load()))
}

/// What the socket tells that would have got the packet. False: it is none of UDP, but one that listens to all packets, or
/// a raw one for those of UDP.
#[inline(always)]
pub fn read_receiver<const DIRECT: bool>(
    skb: Kernel<true>,
    sk: Kernel<DIRECT>,
    family: u32,
    firing: &mut Firing,
) -> bool {
    let at = firing.as_mut_ptr();
    if is_not_of_udp(sk) != 0 {
        return false;
    }
    if wants(FACT_PACKET) {
        read_headers(skb, family, firing);
    }
    read_local(sk, firing);
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).sent).write(0);
        // From behind the header to the end of the packet.
        let data = skb.read::<u64>(SKB_DATA.load()) - skb.read::<u64>(SKB_HEAD.load());
        let payload = u32::from(skb.read::<u16>(SKB_TRANSPORT.load())) + 8;
        addr_of_mut!((*at).bytes).write(data as u32 + skb.read::<u32>(SKB_LEN.load()) - payload);
    }
    true
}

/// 0 where it is.
#[inline(always)]
fn is_not_of_udp<const DIRECT: bool>(sk: Kernel<DIRECT>) -> u16 {
    sk.read::<u16>(SOCK_PROTOCOL.load()) ^ UDP | sk.read::<u16>(SOCK_TYPE.load()) ^ SOCK_DGRAM
}

/// What the packet tells. False: it is not of UDP, or it is a copy that another socket has got. `has_come`: it is
/// at the device that it came to, and yet has its sender, being of this host.
#[inline(always)]
pub fn read_packet(skb: Kernel<true>, family: u32, has_come: bool, firing: &mut Firing) -> bool {
    let at = firing.as_mut_ptr();
    if !read_headers(skb, family, firing) {
        return false;
    }
    let sk = Kernel::<false>(if has_come { core::ptr::null() } else { skb.read::<u64>(SKB_SK.load()) as *const u8 });
    // What has come in has an interface. What is queued at a socket has none of its own any more.
    let sent = skb.read::<u32>(SKB_INTERFACE.load()) == 0 && !sk.0.is_null();
    let is_incoming = is_below(0, skb.read::<u32>(SKB_INTERFACE.load()).into());
    if is_incoming & is_below(0, is_not_of_udp(sk).into()) != 0 && !sk.0.is_null() {
        return false;
    }
    let dev = skb.read::<u64>(SKB_DEV.load());
    let net = if !sk.0.is_null() {
        sk.read::<u64>(SOCK_NET.load())
    } else if is_kernel_address(dev) {
        Kernel::<false>(dev as *const u8).read(DEV_NET.load())
    } else {
        0
    };
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).netns).write(Kernel::<false>(net as *const u8).read(NET_NUMBER.load()));
        // A copy from nowhere is 0.
        addr_of_mut!((*at).socket).write(if wants(FACT_SOCKET) { inode_of(sk) } else { 0 });
        addr_of_mut!((*at).rcvbuf).write(sk.read(SOCK_RCVBUF.load()));
        addr_of_mut!((*at).fill).write(sk.read(SOCK_FILL.load()));
        addr_of_mut!((*at).sent).write(sent as u32);
        if sent {
            let (to, to_port) = ((*at).laddr, (*at).lport);
            addr_of_mut!((*at).laddr).write((*at).raddr);
            addr_of_mut!((*at).lport).write((*at).rport);
            addr_of_mut!((*at).raddr).write(to);
            addr_of_mut!((*at).rport).write(to_port);
        }
    }
    true
}

/// The number by which processes hold it; 0: none does any more.
#[inline(always)]
pub fn inode_of<const DIRECT: bool>(sk: Kernel<DIRECT>) -> u64 {
    let next = |from: Kernel<DIRECT>, offset| Kernel::<DIRECT>(from.read::<u64>(offset) as *const u8);
    next(next(next(sk, SOCK_SOCKET.load()), SOCKET_FILE.load()), FILE_INODE.load()).read::<u64>(INODE_NUMBER.load())
}

/// The upper half of the address space. Where a socket queues a packet, other numbers lie in place of the device.
#[inline(always)]
fn is_kernel_address(address: u64) -> bool {
    (address as i64) < 0
}

/// IPv4 as IPv6 writes it.
#[inline(always)]
fn mapped(address: u32) -> [u64; 2] {
    [0, u64::from(address) << 32 | 0xffff_0000]
}

/// Datagrams in the packet. One that is all in one piece is one.
#[inline(always)]
fn segments(skb: Kernel<true>) -> u32 {
    if skb.read::<u32>(SKB_DATA_LEN.load()) == 0 {
        return 1;
    }
    let info = skb.read::<u64>(SKB_HEAD.load()) + u64::from(skb.read::<u32>(SKB_END.load()));
    let segments = Kernel::<false>(info as *const u8).read::<u16>(SEGMENTS.load());
    if segments == 0 { 1 } else { segments.into() }
}

#[inline(always)]
fn device_name(skb: Kernel<true>) -> [u64; 2] {
    // Copied, since it is looked at as a number.
    let dev = Kernel::<false>(skb.0).read::<u64>(SKB_DEV.load());
    let device = Kernel::<false>(if is_kernel_address(dev) { dev as *const u8 } else { core::ptr::null() });
    // A copy from nowhere is 0.
    [device.read(DEV_NAME.load()), device.read(DEV_NAME.load() + 8)]
}

/// The addresses of a packet as its receiver sees them, and how long it is. False: it is not of UDP, or cannot be read.
#[inline(always)]
fn read_headers(skb: Kernel<true>, family: u32, firing: &mut Firing) -> bool {
    let at = firing.as_mut_ptr();
    let network = skb.read::<u64>(SKB_HEAD.load()) + u64::from(skb.read::<u16>(SKB_NETWORK.load()));
    let transport = if family == 4 { read_ipv4(network, firing) } else { read_ipv6(network, firing) };
    let Some(transport) = transport else { return false };
    // Behind the first of its fragments there are no ports.
    let header = if transport == 0 { None } else { read_at::<u64>(transport) };
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).rport).write(u16::from_be(header.unwrap_or(0) as u16));
        addr_of_mut!((*at).lport).write(u16::from_be((header.unwrap_or(0) >> 16) as u16));
        if let Some(header) = header {
            let length = u16::from_be((header >> 32) as u16);
            addr_of_mut!((*at).bytes).write(u32::from(length).saturating_sub(8));
        }
    }
    true
}

/// Where the header of UDP is; 0: in another fragment.
#[inline(always)]
fn read_ipv4(network: u64, firing: &mut Firing) -> Option<u64> {
    let at = firing.as_mut_ptr();
    let words = read_at::<[u32; 5]>(network)?;
    let (version, header) = (words[0] >> 4 & 0xf, (words[0] & 0xf) * 4);
    if version != 4 || (words[2] >> 8) as u8 as u16 != UDP {
        return None;
    }
    let total = u16::from_be((words[0] >> 16) as u16);
    let offset = u16::from_be((words[1] >> 16) as u16) & 0x1fff;
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).raddr).write(mapped(words[3]));
        addr_of_mut!((*at).laddr).write(mapped(words[4]));
        addr_of_mut!((*at).bytes).write(u32::from(total).saturating_sub(header));
    }
    Some(if offset == 0 { network + u64::from(header) } else { 0 })
}

/// The same.
#[inline(always)]
fn read_ipv6(network: u64, firing: &mut Firing) -> Option<u64> {
    let at = firing.as_mut_ptr();
    const HEADER: u64 = 40;
    const FRAGMENT: u8 = 44;
    // Version and flow in 4 bytes, length, next header, hops.
    let first = read_at::<u64>(network)?;
    if first >> 4 & 0xf != 6 {
        return None;
    }
    // SAFETY: `at` is this program's own stack.
    unsafe {
        addr_of_mut!((*at).raddr).write(read_at(network + 8)?);
        addr_of_mut!((*at).laddr).write(read_at(network + 24)?);
        addr_of_mut!((*at).bytes).write(u16::from_be((first >> 32) as u16).into());
    }
    let next = (first >> 48) as u8;
    if next as u16 == UDP {
        return Some(network + HEADER);
    }
    // A header of its own: next header, a byte, and the offset in the upper 13 bits of two.
    let fragment = if next == FRAGMENT { read_at::<u32>(network + HEADER)? } else { 0 };
    if fragment as u8 as u16 != UDP {
        return None;
    }
    Some(if u16::from_be((fragment >> 16) as u16) >> 3 == 0 { network + HEADER + 8 } else { 0 })
}

#[inline(always)]
pub fn read_at<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}
