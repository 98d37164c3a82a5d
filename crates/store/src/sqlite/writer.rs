//! The shell around [`Group`]: a bounded queue, and its other end, which one thread has.

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
        let (mut writer, pump) = Self::stepped(connection);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || pump.run(group_orders.max(1)))
            .map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
        writer.thread = Some(thread);
        Ok(writer)
    }

    /// A queue without a thread: what is queued is written by whoever has the pump.
    pub(super) fn stepped(connection: Connection) -> (Self, Pump) {
        let (queue, jobs) = mpsc::channel(limits::WRITES_QUEUED);
        let gifts = Arc::new(Semaphore::new(limits::GIFTS_QUEUED));
        (Self { queue: Some(queue), gifts, thread: None }, Pump { connection, kinds: Kinds::new(), jobs })
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

/// The queue's other end, with the one connection that writes: writes groups, one after the other, on the thread of
/// whoever has it. A service's is in a thread of its own; a simulation has it in hand ([`SqliteStore::open_stepped`]),
/// and may stop between any two of its steps, as a process that dies does.
///
/// [`SqliteStore::open_stepped`]: super::SqliteStore::open_stepped
pub struct Pump {
    connection: Connection,
    kinds: Kinds,
    jobs: mpsc::Receiver<Job>,
}

impl Pump {
    /// The connection, between groups.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Begins a group with the operation that waits first. None where nothing waits, or where no transaction can
    /// begin, which the callers of all operations that wait are told.
    pub fn begin(&mut self) -> Option<OpenGroup<'_>> {
        let first = self.jobs.try_recv().ok()?;
        self.begin_with(first)
    }

    fn begin_with(&mut self, first: Job) -> Option<OpenGroup<'_>> {
        match Group::begin(&self.connection, &mut self.kinds) {
            Ok(group) => {
                let (rooms, replies) = (Vec::with_capacity(8), Vec::with_capacity(8));
                let mut open = OpenGroup { group, jobs: &mut self.jobs, gifts: 0, rooms, replies };
                open.run(first);
                Some(open)
            }
            Err(error) => {
                tracing::error!(%error, "a transaction could not begin");
                // It was waited for long enough: who came meanwhile shall not wait as long again, one after the other.
                // But not who comes once the first of them has heard of it.
                let waiting: Vec<Job> = std::iter::from_fn(|| self.jobs.try_recv().ok()).collect();
                for job in std::iter::once(first).chain(waiting) {
                    (job.operation)(Err(error.clone()))(Ok(()));
                }
                None
            }
        }
    }

    /// Writes until no more jobs come.
    fn run(mut self, group_orders: usize) {
        while let Some(first) = self.jobs.blocking_recv() {
            if let Some(mut group) = self.begin_with(first) {
                while group.replies.len() < group_orders && group.gifts < limits::GROUP_GIFTS && group.add_next() {}
                group.commit().answer();
            }
        }
    }
}

/// A group that isn't committed yet; dropping it leaves nothing of it, and its callers without an answer.
pub struct OpenGroup<'p> {
    group: Group<'p>,
    jobs: &'p mut mpsc::Receiver<Job>,
    gifts: usize,
    rooms: Vec<OwnedSemaphorePermit>,
    replies: Vec<Reply>,
}

impl OpenGroup<'_> {
    /// Runs the operation that waits next. `false` where none does.
    pub fn add_next(&mut self) -> bool {
        let next = self.jobs.try_recv().ok();
        let is_one = next.is_some();
        next.into_iter().for_each(|job| self.run(job));
        is_one
    }

    fn run(&mut self, job: Job) {
        self.gifts += job.gifts;
        self.rooms.push(job.room);
        self.replies.push((job.operation)(Ok(&mut self.group)));
    }

    /// Commits.
    pub fn commit(self) -> ClosedGroup {
        let committed = self.group.commit();
        if let Err(error) = &committed {
            tracing::error!(%error, operations = self.replies.len(), "a commit failed; nothing of it was written");
        }
        ClosedGroup { committed, replies: self.replies, _rooms: self.rooms }
    }
}

/// A group that is committed, or failed to be, which nobody knows yet.
pub struct ClosedGroup {
    committed: Result<(), StoreError>,
    replies: Vec<Reply>,
    _rooms: Vec<OwnedSemaphorePermit>,
}

impl ClosedGroup {
    /// Answers the callers.
    pub fn answer(self) {
        for reply in self.replies {
            reply(self.committed.clone());
        }
    }
}
