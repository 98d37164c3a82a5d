//! Pages from their templates, and what each answer has: headers that keep it private and let it load
//! nothing but our own style and script.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::language::Language;
use super::texts::texts;
use super::{SCRIPT, STYLESHEET};

/// What all pages of an answer have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The language.
    pub language: Language,
    /// Whether to say that it is only a test.
    pub sandbox: bool,
}

/// A page. Fails only when a template names what isn't there.
pub fn render(look: Look, template: &str, status: StatusCode, shown: Value) -> Result<Response, minijinja::Error> {
    let all = context! {
        lang => look.language.code(),
        t => texts(look.language).function(),
        sandbox => look.sandbox,
        stylesheet => address(&STYLESHEET.address),
        script => address(&SCRIPT.address),
        ..shown
    };
    let html = TEMPLATES.get_template(template)?.render(all)?;
    Ok((status, Html(html)).into_response())
}

/// An address for the templates: unescaped when it has only characters that mean nothing in HTML, which all of
/// ours do; escaping would make each slash six characters.
pub fn address(address: &str) -> Value {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~' | '%' | '?' | '=');
    if address.chars().all(is_plain) { Value::from_safe_string(address.to_owned()) } else { Value::from(address) }
}

/// Sends the browser on, with GET.
pub fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // Paths are made of base64url and hexadecimal digits.
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A file that pages load, with an address that changes when it does.
pub struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// What pages call it.
    pub address: String,
}

impl Asset {
    /// A file of the binary.
    pub fn new(path: &'static str, media_type: &'static str, content: &'static str) -> Self {
        use sha2::{Digest as _, Sha256};
        let version: String = Sha256::digest(content).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self { path, media_type, content, address: format!("{path}?v={version}") }
    }

    /// Where it is.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// It holds no secret and may be kept.
    pub fn answer(&self) -> Response {
        let headers = [(CONTENT_TYPE, self.media_type), (CACHE_CONTROL, "public, max-age=86400")];
        (headers, self.content).into_response()
    }
}

/// Middleware: the headers of every answer here.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The templates; HTML is escaped by its name.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    templates.set_syntax(syntax.expect("the default delimiters"));
    for (name, source) in [
        ("layout.html", include_str!("pages/layout.html")),
        ("parts.html", include_str!("pages/parts.html")),
        ("covered.html", include_str!("pages/covered.html")),
        ("on_its_way.html", include_str!("pages/on_its_way.html")),
        ("verify.html", include_str!("pages/verify.html")),
        ("gift.html", include_str!("pages/gift.html")),
        ("pick.html", include_str!("pages/pick.html")),
        ("confirm.html", include_str!("pages/confirm.html")),
        ("code.html", include_str!("pages/code.html")),
        ("preparing.html", include_str!("pages/preparing.html")),
        ("terms.html", include_str!("pages/terms.html")),
        ("preview.html", include_str!("pages/preview.html")),
        ("refusal.html", include_str!("pages/refusal.html")),
    ] {
        templates.add_template(name, source).expect("the embedded templates parse: tests render them all");
    }
    templates
});
