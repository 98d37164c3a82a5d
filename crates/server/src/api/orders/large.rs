//! Large orders that are read to be answered: megabytes each, and milliseconds. A node has few of them at once, and of
//! each account one, so that an account that asks for them over and over makes only itself wait.

use std::sync::Arc;
use std::time::Duration;

use giftd_domain::ids::AccountId;
use giftd_domain::limits;
use moka::future::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::error::ApiError;
use crate::clock::Clock;

/// Room for [`limits::LARGE_ORDERS_READ`].
pub struct LargeOrders {
    of_all: Arc<Semaphore>,
    of_accounts: Cache<AccountId, Arc<Semaphore>>,
    clock: Clock,
}

/// Room for one, until it is dropped.
pub struct Room {
    _of_account: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl LargeOrders {
    /// All room is free.
    pub fn new(clock: Clock) -> Self {
        let of_accounts = Cache::builder()
            .max_capacity(limits::ACCOUNTS_REMEMBERED)
            // By then nobody who asked has or waits for room.
            .time_to_idle(Duration::from_secs(60))
            .build();
        Self { of_all: Arc::new(Semaphore::new(limits::LARGE_ORDERS_READ)), of_accounts, clock }
    }

    /// Room for one of the account's, first come, first served; 503 where none gets free within
    /// [`limits::LARGE_ORDER_ROOM_SECONDS`].
    pub async fn room(&self, account: AccountId) -> Result<Room, ApiError> {
        let of_account = self.of_accounts.get_with(account, async { Arc::new(Semaphore::new(1)) }).await;
        let taking = async {
            // In this order: who waits for its own account's holds nothing of the others'.
            let of_account = of_account.acquire_owned().await?;
            Ok(Room { _of_account: of_account, _of_all: self.of_all.clone().acquire_owned().await? })
        };
        tokio::select! {
            biased;
            room = taking => room.map_err(|error: tokio::sync::AcquireError| ApiError::internal(error)),
            () = self.clock.sleep(Duration::from_secs(limits::LARGE_ORDER_ROOM_SECONDS)) => {
                let message = "Too many large orders are being read; try again soon, a few at a time.";
                Err(ApiError::unavailable(message, "large orders being read"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;

    type Asked<'a> = Pin<Box<dyn Future<Output = Result<Room, ApiError>> + 'a>>;

    /// What a future says when it is asked once.
    async fn at_once(asked: &mut Asked<'_>) -> Option<Result<Room, ApiError>> {
        tokio::select! {
            biased;
            room = asked => Some(room),
            () = std::future::ready(()) => None,
        }
    }

    fn ask(large: &LargeOrders, account: i64) -> Asked<'_> {
        Box::pin(large.room(AccountId(account)))
    }

    fn large_orders() -> (LargeOrders, Clock) {
        let clock = Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"));
        (LargeOrders::new(clock.clone()), clock)
    }

    #[tokio::test]
    async fn an_account_reads_one_at_a_time_and_others_go_on_beside() {
        let (large, _) = large_orders();
        let held = large.room(AccountId(1)).await.expect("room");
        let mut waiting: Vec<_> = (0..10).map(|_| ask(&large, 1)).collect();
        for asked in &mut waiting {
            assert!(at_once(asked).await.is_none(), "it waits for the first");
        }
        assert!(large.room(AccountId(2)).await.is_ok(), "who waits holds nothing");
        drop(held);
        assert!(waiting.remove(0).await.is_ok());
    }

    #[tokio::test]
    async fn who_gets_no_room_in_time_is_told_to_come_again() {
        let (large, clock) = large_orders();
        let mut held = Vec::new();
        for account in 1.. {
            match at_once(&mut ask(&large, account)).await {
                Some(room) => held.push(room.expect("room")),
                None => break,
            }
        }
        assert_eq!(held.len(), limits::LARGE_ORDERS_READ);
        let mut late = ask(&large, 1_000);
        assert!(at_once(&mut late).await.is_none());
        clock.advance(Duration::from_secs(limits::LARGE_ORDER_ROOM_SECONDS));
        let refused = late.await.err().expect("no room");
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "UNAVAILABLE"));
        held.pop();
        assert!(large.room(AccountId(1_000)).await.is_ok(), "what was given up is free for others");
    }
}
