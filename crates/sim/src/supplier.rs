//! Suppliers of codes: one of their own codes (a sandbox's), and the stock that the store itself hands out. Whoever asks
//! may get no answer, a late one, or one twice.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::{Redemption, RedemptionId, Sealed, Supplied};
use giftd_domain::ids::GiftKey;

use crate::command::Command;
use crate::dice::Dice;

/// A redemption whose supplier is asked.
#[derive(Clone, Debug)]
struct Question {
    gift: GiftKey,
    environment: Environment,
    redemption: Redemption,
}

/// What a supplier said, on its way to whoever asked.
#[derive(Clone, Debug)]
struct Reply {
    gift: GiftKey,
    id: RedemptionId,
    supplied: Supplied,
}

/// Both suppliers, and what is on its way to and from them.
#[derive(Default)]
pub struct Supplier {
    questions: Vec<Question>,
    replies: Vec<Reply>,
    /// What the supplier of sandboxes said to each: it never says anything else.
    said: BTreeMap<RedemptionId, Option<Supplied>>,
}

/// Questions and replies that are remembered.
const REMEMBERED: usize = 100;

/// The code of a sandbox's redemption.
fn code(id: RedemptionId) -> Sealed {
    Sealed { key_id: "key 1".to_owned(), bytes: format!("TEST-{:032x}", id.0).into_bytes() }
}

impl Supplier {
    /// Asks for a reserved redemption.
    pub fn ask(&mut self, gift: GiftKey, environment: Environment, redemption: &Redemption) {
        self.questions.push(Question { gift, environment, redemption: redemption.clone() });
        let too_many = self.questions.len().saturating_sub(REMEMBERED);
        self.questions.drain(..too_many);
    }

    /// Whether something is on its way.
    pub fn is_busy(&self) -> bool {
        !self.questions.is_empty() || !self.replies.is_empty()
    }

    /// What the stock of imported codes said to a redemption: there may be no answer, or a late one.
    pub fn stock_said(&mut self, redemption: RedemptionId, code: Option<Sealed>, dice: &mut Dice) {
        let Some(question) = self.questions.iter().find(|of| of.redemption.id == redemption) else { return };
        let supplied = code.map_or(Supplied::Refused, Supplied::Code);
        let reply = Reply { gift: question.gift, id: redemption, supplied };
        if dice.chance(85) {
            self.replies.push(reply);
        }
        let too_many = self.replies.len().saturating_sub(REMEMBERED);
        self.replies.drain(..too_many);
    }

    /// What happens next on the way: a supplier is asked, or somebody hears what one said.
    pub fn next(&mut self, now: Timestamp, dice: &mut Dice) -> Option<Command> {
        if !self.replies.is_empty() && (self.questions.is_empty() || dice.chance(60)) {
            let place = dice.index(self.replies.len());
            let Reply { gift, id, supplied } = self.replies[place].clone();
            // Some are told twice.
            if dice.chance(90) {
                self.replies.remove(place);
            }
            self.questions.retain(|of| of.redemption.id != id || dice.chance(30));
            return Some(Command::SettleRedemption { gift, id, supplied, now, entropy: dice.bits() });
        }
        if self.questions.is_empty() {
            return None;
        }
        let place = dice.index(self.questions.len());
        let Question { gift, environment, redemption } = self.questions[place].clone();
        let id = redemption.id;
        match environment {
            Environment::Production => {
                let Redemption { product_id, face, .. } = redemption;
                Some(Command::TakeCode { product_id, face_value: face.minor, redemption: id, now })
            }
            Environment::Sandbox => {
                self.questions.remove(place);
                let supplied = self.answer(id, dice)?;
                if dice.chance(20) {
                    self.replies.push(Reply { gift, id, supplied });
                    return None;
                }
                Some(Command::SettleRedemption { gift, id, supplied, now, entropy: dice.bits() })
            }
        }
    }

    /// What the supplier of sandboxes says. None where its answer is lost, or where it doesn't know yet.
    fn answer(&mut self, id: RedemptionId, dice: &mut Dice) -> Option<Supplied> {
        let choice = dice.weighted(&[(65, Some(true)), (20, Some(false)), (15, None)]);
        let said = self.said.entry(id).or_default();
        if said.is_none() {
            *said = choice.map(|has_one| if has_one { Supplied::Code(code(id)) } else { Supplied::Refused });
        }
        let said = said.clone();
        if dice.chance(15) { None } else { said }
    }

    /// What it says once nothing fails any more.
    pub fn answer_now(&mut self, id: RedemptionId) -> Supplied {
        self.said.entry(id).or_default().get_or_insert(Supplied::Code(code(id))).clone()
    }
}
