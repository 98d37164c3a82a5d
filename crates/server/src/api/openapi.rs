//! The API document: `openapi.json`, and a page to read and try it at `/docs`, whose assets are in the
//! binary and which loads nothing from elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use giftd_domain::access::Scope;
use strum::VariantArray as _;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, Object, SchemaType};
use utoipa::openapi::security::{ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Scopes, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::error::ErrorBody;
use crate::api::{balance, catalog, oauth, orders, sandbox, templates, wire};
use crate::state::Giftd;

const DESCRIPTION: &str = "\
Send gift cards: place orders, follow them, and see the balance that pays for them. Get a token from \
`POST /oauth2/token` and send it as `Authorization: Bearer …`. Success is `{\"data\": …}`, an error \
`{\"error\", \"message\", \"requestId\", \"details\"}` with all problems at once. Instants are RFC 3339 in UTC, money \
is a number with exactly the currency's minor digits. What credentials see is decided by them: each organization \
has a production and a sandbox account.";

/// A text without control characters and separators of lines and paragraphs, as `text::line` has it.
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$";
/// The same with something that isn't white space, as `text::filled_line` has it.
const FILLED_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$";
/// A text whose only control characters are line feeds and tabs, as `text::lines` has it.
const LINES: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$";

/// The endpoints of the document, under `/api/v1`.
fn endpoints() -> OpenApiRouter<Arc<Giftd>> {
    OpenApiRouter::default()
        .routes(routes!(orders::list::list_orders))
        .routes(routes!(orders::place::place_branded))
        .routes(routes!(orders::place::place_choice))
        .routes(routes!(orders::reward_links::place_links))
        .routes(routes!(orders::test_email::send_test_email))
        .routes(routes!(orders::get::get_order))
        .routes(routes!(orders::cancel::cancel_order))
        .routes(routes!(orders::resend::resend_order))
        .routes(routes!(orders::events::list_events))
        .routes(routes!(catalog::branded::list_branded))
        .routes(routes!(catalog::branded::get_branded))
        .routes(routes!(catalog::choice::list_choice))
        .routes(routes!(catalog::choice::get_choice))
        .routes(routes!(templates::list::list_templates, templates::create::create_template))
        .routes(routes!(
            templates::get::get_template,
            templates::replace::replace_template,
            templates::delete::delete_template
        ))
        .routes(routes!(balance::get::get_balance))
        .routes(routes!(balance::ledger::list_entries))
        .routes(routes!(sandbox::clock::get_clock, sandbox::clock::move_clock))
        .routes(routes!(sandbox::mails::list_mails))
}

/// All documented routes, and their document.
pub fn documented() -> (Router<Arc<Giftd>>, OpenApi) {
    let all = OpenApiRouter::with_openapi(frame()).routes(routes!(oauth::token)).nest("/api/v1", endpoints());
    let (router, mut document) = all.split_for_parts();
    add_errors(&mut document);
    remove_nulls(&mut document);
    add_characters(&mut document);
    (router, document)
}

/// The document, as it is committed and served.
pub fn document_json() -> String {
    let (_, document) = documented();
    let mut text = document.to_pretty_json().expect("a document has a JSON form");
    text.push('\n');
    text
}

/// `/openapi.json` and `/docs`.
pub fn pages(document: &OpenApi) -> Router<Arc<Giftd>> {
    let text: Arc<str> = document.to_json().expect("a document has a JSON form").into();
    // The default would have a badge made by a validator on another host.
    let config =
        Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true).persist_authorization(false);
    let docs = Router::from(SwaggerUi::new("/docs").config(config)).layer(map_response(only_from_here));
    Router::new()
        .route("/openapi.json", get(move || async move { wire::json_bytes(StatusCode::OK, text.as_bytes().to_vec()) }))
        .merge(docs)
}

async fn only_from_here(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
        ),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Everything but the paths.
fn frame() -> OpenApi {
    let scopes = Scopes::from_iter(Scope::VARIANTS.iter().map(|&scope| {
        let name: &str = scope.into();
        (name, what_for(scope))
    }));
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("giftd")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
                .build(),
        )
        .build();
    let components = document.components.get_or_insert_default();
    let flow = Flow::ClientCredentials(ClientCredentials::new("/oauth2/token", scopes));
    components.add_security_scheme("oauth2", SecurityScheme::OAuth2(OAuth2::new([flow])));
    components.add_security_scheme("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    let mut schemas = vec![("Error".to_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    document
}

fn what_for(scope: Scope) -> &'static str {
    match scope {
        Scope::OrdersRead => "Read orders",
        Scope::OrdersWrite => "Place and resend orders",
        Scope::OrdersCancel => "Cancel orders",
        Scope::CatalogRead => "Read the catalog",
        Scope::BalanceRead => "Read the balance and its ledger",
        Scope::BalanceWrite => "Ask for a top-up",
        Scope::TemplatesRead => "Read templates",
        Scope::TemplatesWrite => "Change templates",
        Scope::CampaignsRead => "Read campaigns",
        Scope::CampaignsWrite => "Change campaigns and place their orders",
        Scope::WebhooksRead => "Read webhooks",
        Scope::WebhooksWrite => "Change webhooks",
    }
}

/// What any endpoint may answer, so that no annotation has to say it again.
fn add_errors(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let is_api = path.starts_with("/api/");
        for (takes_body, operation) in operations(item) {
            let mut common = BTreeMap::from([
                ("429", "`RATE_LIMITED`: too many requests; see `Retry-After`"),
                ("500", "`INTERNAL_ERROR`: a fault of ours; the request id helps to find it"),
                ("503", "`UNAVAILABLE`: try again; see `Retry-After`"),
            ]);
            if is_api {
                common.insert("400", "`VALIDATION_ERROR`: `details` say which fields and why, all at once");
                common.insert("401", "`UNAUTHORIZED`: no token, or one that is not valid (any more)");
                common.insert("403", "`INSUFFICIENT_SCOPE`: the token lacks this endpoint's scope");
            }
            if takes_body {
                common.insert("413", "`PAYLOAD_TOO_LARGE`");
            }
            if is_api && takes_body {
                common.insert(
                    "400",
                    "`MALFORMED_JSON`, or `VALIDATION_ERROR`: `details` say which fields and why, all at once",
                );
                common.insert("415", "`UNSUPPORTED_MEDIA_TYPE`: the body must be application/json");
            }
            for (status, description) in common {
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| error_response(status, description).into());
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    // Statuses that an endpoint names with their meaning only have the envelope, too; but 204 has no body.
                    if response.content.is_empty() && status != "204" {
                        *response = error_response(status, &response.description);
                    }
                    response.headers.insert("X-Request-Id".to_owned(), text_header("The request's id").into());
                    if is_api && !matches!(status.as_str(), "401" | "403") {
                        response.headers.insert(
                            "RateLimit-Policy".to_owned(),
                            text_header("The app's quota and its window in seconds").into(),
                        );
                        response.headers.insert(
                            "RateLimit".to_owned(),
                            text_header("Requests left, and seconds until all are back").into(),
                        );
                    }
                }
            }
        }
    }
}

/// A parameter that may be left out is not one that may be null: a query string has no null.
fn remove_nulls(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let parameters = operation.parameters.iter_mut().flatten().filter_map(|parameter| match parameter {
                RefOr::T(parameter) => parameter.schema.as_mut(),
                RefOr::Ref(_) => None,
            });
            for schema in parameters {
                let without = match schema {
                    RefOr::T(Schema::Object(object)) => {
                        if let SchemaType::Array(types) = &object.schema_type
                            && let Some(only) = types.iter().find(|&one| *one != Type::Null)
                        {
                            object.schema_type = SchemaType::Type(only.clone());
                        }
                        continue;
                    }
                    RefOr::T(Schema::OneOf(one_of)) => {
                        one_of.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned()
                    }
                    _ => None,
                };
                if let Some(without) = without {
                    *schema = without;
                }
            }
        }
    }
}

/// Which characters a text that is sent may hold, so that no annotation has to say it again. One that must not be
/// only white space says just that: `\S`.
fn add_characters(document: &mut OpenApi) {
    let parameters = document.paths.paths.values_mut().flat_map(|item| operations(item).collect::<Vec<_>>());
    let parameters = parameters.flat_map(|(_, operation)| operation.parameters.iter_mut().flatten());
    for parameter in parameters {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in != ParameterIn::Path
            && let Some(RefOr::T(Schema::Object(text))) = &mut parameter.schema
        {
            add_pattern(&parameter.name, text);
        }
    }
    for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        if !matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false))) {
            continue;
        }
        for (name, property) in &mut object.properties {
            if let RefOr::T(Schema::Object(text)) = property {
                add_pattern(name, text);
            }
        }
    }
}

fn add_pattern(name: &str, text: &mut Object) {
    let is_text = match &text.schema_type {
        SchemaType::Type(one) => *one == Type::String,
        SchemaType::Array(types) => types.contains(&Type::String),
        SchemaType::AnyValue => false,
    };
    let says_more = text.enum_values.is_some() || text.format.is_some();
    let pattern = match text.pattern.as_deref() {
        None if name == "message" || name == "emailMessage" => LINES,
        None => LINE,
        Some(r"\S") => FILLED_LINE,
        Some(_) => return,
    };
    if is_text && !says_more {
        text.pattern = Some(pattern.to_owned());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [(false, get), (true, put), (true, post), (false, delete), (true, patch)]
        .into_iter()
        .filter_map(|(takes_body, operation)| operation.as_mut().map(|operation| (takes_body, operation)))
}

fn error_response(status: &str, description: &str) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name("Error");
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build());
    if matches!(status, "429" | "503") {
        response = response.header("Retry-After", text_header("Seconds to wait"));
    }
    if matches!(status, "401" | "403") {
        response = response.header("WWW-Authenticate", text_header("RFC 6750"));
    }
    response.build()
}

fn text_header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}
