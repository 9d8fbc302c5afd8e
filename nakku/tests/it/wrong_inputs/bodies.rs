//! Bodies: generated from the document for every command, and a table of what no document says.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{NO_ID, Refusal, Shop};
use crate::openapi::committed;

/// Stands for a value that is no JSON of `serde_json`'s.
const HERE: &str = "@here@";
/// Deeper than any parser should follow.
const DEPTH: usize = 10_000;

/// A command that takes a JSON body.
struct Command {
    method: Method,
    /// Its parameters filled in.
    path: String,
    /// What its body is like.
    schema: Value,
    /// Whether there must be one.
    needs_body: bool,
}

/// The document's schemas.
struct Schemas(Value);

impl Schemas {
    /// What a schema says in the end.
    fn resolved(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            return self.resolved(&self.0["components"]["schemas"][name]);
        }
        match &schema["oneOf"] {
            // An optional one: its own schema, or null.
            Value::Array(choices) => {
                let is_null = |choice: &Value| choice["type"] == "null";
                let own = choices.iter().find(|choice| !is_null(choice)).unwrap();
                let mut schema = self.resolved(own);
                if choices.iter().any(is_null) {
                    schema["type"] = json!([schema["type"], "null"]);
                }
                schema
            }
            _ => schema.clone(),
        }
    }

    /// A value that it takes.
    fn right(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(example) = schema.get("example").or(schema["enum"].get(0)) {
            return example.clone();
        }
        match kind(&schema) {
            "object" => {
                let required = schema["required"].as_array().into_iter().flatten();
                let members = required.map(|name| {
                    let name = name.as_str().unwrap();
                    (name.to_owned(), self.right(&schema["properties"][name]))
                });
                Value::Object(members.collect())
            }
            "array" => json!([]),
            "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => json!(true),
            _ if schema["format"] == "email" => json!("ada@example.org"),
            _ => json!("abcdefghijkl"),
        }
    }
}

/// The first of its types.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap(),
        kind => kind.as_str().unwrap_or_default(),
    }
}

fn takes_null(schema: &Value) -> bool {
    matches!(&schema["type"], Value::Array(kinds) if kinds.contains(&json!("null")))
}

fn commands(schemas: &Schemas) -> Vec<Command> {
    let mut commands = Vec::new();
    for (path, item) in schemas.0["paths"].as_object().unwrap() {
        for (name, method) in [("post", Method::POST), ("put", Method::PUT)] {
            let body = &item[name]["requestBody"];
            let schema = &body["content"]["application/json"]["schema"];
            if !schema.is_null() {
                commands.push(Command {
                    method,
                    path: filled(path),
                    schema: schemas.resolved(schema),
                    needs_body: body["required"] == true,
                });
            }
        }
    }
    commands
}

/// A path that leads to its handler.
fn filled(path: &str) -> String {
    path.replace("{id}", NO_ID)
        .replace("{store_id}", "store-1")
        .replace("{sku}", "NK-1")
        .replace("{name}", "products")
}

/// A wrong value as JSON text, and where below the member it is pointed at.
type Wrong = (String, String);

/// What a schema does not take.
fn wrong_values(schemas: &Schemas, schema: &Value) -> Vec<Wrong> {
    let at = |texts: &[&str], place: &str| -> Vec<Wrong> {
        texts
            .iter()
            .map(|text| ((*text).to_owned(), place.to_owned()))
            .collect()
    };
    let mut wrong = match kind(schema) {
        "string" => at(&["7", "true", "[]", "{}", "\"a\\u0000b\""], ""),
        "integer" => at(
            &[
                "\"1\"",
                "1.5",
                "1.0",
                "-0",
                "true",
                "[]",
                "{}",
                "9223372036854775808",
                "-9223372036854775809",
                "1e30",
                "1e400",
                "-1e400",
            ],
            "",
        ),
        "boolean" => at(&["\"true\"", "1", "[]", "{}"], ""),
        "array" => [at(&["\"x\"", "7", "{}"], ""), at(&["[7]", "[null]"], "/0")].concat(),
        _ => at(&["\"x\"", "7", "true"], ""),
    };
    if schema["enum"].is_array() {
        wrong.extend(at(&["\"no such thing\"", "\"\""], ""));
    }
    if !takes_null(schema) {
        wrong.extend(at(&["null"], ""));
    }
    if let Some(max) = schema["maxLength"].as_u64() {
        let long = "x".repeat(usize::try_from(max).unwrap() + 1);
        wrong.push((json!(long).to_string(), String::new()));
    }
    if let Some(max) = schema["maximum"].as_i64() {
        wrong.push(((max + 1).to_string(), String::new()));
    }
    if let Some(min) = schema["minimum"].as_i64() {
        wrong.push(((min - 1).to_string(), String::new()));
    }
    if schema["additionalProperties"].is_object() {
        wrong.extend(at(
            &["{\"a\":7}", "{\"a\":null}", "{\"a\":\"b\",\"a\":\"c\"}"],
            "/a",
        ));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let member = schemas.resolved(member);
        for (text, place) in wrong_values(schemas, &member) {
            let mut whole = schemas.right(schema);
            whole[name] = json!(HERE);
            wrong.push((put(&whole, &text), format!("/{name}{place}")));
        }
    }
    wrong.extend(wrong_members(schemas, schema));
    wrong
}

/// Members that are missing, unknown, or there twice.
fn wrong_members(schemas: &Schemas, schema: &Value) -> Vec<Wrong> {
    let Value::Object(right) = schemas.right(schema) else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        let mut without = right.clone();
        without.remove(name);
        wrong.push((json!(without).to_string(), format!("/{name}")));
        let twice = json!(right).to_string();
        let value = &right[name];
        wrong.push((
            twice.replacen('{', &format!("{{\"{name}\":{value},"), 1),
            format!("/{name}"),
        ));
    }
    if schema["additionalProperties"] == false {
        let mut with: Map<String, Value> = right;
        with.insert("un/known~".to_owned(), json!(1));
        wrong.push((json!(with).to_string(), "/un~1known~0".to_owned()));
    }
    wrong
}

fn put(whole: &Value, text: &str) -> String {
    whole.to_string().replace(&format!("\"{HERE}\""), text)
}

pub(super) async fn every_command_refuses_what_its_schema_does_not_know(shop: &Shop) {
    let schemas = Schemas(committed());
    let commands = commands(&schemas);
    assert!(commands.len() >= 15, "{} commands", commands.len());
    let mut asked = 0;
    for command in &commands {
        let wrong = wrong_values(&schemas, &command.schema);
        assert!(wrong.len() > 3, "{}", command.path);
        for (body, pointer) in wrong {
            asked += 1;
            let what = format!("{} {} {body}", command.method, command.path);
            Refusal::of(what, as_json(shop, command, body))
                .await
                .is(422, "invalid-body")
                .points_at(&pointer);
        }
        for body in not_json(&schemas.right(&command.schema)) {
            if body.is_empty() && !command.needs_body {
                continue;
            }
            asked += 1;
            let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            let what = format!("{} {} {shown}", command.method, command.path);
            Refusal::of(what, as_json(shop, command, body))
                .await
                .is(400, "bad-request");
        }
    }
    println!("{} commands, {asked} wrong bodies", commands.len());
}

fn as_json(
    shop: &Shop,
    command: &Command,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    shop.ask(command.method.clone(), &command.path)
        .header("idempotency-key", "wrong-1")
        .header("content-type", "application/json")
        .body(body)
}

/// Texts that are no JSON, or none that any parser should read.
fn not_json(right: &Value) -> Vec<Vec<u8>> {
    let right = right.to_string();
    let deep = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    let inner = right.strip_prefix('{').unwrap();
    let separator = if inner == "}" { "" } else { "," };
    vec![
        b"".to_vec(),
        b"{".to_vec(),
        right[..right.len() - 1].into(),
        format!("{right} x").into(),
        format!("\u{feff}{right}").into(),
        format!("{{\"unknown\":{deep}{separator}{inner}").into(),
        format!("{{\"unknown\":\"\\ud800\"{separator}{inner}").into(),
        format!("{{\"unknown\":\"\\u00\"{separator}{inner}").into(),
        [
            b"{\"unknown\":\"\xff\"",
            separator.as_bytes(),
            inner.as_bytes(),
        ]
        .concat(),
        b"NaN".to_vec(),
        b"{'a':1}".to_vec(),
        b"a=1&b=2".to_vec(),
    ]
}

pub(super) async fn what_is_not_json_is_said_to_be_none(shop: &Shop) {
    let path = "/api/v1/products";
    let refusal = Refusal::of("half", shop.post_json(path, "{\n  \"sku\": ,")).await;
    refusal.is(400, "bad-request").says("line 2 column 10");

    let big = "x".repeat(1024 * 1024);
    Refusal::of("1 MiB", shop.post_json(path, json!(big).to_string()))
        .await
        .is(413, "payload-too-large")
        .says("262144");
    for (what, media_type) in [
        ("text", Some("text/plain")),
        ("a form", Some("application/x-www-form-urlencoded")),
        ("lines", Some("application/x-ndjson")),
        ("nothing sensible", Some(";;;")),
        ("none", None),
    ] {
        let mut request = shop.ask(Method::POST, path).body("{}");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        Refusal::of(format!("media type: {what}"), request)
            .await
            .is(415, "unsupported-media-type")
            .says("application/json");
    }
    let import = shop.post_json("/api/v1/products/import", "{}");
    Refusal::of("an import as JSON", import)
        .await
        .is(415, "unsupported-media-type")
        .says("application/x-ndjson");
    let nothing = format!("/api/v1/users/{}/deactivate", shop.user);
    Refusal::of(
        "a body where none belongs",
        shop.post_json(&nothing, "{\"a\":1}"),
    )
    .await
    .is(422, "invalid-body")
    .points_at("/a");
}

pub(super) async fn values_that_break_a_rule_are_pointed_at(shop: &Shop) {
    let product = |member: &str, value: Value| {
        let mut body =
            json!({"sku": "NK-1", "name": "Ale", "price": {"amount_minor": 1, "currency": "EUR"}});
        body[member] = value;
        ("/api/v1/products", body, format!("/{member}"))
    };
    let user = |member: &str, value: Value| {
        let mut body =
            json!({"email": "eve@example.org", "name": "Eve", "password": "correct horse battery"});
        body[member] = value;
        ("/api/v1/users/register", body, format!("/{member}"))
    };
    let price = |amount: i64, currency: &str| {
        product(
            "price",
            json!({"amount_minor": amount, "currency": currency}),
        )
    };
    let many: Map<String, Value> = (0..21).map(|n| (n.to_string(), json!("x"))).collect();
    let receive = |quantity: i64| {
        let path = "/api/v1/inventory/store-1/NK-1/receive";
        (
            path,
            json!({ "quantity": quantity }),
            "/quantity".to_owned(),
        )
    };
    let cases = [
        price(-1, "EUR"),
        price(1_000_000_000_001, "EUR"),
        price(i64::MAX, "EUR"),
        price(1, "XYZ"),
        price(1, "eur"),
        price(1, ""),
        product("sku", json!("")),
        product("sku", json!("a b")),
        product("sku", json!("ä")),
        product("name", json!("")),
        product("name", json!(" \t\u{a0} ")),
        product("name", json!("ä".repeat(201))),
        product("category", json!(["a", "b", "c", "d", "e", "f"])),
        product("category", json!([""])),
        product("attributes", Value::Object(many)),
        product("attributes", json!({"": "x"})),
        product("brand", json!("")),
        user("email", json!("no address")),
        user("email", json!("a@b@c")),
        user("email", json!(format!("{}@example.org", "a".repeat(250)))),
        user("name", json!("   ")),
        user("password", json!("short")),
        user("phone", json!("not a number")),
        receive(0),
        receive(-1),
        receive(i64::MIN),
    ];
    for (path, body, pointer) in cases {
        let what = format!("{path} {body}");
        Refusal::of(what, shop.post_json(path, body.to_string()))
            .await
            .is(422, "invalid-body")
            .points_at(&pointer);
    }
}
