//! The document, and that every route it names has a test.

use std::fs;

use command_api::Context;
use http_server::Signer;
use http_server::token::generate_key;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use crate::app::TestApp;

async fn document() -> Value {
    let app = TestApp::start().await;
    let signer = Signer::new("test", &generate_key()).unwrap();
    let api = command_api::CommandApi::new(app.store.clone(), signer);
    let routes = command_api::router(api.clone(), Context::ALL).merge(command_api::well_known(api));
    let (_, document) = http_server::openapi::split(routes);
    serde_json::to_value(document).unwrap()
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operation = |(path, item): (&String, &Value)| {
        let mut methods = ["post", "put", "get"].into_iter();
        let operation = methods.find_map(|method| item.get(method)).unwrap();
        (path.clone(), operation.clone())
    };
    paths.iter().map(operation).collect()
}

#[tokio::test]
async fn every_route_has_a_test() {
    let tests: String = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let operations = operations(&document().await);
    assert_eq!(operations.len(), 27);
    for (path, _) in operations {
        let verb = path.rsplit('/').next().unwrap();
        assert!(
            tests.contains(&format!("/{verb}")) || tests.contains(&format!("(\"{verb}\")")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn operations_are_named_tagged_and_complete() {
    let document = document().await;
    let mut names = Vec::new();
    for (path, operation) in operations(&document) {
        names.push(operation["operationId"].as_str().unwrap().to_owned());
        assert!(
            operation["tags"][0].is_string() && operation["summary"].is_string(),
            "{path}"
        );
        // What the edge may answer is said of every route.
        for status in ["400", "429", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{path}");
        }
        let is_command = operation["responses"]
            .as_object()
            .unwrap()
            .values()
            .any(|response| response["headers"]["Nakku-Position"].is_object());
        let takes_key = operation["parameters"]
            .to_string()
            .contains("Idempotency-Key");
        // A key for thousands of commands would mean nothing; they can be repeated as they are.
        let is_import = path == "/products/import";
        assert_eq!(is_command && !is_import, takes_key, "{path}");
    }
    // A body that may be left out is not `null`.
    for path in ["/orders/{id}/cancel", "/deliveries/{id}/assign"] {
        let body = &document["paths"][path]["post"]["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        assert!(
            schema["$ref"].is_string() && body["required"] != true,
            "{body}"
        );
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 27);
    assert_references_resolve(&document, &document);
}

fn assert_references_resolve(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                let pointer = reference.trim_start_matches('#');
                assert!(
                    document.pointer(pointer).is_some(),
                    "{reference} is not there"
                );
            }
            members
                .values()
                .for_each(|member| assert_references_resolve(document, member));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| assert_references_resolve(document, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn contexts_are_hosted_one_by_one() {
    let app = TestApp::start().await;
    let signer = Signer::new("test", &generate_key()).unwrap();
    let api = command_api::CommandApi::new(app.store.clone(), signer);
    let paths = |router: OpenApiRouter| -> Vec<String> {
        router.into_openapi().paths.paths.into_keys().collect()
    };
    for (context, prefix) in [
        (Context::Users, "/users"),
        (Context::Products, "/products"),
        (Context::Inventory, "/inventory"),
        (Context::Orders, "/orders"),
        (Context::Payments, "/payments"),
        (Context::Deliveries, "/deliveries"),
    ] {
        let paths = paths(command_api::router(api.clone(), &[context]));
        assert!(
            !paths.is_empty() && paths.iter().all(|path| path.starts_with(prefix)),
            "{paths:?}"
        );
    }
    let internal = |contexts: &[Context]| paths(command_api::internal(api.clone(), contexts));
    assert_eq!(internal(&[Context::Users]), ["/internal/users/{id}"]);
    assert_eq!(internal(&[Context::Products]), ["/internal/products"]);
    assert!(internal(&[Context::Orders, Context::Deliveries]).is_empty());
}
