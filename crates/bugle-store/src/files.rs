//! What the store asks of the file system beyond the standard library: files that are their owner's
//! alone, names that are on the disk, reads and writes at a place, and space in advance.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory for its owner alone, and those above it that are missing.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Makes sure that a file's name is on the disk, as far as the system can.
pub(crate) fn sync_directory(file: &Path) {
    if let Some(directory) = file.parent().and_then(|it| File::open(it).ok()) {
        let _ = directory.sync_all();
    }
}

/// Opens a file, or makes an empty one, for its owner alone.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).truncate(false).read(true).write(true).open(path)?;
    close_to_others(path);
    Ok(file)
}

/// Takes a file's permissions from everybody but its owner, as far as its file system has such, and
/// this process may.
#[cfg(unix)]
pub(crate) fn close_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        let _ = std::fs::set_permissions(path, PermissionsExt::from_mode(0o600));
    }
}

#[cfg(not(unix))]
pub(crate) fn close_to_others(_path: &Path) {}

/// Writes at a place, and leaves the file's position alone where the system can.
#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Reads at a place.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (bytes, at) = (&bytes[written..], at + written as u64);
    }
    Ok(())
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (bytes, at) = (&mut bytes[read..], at + read as u64);
    }
    Ok(())
}

/// Why a file is given no space.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is none, or no more is allowed.
    Full,
    /// The file system gives none before something is written there.
    Unable,
}

/// Gives a file space, from a place to another. What is in it stays as it is, also what another
/// thread writes there meanwhile.
#[cfg(target_os = "linux")]
pub(crate) fn give_space(file: &File, from: u64, to: u64) -> Result<(), Refused> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    fallocate(file, FallocateFlags::empty(), from, to - from).map_err(|error| match error {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Refused::Full,
        _ => Refused::Unable,
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn give_space(_file: &File, _from: u64, _to: u64) -> Result<(), Refused> {
    Err(Refused::Unable)
}

/// The next place in a file where something was written, from a place on; `None` where nothing is.
/// Where the file system does not say, that is here.
#[cfg(target_os = "linux")]
pub(crate) fn next_data(file: &File, from: u64) -> Option<u64> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    match seek(file, SeekFrom::Data(from)) {
        Ok(at) => Some(at),
        Err(Errno::NXIO) => None,
        Err(_) => Some(from),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn next_data(_file: &File, from: u64) -> Option<u64> {
    Some(from)
}
