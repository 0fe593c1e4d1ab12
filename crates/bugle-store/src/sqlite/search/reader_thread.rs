//! A thread that reads: what is not in memory is read there, so that no caller is held up.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use bugle_core::{BoxFuture, PageCursor};
use futures_channel::oneshot;
use rusqlite::Connection;

use crate::sqlite::error::{StoreError, Trouble};
use crate::sqlite::tables::schema;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Below which row a page has its rows.
pub(crate) fn below(cursor: Option<PageCursor>) -> i64 {
    cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor.number()).unwrap_or(i64::MAX))
}

/// Asks a thread that reads.
#[derive(Debug)]
pub(crate) struct Lookup {
    questions: Option<Sender<Question>>,
    thread: Option<JoinHandle<()>>,
    file: PathBuf,
}

impl Lookup {
    /// Starts a thread of this name.
    pub(crate) fn start(file: &Path, name: &str) -> Result<Self, StoreError> {
        let conn = schema::reader(file)?;
        let (questions, asked) = channel::<Question>();
        let run = move || {
            for question in asked {
                question(&conn);
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| StoreError::io(file, &error))?;
        Ok(Self { questions: Some(questions), thread: Some(thread), file: file.to_owned() })
    }

    /// Starts a thread that opens the database anew for each question, and only to read it.
    pub(crate) fn start_anew(file: &Path) -> Result<Self, StoreError> {
        let (questions, asked) = channel::<Question>();
        let name = file.to_owned();
        let run = move || {
            for question in asked {
                // Who asks of a database that can't be opened any more is told so.
                if let Ok(conn) = schema::read_only(&name) {
                    question(&conn);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("bugle-store-reader".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::io(file, &error))?;
        Ok(Self { questions: Some(questions), thread: Some(thread), file: file.to_owned() })
    }

    /// Asks, and answers later.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Trouble>> {
        let (answer, answered) = oneshot::channel();
        let file = self.file.clone();
        let ask = move |conn: &Connection| {
            let found = question(conn).map_err(|error| Trouble::of(&file, &error));
            // Who asked may have gone.
            let _ = answer.send(found);
        };
        if let Some(questions) = &self.questions {
            // The thread is there as long as this is.
            let _ = questions.send(Box::new(ask));
        }
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(Trouble::closed())) })
    }
}

impl Lookup {
    /// Answers what was asked, and ends the thread and its connection.
    pub(crate) fn stop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.stop();
    }
}
