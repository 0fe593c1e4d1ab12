//! Notices when nobody reads standard output any more.

/// Waits until nobody reads the pipe that standard output is, as after `| head -1`: a command that
/// waits for something to print would learn of that only by printing. Where standard output is no
/// pipe, this never ends.
#[cfg(unix)]
pub(crate) async fn nobody_reads() {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileTypeExt as _;

    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    let sender = std::io::stdout().as_fd().try_clone_to_owned().ok().and_then(|fd| {
        let file = std::fs::File::from(fd);
        let is_pipe = file.metadata().is_ok_and(|it| it.file_type().is_fifo());
        is_pipe.then(|| Sender::from_owned_fd_unchecked(file.into()).ok()).flatten()
    });
    if let Some(sender) = sender
        && sender.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Waits for ever: only Unix tells.
#[cfg(not(unix))]
pub(crate) async fn nobody_reads() {
    std::future::pending().await
}
