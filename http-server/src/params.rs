//! Path and query parameters whose refusals are problems.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        if rejection.status() == StatusCode::INTERNAL_SERVER_ERROR {
            return Problem::internal(rejection);
        }
        Problem::bad_request(reason(&rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Problem::bad_request(reason(&rejection.body_text()))
    }
}

/// What names the parameter and says what is wrong with it, without the library's own words before it.
fn reason(text: &str) -> &str {
    let words = ["Failed to deserialize query string: ", "Invalid URL: "];
    let said = words.iter().find_map(|words| text.strip_prefix(words));
    said.unwrap_or(text)
}

/// Parameters of the path: 400 where one cannot be read as its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(value) =
            axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Path(value))
    }
}

/// Parameters of the query: 400 where one cannot be read as its type.
///
/// Do not derive `deny_unknown_fields` for routes that also take a [`crate::Page`]: each reads
/// its own parameters of the same query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> Query<T> {
    /// # Errors
    /// `bad-request`, as for the extractor.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let axum::extract::Query(value) = axum::extract::Query::try_from_uri(uri)?;
        Ok(Query(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::of(&parts.uri)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Paging {
        limit: u8,
    }

    #[test]
    fn a_bad_parameter_is_named_first() {
        let uri = Uri::from_static("/products?limit=many");
        let problem = Query::<Paging>::of(&uri).unwrap_err();
        let detail = problem.document(None).detail;
        assert!(detail.starts_with("limit: "), "{detail}");
    }
}
