//! The body of an order, as far as no database is needed: bytes, the request, the command, the decision. What is
//! accepted means the same however it is written, costs what its gifts cost, and moves just that.
#![no_main]

mod checked;
mod world;
mod written;

use giftd::api::error::ApiError;
use giftd::api::fields::read_object;
use giftd::api::orders::{place, reward_links};
use giftd_domain::limits;
use giftd_domain::orders::CardType;
use giftd_domain::orders::place::Request;
use libfuzzer_sys::fuzz_target;

use world::World;

/// Where the body is sent to.
#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Branded,
    Choice,
    Links,
}

impl Endpoint {
    fn read(self, body: &[u8], key_headers: &[Result<String, ()>]) -> Result<Request, ApiError> {
        read_object(body, |fields| match self {
            Self::Branded => place::read(fields, key_headers, CardType::BrandedCard),
            Self::Choice => place::read(fields, key_headers, CardType::ChoiceCard),
            Self::Links => reward_links::read(fields, key_headers),
        })
    }
}

fuzz_target!(|body: &[u8]| {
    let world = World::new();
    for endpoint in [Endpoint::Branded, Endpoint::Choice, Endpoint::Links] {
        match endpoint.read(body, &[]) {
            Ok(request) => {
                means_the_same_written_again(endpoint, &request);
                agrees_with_its_header(endpoint, body, &request);
                checked::holds(&request, &world);
            }
            Err(error) => refused(&error),
        }
    }
});

/// Every problem is told in the contract's words.
fn refused(error: &ApiError) {
    let details = error.details();
    match (error.status().as_u16(), error.code()) {
        (400, "MALFORMED_JSON") => assert!(details.is_empty()),
        (400, "VALIDATION_ERROR") => {
            assert!((1..=limits::PROBLEMS).contains(&details.len()));
            assert!(details.iter().all(|detail| !detail.code.is_empty() && !detail.message.is_empty()));
        }
        other => panic!("{other:?}: {error:?}"),
    }
}

fn means_the_same_written_again(endpoint: Endpoint, request: &Request) {
    for again in [written::plainly(request), written::otherwise(request)] {
        let read = endpoint.read(again.as_bytes(), &[]).unwrap_or_else(|error| panic!("{error:?} in {again}"));
        assert_eq!(&read, request, "{again}");
        assert_eq!(read.fingerprint(), request.fingerprint(), "{again}");
    }
}

/// The key's header may say the same, nothing else.
fn agrees_with_its_header(endpoint: Endpoint, body: &[u8], request: &Request) {
    let key = &request.idempotency_key;
    assert_eq!(endpoint.read(body, &[Ok(key.clone())]).ok().as_ref(), Some(request));
    let error = endpoint.read(body, &[Ok(format!("{key}x"))]).expect_err("another key in the header");
    let codes: Vec<_> = error.details().iter().map(|detail| (&*detail.field, detail.code)).collect();
    assert_eq!(codes, [("idempotencyKey", "KEY_MISMATCH")]);
}
