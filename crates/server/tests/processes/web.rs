//! A browser on a running server: one cookie, pages and forms.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A browser of one visitor.
pub struct Browser {
    address: SocketAddr,
    /// The last cookie, with its value.
    pub cookie: String,
}

/// A page.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub text: String,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookie: String::new() }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new()).await
    }

    pub async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, form.to_owned()).await
    }

    /// Sends the hidden fields of a page, and more, to `path`.
    pub async fn submit(&mut self, page: &Answer, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(page.all_hidden()).extend_pairs(more);
        self.send(Method::POST, path, form.finish()).await
    }

    async fn send(&mut self, method: Method, path: &str, form: String) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(COOKIE, &self.cookie)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let header = |name| parts.headers.get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned();
        let cookie = header(SET_COOKIE);
        if !cookie.is_empty() {
            self.cookie = cookie.split(';').next().expect("a pair").to_owned();
        }
        let location = header(LOCATION);
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { status: parts.status.as_u16(), location, text }
    }
}

impl Answer {
    /// A hidden field of its form.
    pub fn hidden(&self, name: &str) -> String {
        let found = self.all_hidden().into_iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.text)).1
    }

    fn all_hidden(&self) -> Vec<(String, String)> {
        let inputs = self.text.split("<input type=\"hidden\"").skip(1);
        inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    value.split('"').next().expect("an end").to_owned()
}
