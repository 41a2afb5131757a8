//! Provider `udp`: packets of UDP that the kernel frees instead of handing them on, by skb:kfree_skb.
use std::mem::{offset_of, size_of};
use std::net::SocketAddr;

use probes_common::clause::Head;
use probes_common::target::UNKNOWN_OFFSET;
use probes_common::udp::{
    FACT_CUT, FACT_DEVICE, FACT_KSTACK, FACT_PACKET, FACT_SENT, FACT_SOCKET, NEXT_MAX, Places, UdpFiring,
};

use super::syscall::call_registers;
use super::udp_reasons::{self, Reasons};
use super::{At, Constant, Content, Holders, Kernel, Probe, Provider, TextFaults, Whose, Witness};
use crate::program::field::{Common, Field, Half, Kind, Names, Owner, Source, Unit};
use crate::program::tree::Type;
use crate::render::lost::{self, Lost};
use crate::stream::record::Record;
use crate::symbolize::keys::internet_address;

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

static FIELDS: [Field; 24] = [
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
    number(
        "bytes",
        Unit::Bytes,
        (offset_of!(UdpFiring, bytes), 4),
        "of the datagram, without headers; what was cut off of it; 0: the length of a send that is not known",
    ),
    number(
        "datagrams",
        Unit::None,
        (offset_of!(UdpFiring, datagrams), 4),
        "datagrams in the packet: more than one with GRO; 0: it has come, and was cut",
    ),
    number("cut", Unit::None, (offset_of!(UdpFiring, cut), 4), "1: longer than the reader's buffer (--truncated)"),
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
const OFFSETS: [(&str, (&str, &str)); 35] = [
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
    ("SOCK_PEER", ("sock", "__sk_common.skc_daddr")),
    ("SOCK_PEER6", ("sock", "__sk_common.skc_v6_daddr")),
    ("SOCK_PEER_PORT", ("sock", "__sk_common.skc_dport")),
    ("SOCK_NET", ("sock", "__sk_common.skc_net.net")),
    ("SOCK_PROTOCOL", ("sock", "sk_protocol")),
    ("SOCK_TYPE", ("sock", "sk_type")),
    ("SOCK_RCVBUF", ("sock", "sk_rcvbuf")),
    ("SOCK_FILL", ("sock", "sk_backlog.rmem_alloc.counter")),
    ("SOCK_SOCKET", ("sock", "sk_socket")),
    ("SOCKET_FILE", ("socket", "file")),
    ("FILE_INODE", ("file", "f_inode")),
    ("INODE_NUMBER", ("inode", "i_ino")),
    ("NET_NUMBER", ("net", "ns.inum")),
    ("SKB_USERS", ("sk_buff", "users.refs.counter")),
    ("SOCK_QUEUE", ("sock", "sk_receive_queue")),
    ("UDP_QUEUE", ("udp_sock", "reader_queue")),
];

/// The same of bits: probes-ebpf/src/arrival.rs. Where they lie in their bytes is a second global.
const BITS: [(&str, &str, &str); 3] = [
    ("SKB_SUMMED", "SKB_SUMMED_BIT", "csum_complete_sw"),
    ("SKB_VALID", "SKB_VALID_BIT", "csum_valid"),
    ("SKB_KIND", "SKB_KIND_BIT", "pkt_type"),
];

const MEMBERS: [(&str, &str); OFFSETS.len() + BITS.len()] = {
    let mut members = [("", ""); OFFSETS.len() + BITS.len()];
    let mut at = 0;
    while at < OFFSETS.len() {
        members[at] = OFFSETS[at].1;
        at += 1;
    }
    while at < members.len() {
        members[at] = ("sk_buff", BITS[at - OFFSETS.len()].2);
        at += 1;
    }
    members
};

const TRACEPOINT: &str = "kfree_skb";

/// Sends that fail. `udp_sendmsg` is of IPv4.
const SENT: Probe = Probe {
    instead: &[
        Probe { at: At::Return, ..Probe::typed("udp_sendmsg", "sent_4") },
        Probe { at: At::Return, ..Probe::typed("udpv6_sendmsg", "sent_6") },
    ],
    ..Probe::typed("sock_send_length", "sent")
};
/// What a reader took. The tracepoints do not tell how long a datagram was.
const READ: Probe = Probe {
    at: At::Entry,
    instead: &[Probe::typed("sk_data_ready", "queued"), Probe::typed("sock_recv_length", "received")],
    ..Probe::typed("skb_consume_udp", "read")
};

fn probes(facts: u32, _: bool) -> Vec<Probe> {
    let sent = (facts & FACT_SENT != 0).then_some(SENT);
    let read = (facts & FACT_CUT != 0).then_some(READ);
    std::iter::once(Probe::typed(TRACEPOINT, "dropped")).chain(sent).chain(read).collect()
}

fn map_entries(facts: u32) -> Vec<(&'static str, u32)> {
    if facts & FACT_CUT == 0 { Vec::new() } else { vec![("NEXT", NEXT_MAX)] }
}

/// Numbers of calls (probes-ebpf/src/call.rs).
const CALLS: [(&str, libc::c_long); 6] = [
    ("NR_READ", libc::SYS_read),
    ("NR_RECVFROM", libc::SYS_recvfrom),
    ("NR_WRITE", libc::SYS_write),
    ("NR_SENDTO", libc::SYS_sendto),
    ("NR_RECVMSG", libc::SYS_recvmsg),
    ("NR_SENDMSG", libc::SYS_sendmsg),
];

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
    let (number, arguments) = call_registers();
    globals.extend([
        ("CALL_NR", word(number)),
        ("CALL_SECOND", word(arguments[1])),
        ("CALL_THIRD", word(arguments[2])),
        ("CALL_FIFTH", word(arguments[4])),
    ]);
    globals.extend(CALLS.map(|(name, number)| (name, word(number as u32))));
    for (name, bit_name, member) in BITS {
        let (byte, bit) = kernel.btf.bit("sk_buff", member).unwrap_or((UNKNOWN_OFFSET, 0));
        globals.extend([(name, word(byte)), (bit_name, word(bit))]);
    }
    globals
}

fn contents(_: u32) -> Vec<Content> {
    let Places { starts, by_site, by_reason, by_error, closer } = udp_reasons::places();
    let mut bytes: Vec<u8> = starts.iter().flat_map(|start| start.to_ne_bytes()).collect();
    bytes.extend(by_site.as_flattened());
    bytes.extend(by_reason);
    bytes.extend(by_error);
    bytes.extend(closer.as_flattened());
    bytes.resize(size_of::<Places>(), 0);
    vec![("PLACES", 0u32.to_ne_bytes().to_vec(), bytes)]
}

fn shown(record: &Record, holders: &mut dyn Holders, out: &mut Vec<u8>, write: fn(&mut Vec<u8>, &Lost)) -> TextFaults {
    let at = |offset: usize| record.fact(offset - size_of::<Head>());
    let half = |offset: usize| (at(offset / 8 * 8) >> (offset % 8 * 8)) as u32;
    let address =
        |offset: usize, port: u32| SocketAddr::new(internet_address(&[at(offset), at(offset + 8)]), port as u16);
    let ports = half(offset_of!(UdpFiring, lport));
    let local = address(offset_of!(UdpFiring, laddr), ports & 0xffff);
    let account = at(offset_of!(UdpFiring, account));
    let Some((process, netns)) = holders.of(account, at(offset_of!(UdpFiring, socket)), local) else {
        return TextFaults::default();
    };
    let ifname: Vec<u8> =
        [0, 8].iter().flat_map(|half| at(offset_of!(UdpFiring, ifname) + half).to_ne_bytes()).collect();
    write(
        out,
        &Lost {
            time_unix_ns: record.time_unix_ns,
            reason: Reasons.name(half(offset_of!(UdpFiring, reason)).into()),
            local,
            remote: address(offset_of!(UdpFiring, raddr), ports >> 16),
            process,
            sent: half(offset_of!(UdpFiring, sent)) != 0,
            cut: half(offset_of!(UdpFiring, cut)) != 0,
            bytes: half(offset_of!(UdpFiring, bytes)),
            datagrams: half(offset_of!(UdpFiring, datagrams)),
            truesize: half(offset_of!(UdpFiring, truesize)),
            rcvbuf: half(offset_of!(UdpFiring, rcvbuf)),
            fill: half(offset_of!(UdpFiring, fill)),
            interface: ifname.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            netns,
            family: half(offset_of!(UdpFiring, family)),
        },
    );
    TextFaults::default()
}

pub static PROVIDER: Provider = Provider {
    name: "udp",
    doc: "datagrams that the kernel lost: why, at which socket, of which process",
    object: aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/objects/udp.bpf.o")),
    fields: &FIELDS,
    firing_bytes: size_of::<UdpFiring>() as u16,
    firing_texts: None,
    minimum_kernel: "5.10 with BTF (the receiving socket always: 6.11)",
    dtrace_probe: "udp:::drop",
    dtrace_names: &[],
    dtrace_before: None,
    head_facts: 0,
    stream_facts: FACT_PACKET | FACT_SOCKET | FACT_DEVICE,
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
    probes,
    sampler: None,
    points: None,
    large_values: None,
    whose: Whose::Nobody,
    walk: None,
    witness: Some(Witness {
        function: "__udp_enqueue_schedule_skb",
        program: "enqueued",
        // Later ones tell at the tracepoint what it would.
        is_needed: |found| found.arguments.get(TRACEPOINT).is_some_and(|arguments| *arguments <= 2),
        attached: "NOTED",
    }),
    members: &MEMBERS,
    globals,
    map_entries,
    map_contents: contents,
    counted: udp_reasons::counted,
    in_flight: &[],
    event_text: |record, holders, out| shown(record, holders, out, lost::line),
    event_json: |record, holders, out| shown(record, holders, out, lost::json),
};
