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
    /// Its own templates.
    OwnTemplates,
    /// A template of its own.
    OwnTemplate,
    /// Its own in a sandbox; in production nobody anything.
    Sandbox,
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
        Endpoint {
            method: Method::DELETE,
            template: "/api/v1/orders/{orderId}/cancel",
            scope: "orders.cancel",
            body: None,
            others: Others::NotFound("ORDER_NOT_FOUND"),
        },
        post(
            "/api/v1/orders/{orderId}/resend",
            "orders.write",
            json!({"recipients": [{"email": "alice@example.com", "updatedEmail": "eve@example.com"}]}),
            Others::NotFound("ORDER_NOT_FOUND"),
        ),
        get("/api/v1/orders/{orderId}/events", "orders.read", Others::NotFound("ORDER_NOT_FOUND")),
        post(
            "/api/v1/orders/reward-links",
            "orders.write",
            json!({"idempotencyKey": "links", "cardType": "BRANDED_CARD", "productId": "10042", "quantity": 1, "amountPerLink": 50}),
            Others::OwnOrder,
        ),
        get("/api/v1/templates", "templates.read", Others::OwnTemplates),
        post("/api/v1/templates", "templates.write", template(), Others::OwnTemplate),
        get("/api/v1/templates/{templateId}", "templates.read", Others::NotFound("TEMPLATE_NOT_FOUND")),
        Endpoint {
            method: Method::PUT,
            template: "/api/v1/templates/{templateId}",
            scope: "templates.write",
            body: Some(template()),
            others: Others::NotFound("TEMPLATE_NOT_FOUND"),
        },
        Endpoint {
            method: Method::DELETE,
            template: "/api/v1/templates/{templateId}",
            scope: "templates.write",
            body: None,
            others: Others::NotFound("TEMPLATE_NOT_FOUND"),
        },
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
        post(
            "/api/v1/orders/test-email",
            "orders.write",
            json!({"email": "me@example.com", "productId": "10042", "amount": 50, "emailSubject": "A gift", "senderName": "Acme"}),
            Others::Shared,
        ),
        get("/api/v1/sandbox/clock", "orders.read", Others::Sandbox),
        get("/api/v1/sandbox/mails", "orders.read", Others::Sandbox),
        post("/api/v1/sandbox/clock", "orders.write", json!({"advance": "PT1S"}), Others::Sandbox),
    ]
}

/// What paths name.
#[derive(Clone, Copy)]
struct Ids<'a> {
    order: &'a str,
    template: &'a str,
}

/// What nobody has.
const NOTHING: Ids<'_> = Ids { order: "OT01KAPBQBY0000000000000000A", template: "99" };

fn template() -> Value {
    json!({"name": "Winter", "senderName": "Acme"})
}

/// What needs no token, each for a reason.
const PUBLIC: [(&str, &str); 1] = [("POST", "/oauth2/token")];

impl Endpoint {
    fn path(&self, ids: Ids<'_>) -> String {
        let product = if self.template.contains("choice") { "55" } else { "10042" };
        let path = self.template.replace("{orderId}", ids.order).replace("{templateId}", ids.template);
        path.replace("{productId}", product)
    }

    async fn try_with(&self, bed: &Bed, ids: Ids<'_>, authorization: Option<&str>) -> Answer {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let body = self.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        bed.send(request(self.method.clone(), &self.path(ids), &headers, body)).await
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
            let answer = endpoint.try_with(&bed, NOTHING, authorization).await;
            answer.assert_error(401, "UNAUTHORIZED");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "no error code where no token was sent (RFC 6750)");
        }
        for authorization in ["Bearer ", "Bearer abc", "Bearer a.b.c", forged.as_str()] {
            let answer = endpoint.try_with(&bed, NOTHING, Some(authorization)).await;
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
        let answer = endpoint.try_with(&bed, NOTHING, Some(&bearer)).await;
        answer.assert_error(403, "INSUFFICIENT_SCOPE");
        assert_eq!(
            answer.header("www-authenticate"),
            format!(r#"Bearer error="insufficient_scope", scope="{}""#, endpoint.scope)
        );
        assert!(answer.json["message"].as_str().expect("a text").contains(endpoint.scope));
        let right = format!("bearer {}", bed.token_for(endpoint.scope));
        let answer = endpoint.try_with(&bed, NOTHING, Some(&right)).await;
        match endpoint.others {
            // The bed's app is a production app.
            Others::Sandbox => answer.assert_error(403, "SANDBOX_ONLY"),
            _ => assert_ne!(answer.status, 403, "its own scope suffices: {}", endpoint.template),
        }
        assert_ne!(answer.status, 401, "the scheme has no case");
    }
}

#[tokio::test]
async fn another_organization_and_the_other_environment_see_nothing_of_it() {
    let bed = Bed::new().await;
    let placed = bed.place(&order("first")).await;
    bed.deliver(&[]).await;
    let order_id = placed["orderId"].as_str().expect("an id").to_owned();
    let created = bed.post("/api/v1/templates", &template()).await.json["data"].clone();
    let ids = Ids { order: &order_id, template: created["templateId"].as_str().expect("an id") };
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for app in [bed.stranger().await, sandbox] {
        let bearer = format!("Bearer {}", bed.token_of(&app));
        let (makes, others): (Vec<_>, Vec<_>) = endpoints()
            .into_iter()
            .partition(|endpoint| matches!(endpoint.others, Others::OwnOrder | Others::OwnTemplate));
        for endpoint in others {
            let answer = endpoint.try_with(&bed, ids, Some(&bearer)).await;
            match endpoint.others {
                Others::NotFound(code) => {
                    answer.assert_error(404, code);
                    let unknown = endpoint.try_with(&bed, NOTHING, Some(&bearer)).await;
                    assert_eq!(answer.json["message"], unknown.json["message"], "exactly as one that does not exist");
                    assert_eq!(answer.headers.keys().collect::<Vec<_>>(), unknown.headers.keys().collect::<Vec<_>>());
                }
                Others::NothingListed => assert_eq!(answer.json["data"], json!([]), "{}", endpoint.template),
                Others::OwnTemplates => assert_eq!(answer.json["pagination"]["totalItems"], 1, "its default"),
                Others::OwnBalance | Others::Shared => assert_eq!(answer.status, 200, "{}", endpoint.template),
                Others::Sandbox if app.environment == Environment::Sandbox => assert_eq!(answer.status, 200),
                Others::Sandbox => answer.assert_error(403, "SANDBOX_ONLY"),
                Others::OwnOrder | Others::OwnTemplate => unreachable!("these come below"),
            }
            assert!(!answer.text.contains(&order_id), "{}", endpoint.template);
        }
        for endpoint in makes {
            let answer = endpoint.try_with(&bed, ids, Some(&bearer)).await;
            assert_eq!(answer.status, 201, "its own key, its own order: {}", answer.text);
            match endpoint.others {
                Others::OwnOrder => assert_eq!(answer.json["data"]["creator"], app.name.as_str()),
                _ => assert_eq!(answer.json["data"]["templateId"], "13", "numbered for itself"),
            }
        }
    }
    let path = format!("/api/v1/orders/{order_id}");
    assert_eq!(bed.get(&path).await.json["data"]["recipients"][0]["email"], "alice@example.com");
    assert_eq!(bed.get("/api/v1/templates/13").await.json["data"], created);
    assert_eq!(bed.order_count().await, 1);
    assert_eq!(bed.account().await.balances.issued, 5_000);
}

#[tokio::test]
async fn scopes_that_an_app_lost_are_lost_to_its_tokens() {
    let bed = Bed::new().await;
    let weak = bed.app(bed.organization, Environment::Production, "Weak", "orders.read").await;
    let strong = bed.giftd.tokens.issue(&weak.client_id, &ALL.parse().expect("scopes"), 1, 60);
    bed.get_as(&strong, "/api/v1/balance").await.assert_error(403, "INSUFFICIENT_SCOPE");
}
