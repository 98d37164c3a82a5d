//! Arguments that several commands take.

use giftd_domain::access::{Environment, Scopes};
use giftd_domain::ids::OrganizationId;
use giftd_domain::money::{Currency, decimal_from_json};

use super::output::Failure;

/// `--org ID`
pub fn organization(text: &str) -> Result<OrganizationId, String> {
    text.parse().map_err(|_| "an organization's id is a number: see giftd org list".to_owned())
}

/// `--environment production|sandbox`
pub fn environment(text: &str) -> Result<Environment, String> {
    text.to_ascii_uppercase().parse().map_err(|_| "an environment is production or sandbox".to_owned())
}

/// `--scopes "orders.read orders.write"`
pub fn scopes(text: &str) -> Result<Scopes, String> {
    text.parse::<Scopes>().map_err(|error| error.to_string())
}

/// Dollars such as `100.00`, in cents, above 0.
pub fn dollars(text: &str) -> Result<i64, String> {
    amount(text, Currency::USD)
}

/// Minor units of `currency`, above 0.
fn amount(text: &str, currency: Currency) -> Result<i64, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let decimal = if plain { decimal_from_json(text) } else { None };
    let decimal = decimal.ok_or_else(|| "an amount is a number above 0 such as 100.00".to_owned())?;
    match currency.minor_units(decimal) {
        Ok(minor) if minor > 0 => Ok(minor),
        Ok(_) => Err("an amount is above 0".to_owned()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// What to say where no such organization is.
pub fn no_organization(organization: OrganizationId) -> Failure {
    Failure::new("NOT_FOUND", format!("there is no organization {organization}: see giftd org list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_dollars_above_zero_by_their_digits() {
        assert_eq!(dollars("100.00"), Ok(10_000));
        assert_eq!(dollars("0.1"), Ok(10));
        for wrong in ["", "0", "0.00", "-1", "1e3", "1,000.00", "$5", "0.001", "abc", "1.2.3", "99999999999999999999"] {
            assert!(dollars(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn environments_are_named_in_small_or_large_letters() {
        assert_eq!(environment("sandbox"), Ok(Environment::Sandbox));
        assert_eq!(environment("PRODUCTION"), Ok(Environment::Production));
        assert!(environment("prod").is_err());
    }
}
