//! The thread that syncs what the writer has written, while the writer writes what comes next.
//!
//! With one caller there is nothing to write meanwhile, and the writer syncs itself. With many, a
//! transaction is written while the one before it is on its way to the disk, and one sync is for
//! all that are written when it begins. Each is published when it is synced, in their order.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::distrust::Distrust;
use super::error::StoreError;
use super::publish::Publisher;
use super::queue::Work;

/// Syncs and publishes, transaction by transaction.
pub(super) struct Syncer {
    /// The database's log.
    file: PathBuf,
    log: Arc<OnceLock<File>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    unsynced: Mutex<Unsynced>,
    bell: Condvar,
    rest: Condvar,
}

/// What is written and not published.
#[derive(Default)]
struct Unsynced {
    waiting: Vec<Work>,
    /// How many appends there are in all, with those that are being synced.
    appends: usize,
    closed: bool,
}

impl Syncer {
    /// Starts the thread.
    pub(super) fn start(
        database: &Path,
        distrust: &Distrust,
        publisher: &Publisher,
    ) -> Result<Self, StoreError> {
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        let (log, shared) = (Arc::<OnceLock<File>>::default(), Arc::<Shared>::default());
        let run = {
            let (log, shared) = (Arc::clone(&log), Arc::clone(&shared));
            let (distrust, publisher) = (distrust.clone(), publisher.clone());
            move || shared.run(&log, &distrust, &publisher)
        };
        let thread = std::thread::Builder::new()
            .name("bugle-store-sync".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::io(database, &error))?;
        Ok(Self { file: file.into(), log, shared, thread: Some(thread) })
    }

    /// Whether it can sync: there is a log as soon as something was written.
    pub(super) fn is_ready(&self) -> bool {
        if self.log.get().is_none()
            && let Ok(log) = OpenOptions::new().read(true).write(true).open(&self.file)
        {
            let _ = self.log.set(log);
        }
        self.log.get().is_some()
    }

    /// Takes what is written.
    pub(super) fn hand_over(&self, work: Work) {
        let mut unsynced = self.shared.unsynced.lock();
        unsynced.appends += work.appends.len();
        unsynced.waiting.push(work);
        drop(unsynced);
        self.shared.bell.notify_one();
    }

    /// How many appends are written and not published.
    pub(super) fn appends(&self) -> usize {
        self.shared.unsynced.lock().appends
    }

    /// Waits until all that is written is published: what the writer publishes itself comes behind.
    pub(super) fn wait(&self) {
        let mut unsynced = self.shared.unsynced.lock();
        while unsynced.appends > 0 {
            self.shared.rest.wait(&mut unsynced);
        }
    }

    /// Does what is left, and ends the thread.
    pub(super) fn stop(&mut self) {
        self.shared.unsynced.lock().closed = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// All that waits; `None` at the end.
    fn take(&self) -> Option<Vec<Work>> {
        let mut unsynced = self.unsynced.lock();
        while unsynced.waiting.is_empty() {
            if unsynced.closed {
                return None;
            }
            self.bell.wait(&mut unsynced);
        }
        Some(std::mem::take(&mut unsynced.waiting))
    }

    fn run(&self, log: &OnceLock<File>, distrust: &Distrust, publisher: &Publisher) {
        while let Some(written) = self.take() {
            if distrust.why().is_none()
                && let Some(log) = log.get()
                && let Err(error) = log.sync_data()
            {
                distrust.failed(&error);
            }
            for mut work in written {
                let appends = work.appends.len();
                if let Some(trouble) = distrust.why() {
                    publisher.refuse_unsynced(std::mem::take(&mut work.appends), trouble);
                    work.confirmed = None;
                }
                publisher.publish(work, &[]);
                self.unsynced.lock().appends -= appends;
            }
            self.rest.notify_all();
        }
    }
}
