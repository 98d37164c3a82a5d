//! The shell around [`place_group`]: a bounded queue, and a task that takes what waits in it and places it
//! as one group after the other.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use giftd_domain::limits;
use giftd_domain::orders::place::PlaceOrder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::operation::{Around, OPERATION_SECONDS, no_answer, run};
use super::place::{Kinds, Placing, place_group};
use crate::{Placed, StoreError};

/// The way to the writing task.
pub(super) struct Writer {
    queue: mpsc::Sender<Queued>,
    gifts: Arc<Semaphore>,
}

/// An order that waits.
struct Queued {
    command: PlaceOrder,
    reply: oneshot::Sender<Result<Placed, StoreError>>,
    /// Its share of the gifts that may wait, given back with the answer.
    gifts: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts the task. It ends once this is dropped and the queue is empty.
    pub(super) fn start(pool: Pool, group_orders: usize) -> Self {
        let (queue, queued) = mpsc::channel(limits::WRITES_QUEUED);
        tokio::spawn(write_groups(pool, queued, group_orders.max(1)));
        Self { queue, gifts: Arc::new(Semaphore::new(limits::GIFTS_QUEUED)) }
    }

    /// Places an order in the next group; answers once it is committed, or in the time of an operation: who waits
    /// for a group that hangs, or behind one, isn't kept longer. The order may be placed after that; its key tells.
    pub(super) async fn place(&self, command: PlaceOrder) -> Result<Placed, StoreError> {
        let gifts = u32::try_from(command.gifts.len()).map_err(|_| StoreError::Full)?;
        let gifts = Arc::clone(&self.gifts).try_acquire_many_owned(gifts).map_err(|_| StoreError::Full)?;
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Queued { command, reply, gifts }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        let limit = Duration::from_secs(OPERATION_SECONDS);
        match timeout(limit, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(stopped())),
            Err(_) => Err(no_answer(limit)),
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer has stopped".into())
}

/// One group in flight at a time: while it is, the next one gathers in the queue.
async fn write_groups(pool: Pool, mut queued: mpsc::Receiver<Queued>, group_orders: usize) {
    let kinds = Arc::new(Kinds::default());
    let mut held_over = None;
    loop {
        let first = match held_over.take() {
            Some(first) => first,
            None => match queued.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut gifts = first.command.gifts.len();
        let mut group = vec![first];
        while group.len() < group_orders {
            let Ok(next) = queued.try_recv() else { break };
            gifts += next.command.gifts.len();
            if gifts > limits::GROUP_GIFTS {
                held_over = Some(next);
                break;
            }
            group.push(next);
        }
        write_group(&pool, &kinds, group).await;
    }
}

async fn write_group(pool: &Pool, kinds: &Arc<Kinds>, group: Vec<Queued>) {
    let (mut commands, mut callers) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for Queued { command, reply, gifts } in group {
        commands.push(command);
        callers.push((reply, gifts));
    }
    let commands = Arc::new(commands);
    let result = {
        let (commands, kinds) = (Arc::clone(&commands), Arc::clone(kinds));
        run(pool, Around::Own, move |connection| {
            let (commands, kinds) = (Arc::clone(&commands), Arc::clone(&kinds));
            Box::pin(async move { place_group(connection, &commands, &kinds).await })
        })
        .await
    };
    let commands = Arc::unwrap_or_clone(commands);
    let placings = match result {
        Ok(placings) => placings,
        Err(error) => {
            tracing::warn!(orders = commands.len(), %error, "a group of orders was not placed");
            vec![Placing::Refused(error); commands.len()]
        }
    };
    for ((command, placing), (reply, gifts)) in commands.into_iter().zip(placings).zip(callers) {
        // A caller who has gone away will ask again with the same key.
        let _ = reply.send(answer(command, placing));
        drop(gifts);
    }
}

fn answer(command: PlaceOrder, placing: Placing) -> Result<Placed, StoreError> {
    match placing {
        Placing::New(order_id) => Ok(Placed::New(Box::new(command.into_order(order_id)))),
        Placing::Known(known) => {
            Ok(Placed::Known { order_id: known.order_id, same_request: known.fingerprint == command.fingerprint })
        }
        Placing::Insufficient { required, available } => Ok(Placed::Insufficient { required, available }),
        Placing::Refused(error) => Err(error),
    }
}
