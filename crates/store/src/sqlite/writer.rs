//! The shell around [`Group`]: a bounded queue, and the one thread that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use giftd_domain::limits;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::error::broken;
use super::group::{Group, Kinds};
use crate::StoreError;

/// Tells the caller, once it is known whether the group was committed.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Runs in a group, or learns why there is none.
type Operation = Box<dyn FnOnce(Result<&mut Group<'_>, StoreError>) -> Reply + Send>;

struct Job {
    operation: Operation,
    gifts: usize,
    /// Room in the queue, given back when the job is answered.
    room: OwnedSemaphorePermit,
}

/// The queue's end for callers. Dropping it ends the thread once all that waits is written.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    gifts: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; up to `group_orders` operations share a commit.
    pub(super) fn start(connection: Connection, group_orders: usize) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(limits::WRITES_QUEUED);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write_groups(&connection, jobs, group_orders.max(1)))
            .map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
        let gifts = Arc::new(Semaphore::new(limits::GIFTS_QUEUED));
        Ok(Self { queue: Some(queue), gifts, thread: Some(thread) })
    }

    /// Runs an operation that writes about `gifts` gifts; the answer comes after the commit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        gifts: usize,
        operation: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let weight = u32::try_from(gifts.clamp(1, limits::GIFTS_QUEUED)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.gifts).try_acquire_many_owned(weight).map_err(|_| StoreError::Full)?;
        let (reply, answer) = oneshot::channel();
        let operation = Box::new(move |group: Result<&mut Group<'_>, StoreError>| -> Reply {
            let result = group.and_then(|group| {
                group.run(|group| {
                    catch_unwind(AssertUnwindSafe(|| operation(group)))
                        .unwrap_or_else(|_| Err(broken("an operation panicked")))
                })
            });
            // A caller that went away has its answer in the database.
            Box::new(move |committed| drop(reply.send(committed.and(result))))
        });
        let stopped = || StoreError::Unavailable("the writer has stopped".into());
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(Job { operation, gifts, room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

fn write_groups(connection: &Connection, mut jobs: mpsc::Receiver<Job>, group_orders: usize) {
    let mut kinds = Kinds::new();
    while let Some(first) = jobs.blocking_recv() {
        write_group(connection, &mut kinds, first, &mut jobs, group_orders);
    }
}

/// Writes what waits, up to a group's size, with one commit, and answers.
fn write_group(
    connection: &Connection,
    kinds: &mut Kinds,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
    group_orders: usize,
) {
    let mut group = match Group::begin(connection, kinds) {
        Ok(group) => group,
        Err(error) => {
            tracing::error!(%error, "a transaction could not begin");
            // It was waited for long enough: who came meanwhile shall not wait as long again, one after the other.
            let waiting = std::iter::from_fn(|| jobs.try_recv().ok());
            return std::iter::once(first).chain(waiting).for_each(|job| (job.operation)(Err(error.clone()))(Ok(())));
        }
    };
    let mut gifts = first.gifts;
    let mut rooms = Vec::with_capacity(8);
    let mut replies = Vec::with_capacity(8);
    let mut next = Some(first);
    while let Some(job) = next {
        rooms.push(job.room);
        replies.push((job.operation)(Ok(&mut group)));
        next = if replies.len() < group_orders && gifts < limits::GROUP_GIFTS { jobs.try_recv().ok() } else { None };
        gifts += next.as_ref().map_or(0, |job| job.gifts);
    }
    let committed = group.commit();
    if let Err(error) = &committed {
        tracing::error!(%error, operations = replies.len(), "a commit failed; nothing of it was written");
    }
    for reply in replies {
        reply(committed.clone());
    }
}
