use super::*;

fn bad(line: &str) -> BadLine {
    parse_line(line.as_bytes()).unwrap_err()
}

fn pointers(line: &str) -> Vec<String> {
    let errors = bad(line).errors;
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn what_a_product_does_not_have_becomes_attributes_as_text() {
    let line = r#"{"sku":"A","weight_g":500.0,"name":"Ale","price":{"amount_minor":1,"currency":"EUR"},"organic":true,
        "size":null,"tags":["a", 1],"maker":"\u00c4rger","nothing":null,"attributes":{"tier":"premium"},"big":12345678901234567890123}"#;
    let product = parse_line(line.as_bytes()).unwrap();
    let attributes: Vec<_> = product.details.attributes.iter().collect();
    assert_eq!(
        attributes,
        [
            ("big", "12345678901234567890123"),
            ("maker", "Ärger"),
            ("organic", "true"),
            ("tags", r#"["a", 1]"#),
            ("tier", "premium"),
            ("weight_g", "500.0"),
        ]
    );
    assert_eq!(product.details.size, None);
}

#[test]
fn every_wrong_member_is_pointed_at() {
    let line = r#"{"sku":"a:b","name":"","price":{"amount_minor":-1,"currency":"EUR"},"maker":"\n","a/b":"\t"}"#;
    assert_eq!(
        pointers(line),
        ["/a~1b", "/maker", "/name", "/price", "/sku"]
    );
    let line = r#"{"sku":"A","name":"Ale","price":{"amount_minor":1,"currency":"XXQ"}}"#;
    assert_eq!(pointers(line), ["/price/currency"]);
    assert!(bad(line).detail.starts_with("/price/currency: "));
    assert_eq!(pointers(r#"{"sku":"A","name":"Ale"}"#), ["/price"]);
    assert_eq!(pointers(r#"{"sku":"A","sku":"B"}"#), ["/sku"]);
    assert_eq!(pointers(r#"{"x":1,"x":2}"#), ["/x"]);
    assert_eq!(pointers(r#"{"name":"\u0000"}"#), ["/name"]);
    assert_eq!(pointers("[]"), [""]);
    let line = r#"{"sku":"A","name":"Ale","price":{"amount_minor":1,"currency":"EUR"},"tier":"x","attributes":{"tier":"y"}}"#;
    assert_eq!(pointers(line), ["/tier"]);
}

#[test]
fn more_than_twenty_attributes_are_refused_wherever_they_stand() {
    let product = |others: usize| {
        let others: String = (0..others)
            .map(|number| format!(r#","other-{number}":{number}"#))
            .collect();
        format!(
            r#"{{"sku":"A","name":"Ale","price":{{"amount_minor":1,"currency":"EUR"}},"attributes":{{"a":"b"}}{others}}}"#
        )
    };
    assert!(parse_line(product(19).as_bytes()).is_ok());
    assert_eq!(pointers(&product(20)), ["/attributes"]);
}

#[test]
fn what_is_not_json_says_where() {
    assert_eq!(
        bad(r#"{"sku":"A""#).detail,
        "not JSON: EOF while parsing an object at column 10"
    );
    assert!(
        bad("sku;name").detail.contains("at column 1"),
        "{}",
        bad("sku;name").detail
    );
    let not_text = parse_line(b"{\"sku\":\"\xff\"}").unwrap_err();
    assert_eq!(not_text.detail, "not UTF-8 at column 9");
    assert!(parse_line("{\"a\":".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn what_is_said_of_a_line_is_bounded() {
    let long = "x".repeat(100_000);
    for line in [
        format!(r#"{{"price":"{long}"}}"#),
        format!(r#"{{"{long}":1,"{long}":2}}"#),
        format!(r#"{{"sku":"A","name":7,"{long}":1}}"#),
    ] {
        let said = serde_json::to_string(&bad(&line)).unwrap();
        assert!(said.len() < 2_000, "{said}");
    }
}
