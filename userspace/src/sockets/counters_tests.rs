use proptest::prelude::*;

use super::*;

/// As 5.10 has it: no MemErrors, and other columns of Ip and Icmp than later kernels.
const SNMP_5_10: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates
Ip: 2 64 9000 1 0 0 0 2 8000 7000 3 4 5 48 18 6 0 7 0
Icmp: InMsgs InErrors InCsumErrors
Icmp: 72 0 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti
Udp: 6 11 94 205 90 1 4 3
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti
UdpLite: 71 72 73 74 75 76 77 78
";

const SNMP6_5_10: &str = "\
Ip6InReceives                   \t6
Ip6InHdrErrors                  \t21
Ip6ReasmFails                   \t22
Udp6InDatagrams                 \t23
Udp6RcvbufErrors                \t24
UdpLite6InDatagrams             \t79
";

const NETSTAT_5_10: &str = "\
TcpExt: SyncookiesSent IPReversePathFilter TCPTimeouts
TcpExt: 1 31 2
IpExt: InNoRoutes ReasmOverlaps
IpExt: 0 32
";

/// As a later kernel has it: MemErrors at the end of Udp, OutTransmits at the end of Ip; no UdpLite.
const SNMP_NEW: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 2 64 9000 1 0 0 0 2 8000 7000 3 4 5 48 18 6 0 7 0 7000
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn
Tcp: 1 200 120000 -1
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 6 11 94 205 90 1 4 3 8
";

fn known(account: &Account) -> Vec<(&'static str, u64)> {
    account.iter().filter_map(|(name, number)| Some((name, number?))).collect()
}

#[test]
fn counters_are_found_by_the_names_of_their_columns() {
    let account = Account::parse(SNMP_5_10, SNMP6_5_10, NETSTAT_5_10);
    let wanted = [
        ("Udp InDatagrams", 6),
        ("Udp NoPorts", 11),
        ("Udp InErrors", 94),
        ("Udp OutDatagrams", 205),
        ("Udp RcvbufErrors", 90),
        ("Udp SndbufErrors", 1),
        ("Udp InCsumErrors", 4),
        ("Udp IgnoredMulti", 3),
        ("Udp6 InDatagrams", 23),
        ("Udp6 RcvbufErrors", 24),
        ("Ip ReasmFails", 6),
        ("Ip ReasmTimeout", 5),
        ("Ip InDiscards", 2),
        ("Ip OutDiscards", 3),
        ("Ip OutNoRoutes", 4),
        ("Ip FragFails", 7),
        ("Ip InHdrErrors", 1),
        ("Ip6 ReasmFails", 22),
        ("Ip6 InHdrErrors", 21),
        ("IpExt ReasmOverlaps", 32),
        ("TcpExt IPReversePathFilter", 31),
    ];
    assert_eq!(known(&account), wanted);
}

/// 5.10 has no column for memory, and a kernel without IPv6 no snmp6.
#[test]
fn a_counter_that_the_kernel_does_not_have_is_unknown_and_not_0() {
    let old = Account::parse(SNMP_5_10, "", NETSTAT_5_10);
    assert_eq!((old.get("Udp MemErrors"), old.get("Udp6 NoPorts"), old.get("Udp NoPorts")), (None, None, Some(11)));
    let new = Account::parse(SNMP_NEW, "", "");
    assert_eq!((new.get("Udp MemErrors"), new.get("Ip FragFails"), new.get("no such")), (Some(8), Some(7), None));
    assert_eq!(new.since(&old).get("Udp MemErrors"), None);
}

#[test]
fn columns_in_another_order_are_the_same_counters() {
    let turned = "Udp: MemErrors New RcvbufErrors InErrors\nUdp: 1 2 3 4\n";
    let account = Account::parse(turned, "", "");
    assert_eq!(known(&account), [("Udp InErrors", 4), ("Udp RcvbufErrors", 3), ("Udp MemErrors", 1)]);
}

#[test]
fn deltas_pass_the_end_of_a_counter() {
    let at = |number: u64| Account::parse(&format!("Udp: InErrors NoPorts\nUdp: {number} 7\n"), "", "");
    let deltas = at(4).since(&at(u64::MAX - 1));
    assert_eq!(known(&deltas), [("Udp NoPorts", 0), ("Udp InErrors", 6)]);
}

/// A datagram to a port of ours is one more, and nobody else's traffic can take one away.
#[test]
fn what_is_received_between_two_accounts_is_in_the_difference() {
    let own = Path::new("/proc/thread-self/net");
    let [reader, writer] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let before = Account::of_proc(own).unwrap();
    writer.send_to(&[0; 100], reader.local_addr().unwrap()).unwrap();
    reader.recv(&mut [0; 100]).unwrap();
    let after = Account::of_proc(own).unwrap().since(&before);
    for name in ["Udp InDatagrams", "Udp OutDatagrams"] {
        assert!(after.get(name).is_some_and(|count| (1..1 << 32).contains(&count)), "{name} of {after:?}");
    }
}

#[test]
fn the_names_are_those_of_this_kernel() {
    let account = Account::of_proc(Path::new("/proc/thread-self/net")).unwrap();
    for name in ["Udp InDatagrams", "Udp NoPorts", "Udp RcvbufErrors", "Ip ReasmFails", "TcpExt IPReversePathFilter"] {
        assert!(account.get(name).is_some(), "{name} of {account:?}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(snmp in "((Udp|Ip): ?(InErrors|NoPorts|-1|7| )*\n?){0,4}", snmp6: String, netstat: String) {
        Account::parse(&snmp, &snmp6, &netstat);
    }
}
