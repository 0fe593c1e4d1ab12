//! How many file descriptors this process may have.

/// Raises the soft limit to the hard one. It stays as it is where the system refuses; what follows
/// from it, the cap on connections, is then smaller.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() {}
