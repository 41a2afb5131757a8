//! Datagrams: lost ones, and those that arrive, which must cost nothing.
use super::{Case, Work};
use super::{bpftrace, deaf, floor, kept, spoor, untraced};

/// What is freed and why, and for which socket: the socket is what its users look up afterwards.
const KEYED: &str = "tracepoint:skb:kfree_skb { @[args.reason, args.rx_sk] = count(); }";
const COUNTED: &str = "tracepoint:skb:kfree_skb /args.reason == SKB_DROP_REASON_SOCKET_RCVBUFF/ { @ = count(); }";

pub const CASES: &[Case] = &[
    Case {
        name: "udp-flood",
        work: Work::Flood,
        contenders: &[
            untraced(),
            floor("floor", &["kfree_skb"]),
            spoor("spoor", &["udp"]),
            spoor("spoor --all", &["udp", "--all"]),
            bpftrace("bpftrace", KEYED),
            bpftrace("bpftrace-count", COUNTED),
        ],
        goals: &[
            kept("floor", None),
            kept("spoor", Some(0.93)),
            kept("spoor --all", None),
            kept("bpftrace", None),
            kept("bpftrace-count", None),
        ],
    },
    Case {
        name: "udp-delivered",
        work: Work::Datagrams,
        contenders: &[
            untraced(),
            // Where a datagram is queued, and where its reader returns.
            floor("floor of --truncated", &["sk_data_ready", "sock_recv_length"]),
            deaf(spoor("spoor", &["udp"])),
            deaf(spoor("spoor --sent", &["udp", "--sent"])),
            deaf(spoor("spoor --truncated", &["udp", "--truncated"])),
            deaf(spoor("spoor --all", &["udp", "--all"])),
            deaf(bpftrace("bpftrace", KEYED)),
        ],
        goals: &[
            kept("floor of --truncated", None),
            kept("spoor", None),
            kept("spoor --sent", Some(0.90)),
            kept("spoor --truncated", Some(0.90)),
            kept("spoor --all", None),
            kept("bpftrace", None),
        ],
    },
];
