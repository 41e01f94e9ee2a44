//! The three ioctls on loop devices that `loopdev` does not offer, and their structures (`linux/loop.h`).

use std::{fs::File, os::fd::AsRawFd, os::unix::ffi::OsStrExt, path::Path};

use nix::errno::Errno;

use super::super::FileId;

/// Major number of loop devices (`linux/major.h`).
pub(super) const MAJOR: u32 = 7;
/// `LO_FLAGS_READ_ONLY`.
const READ_ONLY: u32 = 1;
/// `LO_FLAGS_DIRECT_IO`.
const DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Info {
    lo_device: u64,
    lo_inode: u64,
    lo_rdevice: u64,
    lo_offset: u64,
    lo_sizelimit: u64,
    lo_number: u32,
    lo_encrypt_type: u32,
    lo_encrypt_key_size: u32,
    lo_flags: u32,
    lo_file_name: [u8; 64],
    lo_crypt_name: [u8; 64],
    lo_encrypt_key: [u8; 32],
    lo_init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

impl Info {
    const ZERO: Self = Self {
        lo_device: 0,
        lo_inode: 0,
        lo_rdevice: 0,
        lo_offset: 0,
        lo_sizelimit: 0,
        lo_number: 0,
        lo_encrypt_type: 0,
        lo_encrypt_key_size: 0,
        lo_flags: 0,
        lo_file_name: [0; 64],
        lo_crypt_name: [0; 64],
        lo_encrypt_key: [0; 32],
        lo_init: [0; 2],
    };

    /// The file that is attached.
    pub(super) fn file(&self) -> FileId {
        FileId { device: self.lo_device, inode: self.lo_inode }
    }
}

mod raw {
    //! The calls themselves, unchecked.
    nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, super::Config);
    nix::ioctl_read_bad!(loop_get_status64, 0x4C05, super::Info);
}

/// A loop device that is free at this moment, made when there is none.
#[expect(unsafe_code, reason = "an ioctl without a safe wrapper that does not also open the node")]
pub(super) fn free(control: &File) -> Result<u32, Errno> {
    // SAFETY: takes no argument; the descriptor is open for as long as `control` is borrowed.
    let number = unsafe { raw::loop_ctl_get_free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(|_| Errno::EINVAL)
}

/// Attaches a file, from its beginning to its end, and not autoclear.
#[expect(unsafe_code, reason = "an ioctl that no crate wraps")]
pub(super) fn configure(
    device: &File,
    backing: &File,
    path: &Path,
    read_only: bool,
    direct_io: bool,
) -> Result<(), Errno> {
    let mut info = Info::ZERO;
    info.lo_flags = if read_only { READ_ONLY } else { 0 } | if direct_io { DIRECT_IO } else { 0 };
    // For `losetup` alone; cut, with its closing zero kept.
    let room = info.lo_file_name.len() - 1;
    for (to, from) in info.lo_file_name[..room].iter_mut().zip(path.as_os_str().as_bytes()) {
        *to = *from;
    }
    let fd = u32::try_from(backing.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: `Config` has the layout of `struct loop_config`, and lives over the call, which only reads it; both
    // descriptors are open for as long as their files are borrowed.
    unsafe { raw::loop_configure(device.as_raw_fd(), &raw const config) }.map(drop)
}

/// What is attached. `ENXIO`: nothing. Waits for the server of its file.
#[expect(unsafe_code, reason = "an ioctl that no crate wraps")]
pub(super) fn status(device: &File) -> Result<Info, Errno> {
    let mut info = Info::ZERO;
    // SAFETY: `Info` has the layout of `struct loop_info64`, and the kernel writes that much and no more.
    unsafe { raw::loop_get_status64(device.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_the_kernels() {
        assert_eq!((size_of::<Info>(), size_of::<Config>()), (232, 304));
    }
}
