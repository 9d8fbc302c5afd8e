//! Which parameters a query may have: those that the document names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::http::uri::Uri;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use crate::params::Query;
use crate::problem::Problem;

/// Characters of an unknown name that are told back: enough to find the misspelling.
const NAME_SHOWN_CHARS: usize = 60;

/// The query parameters of each operation. One that is not among them is refused: a misspelt filter that is ignored
/// answers another question than the one that was asked.
#[derive(Debug, Clone, Default)]
pub struct KnownQueries(Arc<HashMap<(Method, String), BTreeSet<String>>>);

impl KnownQueries {
    /// Those of a document.
    #[must_use]
    pub fn of(document: &OpenApi) -> Self {
        let mut known = HashMap::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::HEAD, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    known.insert((method, path.clone()), parameters(operation));
                }
            }
        }
        KnownQueries(Arc::new(known))
    }

    /// # Errors
    /// `bad-request` that names the parameter and those there are.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        let Some(path) = request.extensions().get::<MatchedPath>() else {
            return Ok(());
        };
        if request.uri().query().is_none_or(str::is_empty) {
            return Ok(());
        }
        // Only requests with a query pay for the key.
        let key = (request.method().clone(), path.as_str().to_owned());
        let Some(known) = self.0.get(&key) else {
            return Ok(());
        };
        for name in names(request.uri())? {
            if !known.contains(&name) {
                return Err(unknown(&name, known));
            }
        }
        Ok(())
    }
}

fn parameters(operation: &Operation) -> BTreeSet<String> {
    operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
                Some(parameter.name.clone())
            }
            RefOr::T(_) | RefOr::Ref(_) => None,
        })
        .collect()
}

fn names(uri: &Uri) -> Result<Vec<String>, Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::of(uri)?;
    Ok(pairs.into_iter().map(|(name, _)| name).collect())
}

fn unknown(name: &str, known: &BTreeSet<String>) -> Problem {
    let name: String = name.chars().take(NAME_SHOWN_CHARS).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let there_are = match known.as_slice() {
        [] => "there are none here".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Problem::bad_request(format!(
        "query parameter {name:?} is not known, {there_are}"
    ))
}
