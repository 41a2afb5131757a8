//! The functions of tests/tracee, linked statically, and the modes there that call them. C speaks the protocol there, and
//! uses threads of the C library: these workloads are for calls of functions, not for system calls.
use core::ffi::{c_char, c_int, c_void};
use std::ffi::CString;

use crate::Args;
use crate::protocol::{Did, Protocol, fail};

/// `struct words`.
#[repr(C)]
struct Words {
    count: c_int,
    texts: *const *const c_char,
}

#[link(name = "tracee_static", kind = "static")]
unsafe extern "C" {
    static mut protocol_wait: c_int;
    static mut protocol_hold: c_int;
    static mut protocol_exit: c_int;
    /// Null where there is no such mode. The second list is empty where it is null.
    fn mode_named(name: *const c_char, more: *const c_void) -> *const c_void;
    fn run_mode(mode: *const c_void, words: Words) -> !;
}

pub fn tracee(args: &Args, protocol: &Protocol) -> Did {
    let name = args.text(0, "MODE");
    let mode = c_string(name);
    let words: Vec<CString> = args.from(1).iter().map(|word| c_string(word)).collect();
    let mut texts: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    texts.push(core::ptr::null());
    // SAFETY: strings that end, in a list that ends, and no other thread.
    unsafe {
        protocol_wait = protocol.wait.into();
        protocol_hold = protocol.hold.into();
        protocol_exit = protocol.exit;
        let mode = mode_named(mode.as_ptr(), core::ptr::null());
        if mode.is_null() {
            fail(format_args!("no mode `{name}`; see `tracee --help`"));
        }
        run_mode(mode, Words { count: words.len() as c_int, texts: texts.as_ptr() })
    }
}

fn c_string(word: &str) -> CString {
    CString::new(word).expect("came from a C string")
}
