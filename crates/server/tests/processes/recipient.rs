//! A recipient who has a reward link.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The page of a link.
pub async fn open(server: SocketAddr, path: &str) -> String {
    let (status, page, _) = send(server, Request::get(path), String::new()).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

/// Redeems the gift of a link: the page with its code.
pub async fn redeem(server: SocketAddr, path: &str) -> String {
    let page = open(server, path).await;
    let (before, after) = page.split_once("id=\"redeem-form\"").unwrap_or_else(|| panic!("no form: {page}"));
    let tag = &before[before.rfind("<form").expect("a form")..];
    let inputs = after.split("</form>").next().expect("a form").split("<input type=\"hidden\"").skip(1);
    let fields = inputs.map(|input| (attribute(input, "name"), attribute(input, "value")));
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(attribute(tag, "action")).header("content-type", "application/x-www-form-urlencoded");
    let (status, page, location) = send(server, request, form).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    open(server, &location).await
}

fn attribute(tag: &str, name: &str) -> String {
    let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    value.split('"').next().expect("an end").replace("&#x2f;", "/").replace("&amp;", "&")
}

/// Status, body and where it leads.
async fn send(
    server: SocketAddr,
    request: hyper::http::request::Builder,
    body: String,
) -> (StatusCode, String, String) {
    let stream = TcpStream::connect(server).await.expect("it listens");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = request.header("host", server.to_string()).body(Full::new(Bytes::from(body))).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let location = answer.headers().get("location").map_or("", |to| to.to_str().expect("ASCII")).to_owned();
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"), location)
}
