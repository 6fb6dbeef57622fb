//! The built pages of each face, inside the program, and the one router that serves them.
//!
//! What always holds: a file whose name carries its hash never changes, so it is cached for good; `index.html` is asked for
//! again at every visit and answered with 304 while it is the same. Every answer carries the security headers, and the
//! content-security policy allows our own files and nothing else: no inline script or style, no other host, no frame. An
//! address that is neither a file nor a route of the program is a page of the app, which finds its own way
//! (`/journal/…`); below `/api` and `/connection` it is a plain 404, so that a mistyped route never answers with a page.

mod negotiate;

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use negotiate::Encoding;

/// The policy of every page. `wasm-unsafe-eval` allows WebAssembly to be compiled, and no script to be evaluated.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// One year, the longest that RFC 9111 recommends, and never asked for again in between.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for again every time.
const ASK: &str = "no-cache";

/// A file of the pages with its compressed twins.
#[derive(Debug)]
struct File {
    name: &'static str,
    /// First 64 bits of the SHA-256 of the plain file, hex.
    tag: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

static BOX: &[File] = include!(concat!(env!("OUT_DIR"), "/box.rs"));
static FLEET: &[File] = include!(concat!(env!("OUT_DIR"), "/fleet.rs"));

/// Serves the box's face: as the fallback of a program's own router, or merged into one that has none.
pub fn appliance() -> Router {
    router(BOX)
}

/// Serves the fleet's face, in the same way.
pub fn fleet() -> Router {
    router(FLEET)
}

fn router(files: &'static [File]) -> Router {
    Router::new().fallback(move |request: Request<Body>| async move { serve(files, &request) })
}

fn serve(files: &'static [File], request: &Request<Body>) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let beneath = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    if beneath("api") || beneath("connection") {
        return refuse(StatusCode::NOT_FOUND, r#"{"code":"not_found","message":"there is no such route"}"#);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            r#"{"code":"method_not_allowed","message":"pages are only read: use GET"}"#,
        );
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let find = |name: &str| files.binary_search_by_key(&name, |file| file.name).ok().map(|at| &files[at]);
    // A missing file of the pages is a page that is older than the program: it must not be answered with HTML.
    if beneath("assets") && find(path).is_none() {
        return refuse(
            StatusCode::NOT_FOUND,
            r#"{"code":"not_found","message":"this page is of another version: reload it"}"#,
        );
    }
    match find(path).or_else(|| find("index.html")) {
        Some(file) => answer(file, request),
        None => refuse(StatusCode::NOT_FOUND, r#"{"code":"not_found","message":"the pages were not built"}"#),
    }
}

fn answer(file: &'static File, request: &Request<Body>) -> Response {
    let forever = file.name.starts_with("assets/");
    let accepted = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let encoding = negotiate::choose(accepted.unwrap_or_default(), file.brotli.is_some(), file.gzip.is_some());
    let bytes = match encoding {
        Encoding::Brotli => file.brotli.unwrap_or(file.plain),
        Encoding::Gzip => file.gzip.unwrap_or(file.plain),
        Encoding::Identity => file.plain,
    };
    // Each representation has a tag of its own (RFC 9110 §8.8.3).
    let tag = format!("\"{}{}\"", file.tag, encoding.suffix());
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let fresh = known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));

    let mut response = if fresh {
        with_status(StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        with_status(StatusCode::OK, Bytes::from_static(bytes))
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(file.name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(if forever { FOREVER } else { ASK }));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let (Some(name), false) = (encoding.name(), fresh) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    response
}

fn refuse(status: StatusCode, body: &'static str) -> Response {
    let mut response = with_status(status, Bytes::from_static(body.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer with the headers that every answer carries.
fn with_status(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
    response
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    static SAMPLE: &[File] = &[
        File { name: "assets/app-1a2b.js", tag: "aa", plain: b"plain", brotli: Some(b"br"), gzip: Some(b"gz") },
        File { name: "assets/inter-9f.woff2", tag: "bb", plain: b"font", brotli: None, gzip: None },
        File { name: "index.html", tag: "cc", plain: b"<p>", brotli: Some(b"bx"), gzip: None },
    ];

    fn ask(method: Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        serve(SAMPLE, &request.body(Body::empty()).expect("a sound request"))
    }

    fn get(path: &str, accept: &str) -> Response {
        ask(Method::GET, path, &[(header::ACCEPT_ENCODING, accept)])
    }

    fn text(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map(|value| value.to_str().expect("headers of ours are ASCII")).unwrap_or_default()
    }

    async fn body(response: Response) -> Bytes {
        response.into_body().collect().await.expect("a body in memory").to_bytes()
    }

    #[tokio::test]
    async fn the_smallest_encoding_that_is_accepted_is_served() {
        let response = get("/assets/app-1a2b.js", "gzip, deflate, br");
        assert_eq!(text(&response, header::CONTENT_ENCODING), "br");
        assert_eq!(text(&response, header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(body(response).await, "br");
        assert_eq!(body(get("/assets/app-1a2b.js", "gzip")).await, "gz");
        let plain = get("/assets/app-1a2b.js", "br;q=0");
        assert_eq!(text(&plain, header::CONTENT_ENCODING), "");
        assert_eq!(body(plain).await, "plain");
        assert_eq!(body(get("/assets/inter-9f.woff2", "br")).await, "font");
    }

    #[tokio::test]
    async fn named_files_are_kept_for_good_and_the_index_is_asked_for_again() {
        assert_eq!(text(&get("/assets/app-1a2b.js", ""), header::CACHE_CONTROL), FOREVER);
        let index = get("/", "br");
        assert_eq!(text(&index, header::CACHE_CONTROL), ASK);
        assert_eq!(text(&index, header::VARY), "accept-encoding");
        let tag = text(&index, header::ETAG).to_owned();
        let again = ask(Method::GET, "/", &[(header::IF_NONE_MATCH, tag.as_str()), (header::ACCEPT_ENCODING, "br")]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(body(again).await.is_empty());
        // The tag of one representation does not stand for another.
        let other = ask(Method::GET, "/", &[(header::IF_NONE_MATCH, tag.as_str())]);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn addresses_of_pages_are_the_app_and_addresses_of_routes_are_not() {
        for path in ["/", "/journal", "/boxes/018f-x", "/apiary", "/connections"] {
            assert_eq!(text(&get(path, ""), header::CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
        }
        for path in ["/api", "/api/nothing", "/connection/websocket", "/assets/app-old.js"] {
            assert_eq!(get(path, "").status(), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(ask(Method::POST, "/journal", &[]).status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Method::HEAD, "/journal", &[]).status(), StatusCode::OK);
    }

    #[test]
    fn every_answer_carries_the_security_headers() {
        for path in ["/", "/assets/app-1a2b.js", "/api/nothing"] {
            let response = get(path, "");
            assert_eq!(text(&response, header::CONTENT_SECURITY_POLICY), CONTENT_SECURITY_POLICY);
            assert_eq!(text(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(text(&response, header::REFERRER_POLICY), "no-referrer");
        }
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe-inline"));
    }

    #[tokio::test]
    async fn what_is_embedded_has_an_index_and_is_sorted() {
        for files in [BOX, FLEET] {
            assert!(files.is_sorted_by_key(|file| file.name));
            let request = Request::get("/journal").body(Body::empty()).expect("a sound request");
            let response = router(files).oneshot(request).await.expect("the router cannot fail");
            assert_eq!(response.status(), StatusCode::OK);
            let page = body(response).await;
            assert!(page.starts_with(b"<!doctype html>"));
            assert!(!String::from_utf8_lossy(&page).contains("style="));
        }
    }
}
