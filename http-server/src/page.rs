//! Lists: a page of items and the cursor of the next.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::params::Query;
use crate::problem::Problem;

/// Items of a page if the client does not say.
pub const LIMIT_DEFAULT: usize = 50;
/// Items of a page at most: a page is built in memory.
pub const LIMIT_MAX: usize = 200;
/// Bytes of a cursor; those that were handed out are far shorter.
const CURSOR_BYTES_MAX: usize = 2 * 1024;
/// The character NUL as JSON writes it.
const NUL_IN_JSON: &[u8] = b"\\u0000";

/// `?limit=` (50, at most 200) and `&cursor=` of a list. As an extractor: 400 for others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items of this page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// `next_cursor` of the page before; opaque.
    cursor: Option<String>,
}

/// Which page of a list is asked for; documented by [`PageQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// 1 to 200. Fetch one row more to know whether there is a next page ([`Page::list`]).
    pub limit: usize,
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    /// To be sent as `cursor` for the next page; `null` on the last one.
    pub next_cursor: Option<String>,
}

impl Page {
    /// The key that [`Page::list`] wrote into the cursor.
    ///
    /// # Errors
    /// `bad-request` for a cursor that this list did not hand out.
    pub fn cursor<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        let foreign = || Problem::bad_request("the cursor is not one of this list");
        if text.len() > CURSOR_BYTES_MAX {
            return Err(foreign());
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign())?;
        // No list has it in its keys, and no database takes it as text.
        if json.windows(NUL_IN_JSON.len()).any(|it| it == NUL_IN_JSON) {
            return Err(foreign());
        }
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|_| foreign())
    }

    /// Builds the answer from up to `limit + 1` rows; `key` tells where the next page begins
    /// (after the last item that is handed out).
    #[must_use]
    pub fn list<T, K: Serialize>(&self, mut rows: Vec<T>, key: impl FnOnce(&T) -> K) -> List<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = match rows.last() {
            Some(last) if more => Some(encode(&key(last))),
            _ => None,
        };
        List {
            items: rows,
            next_cursor,
        }
    }
}

impl<T> List<T> {
    /// What a bounded scan found, be it nothing; `next` is where the scan goes on, `None` where it
    /// has seen everything. [`Page::cursor`] reads it back.
    #[must_use]
    pub fn scanned<K: Serialize>(items: Vec<T>, next: Option<&K>) -> Self {
        List {
            items,
            next_cursor: next.map(encode),
        }
    }
}

fn encode(key: &impl Serialize) -> String {
    let json = serde_json::to_vec(key).expect("a cursor's key holds strings and numbers only");
    URL_SAFE_NO_PAD.encode(json)
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(PageQuery { limit, cursor }) = Query::from_request_parts(parts, state).await?;
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad_request(format!(
                "limit must be between 1 and {LIMIT_MAX}"
            )));
        }
        Ok(Page { limit, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(query: &str) -> Result<Page, Problem> {
        let request = axum::http::Request::get(format!("/x?{query}"))
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        Page::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_page_is_bounded_and_its_cursor_leads_on() {
        let page = read("limit=2&q=milk").await.unwrap();
        assert_eq!(page.cursor::<(i64, String)>().unwrap(), None);
        let list = page.list(vec![1_i64, 2, 3], |&n| (n, "ä?".to_owned()));
        assert_eq!(list.items, [1, 2]);

        let next = format!("limit=2&cursor={}", list.next_cursor.unwrap());
        let page = read(&next).await.unwrap();
        assert_eq!(
            page.cursor::<(i64, String)>().unwrap(),
            Some((2, "ä?".to_owned()))
        );
        assert!(page.cursor::<String>().is_err());
        assert_eq!(page.list(vec![3_i64, 4], |&n| n).next_cursor, None);
        assert_eq!(page.list(Vec::<i64>::new(), |&n| n).next_cursor, None);
    }

    #[tokio::test]
    async fn a_scan_that_found_nothing_yet_goes_on() {
        let list = List::<()>::scanned(Vec::new(), Some(&4_711_i64));
        let page = read(&format!("cursor={}", list.next_cursor.unwrap()))
            .await
            .unwrap();
        assert_eq!(page.cursor::<i64>().unwrap(), Some(4_711));
        assert_eq!(
            List::<()>::scanned(Vec::new(), None::<&i64>).next_cursor,
            None
        );
    }

    #[tokio::test]
    async fn limits_out_of_range_are_refused() {
        assert_eq!(read("").await.unwrap().limit, LIMIT_DEFAULT);
        assert_eq!(read("limit=200").await.unwrap().limit, LIMIT_MAX);
        for wrong in ["limit=0", "limit=201", "limit=-1", "limit=x"] {
            assert!(read(wrong).await.is_err(), "{wrong}");
        }
        assert!(read("cursor=%21").await.unwrap().cursor::<i64>().is_err());
        let nul = format!("cursor={}", encode(&"a\0"));
        assert!(read(&nul).await.unwrap().cursor::<String>().is_err());
    }
}
