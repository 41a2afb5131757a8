//! Provider `udp`: packets of UDP that the kernel frees instead of handing them on, by skb:kfree_skb.
use std::mem::{offset_of, size_of};

use probes_common::target::UNKNOWN_OFFSET;
use probes_common::udp::{FACT_DEVICE, FACT_KSTACK, FACT_PACKET, FACT_SOCKET, Places, UdpFiring};

use super::udp_reasons::{self, Reasons};
use super::{Constant, Content, Kernel, Probe, Provider};
use crate::program::field::{Common, Field, Half, Kind, Owner, Source, Unit};
use crate::program::tree::Type;

const fn field(name: &'static str, kind: Kind, unit: Unit, place: (usize, u8), facts: u32, doc: &'static str) -> Field {
    let source = Source::Firing { offset: place.0 as u16, size: place.1 };
    Field { name, kind, unit, source, domain: 0, facts, doc }
}

const fn number(name: &'static str, unit: Unit, place: (usize, u8), doc: &'static str) -> Field {
    field(name, Kind::Number(Type::Unsigned), unit, place, 0, doc)
}

const fn owner(name: &'static str, owner: Owner, doc: &'static str) -> Field {
    field(name, Kind::Owner(owner), Unit::None, (offset_of!(UdpFiring, socket), 8), FACT_SOCKET, doc)
}

const CPU: Field = Field {
    name: "cpu",
    kind: Kind::Number(Type::Unsigned),
    unit: Unit::None,
    source: Source::Common(Common::Cpu),
    domain: 0,
    facts: 0,
    doc: "CPU that it happened on",
};

/// What the kernel's own counters are kept by: namespace, family and reason in one.
pub const ACCOUNT: &str = "account";

static FIELDS: [Field; 23] = [
    field(
        "reason",
        Kind::Enumeration(&Reasons),
        Unit::None,
        (offset_of!(UdpFiring, reason), 4),
        0,
        "why it was lost: the kernel's reason and the function that freed it",
    ),
    field("laddr", Kind::Address, Unit::None, (offset_of!(UdpFiring, laddr), 16), 0, "address of this side"),
    number("lport", Unit::None, (offset_of!(UdpFiring, lport), 2), "port of this side"),
    field(
        "raddr",
        Kind::Address,
        Unit::None,
        (offset_of!(UdpFiring, raddr), 16),
        FACT_PACKET,
        "address of the other side",
    ),
    field(
        "rport",
        Kind::Number(Type::Unsigned),
        Unit::None,
        (offset_of!(UdpFiring, rport), 2),
        FACT_PACKET,
        "port of the other side",
    ),
    owner("process", Owner::Process, "processes that hold the socket, with their ids; never who happened to run"),
    owner("pid", Owner::Pid, "their ids"),
    owner("comm", Owner::Comm, "their names"),
    number("family", Unit::None, (offset_of!(UdpFiring, family), 4), "4 or 6"),
    number(
        "netns",
        Unit::None,
        (offset_of!(UdpFiring, netns), 4),
        "inode of the network namespace, as in lsns; 0: gone",
    ),
    field("ifname", Kind::Text, Unit::None, (offset_of!(UdpFiring, ifname), 16), FACT_DEVICE, "interface"),
    number("bytes", Unit::Bytes, (offset_of!(UdpFiring, bytes), 4), "of the datagram, without headers"),
    number(
        "datagrams",
        Unit::None,
        (offset_of!(UdpFiring, datagrams), 4),
        "datagrams in the packet: more than one with GRO",
    ),
    number("truesize", Unit::Bytes, (offset_of!(UdpFiring, truesize), 4), "what the packet takes in a buffer"),
    number(
        "rcvbuf",
        Unit::Bytes,
        (offset_of!(UdpFiring, rcvbuf), 4),
        "the socket's receive buffer; 0: reached no socket",
    ),
    number("fill", Unit::Bytes, (offset_of!(UdpFiring, fill), 4), "how much of it was in use"),
    number("sent", Unit::None, (offset_of!(UdpFiring, sent), 4), "1: lost on its way out"),
    field(
        "kstack",
        Kind::Stack(Half::Kernel),
        Unit::None,
        (offset_of!(UdpFiring, kstack), 8),
        FACT_KSTACK,
        "kernel stack",
    ),
    number(ACCOUNT, Unit::None, (offset_of!(UdpFiring, account), 8), "namespace, family and reason in one"),
    field(
        "socket",
        Kind::Number(Type::Unsigned),
        Unit::None,
        (offset_of!(UdpFiring, socket), 8),
        FACT_SOCKET,
        "inode of the socket, as in /proc/net/udp; 0: reached none",
    ),
    field(
        "raddr_high",
        Kind::Number(Type::Unsigned),
        Unit::None,
        (offset_of!(UdpFiring, raddr), 8),
        FACT_PACKET,
        "the first half of raddr, as it lies in memory",
    ),
    field(
        "raddr_low",
        Kind::Number(Type::Unsigned),
        Unit::None,
        (offset_of!(UdpFiring, raddr) + 8, 8),
        FACT_PACKET,
        "the second half",
    ),
    CPU,
];

/// Globals of the object, by where they are in the kernel's structs: probes-ebpf/src/datagram.rs.
const OFFSETS: [(&str, (&str, &str)); 28] = [
    ("SKB_SK", ("sk_buff", "sk")),
    ("SKB_DEV", ("sk_buff", "dev")),
    ("SKB_LEN", ("sk_buff", "len")),
    ("SKB_DATA_LEN", ("sk_buff", "data_len")),
    ("SKB_PROTOCOL", ("sk_buff", "protocol")),
    ("SKB_NETWORK", ("sk_buff", "network_header")),
    ("SKB_TRANSPORT", ("sk_buff", "transport_header")),
    ("SKB_HEAD", ("sk_buff", "head")),
    ("SKB_DATA", ("sk_buff", "data")),
    ("SKB_END", ("sk_buff", "end")),
    ("SKB_TRUESIZE", ("sk_buff", "truesize")),
    ("SKB_INTERFACE", ("sk_buff", "skb_iif")),
    ("SEGMENTS", ("skb_shared_info", "gso_segs")),
    ("DEV_NET", ("net_device", "nd_net.net")),
    ("DEV_NAME", ("net_device", "name")),
    ("SOCK_FAMILY", ("sock", "__sk_common.skc_family")),
    ("SOCK_NUMBER", ("sock", "__sk_common.skc_num")),
    ("SOCK_ADDRESS", ("sock", "__sk_common.skc_rcv_saddr")),
    ("SOCK_ADDRESS6", ("sock", "__sk_common.skc_v6_rcv_saddr")),
    ("SOCK_NET", ("sock", "__sk_common.skc_net.net")),
    ("SOCK_PROTOCOL", ("sock", "sk_protocol")),
    ("SOCK_RCVBUF", ("sock", "sk_rcvbuf")),
    ("SOCK_FILL", ("sock", "sk_backlog.rmem_alloc.counter")),
    ("SOCK_SOCKET", ("sock", "sk_socket")),
    ("SOCKET_FILE", ("socket", "file")),
    ("FILE_INODE", ("file", "f_inode")),
    ("INODE_NUMBER", ("inode", "i_ino")),
    ("NET_NUMBER", ("net", "ns.inum")),
];

const MEMBERS: [(&str, &str); OFFSETS.len()] = {
    let mut members = [("", ""); OFFSETS.len()];
    let mut at = 0;
    while at < OFFSETS.len() {
        members[at] = OFFSETS[at].1;
        at += 1;
    }
    members
};

const TRACEPOINT: &str = "kfree_skb";

fn globals(kernel: &Kernel, facts: u32) -> Vec<Constant> {
    let word = |value: u32| value.to_ne_bytes().to_vec();
    // packet, location; reason since 5.17; receiving socket since 6.11.
    let arguments = kernel.btf.arguments.get(TRACEPOINT).copied().unwrap_or(0);
    let mut globals = vec![
        ("UDP_FACTS", word(facts)),
        ("REASON_TOLD", word((arguments > 2).into())),
        ("SOCKET_TOLD", word((arguments > 3).into())),
    ];
    let offset = |(structure, path)| kernel.btf.offset(structure, path).unwrap_or(UNKNOWN_OFFSET);
    globals.extend(OFFSETS.map(|(name, member)| (name, word(offset(member)))));
    globals
}

fn contents(_: u32) -> Vec<Content> {
    let Places { starts, by_site, by_reason } = udp_reasons::places();
    let mut bytes: Vec<u8> = starts.iter().flat_map(|start| start.to_ne_bytes()).collect();
    bytes.extend(by_site.as_flattened());
    bytes.extend(by_reason);
    bytes.resize(size_of::<Places>(), 0);
    vec![("PLACES", 0u32.to_ne_bytes().to_vec(), bytes)]
}

pub static PROVIDER: Provider = Provider {
    name: "udp",
    doc: "datagrams that the kernel lost: why, at which socket, of which process",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/udp.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<UdpFiring>() as u16,
    firing_texts: None,
    minimum_kernel: "5.10 with BTF (reasons: 5.17; the receiving socket: 6.11)",
    dtrace_probe: "udp:::drop",
    dtrace_names: &[],
    dtrace_before: None,
    head_facts: 0,
    stream_facts: 0,
    when_empty: "no datagram was lost: `spoor udp --sockets` shows what was before",
    default_columns: |_| {
        vec![
            ("lost", "datagrams", "sum(datagrams)"),
            ("bytes", "bytes", "sum(bytes)"),
            ("length", "avg_bytes", "avg(bytes)"),
            ("in buffer", "avg_truesize", "avg(truesize)"),
            ("buffer", "rcvbuf", "max(rcvbuf)"),
            ("fill", "fill", "max(fill)"),
        ]
    },
    default_key: "reason,laddr,lport,process",
    probes: |_, _| vec![Probe { tracepoint: TRACEPOINT, typed: "dropped", raw: None, classic: None, again: false }],
    sampler: None,
    points: None,
    large_values: None,
    about_another: false,
    walk: None,
    members: &MEMBERS,
    globals,
    map_entries: |_| Vec::new(),
    map_contents: contents,
    counted: udp_reasons::counted,
    in_flight: &[],
    event_text: |_, _| unreachable!("losses are not streamed"),
    event_json: |_, _| unreachable!("losses are not streamed"),
};
