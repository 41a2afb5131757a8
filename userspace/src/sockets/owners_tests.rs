use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use super::*;

struct Holder(Child);

impl Holder {
    /// A child that has the socket as its standard input, and waits for nothing that comes.
    fn of(socket: &UdpSocket) -> Holder {
        let socket = std::os::fd::OwnedFd::from(socket.try_clone().unwrap());
        Holder(Command::new("sleep").arg("60").stdin(Stdio::from(socket)).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

fn inode_of(socket: &UdpSocket) -> u64 {
    fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

fn pids(owners: &[Owner]) -> Vec<u32> {
    owners.iter().map(|owner| owner.pid).collect()
}

#[test]
fn a_socket_has_all_processes_that_hold_it_once_and_by_pid() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _twice = socket.try_clone().unwrap();
    let child = Holder::of(&socket);
    let mut owners = Owners::default();
    owners.look_up([inode_of(&socket)]);
    let found = pids(owners.of(inode_of(&socket)));
    // Between fork and exec the children of other tests hold it, too.
    assert!(
        found.is_sorted_by(|a, b| a < b) && [std::process::id(), child.pid()].iter().all(|pid| found.contains(pid))
    );
    let own = owners.of(inode_of(&socket)).iter().find(|owner| owner.pid == std::process::id()).unwrap();
    assert_eq!(own.comm, comm_of(std::process::id()));
}

#[test]
fn who_has_ended_stays_known_and_who_came_is_found_when_it_is_read_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let inode = inode_of(&socket);
    let mut first = Holder::of(&socket);
    let mut owners = Owners::default();
    owners.look_up([inode]);
    first.end();
    let second = Holder::of(&socket);
    owners.look_up([inode]);
    assert!(pids(owners.of(inode)).contains(&first.pid()) && !pids(owners.of(inode)).contains(&second.pid()));
    owners.refresh();
    assert!([first.pid(), second.pid()].iter().all(|pid| pids(owners.of(inode)).contains(pid)), "{owners:?}");
}

#[test]
fn what_nobody_holds_has_no_owner() {
    let mut owners = Owners::default();
    owners.look_up([0, u64::MAX]);
    assert!(owners.of(0).is_empty() && owners.of(u64::MAX).is_empty() && owners.of(7).is_empty());
}

#[test]
fn links_of_other_files_are_no_sockets() {
    for (link, inode) in [
        ("socket:[48213]", Some(48213)),
        ("socket:[]", None),
        ("pipe:[1]", None),
        ("/tmp/socket:[1]", None),
        ("socket:[1] (deleted)", None),
    ] {
        assert_eq!(socket_inode(std::path::Path::new(link)), inode, "{link}");
    }
}
