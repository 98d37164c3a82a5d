//! Whoever asks for a page: what they call up, in which language, from where.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use giftd_domain::ids::GiftKey;
use giftd_store::StoreError;

use super::countries::Country;
use super::form::Form;
use super::guesses::Guesses;
use super::language::Language;
use super::quota::Quota;
use super::refusal::{Refusal, Why};
use crate::api::client_address::client_address;
use crate::state::Giftd;

/// A request for a page, without its body.
pub struct Guest {
    /// The language of its answer.
    pub language: Language,
    /// Where the reader probably is.
    pub country: Option<&'static Country>,
    /// The request's headers.
    pub headers: HeaderMap,
    address: IpAddr,
    guesses: Guesses,
    quota: Quota,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Guest {
    /// A part of the path; empty where it isn't text.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the query, the first of its name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The form that came with the request.
    pub async fn form(&self, giftd: &Giftd, body: Body) -> Result<Form, Refusal> {
        let form = Form::read(&giftd.clock, &self.headers, body).await;
        form.map_err(|status| self.refuse(Why::BadForm(status)))
    }

    /// Counts a form of a gift; refuses it where too many came.
    pub async fn count_form(&self, gift: GiftKey) -> Result<(), Refusal> {
        self.quota.count(gift).await.map_err(|wait| self.refuse(Why::TooManyForms(wait)))
    }

    /// A wrong link or verification: counts it, unless this address has to wait because of others. Right ones
    /// aren't asked: whoever has one doesn't suffer from a neighbour who guesses.
    pub async fn guessed(&self) -> Refusal {
        if let Some(wait) = self.guesses.wait(self.address).await {
            return self.refuse(Why::Guessing(wait));
        }
        self.guesses.count(self.address).await;
        self.refuse(Why::Unknown)
    }

    /// A page that says why not.
    pub fn refuse(&self, why: Why) -> Refusal {
        Refusal::new(self.language, why)
    }

    /// The page for a database that didn't do it.
    pub fn failed(&self, error: StoreError) -> Refusal {
        match Why::from(&error) {
            Why::Unavailable => {
                tracing::warn!(%error, "a recipient's page can't be made");
                self.refuse(Why::Unavailable)
            }
            _ => self.broken(error),
        }
    }

    /// The page for what should never happen.
    pub fn broken(&self, error: impl std::fmt::Display) -> Refusal {
        tracing::error!(%error, "a recipient's page can't be made");
        self.refuse(Why::Broken)
    }
}

impl FromRequestParts<Arc<Giftd>> for Guest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, giftd: &Arc<Giftd>) -> Result<Self, Infallible> {
        let params = RawPathParams::from_request_parts(parts, giftd).await.map_or_else(
            |_| Vec::new(),
            |params| params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        );
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        // Without a connection, as in tests, everyone is at the same place.
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let guesses = parts.extensions.get::<Guesses>().cloned();
        let quota = parts.extensions.get::<Quota>().cloned();
        Ok(Self {
            language: Language::preferred(&parts.headers),
            country: Country::preferred(&parts.headers),
            address: client_address(peer, &parts.headers, &giftd.settings.trusted_proxies),
            guesses: guesses.unwrap_or_else(|| Guesses::new(giftd.clock.clone())),
            quota: quota.unwrap_or_else(|| Quota::new(giftd.clock.clone())),
            params,
            query: form_urlencoded::parse(query).into_owned().collect(),
            headers: parts.headers.clone(),
        })
    }
}
