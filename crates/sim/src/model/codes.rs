//! Imported codes.

use std::collections::BTreeMap;

use giftd_domain::Timestamp;
use giftd_domain::gifts::redemption::{NewCode, RedemptionId, Stock};
use giftd_store::CodesImport;

use super::{Code, Contradiction, Heard, Model};
use crate::command::Answer;

impl Model {
    pub(super) fn import_codes(&mut self, product_id: &str, codes: &[NewCode], now: Timestamp) -> Answer {
        let mut import = CodesImport::default();
        for NewCode { hash, face_value, sealed } in codes {
            if self.codes.contains_key(hash) {
                import.skipped += 1;
                continue;
            }
            import.imported += 1;
            let (product_id, sealed) = (product_id.to_owned(), sealed.clone());
            let code = Code { product_id, face_value: *face_value, sealed, imported_at: now, taken: None };
            self.codes.insert(*hash, code);
        }
        Answer::CodesImport(import)
    }

    /// A redemption has one code at most, and a code one redemption.
    pub(super) fn take_code(
        &mut self,
        product_id: &str,
        face_value: i64,
        redemption: RedemptionId,
        heard: Heard<'_>,
    ) -> Result<(), Contradiction> {
        let is_asked_for = |code: &Code| code.product_id == product_id && code.face_value == face_value;
        if let Some(known) = self.codes.values().find(|code| code.taken == Some(redemption)) {
            let expected = Answer::Code(is_asked_for(known).then(|| known.sealed.clone()));
            return match heard.answer {
                Some(answer) if *answer != expected => Err(Contradiction::of(expected, answer)),
                _ => Ok(()),
            };
        }
        let in_stock = |code: &Code| is_asked_for(code) && code.taken.is_none();
        let oldest = self.codes.values().filter(|code| in_stock(code)).map(|code| code.imported_at).min();
        let chosen = match (heard.answer, heard.rows) {
            (Some(Answer::Code(None)), _) if oldest.is_none() => return Ok(()),
            (Some(Answer::Code(Some(sealed))), _) => self.codes.iter_mut().find(|(_, code)| code.sealed == *sealed),
            (None, Some(rows)) => {
                self.codes.iter_mut().find(|(hash, _)| rows.codes.get(*hash) == Some(&Some(redemption)))
            }
            (answer, _) => return Err(Contradiction::of(format!("a code imported at {oldest:?}"), answer)),
        };
        match chosen {
            Some((_, code)) if in_stock(code) && (!heard.alone || Some(code.imported_at) == oldest) => {
                code.taken = Some(redemption);
                Ok(())
            }
            Some((_, code)) => Err(Contradiction::of(
                format!("a code imported at {oldest:?} that nobody has"),
                (&code.product_id, code.face_value, code.imported_at, code.taken),
            )),
            None if heard.answer.is_none() && oldest.is_none() => Ok(()),
            None => Err(Contradiction::of(format!("a code imported at {oldest:?}"), heard.answer)),
        }
    }

    /// A code that came too late is in stock again.
    pub(super) fn put_back(&mut self, redemption: RedemptionId) {
        if let Some(code) = self.codes.values_mut().find(|code| code.taken == Some(redemption)) {
            code.taken = None;
        }
    }

    pub(super) fn stock(&self) -> Vec<Stock> {
        let mut stock: BTreeMap<(&str, i64), (u64, u64)> = BTreeMap::new();
        for code in self.codes.values() {
            let (available, handed_out) = stock.entry((&code.product_id, code.face_value)).or_default();
            *if code.taken.is_none() { available } else { handed_out } += 1;
        }
        let stock = stock.into_iter();
        stock
            .map(|((product_id, face_value), (available, handed_out))| Stock {
                product_id: product_id.to_owned(),
                face_value,
                available,
                handed_out,
            })
            .collect()
    }
}
