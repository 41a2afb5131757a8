//! What strace 6.1 printed on x86_64 with `-a1`, typed in, and claims about every line.
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::symbolize::syscall::id;

fn call(number: u32, args: &[u64], ret: i64) -> Call {
    let mut call = Call { id: id(number, false), ret: Some(ret), ..Call::default() };
    call.args[..args.len()].copy_from_slice(args);
    call
}

fn string(arg: u8, text: &str) -> Option<Text> {
    Some(Text { arg, bytes: text.into(), cut: false, kind: TextKind::String })
}

fn bytes(arg: u8, bytes: &[u8]) -> Option<Text> {
    Some(Text { arg, bytes: bytes.into(), cut: false, kind: TextKind::Bytes })
}

fn address(arg: u8, bytes: &[u8]) -> Option<Text> {
    Some(Text { arg, bytes: bytes.into(), cut: false, kind: TextKind::Sockaddr })
}

fn text(call: &Call, print: fn(&mut Vec<u8>, &Call)) -> String {
    let mut out = Vec::new();
    print(&mut out, call);
    String::from_utf8(out).expect("ASCII")
}

const AT_FDCWD: u64 = -100i32 as u32 as u64;
const FAR: u64 = 0x7ffe_0000_1000;

#[cfg(target_arch = "x86_64")]
#[test]
fn files_print_as_in_strace() {
    let cases = [
        (
            Call { texts: [string(1, "/etc/passwd"), None], ..call(257, &[AT_FDCWD, FAR, 0x80000, 0], 3) },
            r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#,
        ),
        (
            Call { texts: [string(1, "a\tb"), None], ..call(257, &[AT_FDCWD, FAR, 0x80242, 0o640], 3) },
            r#"openat(AT_FDCWD, "a\tb", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0640) = 3"#,
        ),
        (
            Call { texts: [string(1, "/nonexistent/\u{7f}"), None], ..call(257, &[AT_FDCWD, FAR, 0x80000, 0], -2) },
            r#"openat(AT_FDCWD, "/nonexistent/\177", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)"#,
        ),
        (
            Call {
                texts: [bytes(1, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0\x01\0\0\0\x20x\x02\0\0\0\0\0"), None],
                ..call(0, &[3, FAR, 832], 832)
            },
            r#"read(3, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0>\0\1\0\0\0 x\2\0\0\0\0\0"..., 832) = 832"#,
        ),
        (call(0, &[3, FAR, 100], 0), r#"read(3, "", 100) = 0"#),
        (
            call(0, &[3, 0x7ffe_0000_1000, 100], -11),
            "read(3, 0x7ffe00001000, 100) = -1 EAGAIN (Resource temporarily unavailable)",
        ),
        (
            Call { texts: [bytes(1, b"hello \"quoted\"\0\x01\xff1 wo"), None], ..call(1, &[3, FAR, 21], 21) },
            r#"write(3, "hello \"quoted\"\0\1\3771 wo", 21) = 21"#,
        ),
        (
            Call { texts: [string(0, "tgt"), string(1, "lnk")], ..call(88, &[FAR, FAR], 0) },
            r#"symlink("tgt", "lnk") = 0"#,
        ),
        (
            Call { texts: [string(0, "lnk"), bytes(1, b"tgt")], ..call(89, &[FAR, FAR, 4096], 3) },
            r#"readlink("lnk", "tgt", 4096) = 3"#,
        ),
        (
            Call { texts: [bytes(0, b"/tmp/symwork\0"), None], ..call(79, &[FAR, 1024], 13) },
            r#"getcwd("/tmp/symwork", 1024) = 13"#,
        ),
        (call(95, &[0o77], 0o22), "umask(077) = 022"),
        (call(72, &[3, 3], 0x8002), "fcntl(3, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)"),
        (call(72, &[3, 4, 0xc00], 0), "fcntl(3, F_SETFL, O_RDONLY|O_APPEND|O_NONBLOCK) = 0"),
        (call(8, &[3, -5i64 as u64, 1], -22), "lseek(3, -5, SEEK_CUR) = -1 EINVAL (Invalid argument)"),
    ];
    for (call, expected) in cases {
        assert_eq!(text(&call, call_text), expected);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn sockets_print_as_in_strace() {
    let inet = b"\x02\0\x00\x35\x08\x08\x08\x08\0\0\0\0\0\0\0\0";
    let mut inet6 = *b"\x0a\0\x00\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    inet6[23] = 1;
    let cases = [
        (call(41, &[2, 0x80001, 0], 9), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 9"),
        (call(41, &[16, 0x80003, 0], 16), "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 16"),
        (
            Call { texts: [address(1, inet), None], ..call(42, &[3, FAR, 16], -115) },
            r#"connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("8.8.8.8")}, 16) = -1 EINPROGRESS (Operation now in progress)"#,
        ),
        (
            Call { texts: [address(1, b"\x01\0/run/no\0"), None], ..call(42, &[15, FAR, 10], -2) },
            r#"connect(15, {sa_family=AF_UNIX, sun_path="/run/no"}, 10) = -1 ENOENT (No such file or directory)"#,
        ),
        (
            Call { texts: [address(1, b"\x01\0\0abs\0t"), None], ..call(49, &[15, FAR, 8], 0) },
            r#"bind(15, {sa_family=AF_UNIX, sun_path=@"abs\0t"}, 8) = 0"#,
        ),
        (
            Call { texts: [address(1, b"\x10\0\0\x61\0\0\0\0\0\0\0\0"), None], ..call(49, &[16, FAR, 12], 0) },
            "bind(16, {sa_family=AF_NETLINK, nl_pad=0x6100, nl_pid=0, nl_groups=00000000}, 12) = 0",
        ),
        (
            Call { texts: [bytes(1, b"x"), address(4, &inet6)], ..call(44, &[13, FAR, 1, 0, FAR, 28], 1) },
            r#"sendto(13, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 1"#,
        ),
        (
            Call { texts: [bytes(3, &[1, 0, 0, 0]), None], ..call(54, &[9, 6, 1, FAR, 4], 0) },
            "setsockopt(9, SOL_TCP, TCP_NODELAY, [1], 4) = 0",
        ),
        (
            Call { texts: [bytes(3, b"\x01\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0"), None], ..call(233, &[17, 3, 9, FAR], 0) },
            "epoll_ctl(17, EPOLL_CTL_MOD, 9, {events=EPOLLIN, data={u32=9, u64=9}}) = 0",
        ),
        (
            Call { texts: [bytes(0, b"\0\0\0\0\x01\0\0\0\x03\0\0\0\x05\0\0\0"), None], ..call(7, &[FAR, 2, 1], 0) },
            "poll([{fd=0, events=POLLIN}, {fd=3, events=POLLIN|POLLOUT}], 2, 1) = 0 (Timeout)",
        ),
    ];
    for (call, expected) in cases {
        assert_eq!(text(&call, call_text), expected);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn processes_memory_and_time_print_as_in_strace() {
    let second = [1u64, 500].map(u64::to_ne_bytes).concat();
    let cases = [
        (call(12, &[0], 0x5555_5555_9000), "brk(NULL) = 0x555555559000"),
        (
            call(9, &[0, 8192, 3, 0x22, u64::MAX, 0], 0x7fff_f7fc_0000),
            "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7fc0000",
        ),
        (
            call(9, &[0, 4096, 3, 0x40022, u64::MAX, 0], -12),
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB, -1, 0) = -1 ENOMEM (Cannot allocate memory)",
        ),
        (
            call(56, &[0x0120_0011, 0, 0, 0x7fff_f7fb_ee50, 0], 6883),
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7ffff7fbee50) = 6883",
        ),
        (call(202, &[0x7fff_f7f4_e6f8, 129, 1], 1), "futex(0x7ffff7f4e6f8, FUTEX_WAKE_PRIVATE, 1) = 1"),
        (
            call(202, &[0x7fff_f000_0b70, 0x189, 0, 0, 0, 0xffff_ffff], 0),
            "futex(0x7ffff0000b70, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, NULL, FUTEX_BITSET_MATCH_ANY) = 0",
        ),
        (
            Call { texts: [bytes(0, &second), None], ..call(35, &[FAR, FAR], -516) },
            "nanosleep({tv_sec=1, tv_nsec=500}, 0x7ffe00001000) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
        ),
        (
            Call { texts: [bytes(1, b"\0\x08\0\0\x04\0\0\0"), None], ..call(14, &[0, FAR, 0, 8], 0) },
            "rt_sigprocmask(SIG_BLOCK, [USR2 RT_3], NULL, 8) = 0",
        ),
        (
            Call { texts: [bytes(1, b"\xff\xff\xff\xff\xfe\xff\xff\xff"), None], ..call(14, &[0, FAR, 0, 8], 0) },
            "rt_sigprocmask(SIG_BLOCK, ~[RT_1], NULL, 8) = 0",
        ),
        (
            call(61, &[u64::MAX, FAR, 1, 0], -512),
            "wait4(-1, 0x7ffe00001000, WNOHANG, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
        ),
        (call(234, &[1, 2, 33], -3), "tgkill(1, 2, SIGRT_1) = -1 ESRCH (No such process)"),
        (Call { ret: None, ..call(231, &[7], 0) }, "exit_group(7) = ?"),
    ];
    for (call, expected) in cases {
        assert_eq!(text(&call, call_text), expected);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_without_a_row_print_their_registers() {
    assert_eq!(
        text(&call(9999, &[1, 0, 2], -38), call_text),
        "9999(0x1, 0, 0x2) = -1 ENOSYS (Function not implemented)"
    );
    assert_eq!(text(&call(-1i32 as u32, &[], -38), call_text), "-1() = -1 ENOSYS (Function not implemented)");
    assert_eq!(text(&call(39, &[], -4000), call_text), "getpid() = -1 (errno 4000)");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn compat_calls_say_so_and_have_32_bit_arguments() {
    let args = [0xdead_0000_0000_0003, 0xffff_ffff_ffff_f000, 0xffff_ffff_0000_0010, 0, 0, 0];
    let read = Call { id: id(3, true), args, ret: Some(-14), ..Call::default() };
    assert_eq!(text(&read, call_text), "i386:read(3, 0xfffff000, 16) = -1 EFAULT (Bad address)");
    let sleep = Call {
        id: id(162, true),
        args: [0x1000, 0, 0, 0, 0, 0],
        ret: Some(0),
        texts: [bytes(0, b"\x02\0\0\0\x07\0\0\0garbage!"), None],
        ..Call::default()
    };
    assert_eq!(text(&sleep, call_text), "i386:nanosleep({tv_sec=2, tv_nsec=7}, NULL) = 0");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_could_not_be_read_prints_as_its_address_and_what_was_cut_says_so() {
    let unreadable = Text { arg: 1, kind: TextKind::Unreadable, ..Text::default() };
    let open = Call { texts: [Some(unreadable), None], ..call(257, &[AT_FDCWD, 0x1000, 0, 0], -14) };
    assert_eq!(text(&open, call_text), "openat(AT_FDCWD, 0x1000, O_RDONLY) = -1 EFAULT (Bad address)");
    let cut = Text { arg: 0, bytes: b"/very/lo".into(), cut: true, kind: TextKind::String };
    let chdir = Call { texts: [Some(cut), None], ..call(80, &[FAR], 0) };
    assert_eq!(text(&chdir, call_text), r#"chdir("/very/lo"...) = 0"#);
    // A datagram of 100 bytes, of which 4 had room (MSG_TRUNC): the probe may have copied more than that.
    let recv = Call { texts: [bytes(1, b"pingjunk"), None], ..call(45, &[3, FAR, 4, 0x20, 0, 0], 100) };
    assert_eq!(text(&recv, call_text), r#"recvfrom(3, "ping", 4, MSG_TRUNC, NULL, NULL) = 100"#);
}

#[cfg(target_arch = "x86_64")]
fn getppid() -> Call {
    let time_unix_ns = 1_700_000_000_123_456_789;
    Call { time_unix_ns, comm: b"hot".into(), tgid: 4242, tid: 4243, elapsed_ns: Some(12_345), ..call(110, &[], 1) }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_line_has_time_comm_process_thread_and_elapsed() {
    assert_eq!(text(&getppid(), line), "22:13:20.123456 hot 4242/4243 getppid() = 1 <0.000012345>\n");
    let evil = Call { comm: b"\x1b[2J\x9b\n".into(), ..getppid() };
    assert!(text(&evil, line).contains(r" \33[2J\233\n 4242/4243 "));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn json_has_numbers_for_numbers_and_strings_for_what_was_copied() {
    let open = Call { texts: [string(1, "/a\"b"), None], ..call(257, &[AT_FDCWD, FAR, 0x80000, 0], -2) };
    let open = Call { time_unix_ns: 5, comm: b"cat".into(), tgid: 1, tid: 2, elapsed_ns: Some(9), ..open };
    let expected = concat!(
        r#"{"time_unix_ns":5,"comm":"cat","pid":1,"tid":2,"syscall":"openat","args":[-100,"/a\"b",524288],"#,
        r#""ret":-2,"errno":"ENOENT","elapsed_ns":9}"#,
        "\n"
    );
    assert_eq!(text(&open, json), expected);
    let cut = Some(Text { arg: 1, bytes: b"\x7fE\xff".into(), cut: true, kind: TextKind::Bytes });
    let read = Call { texts: [cut, None], ..call(0, &[3, FAR, 832], 832) };
    assert!(text(&read, json).contains(r#""args":[3,"\u007fE\ufffd",832],"cut":[1],"hex":{"1":"7f45ff"},"ret":832}"#));
    let connect = Call { texts: [address(1, b"\x01\0/x\0"), None], ..call(42, &[3, FAR, 5], 0) };
    assert!(text(&connect, json).contains(r#""args":[3,"{sa_family=AF_UNIX, sun_path=\"/x\"}",5],"ret":0"#));
    assert!(text(&Call { ret: None, ..call(231, &[7], 0) }, json).contains(r#""args":[7],"ret":null}"#));
}

fn any_text() -> impl Strategy<Value = Option<Text>> {
    let kind = prop_oneof![
        Just(TextKind::String),
        Just(TextKind::Bytes),
        Just(TextKind::Sockaddr),
        Just(TextKind::Unreadable)
    ];
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // Socket addresses of every family that has a form of its own.
        (prop_oneof![Just(1u8), Just(2), Just(10), Just(16)], prop::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(family, rest)| [vec![family, 0], rest].concat()),
    ];
    let text = (0..6u8, bytes, any::<bool>(), kind).prop_map(|(arg, bytes, cut, kind)| Text { arg, bytes, cut, kind });
    prop::option::of(text)
}

fn any_call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![9 => 0..1024u64, 1 => any::<u64>()];
    let arg = || prop_oneof![0..64u64, any::<u64>(), Just(0)];
    let ret = prop::option::of(prop_oneof![-600..64i64, any::<i64>()]);
    let who = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..17), any::<u32>(), any::<u32>());
    let what = (number, prop::array::uniform6(arg()), ret, prop::option::of(any::<u64>()));
    (who, what, any_text(), any_text()).prop_map(|(who, what, first, second)| Call {
        time_unix_ns: who.0,
        comm: who.1,
        tgid: who.2,
        tid: who.3,
        id: what.0,
        args: what.1,
        ret: what.2,
        elapsed_ns: what.3,
        texts: [first, second],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_line_has_a_raw_control_character(call in any_call()) {
        prop_assert!(unreadable_texts(&call) <= 2);
        let line = text(&call, line);
        let (end, printed) = line.as_bytes().split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(printed.iter().all(|byte| (b' '..=b'~').contains(byte)), "{:?}", line);
    }

    #[test]
    fn every_call_is_one_line_of_valid_json(call in any_call()) {
        let line = text(&call, json);
        let (end, printed) = line.as_bytes().split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(printed.iter().all(|byte| (b' '..=b'~').contains(byte)), "{:?}", line);
        let value: serde_json::Value = serde_json::from_str(&line).map_err(|e| TestCaseError::fail(format!("{e}: {line}")))?;
        prop_assert_eq!(value["time_unix_ns"].as_u64(), Some(call.time_unix_ns));
        prop_assert_eq!(value["ret"].as_i64(), call.ret);
    }
}

/// `cargo test --release strace::tests::speed -- --ignored --nocapture`
#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "measures; run it in release"]
fn speed_of_a_plain_line_is_two_million_a_second() {
    let open = Call { texts: [string(1, "/etc/passwd"), None], ..call(257, &[AT_FDCWD, FAR, 0x80000, 0], 3) };
    let buffer = Some(Text { arg: 1, bytes: vec![7; 64], cut: true, kind: TextKind::Bytes });
    let read = Call { texts: [buffer, None], ..call(0, &[3, FAR, 832], 832) };
    let getppid = getppid();
    let rates = [("getppid", &getppid), ("openat", &open), ("read", &read)].map(|(name, call)| {
        let rates = [line as fn(&mut Vec<u8>, &Call), json].map(|print| {
            let (mut out, start) = (Vec::with_capacity(1 << 16), Instant::now());
            for _ in 0..1_000_000 {
                if out.len() > 60_000 {
                    out.clear();
                }
                print(&mut out, std::hint::black_box(call));
            }
            1.0 / start.elapsed().as_secs_f64()
        });
        println!("{name}: {:.2} M lines/s, {:.2} M JSON objects/s", rates[0], rates[1]);
        rates[0]
    });
    assert!(rates[0] >= 2.0, "{:.2} M lines/s", rates[0]);
}
