//! A real small disk: a file system in memory, in a mount namespace of its own.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bugle_testkit::Victim;

/// The name of the file that takes the space up.
const BALLAST: &str = "ballast";

/// A disk that is mounted as long as this lives, for the processes that are started in it.
pub(crate) struct SmallDisk {
    /// Holds the namespace and so the disk, whichever process in it is killed.
    holder: Victim,
    /// The path of its directory for this process, which is outside of the namespace.
    inside: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this many MiB in a directory, visible in its namespace alone. `None`, said
    /// on standard error, where this process may not mount.
    pub(crate) fn mount(directory: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(directory).unwrap();
        let script = "mount -t tmpfs -o size=$0m tmpfs \"$1\" && echo mounted && exec cat";
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", script]).arg(mebibytes.to_string()).arg(directory);
        let mounted = Victim::start(&mut command).ok().filter(|holder| {
            let is_mounted = |lines: &[String]| lines == ["mounted"];
            holder.wait_until("the disk", Duration::from_secs(60), is_mounted).unwrap()
        });
        let Some(holder) = mounted else {
            eprintln!(
                "SKIPPED: no small disk, as this machine lets nobody mount one (unshare -Urm)"
            );
            return None;
        };
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let inside = root.join(directory.strip_prefix("/").unwrap());
        let disk = Self { holder, inside };
        if let Err(error) = disk
            .fill_but(1 << 20)
            .and_then(|()| disk.starter()(&Command::new("true")).status().map(drop))
        {
            eprintln!("SKIPPED: no small disk, as it can't be reached ({error})");
            return None;
        }
        disk.clear();
        Some(disk)
    }

    /// Starts a command in the namespace. A kill reaches the command itself.
    pub(crate) fn starter(&self) -> impl Fn(&Command) -> Command + use<> {
        let target = self.holder.id().to_string();
        move |command| {
            let mut starter = Command::new("nsenter");
            starter.args(["-U", "-m", "--preserve-credentials", "-t", &target, "--"]);
            starter.arg(command.get_program()).args(command.get_args());
            starter
        }
    }

    /// Takes up all space except this many bytes.
    pub(crate) fn fill_but(&self, free: u64) -> io::Result<()> {
        let ballast = self.inside.join(BALLAST);
        let mut file = File::options().create(true).append(true).open(&ballast)?;
        loop {
            match file.write(&[0xBA; 4_096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(free))
    }

    /// Takes up all space: not one byte is left.
    pub(crate) fn fill(&self) {
        self.fill_but(0).unwrap();
    }

    /// Lists the files and their sizes, for the message of a failure.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.inside).unwrap().flatten();
        files.map(|it| format!("{:?}: {}", it.file_name(), it.metadata().unwrap().len())).collect()
    }

    /// Gives all space back.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.inside.join(BALLAST)).unwrap();
    }
}
