//! Why a datagram was lost: the kernel's reason and the function that freed the packet into one class. The reason alone
//! does not say it: before 5.17 there is none, and later ones leave much unsaid (v6.18 net/ipv4/udp.c).
use std::borrow::Cow;
use std::fs;
use std::sync::OnceLock;

use probes_common::udp::{
    ARRIVAL, AT_SOCKET, BACKLOG, BUFFER as RCVBUF, BY_SITE, CHECKSUM, CUT, ERRORS_MAX, FILTER_OR_POLICY, LENGTH,
    LENGTH_OR_MULTICAST, MEMORY, MULTICAST, NO_CLASS, NO_LOSS, NO_SOCKET, Places, REASON_NAMED, REASONS_MAX,
    SIGN_CHECKSUM, SIGN_LENGTH, SIGN_MANY, SIGN_NOTED, SITE_ROWS, SITES_MAX, TAKERS, UNLESS_TAKER,
};

use super::{AtSocket, Counted};
use crate::btf::Btf;
use crate::program::field::Names;

/// What people read, by the class's number.
const CLASSES: [&str; 35] = [
    "",
    "receive buffer full",
    "udp_mem exhausted",
    "no socket",
    "bad checksum",
    "bad checksum at the reader's copy",
    "bad length",
    "socket filter",
    "policy",
    "reverse path filter",
    "netfilter",
    "fragments incomplete",
    "fragments overlap or no memory",
    "neighbour unresolved",
    "neighbour queue full",
    "queueing discipline",
    "closed unread",
    "CPU backlog",
    "reader's copy failed",
    "bad length, or multicast without listener",
    "larger than the MTU",
    "no route",
    "receive buffer, udp_mem, filter or policy",
    "no socket, bad checksum or length",
    "reverse path filter or no route",
    "socket filter or policy",
    "multicast without listener",
    "encapsulation",
    "not forwarded: larger than the MTU, TTL or policy",
    "send buffer full",
    "refused by the other side",
    "send not permitted",
    "no memory for a send",
    "send with bad arguments",
    "send failed",
];

/// Of [`CUT`].
const TRUNCATED: &str = "truncated by the reader";

const CHECKSUM_AT_COPY: u8 = 5;
const FILTER: u8 = 7;
const POLICY: u8 = 8;
const REVERSE_PATH: u8 = 9;
const NETFILTER: u8 = 10;
const FRAGMENTS_LATE: u8 = 11;
const FRAGMENTS_BAD: u8 = 12;
const NEIGHBOUR: u8 = 13;
const NEIGHBOUR_QUEUE: u8 = 14;
const QDISC: u8 = 15;
const CLOSED: u8 = 16;
const COPY: u8 = 18;
const MTU: u8 = 20;
const ROUTE: u8 = 21;
const REVERSE_PATH_OR_ROUTE: u8 = 24;
const ENCAPSULATION: u8 = 27;
const NOT_FORWARDED: u8 = 28;
const SEND_BUFFER: u8 = 29;
const REFUSED: u8 = 30;
const NOT_PERMITTED: u8 = 31;
const SEND_MEMORY: u8 = 32;
const SEND_ARGUMENTS: u8 = 33;
const SEND_FAILED: u8 = 34;

const CUT_CLASS: u8 = CUT as u8;

/// What a send returned. ECONNREFUSED is what an earlier datagram met: this one was not sent.
const ERRORS: [(i32, u8); 17] = [
    (libc::EMSGSIZE, MTU),
    (libc::EAGAIN, SEND_BUFFER),
    (libc::ENETUNREACH, ROUTE),
    (libc::EHOSTUNREACH, ROUTE),
    (libc::ENETDOWN, ROUTE),
    (libc::ECONNREFUSED, REFUSED),
    (libc::EPERM, NOT_PERMITTED),
    (libc::EACCES, NOT_PERMITTED),
    (libc::ENOBUFS, SEND_MEMORY),
    (libc::ENOMEM, SEND_MEMORY),
    (libc::EINVAL, SEND_ARGUMENTS),
    (libc::EFAULT, SEND_ARGUMENTS),
    (libc::EDESTADDRREQ, SEND_ARGUMENTS),
    (libc::ENOTCONN, SEND_ARGUMENTS),
    (libc::EISCONN, SEND_ARGUMENTS),
    (libc::EAFNOSUPPORT, SEND_ARGUMENTS),
    (libc::EADDRNOTAVAIL, SEND_ARGUMENTS),
];

/// Rows of [`Places::by_site`]: the reason says nothing; it says checksum; there is none. [`TAKERS`] is the last.
const UNTOLD: u8 = 0;
const OF_CHECKSUM: u8 = 1;
const WITHOUT_REASONS: u8 = 2;

const PREFIX: &str = "SKB_DROP_REASON_";

/// Reasons by the names that the kernel's enum has for them, without [`PREFIX`].
const REASONS: [(&str, u8); 27] = [
    ("NOT_SPECIFIED", BY_SITE | UNTOLD),
    ("UDP_CSUM", BY_SITE | OF_CHECKSUM),
    // Of raw sockets, too.
    ("SOCKET_RCVBUFF", RCVBUF | UNLESS_TAKER),
    ("PROTO_MEM", MEMORY | UNLESS_TAKER),
    ("NO_SOCKET", NO_SOCKET),
    ("PKT_TOO_SMALL", LENGTH),
    ("SOCKET_FILTER", FILTER | UNLESS_TAKER),
    ("XFRM_POLICY", POLICY | UNLESS_TAKER),
    ("IP_RPFILTER", REVERSE_PATH),
    ("NETFILTER_DROP", NETFILTER),
    ("FRAG_REASM_TIMEOUT", FRAGMENTS_LATE),
    ("FRAG_TOO_FAR", FRAGMENTS_BAD),
    ("DUP_FRAG", FRAGMENTS_BAD),
    ("NEIGH_FAILED", NEIGHBOUR),
    ("NEIGH_DEAD", NEIGHBOUR),
    ("NEIGH_CREATEFAIL", NEIGHBOUR),
    ("NEIGH_QUEUEFULL", NEIGHBOUR_QUEUE),
    ("QDISC_DROP", QDISC),
    ("QDISC_OVERLIMIT", QDISC),
    ("QDISC_CONGESTED", QDISC),
    ("CPU_BACKLOG", BACKLOG),
    ("PKT_TOO_BIG", MTU),
    ("IP_OUTNOROUTES", ROUTE),
    ("IP_INNOROUTES", ROUTE),
    // A copy that was seen in passing, and what was handed on after all.
    ("OTHERHOST", NO_LOSS),
    ("NOT_DROPPED_YET", NO_LOSS),
    ("CONSUMED", NO_LOSS),
];

/// Functions that free packets, and what that means in each row.
const SITES: [(&str, [u8; 3]); 51] = [
    ("udp_queue_rcv_one_skb", [POLICY, CHECKSUM, AT_SOCKET]),
    ("udpv6_queue_rcv_one_skb", [POLICY, CHECKSUM, AT_SOCKET]),
    ("__udp_queue_rcv_skb", [POLICY, CHECKSUM, AT_SOCKET]),
    ("__udpv6_queue_rcv_skb", [POLICY, CHECKSUM, AT_SOCKET]),
    ("__udp_enqueue_schedule_skb", [MEMORY, MEMORY, MEMORY]),
    ("__udp4_lib_rcv", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("__udp6_lib_rcv", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("udp_rcv", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("udpv6_rcv", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("__udp4_lib_mcast_deliver", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("__udp6_lib_mcast_deliver", [LENGTH_OR_MULTICAST, CHECKSUM, ARRIVAL]),
    ("udp_recvmsg", [COPY, CHECKSUM_AT_COPY, COPY]),
    ("udpv6_recvmsg", [COPY, CHECKSUM_AT_COPY, COPY]),
    ("__first_packet_length", [CHECKSUM_AT_COPY, CHECKSUM_AT_COPY, CHECKSUM_AT_COPY]),
    ("first_packet_length", [CHECKSUM_AT_COPY, CHECKSUM_AT_COPY, CHECKSUM_AT_COPY]),
    ("udp_poll", [CHECKSUM_AT_COPY, CHECKSUM_AT_COPY, CHECKSUM_AT_COPY]),
    ("udp_ioctl", [CHECKSUM_AT_COPY, CHECKSUM_AT_COPY, CHECKSUM_AT_COPY]),
    ("udp_destruct_common", [CLOSED, CLOSED, CLOSED]),
    ("udp_destruct_sock", [CLOSED, CLOSED, CLOSED]),
    ("udpv6_destruct_sock", [CLOSED, CLOSED, CLOSED]),
    // Taken from the socket for another protocol, and counted as received.
    ("udp_encap_rcv", [ENCAPSULATION, ENCAPSULATION, ENCAPSULATION]),
    ("xfrm4_udp_encap_rcv", [ENCAPSULATION, ENCAPSULATION, ENCAPSULATION]),
    ("__xfrm4_udp_encap_rcv", [ENCAPSULATION, ENCAPSULATION, ENCAPSULATION]),
    ("xfrm6_udp_encap_rcv", [ENCAPSULATION, ENCAPSULATION, ENCAPSULATION]),
    ("__xfrm6_udp_encap_rcv", [ENCAPSULATION, ENCAPSULATION, ENCAPSULATION]),
    ("ip_defrag", [FRAGMENTS_BAD, FRAGMENTS_BAD, FRAGMENTS_BAD]),
    ("ip_frag_queue", [FRAGMENTS_BAD, FRAGMENTS_BAD, FRAGMENTS_BAD]),
    ("ipv6_frag_rcv", [FRAGMENTS_BAD, FRAGMENTS_BAD, FRAGMENTS_BAD]),
    ("ip_expire", [FRAGMENTS_LATE, FRAGMENTS_LATE, FRAGMENTS_LATE]),
    ("ip6frag_expire_frag_queue", [FRAGMENTS_LATE, FRAGMENTS_LATE, FRAGMENTS_LATE]),
    ("ip6_frag_expire", [FRAGMENTS_LATE, FRAGMENTS_LATE, FRAGMENTS_LATE]),
    ("inet_frag_rbtree_purge", [FRAGMENTS_LATE, FRAGMENTS_LATE, FRAGMENTS_LATE]),
    ("ip_rcv_finish_core", [REVERSE_PATH_OR_ROUTE, REVERSE_PATH_OR_ROUTE, REVERSE_PATH_OR_ROUTE]),
    ("ip_forward", [NOT_FORWARDED, NOT_FORWARDED, NOT_FORWARDED]),
    ("ip6_forward", [NOT_FORWARDED, NOT_FORWARDED, NOT_FORWARDED]),
    ("neigh_invalidate", [NEIGHBOUR, NEIGHBOUR, NEIGHBOUR]),
    ("__neigh_event_send", [NEIGHBOUR_QUEUE, NEIGHBOUR_QUEUE, NEIGHBOUR_QUEUE]),
    ("__dev_queue_xmit", [QDISC, QDISC, QDISC]),
    // What a queueing discipline gives back is freed as a list.
    ("kfree_skb_list", [QDISC, QDISC, QDISC]),
    ("kfree_skb_list_reason", [QDISC, QDISC, QDISC]),
    ("nf_hook_slow", [NETFILTER, NETFILTER, NETFILTER]),
    ("nft_do_chain", [NETFILTER, NETFILTER, NETFILTER]),
    ("enqueue_to_backlog", [BACKLOG, BACKLOG, BACKLOG]),
    // Copies for those who look at all packets; multicast that nobody here has joined.
    ("packet_rcv", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("tpacket_rcv", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("packet_rcv_spkt", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("raw_rcv", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("raw_rcv_skb", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("rawv6_rcv", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("rawv6_rcv_skb", [NO_LOSS, NO_LOSS, NO_LOSS]),
    ("ip6_mc_input", [NO_LOSS, NO_LOSS, NO_LOSS]),
];

/// The classes, and the running kernel's own names for the reasons that have none.
pub struct Reasons;

impl Names for Reasons {
    fn name(&self, value: u64) -> Cow<'static, str> {
        if let Some(class) = CLASSES.get(value as usize) {
            return Cow::Borrowed(class);
        }
        if value == u64::from(CUT) {
            return Cow::Borrowed(TRUNCATED);
        }
        let number = value.saturating_sub(u64::from(REASON_NAMED));
        if of_kernel().is_empty() {
            return Cow::Borrowed("not told by this kernel");
        }
        let known = of_kernel().iter().find(|(_, known)| u64::from(*known) == number);
        known.map_or_else(|| format!("reason {number}").into(), |(name, _)| Cow::Borrowed(name.as_str()))
    }

    fn all(&self) -> Vec<(Cow<'static, str>, u64)> {
        let classes = CLASSES.iter().zip(0..).skip(1).chain([(&TRUNCATED, u64::from(CUT))]);
        let classes = classes.map(|(name, value)| (Cow::Borrowed(*name), value));
        let has_class = |name: &str| REASONS.iter().any(|(known, _)| *known == name);
        let own = of_kernel().iter().filter(|(name, _)| !has_class(name));
        classes
            .chain(own.map(|(name, value)| (Cow::Borrowed(name.as_str()), u64::from(REASON_NAMED + value))))
            .collect()
    }
}

/// The running kernel's reasons, without what all their names begin with. Empty before 5.17.
fn of_kernel() -> &'static [(String, u32)] {
    static KERNEL: OnceLock<Vec<(String, u32)>> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let reasons = Btf::of_running_kernel().map(|btf| btf.enumerators("skb_drop_reason")).unwrap_or_default();
        let bare = |name: String| {
            let short = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix("SKB_"));
            short.map(str::to_owned).unwrap_or(name)
        };
        reasons.into_iter().map(|(name, value)| (bare(name), value)).collect()
    })
}

/// v6.18 net/ipv4/udp.c: UDP_MIB_INERRORS, UDP_MIB_NOPORTS, UDP_MIB_IGNOREDMULTI, udp_drops_inc().
pub fn counted(class: u16) -> Counted {
    match u8::try_from(class).unwrap_or(NO_CLASS) {
        RCVBUF | CHECKSUM_AT_COPY | FILTER | POLICY | COPY | AT_SOCKET | FILTER_OR_POLICY => {
            Counted::Namespace(AtSocket::Always)
        }
        // At the socket where it has a filter, which is shown nothing that is wrong.
        CHECKSUM => Counted::Namespace(AtSocket::Perhaps),
        NO_SOCKET | LENGTH | LENGTH_OR_MULTICAST | MULTICAST | ARRIVAL => Counted::Namespace(AtSocket::Never),
        MEMORY => Counted::Memory,
        CLOSED | REFUSED | CUT_CLASS => Counted::Nowhere,
        _ => Counted::Elsewhere,
    }
}

/// For the running kernel. Where it hides the addresses of its functions, reasons are all that there is.
pub fn places() -> Places {
    build(of_kernel(), &fs::read_to_string("/proc/kallsyms").unwrap_or_default())
}

fn build(reasons: &[(String, u32)], kallsyms: &str) -> Places {
    let mut by_reason = [NO_CLASS; REASONS_MAX];
    for (name, class) in &REASONS {
        for (_, number) in reasons.iter().filter(|(known, _)| known == name) {
            if let Some(place) = by_reason.get_mut(*number as usize) {
                *place = *class;
            }
        }
    }
    if reasons.is_empty() {
        by_reason[0] = BY_SITE | WITHOUT_REASONS;
    }
    let mut by_error = [SEND_FAILED; ERRORS_MAX];
    for (error, class) in ERRORS {
        by_error[error as usize] = class;
    }
    let closer = std::array::from_fn(|class| std::array::from_fn(|signs| closer(class as u8, signs)));
    let by_site = [[NO_CLASS; SITES_MAX]; SITE_ROWS];
    let mut places = Places { starts: [u64::MAX; SITES_MAX], by_site, by_reason, by_error, closer };
    let mut slot = 0;
    for (start, end, classes) in sites(kallsyms) {
        // What follows directly on another one needs no gap between.
        if places.starts[slot] != start {
            slot += 1;
        }
        if slot + 1 >= SITES_MAX {
            break;
        }
        (places.starts[slot], places.starts[slot + 1]) = (start, end);
        for (row, class) in classes.iter().enumerate() {
            places.by_site[row][slot] = *class;
        }
        places.by_site[TAKERS][slot] = if classes.iter().all(|class| *class == NO_LOSS) { NO_LOSS } else { NO_CLASS };
        slot += 1;
    }
    places
}

/// What the signs of a packet make of a class, in the order in which the kernel looks (v5.10 net/ipv4/udp.c
/// __udp4_lib_rcv, udp_queue_rcv_one_skb).
fn closer(class: u8, signs: usize) -> u8 {
    let has = |sign| signs & sign != 0;
    match class {
        ARRIVAL | LENGTH_OR_MULTICAST if has(SIGN_LENGTH) => LENGTH,
        ARRIVAL | LENGTH_OR_MULTICAST | AT_SOCKET if has(SIGN_CHECKSUM) => CHECKSUM,
        ARRIVAL | LENGTH_OR_MULTICAST if has(SIGN_MANY) => MULTICAST,
        ARRIVAL => NO_SOCKET,
        // No buffer has refused it.
        AT_SOCKET if has(SIGN_NOTED) => FILTER_OR_POLICY,
        class => class,
    }
}

/// Begin, end and classes of each function, by address.
fn sites(kallsyms: &str) -> Vec<(u64, u64, [u8; 3])> {
    let mut addresses = Vec::new();
    let mut found = Vec::new();
    for line in kallsyms.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
            continue;
        }
        addresses.push(address);
        // The compiler's own parts of a function: `.cold`, `.isra.0`.
        let base = name.split('.').next().unwrap_or(name);
        if let Some((_, classes)) = SITES.iter().find(|(known, _)| *known == base) {
            found.push((address, *classes));
        }
    }
    addresses.sort_unstable();
    found.sort_unstable();
    found.dedup_by_key(|(start, _)| *start);
    let end = |start: u64| addresses.get(addresses.partition_point(|address| *address <= start)).copied();
    found.into_iter().map(|(start, classes)| (start, end(start).unwrap_or(start + 4096), classes)).collect()
}

#[cfg(test)]
mod tests {
    use probes_common::udp::SIGNS;

    use super::*;

    /// As the kernel side looks.
    fn class(places: &Places, reason: u32, location: u64) -> u8 {
        let by = places.by_reason[reason as usize];
        let site = places.starts.iter().rposition(|start| *start <= location).unwrap_or(0);
        if by & BY_SITE == 0 {
            let is_taken = by & UNLESS_TAKER != 0 && places.by_site[TAKERS][site] == NO_LOSS;
            return if is_taken { NO_LOSS } else { by & !UNLESS_TAKER };
        }
        places.by_site[usize::from(by & !BY_SITE)][site]
    }

    const KALLSYMS: &str = "ffffffff81000000 T __udp4_lib_rcv\nffffffff81000100 t udp_recvmsg\n\
        ffffffff81000200 T other\nffffffff81000300 t udp_recvmsg.cold\nffffffff81000340 t last\nffffffff80000000 D data\n";

    #[test]
    fn reason_and_function_decide_together() {
        let reasons = [("NOT_SPECIFIED".to_owned(), 2), ("UDP_CSUM".to_owned(), 7), ("TC_INGRESS".to_owned(), 9)];
        let places = build(&reasons, KALLSYMS);
        assert_eq!(class(&places, 7, 0xffffffff81000010), CHECKSUM);
        assert_eq!(class(&places, 7, 0xffffffff81000110), CHECKSUM_AT_COPY);
        assert_eq!(class(&places, 7, 0xffffffff81000310), CHECKSUM_AT_COPY);
        assert_eq!(class(&places, 2, 0xffffffff81000010), LENGTH_OR_MULTICAST);
        for nowhere in [0xffffffff81000210, 0xffffffff81000350, 0xffffffff80ffffff] {
            assert_eq!(class(&places, 2, nowhere), NO_CLASS, "{nowhere:x}");
        }
        assert_eq!(class(&places, 9, 0xffffffff81000010), NO_CLASS);
    }

    #[test]
    fn signs_make_one_reason_of_several() {
        let of = |class: u8, signs: usize| build(&[], "").closer[usize::from(class)][signs];
        let all = SIGNS - 1;
        assert_eq!((of(ARRIVAL, all), of(ARRIVAL, all & !SIGN_LENGTH)), (LENGTH, CHECKSUM));
        assert_eq!((of(ARRIVAL, SIGN_MANY), of(ARRIVAL, 0)), (MULTICAST, NO_SOCKET));
        assert_eq!((of(LENGTH_OR_MULTICAST, SIGN_MANY), of(LENGTH_OR_MULTICAST, 0)), (MULTICAST, LENGTH_OR_MULTICAST));
        assert_eq!((of(AT_SOCKET, SIGN_NOTED | SIGN_LENGTH), of(AT_SOCKET, 0)), (FILTER_OR_POLICY, AT_SOCKET));
        assert_eq!((of(AT_SOCKET, all), of(RCVBUF, all)), (CHECKSUM, RCVBUF));
    }

    #[test]
    fn what_a_raw_socket_has_no_room_for_is_no_loss_of_udp() {
        let places =
            build(&[("SOCKET_RCVBUFF".to_owned(), 5)], "ffffffff81000000 t raw_rcv\nffffffff81000100 T other\n");
        assert_eq!(class(&places, 5, 0xffffffff81000010), NO_LOSS);
        assert_eq!(class(&places, 5, 0xffffffff81000110), RCVBUF);
    }

    #[test]
    fn kernels_without_reasons_have_functions() {
        let places = build(&[], KALLSYMS);
        assert_eq!(class(&places, 0, 0xffffffff81000010), ARRIVAL);
        let hidden = build(&[], "0000000000000000 T __udp4_lib_rcv\n0000000000000000 T udp_recvmsg\n");
        assert!(hidden.starts.iter().all(|start| *start == u64::MAX));
    }

    #[test]
    fn every_class_has_a_name() {
        let classes = REASONS.iter().map(|(_, class)| *class).chain(SITES.iter().flat_map(|(_, classes)| *classes));
        for class in classes.filter(|class| class & BY_SITE == 0 && *class != NO_LOSS) {
            assert!(!CLASSES[usize::from(class & !UNLESS_TAKER)].is_empty());
        }
        for (class, name) in [(MULTICAST, "multicast without listener"), (FILTER_OR_POLICY, "socket filter or policy")]
        {
            assert_eq!(CLASSES[usize::from(class)], name);
        }
        assert!(CLASSES.len() <= CUT as usize && SITES.len() * 2 < SITES_MAX);
    }
}
