//! Who may do what: every endpoint of the API document is tried without a token, with a wrong scope and
//! with another organization's token. An endpoint without a row here fails.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Method;
use giftd_domain::access::Environment;
use serde_json::{Value, json};

use crate::bed::{ALL, Answer, Bed, order, order_with, request};

/// What another organization gets.
enum Others {
    /// The same as if it did not exist.
    NotFound(&'static str),
    /// Its own, in which there is nothing.
    NothingListed,
    /// Its own balance.
    OwnBalance,
    /// What everyone gets.
    Shared,
    /// An order of its own.
    OwnOrder,
}

struct Endpoint {
    method: Method,
    template: &'static str,
    scope: &'static str,
    body: Option<Value>,
    others: Others,
}

fn endpoints() -> Vec<Endpoint> {
    let get = |template, scope, others| Endpoint { method: Method::GET, template, scope, body: None, others };
    let post =
        |template, scope, body, others| Endpoint { method: Method::POST, template, scope, body: Some(body), others };
    vec![
        get("/api/v1/orders", "orders.read", Others::NothingListed),
        get("/api/v1/orders/{orderId}", "orders.read", Others::NotFound("ORDER_NOT_FOUND")),
        post("/api/v1/orders/branded-cards", "orders.write", order("first"), Others::OwnOrder),
        post(
            "/api/v1/orders/choice-cards",
            "orders.write",
            order_with("second", &[("/productId", json!("55"))]),
            Others::OwnOrder,
        ),
        get("/api/v1/catalog/branded-cards", "catalog.read", Others::Shared),
        get("/api/v1/catalog/branded-cards/{productId}", "catalog.read", Others::Shared),
        get("/api/v1/catalog/choice-cards", "catalog.read", Others::Shared),
        get("/api/v1/catalog/choice-cards/{productId}", "catalog.read", Others::Shared),
        get("/api/v1/balance", "balance.read", Others::OwnBalance),
        get("/api/v1/balance/ledger", "balance.read", Others::OwnBalance),
    ]
}

/// What needs no token, each for a reason.
const PUBLIC: [(&str, &str); 1] = [("POST", "/oauth2/token")];

impl Endpoint {
    fn path(&self, order_id: &str) -> String {
        let product = if self.template.contains("choice") { "55" } else { "10042" };
        self.template.replace("{orderId}", order_id).replace("{productId}", product)
    }

    async fn try_with(&self, bed: &Bed, order_id: &str, authorization: Option<&str>) -> Answer {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let body = self.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        bed.send(request(self.method.clone(), &self.path(order_id), &headers, body)).await
    }
}

#[tokio::test]
async fn every_endpoint_of_the_document_is_tried_here() {
    let document: Value = serde_json::from_str(&giftd::api::openapi::document_json()).expect("JSON");
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path") {
            documented.insert((method.to_uppercase(), path.clone()));
            let scope =
                endpoints().into_iter().find(|e| e.template == path && e.method.as_str().eq_ignore_ascii_case(method));
            if let Some(endpoint) = scope {
                assert_eq!(operation["security"], json!([{"oauth2": [endpoint.scope]}]), "{method} {path}");
            }
        }
    }
    let mut tried: BTreeSet<_> = endpoints().iter().map(|e| (e.method.to_string(), e.template.to_owned())).collect();
    tried.extend(PUBLIC.map(|(method, path)| (method.to_owned(), path.to_owned())));
    assert_eq!(documented, tried);
}

#[tokio::test]
async fn without_a_good_token_every_endpoint_is_401_with_a_challenge() {
    let bed = Bed::new().await;
    let forged = format!("Bearer {}x", bed.token);
    for endpoint in endpoints() {
        for authorization in [None, Some("Basic YTpi"), Some("Bearer"), Some("token")] {
            let answer = endpoint.try_with(&bed, "OT01KAPBQBY0000000000000000A", authorization).await;
            answer.assert_error(401, "UNAUTHORIZED");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "no error code where no token was sent (RFC 6750)");
        }
        for authorization in ["Bearer ", "Bearer abc", "Bearer a.b.c", forged.as_str()] {
            let answer = endpoint.try_with(&bed, "OT01KAPBQBY0000000000000000A", Some(authorization)).await;
            answer.assert_error(401, "UNAUTHORIZED");
            assert!(
                answer.header("www-authenticate").starts_with(r#"Bearer error="invalid_token""#),
                "{authorization}"
            );
        }
    }
}

#[tokio::test]
async fn with_a_wrong_scope_every_endpoint_is_403_and_names_the_right_one() {
    let bed = Bed::new().await;
    for endpoint in endpoints() {
        let others: Vec<&str> = ALL.split(' ').filter(|scope| *scope != endpoint.scope).collect();
        let bearer = format!("Bearer {}", bed.token_for(&others.join(" ")));
        let answer = endpoint.try_with(&bed, "OT01KAPBQBY0000000000000000A", Some(&bearer)).await;
        answer.assert_error(403, "INSUFFICIENT_SCOPE");
        assert_eq!(
            answer.header("www-authenticate"),
            format!(r#"Bearer error="insufficient_scope", scope="{}""#, endpoint.scope)
        );
        assert!(answer.json["message"].as_str().expect("a text").contains(endpoint.scope));
        let right = format!("bearer {}", bed.token_for(endpoint.scope));
        let answer = endpoint.try_with(&bed, "OT01KAPBQBY0000000000000000A", Some(&right)).await;
        assert_ne!(answer.status, 403, "its own scope suffices: {}", endpoint.template);
        assert_ne!(answer.status, 401, "the scheme has no case");
    }
}

#[tokio::test]
async fn another_organization_and_the_other_environment_see_nothing_of_it() {
    let bed = Bed::new().await;
    let placed = bed.place(&order("first")).await;
    let order_id = placed["orderId"].as_str().expect("an id").to_owned();
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for app in [bed.stranger().await, sandbox] {
        let bearer = format!("Bearer {}", bed.token_of(&app));
        for endpoint in endpoints().into_iter().filter(|endpoint| endpoint.method == Method::GET) {
            let answer = endpoint.try_with(&bed, &order_id, Some(&bearer)).await;
            match endpoint.others {
                Others::NotFound(code) => {
                    answer.assert_error(404, code);
                    let unknown = endpoint.try_with(&bed, "OT01KAPBQBY0000000000000000A", Some(&bearer)).await;
                    assert_eq!(answer.json["message"], unknown.json["message"], "exactly as one that does not exist");
                    assert_eq!(answer.headers.keys().collect::<Vec<_>>(), unknown.headers.keys().collect::<Vec<_>>());
                }
                Others::NothingListed => assert_eq!(answer.json["data"], json!([]), "{}", endpoint.template),
                Others::OwnBalance | Others::Shared => assert_eq!(answer.status, 200, "{}", endpoint.template),
                Others::OwnOrder => unreachable!("these are posts"),
            }
            assert!(!answer.text.contains(&order_id), "{}", endpoint.template);
        }
        for endpoint in endpoints().into_iter().filter(|endpoint| matches!(endpoint.others, Others::OwnOrder)) {
            let answer = endpoint.try_with(&bed, &order_id, Some(&bearer)).await;
            assert_eq!(answer.status, 201, "its own key, its own order: {}", answer.text);
            assert_eq!(answer.json["data"]["creator"], app.name.as_str());
        }
    }
    assert_eq!(bed.order_count().await, 1);
    assert_eq!(bed.account().await.balances.pending, 5_000);
}

#[tokio::test]
async fn scopes_that_an_app_lost_are_lost_to_its_tokens() {
    let bed = Bed::new().await;
    let weak = bed.app(bed.organization, Environment::Production, "Weak", "orders.read").await;
    let strong = bed.giftd.tokens.issue(&weak.client_id, &ALL.parse().expect("scopes"), 1, 60);
    bed.get_as(&strong, "/api/v1/balance").await.assert_error(403, "INSUFFICIENT_SCOPE");
}
