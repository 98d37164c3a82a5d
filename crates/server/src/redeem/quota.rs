//! Forms of a gift's pages: each may write to the database, so that whoever has a link sends only so many in a
//! minute.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use giftd_domain::ids::GiftKey;
use giftd_domain::limits;

use crate::api::failures::Failures;
use crate::clock::Clock;

/// A gift's forms are counted wherever they come from.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// For which gift forms came when.
#[derive(Clone)]
pub struct Quota(Arc<Failures>);

impl Quota {
    /// None came yet.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Failures::at_most(limits::FORMS_A_MINUTE, clock)))
    }

    /// Counts a form, unless it has to wait: then for how long.
    pub async fn count(&self, gift: GiftKey) -> Result<(), Duration> {
        let gift = format!("{}/{}/{}", gift.account_id, gift.order, gift.position);
        match self.0.wait(&gift, ANYWHERE).await {
            Some(wait) => Err(wait),
            None => {
                self.0.count(&gift, ANYWHERE).await;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use giftd_domain::ids::{AccountId, TimeId};

    use super::*;

    #[tokio::test]
    async fn each_gift_has_so_many_forms_in_any_minute() {
        let clock = Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"));
        let quota = Quota::new(clock.clone());
        let gift = GiftKey { account_id: AccountId(7), order: TimeId::from_bits(9), position: 1 };
        for _ in 0..limits::FORMS_A_MINUTE {
            assert_eq!(quota.count(gift).await, Ok(()));
            clock.advance(Duration::from_secs(1));
        }
        let rest = 60_u64.saturating_sub(u64::from(limits::FORMS_A_MINUTE));
        assert_eq!(quota.count(gift).await, Err(Duration::from_secs(rest)));
        for other in [
            GiftKey { account_id: AccountId(8), ..gift },
            GiftKey { order: TimeId::from_bits(8), ..gift },
            GiftKey { position: 2, ..gift },
        ] {
            assert_eq!(quota.count(other).await, Ok(()), "{other:?}");
        }
        clock.advance(Duration::from_secs(rest));
        assert_eq!(quota.count(gift).await, Ok(()));
        assert_eq!(quota.count(gift).await, Err(Duration::from_secs(1)));
    }
}
