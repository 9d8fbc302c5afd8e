//! Where the next page begins.
//!
//! A cursor holds the place of the last hit and how its search was spelt, nothing of the index: it is as good after a
//! commit, in another generation and after a restart. A product that is there throughout, unchanged, is on one page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::page::Place;
use super::request::{InvalidRequest, invalid};
use super::spelling::Spelling;
use super::{SHAPE, SearchRequest};

/// Those that were handed out are far shorter: their longest part is the folded name of a product.
const CURSOR_BYTES_MAX: usize = 4 * 1024;

/// Enough to tell the searches of one client apart; a cursor is no secret.
const FINGERPRINT_BYTES: usize = 8;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Of the search that it goes on with.
    #[serde(rename = "f")]
    fingerprint: u64,
    #[serde(rename = "w")]
    pub spelling: Spelling,
    #[serde(flatten)]
    pub after: Place,
}

impl Cursor {
    /// Goes on after a hit of this search.
    pub(super) fn new(request: &SearchRequest, spelling: Spelling, after: Place) -> Self {
        Self {
            fingerprint: fingerprint(request),
            spelling,
            after,
        }
    }

    /// The cursor of a request, if it is one of this search.
    pub(super) fn of(request: &SearchRequest) -> Result<Option<Self>, InvalidRequest> {
        let Some(text) = &request.cursor else {
            return Ok(None);
        };
        let cursor = decode(text).ok_or_else(|| invalid("cursor", "not one of a search"))?;
        let is_of_this = cursor.fingerprint == fingerprint(request);
        if !is_of_this || !cursor.after.is_in(request.effective_sort()) {
            let detail = "of another search; a changed search begins without one";
            return Err(invalid("cursor", detail));
        }
        Ok(Some(cursor))
    }

    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings and numbers always serialize");
        URL_SAFE_NO_PAD.encode(json)
    }
}

fn decode(text: &str) -> Option<Cursor> {
    if text.len() > CURSOR_BYTES_MAX {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Tells searches apart, whatever page is asked for, by a digest that every build agrees on; of one shape, because with
/// another one hits may have other places.
fn fingerprint(request: &SearchRequest) -> u64 {
    let search = SearchRequest {
        limit: 0,
        cursor: None,
        ..request.clone()
    };
    let json = serde_json::to_vec(&(SHAPE, search)).expect("strings and numbers always serialize");
    let digest = Sha256::digest(json);
    let mut bytes = [0; FINGERPRINT_BYTES];
    bytes.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_same_in_every_build() {
        let first = fingerprint(&SearchRequest::words("milk"));
        let page = SearchRequest {
            limit: 7,
            cursor: Some("x".to_owned()),
            ..SearchRequest::words("milk")
        };
        assert_eq!(first, fingerprint(&page));
        assert_ne!(first, fingerprint(&SearchRequest::words("milks")));
        // Changes with the shape only.
        assert_eq!(first, 4_416_700_987_520_455_208, "of {SHAPE}");
    }
}
