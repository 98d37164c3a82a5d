//! The built-in supplier: hands out the codes that `giftd codes import` brought.

use async_trait::async_trait;
use giftd_domain::gifts::redemption::RedemptionId;
use giftd_domain::money::Money;

use super::sealed::{self, Place};
use super::{Answer, Supplier};
use crate::state::Giftd;

/// The codes in the database.
pub(super) struct Inventory<'a>(pub(super) &'a Giftd);

#[async_trait]
impl Supplier for Inventory<'_> {
    async fn ask(&self, product_id: &str, face: Money, redemption: RedemptionId) -> Answer {
        let Self(giftd) = self;
        match giftd.store.take_code(product_id, face.minor, redemption, giftd.clock.now()).await {
            Ok(Some(sealed)) => {
                let place = Place::Stock { product_id, face_value: face.minor };
                // It is this redemption's for ever, whether it can be read now or not.
                sealed::open(giftd.keys.codes(), place, &sealed)
                    .map_or_else(|error| Answer::Unknown(format!("its code can't be read: {error}")), Answer::Code)
            }
            Ok(None) => Answer::Refused,
            // It may have been taken.
            Err(error) => Answer::Unknown(error.to_string()),
        }
    }
}
