//! Debian's kernels in QEMU: a kernel's name and an initramfs in, what the guest printed out.

mod apt;
mod boot;
mod cpio;
mod image;
mod initramfs;
mod kernels;
mod libraries;
mod modules;
mod qemu;
mod rsyslog;
mod unpacked;

pub use boot::{Run, run};
pub use image::Image;
pub use initramfs::pack;
pub use kernels::{KERNELS, Kernel};
pub use libraries::libraries;
pub use qemu::Qemu;
pub use rsyslog::Rsyslog;

/// Why no guest can be had on this machine at all; `None` where it can be tried.
pub fn unavailable() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the guests are x86_64".into());
    }
    apt::unavailable()
}
