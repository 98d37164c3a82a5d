//! The API document and its page.

use axum::body::Body;
use axum::http::Method;
use giftd::api::openapi;
use serde_json::Value;

use crate::bed::{Bed, request};

fn document() -> Value {
    serde_json::from_str(&openapi::document_json()).expect("JSON")
}

#[test]
fn the_committed_openapi_json_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == openapi::document_json(),
        "openapi.json is stale: run `cargo run -q -p giftd -- openapi > openapi.json`"
    );
}

#[test]
fn every_endpoint_tells_its_errors_in_the_envelope() {
    let document = document();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path") {
            let responses = operation["responses"].as_object().expect("responses");
            let mut wanted = vec!["429", "500", "503"];
            if path.starts_with("/api/") {
                wanted.extend(["400", "401", "403"]);
                if path.contains('{') {
                    wanted.push("404");
                }
                if method == "post" || method == "put" {
                    wanted.extend(["413", "415"]);
                }
            }
            for status in wanted {
                let schema = &responses[status]["content"]["application/json"]["schema"]["$ref"];
                assert!(schema.is_string(), "{method} {path} {status}");
            }
            assert!(responses.get("204").is_none_or(|none| none.get("content").is_none()), "{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let text = parameter.to_string();
                assert!(!text.contains(r#""null""#), "a parameter is never null: {text}");
            }
        }
    }
}

#[test]
fn enums_are_listed_and_requests_take_no_other_fields() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["OrderStatus"]["enum"], serde_json::json!(["PENDING", "IN_PROGRESS", "COMPLETE", "CANCELED"]));
    assert_eq!(schemas["EntryType"]["enum"], serde_json::json!(["USE", "REFUND", "CHARGE", "TRANSFER", "REWARD"]));
    let order = &schemas["PlaceOrderRequest"];
    for name in [
        "PlaceOrderRequest",
        "SendTiming",
        "EmailSetting",
        "Recipient",
        "PlaceLinksRequest",
        "ResendRequest",
        "ResendRecipient",
        "TemplateRequest",
    ] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
    assert!(order["example"].is_object());
    assert!(
        document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"]["orders.write"]
            .is_string()
    );
}

#[test]
fn every_text_that_is_sent_says_which_characters_it_takes() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut count = 0;
    for (name, schema) in schemas.iter().filter(|(_, schema)| schema["additionalProperties"] == false) {
        for (field, text) in schema["properties"].as_object().expect("properties") {
            let is_text = text["type"] == "string" || text["type"].as_array().is_some_and(|types| types[0] == "string");
            assert!(!is_text || text["pattern"].is_string() || text["format"].is_string(), "{name} {field}: {text}");
            count += usize::from(is_text);
        }
    }
    assert!(count >= 15, "{count}");
    let pattern = |schema: &str, field: &str| schemas[schema]["properties"][field]["pattern"].as_str();
    assert_ne!(
        pattern("EmailSetting", "message"),
        pattern("EmailSetting", "templateId"),
        "line feeds in messages only"
    );
    assert_ne!(pattern("EmailSetting", "subject"), pattern("EmailSetting", "templateId"), "a subject is not blank");
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let bed = Bed::new().await;
    let answer = bed.send(request(Method::GET, "/openapi.json", &[], Body::empty())).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.json, document());
}

#[tokio::test]
async fn the_docs_page_loads_nothing_from_other_hosts() {
    let bed = Bed::new().await;
    let get = |path: String| {
        let bed = &bed;
        async move { bed.send(request(Method::GET, &path, &[], Body::empty())).await }
    };
    let redirect = get("/docs".to_owned()).await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (303, "/docs/"));
    let page = get("/docs/".to_owned()).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'self';"), "and the browser is told so");
    let references = page
        .text
        .split(['"', '\''])
        .filter(|part| part.starts_with("./") || part.ends_with(".css") || part.ends_with(".js"));
    let mut count = 0;
    for reference in references {
        let asset = get(format!("/docs/{}", reference.trim_start_matches("./"))).await;
        assert_eq!(asset.status, 200, "{reference} is in the binary");
        count += 1;
    }
    assert!(count >= 5, "{}", page.text);
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://") && !page.text.contains("\"//"),
        "{}",
        page.text
    );
    let start = get("/docs/swagger-initializer.js".to_owned()).await;
    assert!(start.text.contains("/openapi.json"), "{}", start.text);
    assert!(start.text.contains(r#""validatorUrl": "none""#), "no badge from a validator elsewhere: {}", start.text);
    let style = get("/docs/swagger-ui.css".to_owned()).await;
    assert!(!style.text.contains("url(http") && !style.text.contains("@import"), "styles load nothing");
}
