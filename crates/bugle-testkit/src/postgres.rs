//! A PostgreSQL server for tests, started from the binaries that are installed on the machine.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use parking_lot::Mutex;

/// The number of ports that a cluster tries when another process takes them first.
const PORTS_TRIED: usize = 5;

/// The time within which the processes of a killed server must be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// The differences from PostgreSQL's defaults: no data has to outlive the machine, and many tests
/// share one cluster.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "max_wal_size=4GB",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
];

/// A PostgreSQL server in a temporary directory, on a free port of 127.0.0.1. It is stopped and its
/// directory removed when this is dropped, and also when the process ends in any other way, killed
/// included.
///
/// Root can't run PostgreSQL; as root, it runs as the user `postgres` or `nobody`.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    directory: PathBuf,
    account: Option<Account>,
    port: u16,
    syncs: bool,
    /// A process that stops the server and removes the directory as soon as its standard input
    /// closes.
    watchdog: Mutex<Child>,
}

/// The account of the server when the tests run as root.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Postgres {
    /// The folder of the installed server's binaries: `BUGLE_POSTGRES_BIN`, the answer of
    /// `pg_config`, or the newest in the places where distributions put them.
    pub fn binaries() -> Option<PathBuf> {
        let chosen = env::var_os("BUGLE_POSTGRES_BIN").map(PathBuf::from);
        let configured = Command::new("pg_config").arg("--bindir").output().ok();
        let configured = configured
            .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
        let versioned = ["/usr/lib/postgresql", "/usr/local/lib/postgresql", "/opt/homebrew/opt"]
            .into_iter()
            .flat_map(newest_first);
        let plain = ["/usr/local/bin", "/usr/bin"].into_iter().map(PathBuf::from);
        let mut candidates = chosen.into_iter().chain(configured).chain(versioned).chain(plain);
        candidates.find(|folder| {
            ["initdb", "pg_ctl", "postgres"].iter().all(|binary| folder.join(binary).exists())
        })
    }

    /// Starts a server for this test alone, which may stop it.
    ///
    /// # Errors
    /// Without PostgreSQL on this machine, or when it does not start: its log is in the message.
    pub fn start() -> io::Result<Self> {
        Self::start_new(false)
    }

    /// Does the same as [`Postgres::start`] with PostgreSQL's own defaults for durability, for
    /// measurements: `fsync` and `full_page_writes` are on.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with_syncs() -> io::Result<Self> {
        Self::start_new(true)
    }

    fn start_new(syncs: bool) -> io::Result<Self> {
        let binaries = Self::binaries().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no PostgreSQL here: install it (apt-get install postgresql), or set \
                 BUGLE_POSTGRES_BIN to the folder that has initdb and pg_ctl",
            )
        })?;
        let directory = new_directory()?;
        let account = account(&directory)?;
        if let Some(account) = account {
            std::os::unix::fs::chown(&directory, Some(account.user), Some(account.group))?;
        }
        let data = directory.join("data");
        let watchdog = watchdog(&binaries, &directory, account)?;
        let mut server =
            Self { binaries, directory, account, port: 0, syncs, watchdog: Mutex::new(watchdog) };
        server.run(
            "initdb",
            [
                OsStr::new("--pgdata"),
                data.as_os_str(),
                OsStr::new("--username=postgres"),
                OsStr::new("--auth=trust"),
                OsStr::new("--encoding=UTF8"),
                OsStr::new("--no-locale"),
                OsStr::new("--no-sync"),
            ],
        )?;
        for attempt in 1.. {
            server.port = free_port()?;
            match server.restart() {
                Err(_) if attempt < PORTS_TRIED => {}
                started => return started.map(|()| server),
            }
        }
        Ok(server)
    }

    /// The server that all tests of this process share; each makes a database of its own in it.
    /// `None` without PostgreSQL on this machine: then this says on standard error that the test is
    /// skipped. Where `CI` or `BUGLE_REQUIRE_POSTGRES` is set, that is a failure.
    ///
    /// # Panics
    /// When the server does not start, or must be there and is not.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start_or_skip).as_ref()
    }

    /// Does the same as [`Postgres::start`] for a test: without PostgreSQL on this machine it
    /// returns `None`, and says so on standard error.
    ///
    /// # Panics
    /// When the server does not start, or must be there and is not.
    #[allow(clippy::panic)]
    pub fn start_or_skip() -> Option<Self> {
        match Self::start() {
            Ok(server) => Some(server),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_required() => {
                // The print macros' output is hidden when a test passes.
                let name = std::thread::current().name().unwrap_or("a test").to_owned();
                let _ = writeln!(io::stderr(), "\nSKIPPED, NOT TESTED: {name}: {error}");
                None
            }
            Err(error) => panic!("PostgreSQL is needed for this test: {error}"),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database of this server, for its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database, and returns its URL.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn create_database(&self) -> io::Result<String> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        self.run("createdb", ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &name])?;
        Ok(self.url(&name))
    }

    /// Stops the server as a power cut would: clients lose their connections, and open transactions
    /// are rolled back at the next start.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop_immediately(&self) -> io::Result<()> {
        let data = self.directory.join("data");
        self.run(
            "pg_ctl",
            ["-D".as_ref(), data.as_os_str(), "-m".as_ref(), "immediate".as_ref(), "stop".as_ref()],
        )
        .map(drop)
    }

    /// Kills the server with SIGKILL. Where the system shows processes (in `/proc`), this returns
    /// when the last of the server's is gone: until then it can't be started again.
    ///
    /// # Errors
    /// When it does not run, or one of its processes stays for more than half a minute.
    pub fn kill(&self) -> io::Result<()> {
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        done(Command::new("kill").args(["-KILL", &pid]).output()?, "kill")?;
        let deadline = Instant::now() + GONE_WITHIN;
        // A process can only wait for its children, so this looks at all. One without a parent that
        // has ended remains for a while, without a directory.
        let server = Path::new("/proc").join(&pid);
        while server.exists() || self.has_processes() {
            if Instant::now() > deadline {
                return Err(io::Error::other("a process of the server that was killed stays"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// True while a process works in its data directory, as all of the server's do.
    fn has_processes(&self) -> bool {
        let data = self.directory.join("data");
        let data = data.canonicalize().unwrap_or(data);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut works_in = processes.filter_map(|it| fs::read_link(it.path().join("cwd")).ok());
        works_in.any(|directory| directory == data)
    }

    /// Starts the server again, on its port, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not start: its log is in the message.
    pub fn restart(&self) -> io::Result<()> {
        let (data, log) = (self.directory.join("data"), self.directory.join("log"));
        let mut options = format!("-p {}", self.port);
        for setting in SETTINGS {
            options.push_str(&format!(" -c {setting}"));
        }
        if self.syncs {
            // The last setting of a name counts.
            options.push_str(" -c fsync=on -c full_page_writes=on");
        }
        let arguments: [&OsStr; 9] = [
            "-D".as_ref(),
            data.as_os_str(),
            "-l".as_ref(),
            log.as_os_str(),
            "-o".as_ref(),
            options.as_ref(),
            "-w".as_ref(),
            "-s".as_ref(),
            "start".as_ref(),
        ];
        self.run("pg_ctl", arguments).map(drop).map_err(|error| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{error}\n{log}"))
        })
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        binary: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<Output> {
        let mut command = Command::new(self.binaries.join(binary));
        command.args(arguments).current_dir(&self.directory);
        become_account(&mut command, self.account);
        // Files, not pipes: the server inherits them and would keep a pipe open.
        let said = self.directory.join(format!("{binary}.out"));
        let out = fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let status = command.status()?;
        let stderr = fs::read(&said).unwrap_or_default();
        done(Output { status, stdout: Vec::new(), stderr }, binary)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let watchdog = self.watchdog.get_mut();
        drop(watchdog.stdin.take());
        let _ = watchdog.wait();
    }
}

/// Starts a shell that outlives this process for as long as it takes to clean up.
fn watchdog(binaries: &Path, directory: &Path, account: Option<Account>) -> io::Result<Child> {
    const SCRIPT: &str = r#"
        trap '' INT TERM HUP
        cat >/dev/null
        "$1/pg_ctl" -D "$2/data" -m immediate -s stop
        rm -rf "$2"
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(binaries).arg(directory).current_dir("/");
    become_account(&mut command, account);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn become_account(command: &mut Command, account: Option<Account>) {
    use std::os::unix::process::CommandExt as _;
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
}

fn is_required() -> bool {
    ["CI", "BUGLE_REQUIRE_POSTGRES"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0"))
}

fn newest_first(parent: &str) -> Vec<PathBuf> {
    let version = |path: &PathBuf| -> u32 {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_start_matches("postgresql@").parse().unwrap_or(0)
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    folders.sort_by_key(|path| std::cmp::Reverse(version(path)));
    folders.into_iter().map(|path| path.join("bin")).collect()
}

/// Makes a new directory that its owner alone can read, in a place that every account can reach.
fn new_directory() -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bugle-postgres-{}-{number}", std::process::id());
        let directory = env::temp_dir().join(name);
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// The account to use instead of root; `None` when this process is not root.
fn account(made: &Path) -> io::Result<Option<Account>> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata(made)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let user = fields.next()?.parse().ok()?;
        Some(Account { user, group: fields.next()?.parse().ok()? })
    };
    of("postgres").or_else(|| of("nobody")).map(Some).ok_or_else(|| {
        io::Error::other("PostgreSQL does not run as root, and there is no account nobody here")
    })
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn done(output: Output, what: &str) -> io::Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{what}: {}: {said}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_takes_databases_dies_comes_back_and_leaves_nothing() {
        let Some(server) = Postgres::start_or_skip() else { return };
        let reachable = || std::net::TcpStream::connect(("127.0.0.1", server.port())).is_ok();
        let (one, other) = (server.create_database().ok(), server.create_database().ok());
        assert!(one.is_some() && one != other);
        assert!(server.stop_immediately().is_ok() && !reachable());
        assert!(server.restart().is_ok() && reachable());
        assert!(server.create_database().is_ok());
        let (directory, port) = (server.directory.clone(), server.port());
        drop(server);
        assert!(!directory.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
