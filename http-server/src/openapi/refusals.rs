//! The refusals that operations of a kind have in common, written once: what an operation takes says what may be wrong
//! with it.

use utoipa::ToSchema as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    ContentBuilder, Header, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
};

use crate::headers::IDEMPOTENCY_KEY;
use crate::problem::{PROBLEM_JSON, ProblemDocument};

/// What an operation must take for a refusal to be possible.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// It needs a token, or makes something of one.
    Token,
    /// It needs a role.
    Secured,
    /// It names something by its path.
    Path,
    /// Its method may come with a body.
    Body,
    Key,
    IfMatch,
}

/// A refusal as a shared component.
struct Refusal {
    status: &'static str,
    /// Name of the component.
    name: &'static str,
    when: When,
    description: &'static str,
    /// A header that comes with it, and what it says.
    header: Option<(&'static str, &'static str)>,
}

const fn refusal(
    status: &'static str,
    name: &'static str,
    when: When,
    description: &'static str,
) -> Refusal {
    Refusal {
        status,
        name,
        when,
        description,
        header: None,
    }
}

impl Refusal {
    const fn with(self, header: &'static str, says: &'static str) -> Refusal {
        Refusal {
            header: Some((header, says)),
            ..self
        }
    }
}

const REFUSALS: &[Refusal] = &[
    refusal(
        "400",
        "BadRequest",
        When::Always,
        "`bad-request`, `idempotency-key-missing`: a header, the path, the query or the body's JSON is malformed",
    ),
    refusal(
        "401",
        "Unauthenticated",
        When::Token,
        "`unauthenticated`: there is no bearer token, or it does not hold",
    )
    .with("WWW-Authenticate", "the challenge of RFC 6750"),
    refusal(
        "403",
        "Forbidden",
        When::Secured,
        "`forbidden`: the caller's role does not permit this",
    ),
    refusal(
        "404",
        "NotFound",
        When::Path,
        "`not-found`: it does not exist, or belongs to somebody else",
    ),
    refusal(
        "408",
        "RequestTimeout",
        When::Body,
        "`request-timeout`: the body did not arrive in time",
    ),
    refusal(
        "409",
        "CommandInFlight",
        When::Key,
        "`command-in-flight`: the same command is being carried out",
    ),
    refusal(
        "412",
        "VersionMismatch",
        When::IfMatch,
        "`version-mismatch`: it has another version than `If-Match` says",
    ),
    refusal(
        "413",
        "PayloadTooLarge",
        When::Body,
        "`payload-too-large`: the body is larger than is taken here",
    ),
    refusal(
        "415",
        "UnsupportedMediaType",
        When::Body,
        "`unsupported-media-type`: the body is of another media type",
    ),
    refusal(
        "422",
        "InvalidBody",
        When::Body,
        "`invalid-body`, with each wrong member in `errors`; `idempotency-key-reused`",
    ),
    refusal(
        "429",
        "TooManyRequests",
        When::Always,
        "`too-many-requests`: this client asks too often",
    )
    .with("Retry-After", "seconds until another one is admitted"),
    refusal(
        "500",
        "Internal",
        When::Always,
        "`internal`: the server failed; the cause is in its log under `trace_id`",
    ),
    refusal(
        "502",
        "BadGateway",
        When::Always,
        "`service-unreachable`: behind the gateway the answer to a query broke off",
    )
    .with("Retry-After", "seconds after which to try again"),
    refusal(
        "503",
        "Unavailable",
        When::Always,
        "`overloaded`, `service-unreachable`: nothing was done; `outcome-unknown`: repeat with the same `Idempotency-Key`; \
         `projection-behind`: the read model has not reached the position that was asked for",
    )
    .with("Retry-After", "seconds after which to try again"),
    refusal(
        "504",
        "GatewayTimeout",
        When::Always,
        "`service-unreachable`: behind the gateway the answer to a query did not come in time",
    )
    .with("Retry-After", "seconds after which to try again"),
];

/// Adds to each operation the refusals of its kind, where it does not describe that status itself.
pub(super) fn add(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for refusal in REFUSALS {
        let response = RefOr::T(response(refusal));
        components
            .responses
            .insert(refusal.name.to_owned(), response);
    }
    for item in document.paths.paths.values_mut() {
        for (has_body, operation) in operations(item) {
            for refusal in REFUSALS {
                if applies(refusal.when, operation, has_body) {
                    let responses = &mut operation.responses.responses;
                    let shared = || RefOr::Ref(Ref::from_response_name(refusal.name));
                    responses
                        .entry(refusal.status.to_owned())
                        .or_insert_with(shared);
                }
            }
        }
    }
}

fn applies(when: When, operation: &Operation, has_body: bool) -> bool {
    let takes = |place: ParameterIn, name: Option<&str>| {
        operation.parameters.iter().flatten().any(|parameter| {
            let RefOr::T(parameter) = parameter else {
                return false;
            };
            parameter.parameter_in == place
                && name.is_none_or(|name| parameter.name.eq_ignore_ascii_case(name))
        })
    };
    match when {
        When::Always => true,
        When::Token => has_body || operation.security.is_some(),
        When::Secured => operation.security.is_some(),
        When::Path => takes(ParameterIn::Path, None),
        When::Body => has_body,
        When::Key => takes(ParameterIn::Header, Some(IDEMPOTENCY_KEY.as_str())),
        When::IfMatch => takes(ParameterIn::Header, Some("if-match")),
    }
}

fn response(refusal: &Refusal) -> Response {
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(refusal.description)
        .content(PROBLEM_JSON, content);
    match refusal.header {
        None => response.build(),
        Some((name, says)) => response.header(name, header(says)).build(),
    }
}

fn header(says: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(says))
        .build()
}

/// The operations of a path; whether the method may come with a body.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [
        (false, &mut item.get),
        (true, &mut item.put),
        (true, &mut item.post),
        (true, &mut item.patch),
        (true, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(has_body, operation)| Some((has_body, operation.as_mut()?)))
}
