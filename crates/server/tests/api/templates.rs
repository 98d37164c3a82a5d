//! Templates: what they hold, who has which, and what orders may name.

use giftd_domain::access::Environment;
use giftd_domain::limits;
use giftd_domain::templates::TemplateContent;
use serde_json::{Value, json};

use crate::bed::{ALL, Answer, BRANDED, Bed, order_with};

const TEMPLATES: &str = "/api/v1/templates";

fn template() -> Value {
    json!({"name": "Winter", "senderName": "Acme Corp"})
}

fn with(changes: Value) -> Value {
    let mut body = template();
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn create(bed: &Bed, body: &Value) -> Value {
    let answer = bed.post(TEMPLATES, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json["data"].clone()
}

async fn order_naming(bed: &Bed, key: &str, template: &str) -> Answer {
    bed.post(BRANDED, &order_with(key, &[("/emailSetting/templateId", json!(template))])).await
}

fn ids(page: &Answer) -> Vec<&str> {
    page.json["data"].as_array().expect("templates").iter().map(|one| one["templateId"].as_str().expect("id")).collect()
}

#[tokio::test]
async fn an_account_starts_with_its_default() {
    let bed = Bed::new().await;
    let answer = bed.get(TEMPLATES).await;
    assert_eq!(
        answer.json,
        json!({
            "data": [{
                "templateId": "12", "isDefault": true, "name": "Default", "senderName": "Acme", "message": null,
                "imageAlignment": "center", "imageSize": 40,
                "borderColor": "#E4DFD7", "buttonColor": "#2B2350", "buttonFontColor": "#FFFFFF",
            }],
            "pagination": {"page": 1, "pageSize": 20, "totalItems": 1, "totalPages": 1},
        })
    );
    assert_eq!(bed.get("/api/v1/templates/12").await.json["data"], answer.json["data"][0]);
}

#[tokio::test]
async fn a_template_is_created_with_all_or_only_what_is_required() {
    let bed = Bed::new().await;
    let plain = create(&bed, &template()).await;
    assert_eq!(
        plain,
        json!({
            "templateId": "13", "isDefault": false, "name": "Winter", "senderName": "Acme Corp", "message": null,
            "imageAlignment": "center", "imageSize": 40,
            "borderColor": "#E4DFD7", "buttonColor": "#2B2350", "buttonFontColor": "#FFFFFF",
        })
    );
    let all = json!({
        "name": "ü".repeat(100), "senderName": "s".repeat(100), "message": format!("Dear\n\tall{}", "ü".repeat(1_991)),
        "imageAlignment": "right", "imageSize": 100,
        "borderColor": "#000000", "buttonColor": "#ABCDEF", "buttonFontColor": "#012345",
    });
    let created = create(&bed, &all).await;
    for (name, value) in all.as_object().expect("an object") {
        assert_eq!(&created[name], value, "{name}");
    }
    assert_eq!(create(&bed, &with(json!({"borderColor": "#abcdef"}))).await["borderColor"], "#ABCDEF");
    assert_eq!(bed.get("/api/v1/templates/14").await.json["data"], created);
    let listed = bed.get(TEMPLATES).await;
    assert_eq!(ids(&listed), ["12", "13", "14", "15"], "the default first");
    assert_eq!(ids(&bed.get("/api/v1/templates?page=2&pageSize=3").await), ["15"]);
    assert_eq!(bed.get("/api/v1/templates?page=3&pageSize=3").await.json["data"], json!([]));
    bed.get("/api/v1/templates?page=0").await.assert_invalid(&["page OUT_OF_RANGE"]);
}

#[tokio::test]
async fn an_absent_field_null_and_the_default_are_the_same() {
    let bed = Bed::new().await;
    let nulls = with(json!({
        "message": null, "imageAlignment": null, "imageSize": null,
        "borderColor": null, "buttonColor": null, "buttonFontColor": null,
    }));
    let (mut plain, mut nulls) = (create(&bed, &template()).await, create(&bed, &nulls).await);
    for template in [&mut plain, &mut nulls] {
        template["templateId"] = json!("");
    }
    assert_eq!(plain, nulls);
}

#[tokio::test]
async fn a_shape_that_is_wrong_is_told_at_once() {
    let bed = Bed::new().await;
    let body = json!({
        "senderName": 5, "message": ["x"], "imageAlignment": "CENTER", "imageSize": "40", "borderColor": 0,
        "buttonColour": "#000000", "isDefault": true, "templateId": "12",
    });
    let wanted = [
        "name REQUIRED",
        "senderName WRONG_TYPE",
        "message WRONG_TYPE",
        "imageAlignment UNKNOWN_VALUE",
        "imageSize WRONG_TYPE",
        "borderColor WRONG_TYPE",
        "buttonColour UNKNOWN_FIELD",
        "isDefault UNKNOWN_FIELD",
        "templateId UNKNOWN_FIELD",
    ];
    let answer = bed.post(TEMPLATES, &body).await;
    answer.assert_invalid(&wanted);
    assert!(answer.text.contains("must be one of left, center, right"), "{}", answer.text);
    bed.put("/api/v1/templates/12", &body).await.assert_invalid(&wanted);
}

#[tokio::test]
async fn all_broken_rules_are_told_at_once() {
    let bed = Bed::new().await;
    let body = json!({
        "name": " \u{3000}", "senderName": "Acme\r\nBcc: eve@example.com", "message": "x".repeat(2_001),
        "imageSize": 0, "borderColor": "red", "buttonColor": "#FFF", "buttonFontColor": "#FFFFFF;}",
    });
    let wanted = [
        "name BLANK",
        "senderName CONTROL_CHARACTER",
        "message TOO_LONG",
        "imageSize OUT_OF_RANGE",
        "borderColor INVALID_COLOR",
        "buttonColor INVALID_COLOR",
        "buttonFontColor INVALID_COLOR",
    ];
    bed.post(TEMPLATES, &body).await.assert_invalid(&wanted);
    bed.put("/api/v1/templates/12", &body).await.assert_invalid(&wanted);
    for (change, detail) in [
        (json!({"name": ""}), "name BLANK"),
        (json!({"name": "x".repeat(101)}), "name TOO_LONG"),
        (json!({"name": "a\0"}), "name CONTROL_CHARACTER"),
        (json!({"senderName": "\t"}), "senderName BLANK"),
        (json!({"senderName": "x".repeat(101)}), "senderName TOO_LONG"),
        (json!({"message": "a\0b"}), "message CONTROL_CHARACTER"),
        (json!({"imageSize": 101}), "imageSize OUT_OF_RANGE"),
        (json!({"imageSize": -1}), "imageSize OUT_OF_RANGE"),
        (json!({"imageSize": 4_294_967_336_u64}), "imageSize OUT_OF_RANGE"),
        (json!({"imageSize": 39.5}), "imageSize WRONG_TYPE"),
        (json!({"buttonColor": "#2B235G"}), "buttonColor INVALID_COLOR"),
        (json!({"buttonColor": "url(https://evil.example)"}), "buttonColor INVALID_COLOR"),
    ] {
        bed.post(TEMPLATES, &with(change)).await.assert_invalid(&[detail]);
    }
    assert_eq!(ids(&bed.get(TEMPLATES).await), ["12"], "nothing is recorded");
}

#[tokio::test]
async fn put_replaces_all_of_it() {
    let bed = Bed::new().await;
    create(&bed, &with(json!({"message": "Hello", "imageSize": 7, "borderColor": "#000000"}))).await;
    let replaced = bed.put("/api/v1/templates/13", &json!({"name": "Spring", "senderName": "Acme"})).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    assert_eq!(
        replaced.json["data"],
        json!({
            "templateId": "13", "isDefault": false, "name": "Spring", "senderName": "Acme", "message": null,
            "imageAlignment": "center", "imageSize": 40,
            "borderColor": "#E4DFD7", "buttonColor": "#2B2350", "buttonFontColor": "#FFFFFF",
        })
    );
    assert_eq!(bed.get("/api/v1/templates/13").await.json, replaced.json);
    let default = bed.put("/api/v1/templates/12", &template()).await;
    assert_eq!((default.status.as_u16(), &default.json["data"]["isDefault"]), (200, &json!(true)));
}

#[tokio::test]
async fn a_new_template_can_be_named_at_once_and_a_deleted_one_no_more() {
    let bed = Bed::new().await;
    order_naming(&bed, "before", "13").await.assert_invalid(&["emailSetting.templateId TEMPLATE_NOT_FOUND"]);
    create(&bed, &template()).await;
    let placed = order_naming(&bed, "named", "13").await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let deleted = bed.delete("/api/v1/templates/13").await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    order_naming(&bed, "after", "13").await.assert_invalid(&["emailSetting.templateId TEMPLATE_NOT_FOUND"]);
    // The order that names it stays as it is, and so does its replay.
    let again = order_naming(&bed, "named", "13").await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &placed.json));
    for answer in [
        bed.get("/api/v1/templates/13").await,
        bed.put("/api/v1/templates/13", &template()).await,
        bed.delete("/api/v1/templates/13").await,
    ] {
        answer.assert_error(404, "TEMPLATE_NOT_FOUND");
    }
    assert_eq!(ids(&bed.get(TEMPLATES).await), ["12"]);
    assert_eq!(create(&bed, &template()).await["templateId"], "14", "a number is never used again");
}

#[tokio::test]
async fn a_template_that_another_node_created_can_be_named_at_once() {
    let bed = Bed::new().await;
    order_naming(&bed, "before", "13").await.assert_invalid(&["emailSetting.templateId TEMPLATE_NOT_FOUND"]);
    // Past this node's memory.
    let content = TemplateContent::first("Acme");
    bed.giftd.store.create_template(bed.app.account_id, &content).await.expect("created");
    assert_eq!(order_naming(&bed, "named", "13").await.status, 201);
}

#[tokio::test]
async fn the_default_template_stays() {
    let bed = Bed::new().await;
    bed.delete("/api/v1/templates/12").await.assert_error(409, "DEFAULT_TEMPLATE");
    assert_eq!(ids(&bed.get(TEMPLATES).await), ["12"]);
}

#[tokio::test]
async fn what_is_no_template_is_404() {
    let bed = Bed::new().await;
    for id in ["13", "0", "-12", "012", "+12", "x", "%00", "12%20", "99999999999999999999", &"9".repeat(5_000)] {
        let path = format!("/api/v1/templates/{id}");
        bed.get(&path).await.assert_error(404, "TEMPLATE_NOT_FOUND");
        bed.put(&path, &template()).await.assert_error(404, "TEMPLATE_NOT_FOUND");
        bed.delete(&path).await.assert_error(404, "TEMPLATE_NOT_FOUND");
    }
}

#[tokio::test]
async fn each_account_has_its_own() {
    let bed = Bed::new().await;
    create(&bed, &template()).await;
    let sandbox = bed.app(bed.organization, Environment::Sandbox, "Test", ALL).await;
    for app in [bed.stranger().await, sandbox] {
        let token = bed.token_of(&app);
        assert_eq!(ids(&bed.get_as(&token, TEMPLATES).await), ["12"]);
        bed.get_as(&token, "/api/v1/templates/13").await.assert_error(404, "TEMPLATE_NOT_FOUND");
        bed.delete_as(&token, "/api/v1/templates/13").await.assert_error(404, "TEMPLATE_NOT_FOUND");
        let naming = order_with("k", &[("/emailSetting/templateId", json!("13"))]);
        bed.post_as(&token, BRANDED, &naming).await.assert_invalid(&["emailSetting.templateId TEMPLATE_NOT_FOUND"]);
        let own = bed.post_as(&token, TEMPLATES, &with(json!({"name": "Own"}))).await;
        assert_eq!((own.status.as_u16(), &own.json["data"]["templateId"]), (201, &json!("13")));
    }
    assert_eq!(bed.get("/api/v1/templates/13").await.json["data"]["name"], "Winter");
}

#[tokio::test]
async fn an_account_has_at_most_1000_deleted_ones_too() {
    let bed = Bed::new().await;
    let content = TemplateContent::first("Acme");
    for _ in 1..limits::TEMPLATES {
        bed.giftd.store.create_template(bed.app.account_id, &content).await.expect("an answer").expect("created");
    }
    bed.post(TEMPLATES, &template()).await.assert_error(409, "TOO_MANY_TEMPLATES");
    assert_eq!(bed.delete("/api/v1/templates/13").await.status, 204);
    bed.post(TEMPLATES, &template()).await.assert_error(409, "TOO_MANY_TEMPLATES");
}
