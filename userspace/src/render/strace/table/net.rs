//! Rows of calls on sockets, and of those that wait for descriptors.
use crate::render::strace::names as n;
use crate::render::strace::row::Arg::*;
use crate::render::strace::row::{Ret, Row, row};

pub static SOCKETS: &[Row] = &[
    row("socket", &[Value(&n::FAMILY), SocketType, Protocol]),
    row("socketpair", &[Value(&n::FAMILY), SocketType, Protocol, Ptr]),
    row("connect", &[Int, Sockaddr(2), Int]),
    row("bind", &[Int, Sockaddr(2), Int]),
    row("listen", &[Int, Int]),
    // The length of what these hand out is behind a pointer.
    row("accept", &[Int, Ptr, Ptr]),
    row("accept4", &[Int, Ptr, Ptr, Bits(&n::SOCKET_FLAGS)]),
    row("getsockname", &[Int, Ptr, Ptr]),
    row("getpeername", &[Int, Ptr, Ptr]),
    row("shutdown", &[Int, Value(&n::SHUTDOWN)]),
    row("sendto", &[Int, Given(2), Size, Bits(&n::MSG), Sockaddr(5), Uint]),
    row("recvfrom", &[Int, Got, Size, Bits(&n::MSG), Ptr, Ptr]),
    row("send", &[Int, Given(2), Size, Bits(&n::MSG)]),
    row("recv", &[Int, Got, Size, Bits(&n::MSG)]),
    row("sendmsg", &[Int, Ptr, Bits(&n::MSG)]),
    row("recvmsg", &[Int, Ptr, Bits(&n::MSG)]),
    row("sendmmsg", &[Int, Ptr, Uint, Bits(&n::MSG)]),
    row("recvmmsg", &[Int, Ptr, Uint, Bits(&n::MSG), Ptr]),
    row("recvmmsg_time64", &[Int, Ptr, Uint, Bits(&n::MSG), Ptr]),
    row("setsockopt", &[Int, Value(&n::LEVEL), OptionName, OptionValue(4), Int]),
    row("getsockopt", &[Int, Value(&n::LEVEL), OptionName, Ptr, Ptr]),
    row("socketcall", &[Int, Ptr]),
];

// The time-outs of ppoll, select and pselect6 are addresses: the kernel writes what is left of the time over them, and
// the probe copies when the call returns. So does recvmmsg.
pub static POLLING: &[Row] = &[
    row("poll", &[PollFds, Uint, Int]).ret(Ret::Polled),
    row("ppoll", &[PollFds, Uint, Ptr, Ptr, Size]).ret(Ret::Polled),
    row("ppoll_time64", &[PollFds, Uint, Ptr, Ptr, Size]).ret(Ret::Polled),
    row("select", &[Int, Ptr, Ptr, Ptr, Ptr]).ret(Ret::Polled).native(),
    // i386: one pointer to the five.
    row("select", &[Ptr]).ret(Ret::Polled).compat(),
    row("_newselect", &[Int, Ptr, Ptr, Ptr, Ptr]).ret(Ret::Polled),
    row("pselect6", &[Int, Ptr, Ptr, Ptr, Ptr, Ptr]).ret(Ret::Polled),
    row("pselect6_time64", &[Int, Ptr, Ptr, Ptr, Ptr, Ptr]).ret(Ret::Polled),
    row("epoll_create", &[Int]),
    row("epoll_create1", &[Bits(&n::EPOLL_CREATE)]),
    row("epoll_ctl", &[Int, Value(&n::EPOLL_CTL), Int, EpollEvent]),
    row("epoll_wait", &[Int, Ptr, Int, Int]),
    row("epoll_pwait", &[Int, Ptr, Int, Int, Ptr, Size]),
    row("epoll_pwait2", &[Int, Ptr, Int, Timespec, Ptr, Size]).native(),
    row("epoll_pwait2", &[Int, Ptr, Int, Ptr, Ptr, Size]).compat(),
    row("eventfd", &[Uint]),
    row("eventfd2", &[Uint, Bits(&n::EVENTFD)]),
    row("signalfd", &[Int, SignalSet, Size]),
    row("signalfd4", &[Int, SignalSet, Size, Bits(&n::SIGNALFD)]),
];
