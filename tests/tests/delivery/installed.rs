//! Real servers, where they are installed: nginx and Squid. A test starts them on loopback alone,
//! and they end with it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;

/// The time within which a server must listen.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// A server that runs until this is dropped.
pub struct Installed {
    process: Child,
    directory: TempDir,
    pub address: SocketAddr,
}

impl Installed {
    /// Starts nginx with these directives for its one server, which speaks HTTP/2 without TLS and
    /// answers 204. `None`, said on standard error, where it isn't installed; a failure in CI.
    pub fn nginx(directives: &str) -> Option<Self> {
        let program = find("nginx")?;
        Some(Self::start(|directory, port| {
            let at = directory.display();
            let config = format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log {at}/access.log;\n\
                 client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3;\n\
                 uwsgi_temp_path {at}/4; scgi_temp_path {at}/5;\n\
                 server {{ listen 127.0.0.1:{port} http2; {directives}\n\
                 location / {{ return 204; }} }} }}\n"
            );
            fs::write(directory.join("nginx.conf"), config).unwrap();
            let mut command = Command::new(&program);
            command.arg("-c").arg(directory.join("nginx.conf")).arg("-p").arg(directory);
            command
        }))
    }

    /// Starts Squid, which makes tunnels to this port alone, as it does to 443 by default.
    pub fn squid(tunnels_to: u16) -> Option<Self> {
        let program = find("squid")?;
        Some(Self::start(|directory, port| {
            let config = format!(
                "http_port 127.0.0.1:{port}\n\
                 acl SSL_ports port {tunnels_to}\nacl CONNECT method CONNECT\n\
                 http_access deny CONNECT !SSL_ports\nhttp_access allow all\n\
                 cache deny all\naccess_log none\ncache_log /dev/null\npid_filename none\n\
                 pinger_enable off\nshutdown_lifetime 0 seconds\ncoredump_dir none\n"
            );
            fs::write(directory.join("squid.conf"), config).unwrap();
            let mut command = Command::new(&program);
            command.arg("-N").arg("-f").arg(directory.join("squid.conf"));
            command
        }))
    }

    fn start(prepare: impl Fn(&Path, u16) -> Command) -> Self {
        // Another process may take the port meanwhile: then another port is tried.
        for _ in 0..5 {
            let directory = TempDir::new().unwrap();
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut command = prepare(directory.path(), address.port());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn().unwrap();
            let mut server = Self { process, directory, address };
            if server.listens() {
                return server;
            }
        }
        panic!("a server that is installed does not start");
    }

    fn listens(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < STARTED_WITHIN {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if !matches!(self.process.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The number of requests that nginx has answered with this status.
    pub fn answered(&self, status: u16) -> usize {
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap();
        log.lines().filter(|line| line.contains(&format!("\" {status} "))).count()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let standard = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(Into::into);
    let found = env::split_paths(&path)
        .chain(standard)
        .map(|folder| folder.join(program))
        .find(|file| file.exists());
    let required = format!("BUGLE_REQUIRE_{}", program.to_uppercase());
    if found.is_none() {
        let wanted = ["CI", required.as_str()].into_iter().any(|name| env::var_os(name).is_some());
        assert!(!wanted, "{program} is not installed, and {required} or CI says that it must be");
        // The print macros' output is hidden when a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
    }
    found
}
