//! Talking to the server: JSON in and out, the CSRF token on everything that changes something, and one error type that a
//! page can show in words.

use gloo_net::http::{Method, RequestBuilder, Response};
use sent_contract::{ApiError, Uuid};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{cell::RefCell, fmt, marker::PhantomData};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;
use yew::Callback;

thread_local! {
    static CSRF: RefCell<String> = const { RefCell::new(String::new()) };
    static SIGNED_OUT: RefCell<Option<Callback<()>>> = const { RefCell::new(None) };
}

/// Why a request gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// No connection to the server at all; what the browser says of it means little to a person.
    #[error("no answer came: see that the server runs and that the network reaches it")]
    Unreachable(String),
    /// The server said no, and why.
    #[error("{}", .error.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// In the server's words.
        error: ApiError,
    },
    /// The answer is not what this page understands: page and server are of different versions.
    #[error("the server's answer was not understood ({0}); reload the page")]
    Garbled(String),
}

impl Failure {
    /// What is wrong with one field of a form, if the server blamed it.
    pub fn field(&self, name: &str) -> Option<String> {
        match self {
            Failure::Refused { error, .. } => {
                error.fields.iter().find(|field| field.field == name).map(|field| field.message.clone())
            }
            _ => None,
        }
    }

    /// Whether the server blamed particular fields; the form then shows the message beside them.
    pub fn blames_fields(&self) -> bool {
        matches!(self, Failure::Refused { error, .. } if !error.fields.is_empty())
    }

    /// The name of the request in the server's log.
    pub fn request(&self) -> Option<String> {
        match self {
            Failure::Refused { error, .. } => error.request.map(|id| id.to_string()),
            _ => None,
        }
    }
}

/// An answer whose content does not matter.
pub struct Done;

impl<'de> Deserialize<'de> for Done {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Done)
    }
}

/// A list, whether the route answers a plain array or one page with a cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page.
    pub next: Option<String>,
    /// How many rows match in all, if the server knows.
    pub total: Option<u64>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array, or a page with `items`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<List<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(row) = rows.next_element()? {
                    items.push(row);
                }
                Ok(List { items, next: None, total: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut page: A) -> Result<List<T>, A::Error> {
                let mut list = List { items: Vec::new(), next: None, total: None };
                while let Some(key) = page.next_key::<String>()? {
                    match key.as_str() {
                        "items" => list.items = page.next_value()?,
                        "next" => list.next = page.next_value()?,
                        "total" => list.total = page.next_value()?,
                        _ => {
                            page.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(list)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// Remembers the token that every change must carry, and whom to tell when the session ends.
pub fn signed_in(csrf: &str, signed_out: Callback<()>) {
    CSRF.with_borrow_mut(|kept| csrf.clone_into(kept));
    SIGNED_OUT.with_borrow_mut(|kept| *kept = Some(signed_out));
}

/// `GET` of JSON.
pub async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Failure> {
    let request = RequestBuilder::new(path).build().map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// A file, which the browser keeps, and whether its answer has a header.
pub async fn file(path: &str, header: &str) -> Result<(Blob, bool), Failure> {
    let request = RequestBuilder::new(path).build().map_err(unreachable)?;
    let response = request.send().await.map_err(unreachable)?;
    if !response.ok() {
        let text = response.text().await.map_err(unreachable)?;
        return Err(refused(response.status(), &response.status_text(), &text));
    }
    let marked = response.headers().get(header).is_some();
    let lost = |cause: JsValue| Failure::Unreachable(format!("{cause:?}"));
    let blob = JsFuture::from(web_sys::Response::from(response).blob().map_err(lost)?).await.map_err(lost)?;
    Ok((blob.unchecked_into(), marked))
}

/// Any other method, with a JSON body.
pub async fn send<T: DeserializeOwned>(method: Method, path: &str, body: &impl Serialize) -> Result<T, Failure> {
    let body = serde_json::to_string(body).map_err(|cause| Failure::Garbled(cause.to_string()))?;
    let request = changing(method, path).header("content-type", "application/json").body(body).map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// `POST` of JSON.
pub async fn post<T: DeserializeOwned>(path: &str, body: &impl Serialize) -> Result<T, Failure> {
    send(Method::POST, path, body).await
}

/// `POST` of a text of another kind.
pub async fn post_text<T: DeserializeOwned>(path: &str, kind: &str, body: String) -> Result<T, Failure> {
    let request = changing(Method::POST, path).header("content-type", kind).body(body).map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// A file, as it is.
pub async fn upload<T: DeserializeOwned>(method: Method, path: &str, file: &Blob) -> Result<T, Failure> {
    let request = changing(method, path).header("content-type", "application/octet-stream");
    let request = request.body(JsValue::from(file)).map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// `PUT` of a file as it is.
pub async fn put_file<T: DeserializeOwned>(path: &str, file: &web_sys::File) -> Result<T, Failure> {
    let request = changing(Method::PUT, path).header("content-type", "application/octet-stream");
    let request = request.body(file).map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// A change without a body.
pub async fn act<T: DeserializeOwned>(method: Method, path: &str) -> Result<T, Failure> {
    let request = changing(method, path).build().map_err(unreachable)?;
    answer(request.send().await.map_err(unreachable)?).await
}

/// An id for something new (UUIDv7 of the page's clock), made here so that sending it twice makes it once.
pub fn new_id() -> Uuid {
    let now = js_sys::Date::now();
    let nanos = (now % 1000.0) as u32 * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, (now / 1000.0) as u64, nanos))
}

/// One part of a path or of a query string, with everything escaped that would end it.
pub fn escape(part: &str) -> String {
    String::from(js_sys::encode_uri_component(part))
}

/// `path?a=1&b=2` of those that have a value.
pub fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let query: Vec<_> = query
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

fn changing(method: Method, path: &str) -> RequestBuilder {
    let csrf = CSRF.with_borrow(Clone::clone);
    let request = RequestBuilder::new(path).method(method);
    if csrf.is_empty() { request } else { request.header("x-sent-csrf", &csrf) }
}

fn unreachable(cause: gloo_net::Error) -> Failure {
    Failure::Unreachable(cause.to_string())
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    if response.ok() {
        let text = if text.is_empty() { "null" } else { &text };
        return serde_json::from_str(text).map_err(|cause| Failure::Garbled(cause.to_string()));
    }
    Err(refused(status, &response.status_text(), &text))
}

/// Why an answer is none.
fn refused(status: u16, words: &str, text: &str) -> Failure {
    if status == 401
        && let Some(tell) = SIGNED_OUT.with_borrow(Clone::clone)
    {
        tell.emit(());
    }
    let error = serde_json::from_str(text).unwrap_or_else(|_| ApiError {
        code: status.to_string(),
        message: format!("the server answered {status} {words}"),
        fields: Vec::new(),
        request: None,
    });
    Failure::Refused { status, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_an_array_or_a_page() {
        let plain: List<u8> = serde_json::from_str("[1,2]").expect("an array is a list");
        assert_eq!(plain, List { items: vec![1, 2], next: None, total: None });
        let page: List<u8> =
            serde_json::from_str(r#"{"items":[3],"next":"c","total":9,"later":{}}"#).expect("a page is a list");
        assert_eq!(page, List { items: vec![3], next: Some("c".into()), total: Some(9) });
        assert!(serde_json::from_str::<List<u8>>("7").is_err());
    }
}
