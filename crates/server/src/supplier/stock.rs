//! What can be handed out now, so that recipients aren't shown brands without a code.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use giftd_domain::access::Environment;
use giftd_domain::gifts::redemption::Stock;
use giftd_store::StoreError;

use crate::state::Giftd;

/// What a supplier can hand out.
#[derive(Debug)]
pub enum InStock {
    /// Whatever is asked for.
    Everything,
    /// Only these face values, in minor units, by product.
    These(HashMap<String, BTreeSet<i64>>),
}

impl InStock {
    /// What is in stock of `stock`.
    pub fn of(stock: &[Stock]) -> Self {
        let mut these: HashMap<String, BTreeSet<i64>> = HashMap::new();
        for row in stock.iter().filter(|row| row.available > 0) {
            these.entry(row.product_id.clone()).or_default().insert(row.face_value);
        }
        Self::These(these)
    }

    /// Whether there is a code of a product that is worth `face_value`, in minor units.
    pub fn has(&self, product_id: &str, face_value: i64) -> bool {
        match self {
            Self::Everything => true,
            Self::These(these) => these.get(product_id).is_some_and(|values| values.contains(&face_value)),
        }
    }
}

/// What can be handed out in an environment, at most [`giftd_domain::limits::MEMORY_SECONDS`] old.
pub async fn in_stock(giftd: &Giftd, environment: Environment) -> Result<Arc<InStock>, StoreError> {
    match environment {
        Environment::Sandbox => Ok(Arc::new(InStock::Everything)),
        Environment::Production => giftd.in_stock().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_code_left_is_in_stock() {
        let row = |face_value, available| Stock { product_id: "1".to_owned(), face_value, available, handed_out: 1 };
        let stock = InStock::of(&[row(1_000, 2), row(2_000, 0)]);
        assert!(stock.has("1", 1_000));
        assert!(!stock.has("1", 2_000) && !stock.has("1", 3_000) && !stock.has("2", 1_000));
        assert!(InStock::Everything.has("2", 1));
    }
}
