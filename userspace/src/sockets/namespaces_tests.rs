use super::*;

#[test]
fn the_own_namespace_is_the_first_and_is_entered_without_a_privilege() {
    let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
    let found = namespaces().unwrap();
    let first = &found.known[0];
    assert_eq!((first.inode, first.is_own()), (own, true));
    assert!(found.known[1..].iter().all(|other| other.inode != own && !other.is_own()));
    let thread = std::thread::current().id();
    assert_eq!(within(first, || std::thread::current().id()).unwrap(), thread);
}

/// What was a process's and is another one's is not entered: a file that is no namespace stands for it.
#[test]
fn a_namespace_that_is_gone_says_so() {
    let namespace = Namespace { inode: 1, name: None, pid: Some(1), door: Door::File("/proc/self/status".into()) };
    let error = within(&namespace, || ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn labels_are_names_or_numbers() {
    let mut namespace = Namespace { inode: 4026532177, name: None, pid: Some(4711), door: Door::Own };
    assert_eq!(
        (namespace.label().as_str(), namespace.to_string().as_str()),
        ("net:[4026532177]", "net:[4026532177] of process 4711")
    );
    namespace.name = Some("bl\x1bue".to_owned());
    assert_eq!((namespace.label().as_str(), namespace.to_string().as_str()), ("bl\x1bue", "bl\\x1bue"));
}

const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
90 27 0:4 net:[4026532178] /var/lib/engine/my\\040net\\134x rw shared:9 - nsfs nsfs rw
91 27 0:4 mnt:[4026532179] /run/snapd/ns/a.mnt rw - nsfs nsfs rw
92 27 0:4 net:[4026532177] /run/netns/blue rw shared:9 - nsfs nsfs rw
93 27 0:4 net:[x] /run/netns/green rw - nsfs nsfs rw
94 27 0:4 net:[1]
";

#[test]
fn namespaces_are_found_where_they_are_mounted() {
    let found = mounted(MOUNTS.as_bytes());
    let wanted = [(4026532177, "/run/netns/blue"), (4026532178, "/var/lib/engine/my net\\x")];
    assert_eq!(found, wanted.map(|(inode, path)| (inode, PathBuf::from(path))));
    for (text, meant) in [("a\\", "a\\"), ("\\04", "\\04"), ("\\999", "\\999"), ("\\1011", "A1"), ("", "")] {
        assert_eq!(unescape(text.as_bytes()), meant.as_bytes(), "{text}");
    }
}

#[test]
fn threads_but_the_first_have_a_way_in_of_their_own() {
    let pid = std::process::id();
    let (begun, waits) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || waits.recv());
        let files: Vec<PathBuf> = thread_files(pid).collect();
        assert!(!files.is_empty() && files.iter().all(|file| inode_of(file).is_ok()), "{files:?}");
        assert!(!files.contains(&PathBuf::from(format!("/proc/{pid}/task/{pid}/ns/net"))));
        drop(begun);
    });
}

/// A namespace that may not be entered, which for root there is none of: the answer is that of the folder.
#[test]
fn where_one_may_not_enter_the_folder_of_a_process_tells() {
    let own = namespaces().unwrap().known[0].inode;
    let pid = std::process::id();
    let denied = || Err(Error::from(ErrorKind::PermissionDenied));
    let namespace = |inode| Namespace { inode, name: None, pid: Some(pid), door: Door::Own };
    let said = within_or_beside(&namespace(own), denied, |folder| Ok(folder.to_owned()));
    assert_eq!(said.unwrap(), PathBuf::from(format!("/proc/{pid}/net")));
    let moved = within_or_beside(&namespace(own + 1), denied, |folder| Ok(folder.to_owned()));
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::PermissionDenied);
}
