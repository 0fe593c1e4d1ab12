//! A place for stores on disk, and the speed of that disk.

use std::fs::{File, create_dir_all, read_dir, remove_dir_all};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::payload::BYTES;
use crate::stats::{float, median, micros};

/// A directory of our own, which is removed at the end.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory under another.
    pub(crate) fn make(under: &Path) -> Result<Self> {
        let path = under.join(format!("bugle-bench-{}", std::process::id()));
        create_dir_all(&path).with_context(|| format!("{} can't be made", path.display()))?;
        Ok(Self(path))
    }

    /// Names a store's directory in it.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Measures the time to have 1 KiB more of a file on the disk, in microseconds: the median.
    pub(crate) fn sync_us(&self, time: Duration) -> Result<f64> {
        let path = self.0.join("synced");
        let mut file = File::create(&path)?;
        let mut taken = Vec::new();
        let start = Instant::now();
        while start.elapsed() < time || taken.len() < 5 {
            let begun = Instant::now();
            file.write_all(&[b'x'; BYTES])?;
            file.sync_data()?;
            taken.push(micros(begun.elapsed()));
        }
        std::fs::remove_file(path)?;
        Ok(median(taken).unwrap_or(f64::NAN))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that can't be removed is left.
        let _ = remove_dir_all(&self.0);
    }
}

/// Sums the bytes of all files in a directory.
pub(crate) fn bytes_in(directory: &Path) -> Result<f64> {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for file in read_dir(&directory)? {
            let file = file?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                directories.push(file.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(float(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_cleaned_up() {
        let under = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(under.path()).unwrap();
        assert!(scratch.sync_us(Duration::ZERO).unwrap() > 0.0);
        create_dir_all(scratch.store("a")).unwrap();
        std::fs::write(scratch.store("a").join("x"), "12345").unwrap();
        assert_eq!(bytes_in(&scratch.store("a")).unwrap(), 5.0);
        drop(scratch);
        assert_eq!(read_dir(under.path()).unwrap().count(), 0);
    }
}
