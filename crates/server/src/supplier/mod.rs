//! Where codes come from. A redemption is reserved in the database first, then its supplier is asked for a
//! code, then it is settled by what the supplier said; whatever crashes in between is asked again with the
//! same id, and answered with the same code.

mod inventory;
mod sandbox;
pub mod sealed;
mod stock;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, RedemptionState, Supplied};
use giftd_domain::ids::GiftKey;
use giftd_domain::limits;
use giftd_domain::money::Money;
use giftd_store::StoreError;

use self::inventory::Inventory;
use self::sandbox::Sandbox;
use self::sealed::Place;
pub use self::stock::{InStock, in_stock};
use crate::state::Giftd;

/// A code as its recipient needs it. Neither printed nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    /// The code.
    pub code: String,
    /// Its PIN, where it has one.
    pub pin: Option<String>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// What a supplier says to a redemption.
#[derive(Debug)]
pub enum Answer {
    /// Here is its code.
    Code(Code),
    /// There is none, and none was handed out under this id.
    Refused,
    /// It isn't known whether one was handed out, and why: it has to be asked again with the same id. The
    /// text holds no code.
    Unknown(String),
}

/// Hands out codes.
#[async_trait]
pub trait Supplier: Send + Sync {
    /// A code of a product that is worth `face`, for a redemption. The same redemption is answered with the
    /// same code each time that it asks, also when an answer was lost; no other ever is.
    async fn ask(&self, product_id: &str, face: Money, redemption: RedemptionId) -> Answer;
}

/// Asks the environment's supplier for a reserved redemption's code and settles what it said. Returns the
/// redemption as it stands: still RESERVED where the answer isn't known yet, for which the workers ask again.
/// One that is settled already is returned as it is.
pub async fn supply(
    giftd: &Giftd,
    gift: GiftKey,
    environment: Environment,
    redemption: &Redemption,
) -> Result<Redemption, StoreError> {
    match environment {
        Environment::Production => supply_from(giftd, &Inventory(giftd), gift, redemption).await,
        Environment::Sandbox => supply_from(giftd, &Sandbox(giftd.keys.codes()), gift, redemption).await,
    }
}

/// The same, from this supplier.
pub async fn supply_from(
    giftd: &Giftd,
    supplier: &dyn Supplier,
    gift: GiftKey,
    redemption: &Redemption,
) -> Result<Redemption, StoreError> {
    if redemption.state != RedemptionState::Reserved {
        return Ok(redemption.clone());
    }
    let answer = tokio::select! {
        answer = supplier.ask(&redemption.product_id, redemption.face, redemption.id) => answer,
        () = giftd.clock.sleep(Duration::from_secs(limits::SUPPLIER_SECONDS)) => {
            Answer::Unknown(format!("no answer within {} seconds", limits::SUPPLIER_SECONDS))
        }
    };
    tell(gift, redemption, &answer);
    let supplied = match answer {
        Answer::Code(code) => Supplied::Code(sealed::seal(
            giftd.keys.codes(),
            giftd.clock.random_bytes(),
            Place::Redemption(redemption),
            &code,
        )),
        Answer::Refused => Supplied::Refused,
        Answer::Unknown(_) => return Ok(redemption.clone()),
    };
    let settled =
        giftd.store.settle_redemption(gift, redemption.id, supplied, giftd.clock.now(), giftd.clock.entropy()).await?;
    settled.ok_or_else(|| StoreError::Broken("a reserved redemption is gone".into()))
}

/// The code of a redemption that is DONE. None where there is none, or it can't be read, which is logged.
pub fn reveal(giftd: &Giftd, redemption: &Redemption) -> Option<Code> {
    let sealed = redemption.code.as_ref()?;
    match sealed::open(giftd.keys.codes(), Place::Redemption(redemption), sealed) {
        Ok(code) => Some(code),
        Err(error) => {
            tracing::error!(redemption = %Shown(redemption.id), %error, "a redeemed code can't be read");
            None
        }
    }
}

/// Says what is counted here; counters begin at 0, so that their growth can be watched.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!("giftd_supplier_answers_total", "Answers of suppliers of codes, by what they said.");
    for answer in ["code", "refused", "unknown"] {
        metrics::counter!("giftd_supplier_answers_total", "answer" => answer).increment(0);
    }
}

/// Counts an answer, and logs those that an operator has to know.
fn tell(gift: GiftKey, redemption: &Redemption, answer: &Answer) {
    let (order, position) = (gift.order, gift.position);
    let (product, face, id) = (&redemption.product_id, redemption.face, Shown(redemption.id));
    let said = match answer {
        Answer::Code(_) => "code",
        Answer::Refused => {
            tracing::warn!(
                %order, position, redemption = %id, product, %face,
                "out of stock: a gift can't be redeemed; `giftd codes import` brings new codes"
            );
            "refused"
        }
        Answer::Unknown(why) => {
            tracing::error!(
                %order, position, redemption = %id, product, %face, why,
                "it isn't known whether a code was handed out; the supplier is asked again"
            );
            "unknown"
        }
    };
    metrics::counter!("giftd_supplier_answers_total", "answer" => said).increment(1);
}

/// A redemption's id in the log.
struct Shown(RedemptionId);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0.0)
    }
}
