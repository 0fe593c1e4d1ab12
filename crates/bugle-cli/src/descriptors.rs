//! The number of files that this process may have open.

/// Raises the soft limit to the hard one. Where the system refuses, the limit stays as it is, and
/// the cap on connections, which follows from it, is smaller.
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
