//! Compression of public answers. Private answers are left alone: the size of a compressed answer can give away its content.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::Route;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

/// The largest body that is sent as it is: up to here the headers are most of an answer.
pub const UNCOMPRESSED_BYTES_MAX: u64 = 1024;
/// The level of gzip and brotli: both are fast up to here, and make JSON hardly smaller beyond.
const LEVEL: i32 = 4;

/// A layer of gzip and brotli for routes with public answers. Event streams and answers with `Cache-Control: private` or
/// `no-store` pass unchanged.
pub fn layer() -> impl Layer<
    Route,
    Service: Service<
        Request,
        Response = Response,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + Clone
                 + Send
                 + Sync
                 + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    let predicate = SizeAbove::new(UNCOMPRESSED_BYTES_MAX + 1)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(|_, _, headers: &HeaderMap, _: &_| !is_private(headers));
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Precise(LEVEL))
        .compress_when(predicate);
    ServiceBuilder::new()
        .layer(from_fn(negotiate))
        .layer(compression)
        .into_inner()
}

fn is_private(headers: &HeaderMap) -> bool {
    let directives = headers.get_all(header::CACHE_CONTROL).iter();
    directives
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.split('=').next())
        .any(|directive| {
            let directive = directive.trim();
            directive.eq_ignore_ascii_case("private") || directive.eq_ignore_ascii_case("no-store")
        })
}

/// Completes the compression: the tag of a compressed answer becomes weak, because its bytes are others than those that the
/// tag was given to, and a 304 names the tag that the client knows.
async fn negotiate(mut request: Request, next: Next) -> Response {
    if forbids_identity(request.headers()) {
        // Nobody is helped by a refusal of all there is.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let mut response = next.run(request).await;
    let is_known_weakly = response.status() == StatusCode::NOT_MODIFIED
        && known.is_some_and(|known| names_weakly(&known, response.headers()));
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING) || is_known_weakly {
        weaken(headers);
    }
    if response.status() == StatusCode::NOT_MODIFIED {
        let headers = response.headers_mut();
        headers.append(
            header::VARY,
            HeaderValue::from_name(header::ACCEPT_ENCODING),
        );
    }
    response
}

/// Tells whether the client takes an encoded answer or none at all: `identity;q=0`, or `*;q=0` without `identity`.
fn forbids_identity(headers: &HeaderMap) -> bool {
    let mut forbids = false;
    let offers = headers.get_all(header::ACCEPT_ENCODING).iter();
    let offers = offers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for offer in offers {
        let (coding, quality) = offer.split_once(';').unwrap_or((offer, ""));
        let quality = quality.trim().to_ascii_lowercase();
        let is_refused = quality
            .strip_prefix("q=")
            .is_some_and(|quality| quality.parse() == Ok(0.0_f32));
        let coding = coding.trim();
        if coding.eq_ignore_ascii_case("identity") {
            return is_refused;
        }
        forbids |= coding == "*" && is_refused;
    }
    forbids
}

fn weaken(headers: &mut HeaderMap) {
    let weak = headers
        .get(header::ETAG)
        .and_then(|tag| weak(tag.as_bytes()));
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}

/// The weak form of a tag; none where the tag is weak already.
fn weak(tag: &[u8]) -> Option<HeaderValue> {
    if tag.starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()
}

/// Tells whether the client has the compressed answer, which it knows by the weak tag.
fn names_weakly(known: &HeaderValue, headers: &HeaderMap) -> bool {
    let tag = headers.get(header::ETAG);
    let (Ok(known), Some(tag)) = (known.to_str(), tag.and_then(|tag| weak(tag.as_bytes()))) else {
        return false;
    };
    known.split(',').any(|known| tag == known.trim())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::response::IntoResponse as _;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    const LONG: usize = 4_000;

    /// `/SIZE`, as JSON with a tag; `/problem`, `/events`, `/private` are long as well.
    fn router() -> Router {
        let with = |name, value: &'static str| {
            get(move || async move { ([(name, value)], "x".repeat(LONG)) })
        };
        let sized = async |axum::extract::Path(size): axum::extract::Path<usize>,
                           headers: HeaderMap| {
            let tag = [(header::ETAG, "\"3\"")];
            if headers.contains_key(header::IF_NONE_MATCH) {
                return (StatusCode::NOT_MODIFIED, tag).into_response();
            }
            (tag, axum::Json("x".repeat(size - 2))).into_response()
        };
        Router::new()
            .route("/{size}", get(sized))
            .route("/problem", with(header::CACHE_CONTROL, "no-store"))
            .route("/private", with(header::CACHE_CONTROL, "Private, no-cache"))
            .route("/events", with(header::CONTENT_TYPE, "text/event-stream"))
            .layer(layer())
    }

    async fn ask(path: &str, encodings: &str, known: Option<&str>) -> (HeaderMap, usize) {
        let mut request = Request::get(path).header(header::ACCEPT_ENCODING, encodings);
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        assert!(response.status().is_success() || known.is_some());
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.headers, body.len())
    }

    #[tokio::test]
    async fn long_answers_are_compressed_and_their_tags_weak() {
        for (accepted, encoding) in [
            ("gzip", "gzip"),
            ("br", "br"),
            ("gzip, deflate, br", "br"),
            ("br;q=0.5, gzip", "gzip"),
        ] {
            let (headers, size) = ask("/4000", accepted, None).await;
            assert_eq!(headers[header::CONTENT_ENCODING], encoding, "{accepted}");
            assert_eq!(headers[header::ETAG], "W/\"3\"", "{accepted}");
            assert_eq!(headers[header::VARY], "accept-encoding", "{accepted}");
            assert!(!headers.contains_key(header::CONTENT_LENGTH), "{accepted}");
            assert!(size < LONG / 10, "{accepted}: {size}");
        }
    }

    #[tokio::test]
    async fn what_need_not_or_must_not_be_compressed_passes_unchanged() {
        for (path, accepted, size) in [
            ("/4000", "identity", 4_000),
            ("/4000", "zstd", 4_000),
            ("/4000", "gzip;q=0, br;q=0", 4_000),
            ("/4000", "identity;q=0", 4_000),
            ("/4000", "*;q=0", 4_000),
            ("/1024", "br, gzip", 1_024),
            ("/problem", "br, gzip", LONG),
            ("/private", "br, gzip", LONG),
            ("/events", "br, gzip", LONG),
        ] {
            let (headers, received) = ask(path, accepted, None).await;
            let what = format!("{path} {accepted}");
            assert!(!headers.contains_key(header::CONTENT_ENCODING), "{what}");
            assert_eq!(received, size, "{what}");
            if let Some(tag) = headers.get(header::ETAG) {
                assert_eq!(tag, "\"3\"", "{what}");
            }
        }
        let (headers, _) = ask("/1025", "gzip", None).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    }

    #[tokio::test]
    async fn what_a_client_knows_is_named_as_the_client_knows_it() {
        for (known, tag) in [
            ("W/\"3\"", "W/\"3\""),
            ("\"2\", W/\"3\"", "W/\"3\""),
            ("\"3\"", "\"3\""),
            ("*", "\"3\""),
        ] {
            let (headers, _) = ask("/4000", "gzip", Some(known)).await;
            assert_eq!(headers[header::ETAG], tag, "{known}");
            assert_eq!(headers[header::VARY], "accept-encoding", "{known}");
        }
    }
}
