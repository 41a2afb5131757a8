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
    assert_eq!(namespace.folder(), Some(PathBuf::from("/proc/4711/net")));
}
