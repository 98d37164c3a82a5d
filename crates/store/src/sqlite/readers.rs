//! A few threads that only read, each with its own connection and, for every question, one snapshot.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use giftd_domain::limits;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connection::open_reader;
use crate::StoreError;

/// Threads that read: one is left for others while large orders are read.
const READERS: usize = limits::LARGE_ORDERS_READ + 1;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The readers' queue; dropping it ends the threads and closes their connections.
pub(super) struct Readers {
    /// None only while it is dropped.
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader's thread panicked");
            }
        }
    }
}

impl Readers {
    /// Starts the threads on the database at `path`.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let (questions, waiting) = mpsc::channel::<Question>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::with_capacity(READERS);
        for index in 0..READERS {
            let connection = open_reader(path)?;
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-reader-{index}"))
                .spawn(move || {
                    loop {
                        let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(question) = question else { return };
                        question(&connection);
                    }
                })
                .map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
            threads.push(thread);
        }
        Ok(Self { questions: Some(questions), threads })
    }

    /// The answer of `question`, which sees one state of the database throughout.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("a reader has stopped".into());
        let questions = self.questions.as_ref().ok_or_else(stopped)?;
        questions
            .send(Box::new(move |connection| {
                if !reply.is_closed() {
                    drop(reply.send(in_snapshot(connection, question)));
                }
            }))
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    question: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let answer = question(&snapshot)?;
    snapshot.finish()?;
    Ok(answer)
}
