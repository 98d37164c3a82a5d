//! Request bodies: JSON by its media type, whole, in time and not too large; and no more of them in memory
//! at once than the node has room for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use giftd_domain::limits;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use super::fields::{Fields, read_object};
use crate::clock::Clock;

/// What one node spends on bodies: bytes in memory at once, and time. The first bytes of each have room of their
/// own: a few large bodies, sent slowly, don't hold up the small ones of everyone else.
#[derive(Clone)]
pub struct Bodies {
    room_for_starts: Arc<Semaphore>,
    room_for_rests: Arc<Semaphore>,
    clock: Clock,
}

impl Bodies {
    /// Room for [`limits::BODY_STARTS_IN_FLIGHT_BYTES`] and [`limits::BODY_RESTS_IN_FLIGHT_BYTES`].
    pub fn new(clock: Clock) -> Self {
        Self::with_room(limits::BODY_STARTS_IN_FLIGHT_BYTES, limits::BODY_RESTS_IN_FLIGHT_BYTES, clock)
    }

    fn with_room(starts: usize, rests: usize, clock: Clock) -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes / limits::BODY_PERMIT_BYTES));
        Self { room_for_starts: room(starts), room_for_rests: room(rests), clock }
    }

    /// The whole body, as long as it is at most [`limits::BODY_BYTES`] and arrives within
    /// [`limits::BODY_SECONDS`].
    async fn receive(&self, declared: Option<usize>, body: Body) -> Result<JsonBody, ApiError> {
        let time = Duration::from_secs(limits::BODY_SECONDS);
        tokio::select! {
            received = self.receive_all(declared, body) => received,
            () = self.clock.sleep(time) => {
                let message = format!("The body did not arrive within {} seconds.", time.as_secs());
                Err(ApiError::malformed_json(message).with_headers([(CONNECTION, HeaderValue::from_static("close"))]))
            }
        }
    }

    async fn receive_all(&self, declared: Option<usize>, mut body: Body) -> Result<JsonBody, ApiError> {
        if declared.is_some_and(|bytes| bytes > limits::BODY_BYTES) {
            drop_beside(&self.clock, body);
            return Err(ApiError::payload_too_large(limits::BODY_BYTES));
        }
        let mut received = JsonBody { bytes: Vec::new(), room: [None, None] };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ApiError::malformed_json("The body did not arrive whole.").log(error))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = received.bytes.len().saturating_add(data.len());
            if length > limits::BODY_BYTES {
                drop_beside(&self.clock, body);
                return Err(ApiError::payload_too_large(limits::BODY_BYTES));
            }
            self.make_room(&mut received, length).await?;
            received.bytes.extend_from_slice(&data);
        }
        Ok(received)
    }

    /// Takes room as bytes arrive, not as they are announced: a slow body holds only what it sent.
    async fn make_room(&self, received: &mut JsonBody, length: usize) -> Result<(), ApiError> {
        let start = length.min(limits::BODY_START_BYTES);
        let [for_start, for_rest] = &mut received.room;
        self.take(&self.room_for_starts, for_start, start).await?;
        self.take(&self.room_for_rests, for_rest, length.saturating_sub(start)).await
    }

    async fn take(
        &self,
        room: &Arc<Semaphore>,
        held: &mut Option<OwnedSemaphorePermit>,
        bytes: usize,
    ) -> Result<(), ApiError> {
        let holds = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(limits::BODY_PERMIT_BYTES).saturating_sub(holds);
        if more == 0 {
            return Ok(());
        }
        let busy =
            || ApiError::unavailable("The server is busy with other requests; try again soon.", "bodies in flight");
        let permits = u32::try_from(more).map_err(|_| busy())?;
        let taken = tokio::select! {
            biased;
            taken = room.clone().acquire_many_owned(permits) => taken.map_err(|_| busy())?,
            () = self.clock.sleep(Duration::from_secs(limits::BODY_ROOM_SECONDS)) => return Err(busy()),
        };
        match held {
            Some(held) => held.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }
}

/// Reads what is left of a refused body and drops it, up to [`limits::BODY_BYTES_DROPPED`], while the answer goes out: a
/// client that sends all before it listens gets it instead of a broken connection.
pub fn drop_beside(clock: &Clock, mut rest: Body) {
    let clock = clock.clone();
    tokio::spawn(async move {
        let dropping = async {
            let mut dropped = 0_usize;
            while let Some(Ok(frame)) = rest.frame().await {
                dropped = dropped.saturating_add(frame.data_ref().map_or(0, |data| data.len()));
                if dropped > limits::BODY_BYTES_DROPPED {
                    break;
                }
            }
        };
        tokio::select! {
            () = dropping => {}
            () = clock.sleep(Duration::from_secs(limits::BODY_SECONDS)) => {}
        }
    });
}

/// A body that says it is JSON, whole and not too large. Counts as in flight until it is dropped. As an
/// extractor it comes last, behind who may do this at all.
pub struct JsonBody {
    bytes: Vec<u8>,
    /// Of its start, and of the rest.
    room: [Option<OwnedSemaphorePermit>; 2],
}

impl JsonBody {
    /// Reads the body's fields; large bodies on a thread for blocking work.
    pub async fn read<T: Send + 'static>(
        self,
        read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        if self.bytes.len() <= limits::BODY_START_BYTES {
            return read_object(&self.bytes, read);
        }
        // The body moves along, so that it counts as in flight while it is read.
        let reading = tokio::task::spawn_blocking(move || read_object(&self.bytes, read));
        reading.await.unwrap_or_else(|error| Err(ApiError::internal(error)))
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<S> FromRequest<S> for JsonBody
where
    S: Send + Sync,
    Bodies: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_media_type(&parts.headers)?;
        let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Who asks before sending is told at once.
        if parts.headers.contains_key(EXPECT) && declared.is_some_and(|bytes| bytes > limits::BODY_BYTES) {
            return Err(ApiError::payload_too_large(limits::BODY_BYTES));
        }
        Bodies::from_ref(state).receive(declared, body).await
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media| {
        media.eq_ignore_ascii_case("application/json")
            || media.to_ascii_lowercase().strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"))
    });
    let is_utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if !is_json || !is_utf8 {
        return Err(ApiError::unsupported_media_type(
            "The body must be JSON in UTF-8: send `Content-Type: application/json`.",
        ));
    }
    let encoding = headers.get(CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(ApiError::unsupported_media_type("The body must not be compressed: send no Content-Encoding."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn a_body_must_say_that_it_is_json() {
        let status = |headers: &[(axum::http::HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            check_media_type(&headers).map_err(|error| error.status().as_u16()).err()
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/x+json",
        ] {
            assert_eq!(status(&[(CONTENT_TYPE, good)]), None, "{good}");
        }
        for bad in ["", "text/plain", "application/jsonx", "application/json; charset=latin1", "text/json+x"] {
            assert_eq!(status(&[(CONTENT_TYPE, bad)]), Some(415), "{bad}");
        }
        assert_eq!(status(&[]), Some(415));
        assert_eq!(status(&[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")]), Some(415));
        assert_eq!(status(&[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "identity")]), None);
    }

    fn clock() -> Clock {
        Clock::fixed("2026-11-22T12:00:00Z".parse().expect("an instant"))
    }

    /// A body of so many pieces of 1 MiB; none: one that never comes.
    struct Pieces(Option<usize>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match &mut self.0 {
                None => Poll::Pending,
                Some(0) => Poll::Ready(None),
                Some(left) => {
                    *left -= 1;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1 << 20])))))
                }
            }
        }
    }

    fn chunks(count: usize) -> Body {
        Body::new(Pieces(Some(count)))
    }

    #[tokio::test]
    async fn over_16_mib_is_413_whether_announced_or_not() {
        let bodies = Bodies::new(clock());
        let whole = bodies.receive(None, chunks(16)).await.expect("16 MiB are taken");
        assert_eq!(whole.bytes().len(), limits::BODY_BYTES);
        for (declared, body) in [(None, chunks(17)), (Some(usize::MAX), chunks(1)), (None, chunks(1_000))] {
            let error = bodies.receive(declared, body).await.err().expect("too large");
            assert_eq!((error.status().as_u16(), error.code()), (413, "PAYLOAD_TOO_LARGE"));
        }
    }

    #[tokio::test]
    async fn a_body_that_announces_too_much_is_refused_before_it_comes() {
        let never = Body::new(Pieces(None));
        let refused = Bodies::new(clock()).receive(Some(limits::BODY_BYTES + 1), never).await;
        assert_eq!(refused.err().map(|error| error.status().as_u16()), Some(413));
    }

    #[tokio::test]
    async fn who_asks_before_sending_too_much_is_told_at_once() {
        let request = |length: usize| {
            let request = Request::post("/").header(CONTENT_TYPE, "application/json").header(EXPECT, "100-continue");
            request.header(CONTENT_LENGTH, length).body(Body::new(Pieces(None))).expect("a request")
        };
        let refused = JsonBody::from_request(request(limits::BODY_BYTES + 1), &Bodies::new(clock())).await;
        assert_eq!(refused.err().map(|error| error.status().as_u16()), Some(413));
    }

    #[tokio::test]
    async fn more_bytes_in_flight_than_the_node_holds_are_503_until_there_is_room() {
        let clock = clock();
        let bodies = Bodies::with_room(1 << 20, 3 << 20, clock.clone());
        let first = bodies.receive(None, chunks(2)).await.expect("there is room");
        let waiting = tokio::spawn({
            let bodies = bodies.clone();
            async move { bodies.receive(None, chunks(2)).await.err().map(|error| error.status().as_u16()) }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(limits::BODY_ROOM_SECONDS));
        assert_eq!(waiting.await.expect("answered"), Some(503));
        assert!(bodies.receive(None, Body::from("{}")).await.is_ok(), "small ones go on beside");
        drop(first);
        assert!(bodies.receive(None, chunks(2)).await.is_ok(), "all room came back");
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_in_time_is_400() {
        let clock = clock();
        let never = Body::new(Pieces(None));
        let waiting = tokio::spawn({
            let bodies = Bodies::new(clock.clone());
            async move { bodies.receive(None, never).await.err().map(|error| (error.status().as_u16(), error.code())) }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(limits::BODY_SECONDS));
        assert_eq!(waiting.await.expect("answered"), Some((400, "MALFORMED_JSON")));
    }

    #[tokio::test]
    async fn large_bodies_are_read_like_small_ones() {
        for length in [10, limits::BODY_START_BYTES + 1] {
            let body =
                JsonBody { bytes: format!(r#"{{"a":"{}"}}"#, "x".repeat(length)).into_bytes(), room: [None, None] };
            assert_eq!(body.read(|fields| fields.required_text("a")).await.expect("read").len(), length);
        }
    }
}
