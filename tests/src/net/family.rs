//! The two families and their addresses in a [`Net`](super::Net).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// 10.77.0.HOST, fd00:77::HOST.
    pub fn host(self, host: u8) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 77, 0, host).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, host.into()).into(),
        }
    }

    /// On the link behind B: 10.78.0.HOST, fd00:78::HOST.
    pub fn beyond(self, host: u8) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 78, 0, host).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 0, host.into()).into(),
        }
    }

    pub fn a(self) -> IpAddr {
        self.host(1)
    }

    pub fn b(self) -> IpAddr {
        self.host(2)
    }

    /// On the link by its number, but nobody has it.
    pub fn absent(self) -> IpAddr {
        self.host(99)
    }

    /// No route leads there. For documentation: RFC 5737, RFC 3849.
    pub fn far(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    pub fn any(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    pub fn of(address: SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// As the kernel's counters of UDP begin: `UdpInErrors`, `Udp6InErrors`.
    pub fn counter(self, name: &str) -> String {
        match self {
            Family::V4 => format!("Udp{name}"),
            Family::V6 => format!("Udp6{name}"),
        }
    }
}
