//! The elements of the headers in which proxies say for whom they ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName};

/// Each element of each line, in order. A line is read for itself: what is open at its end was not meant to go on.
pub(super) fn of(
    headers: &HeaderMap,
    name: &HeaderName,
    of_line: fn(&str) -> Vec<Option<IpAddr>>,
) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|value| value.to_str().map_or_else(|_| vec![None], of_line))
        .collect()
}

/// Addresses by comma, some with a port.
pub(super) fn x_forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',')
        .map(|element| address(element.trim()))
        .collect()
}

/// Elements by comma, each of pairs by semicolon; only `for` is of interest.
pub(super) fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    let mut elements = Vec::new();
    let (mut is_quoted, mut is_escaped, mut begin) = (false, false, 0);
    for (at, character) in line.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                elements.push(element(&line[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    elements.push(element(&line[begin..]));
    elements
}

/// The address after `for`. None as well where any of the element is malformed: it may be a client's attempt to have the
/// proxy's words read as its own.
fn element(text: &str) -> Option<IpAddr> {
    let mut rest = text;
    let mut node = None;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start();
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
        let after = after.trim_start();
        match after.strip_prefix(';') {
            Some(after) => rest = after,
            None if after.is_empty() => return address(&node?),
            None => return None,
        }
    }
}

/// A token, or a quoted string without its quotes, and what comes after it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Addresses with colons and brackets are to be quoted, and are not by everybody.
        let end = text.find([';', ' ', '\t', '"']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            character => value.push(character),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An address, with or without a port. None for `unknown` and for names that hide one.
fn address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let end = node.find(':')?;
            let address: Ipv4Addr = node[..end].parse().ok()?;
            (IpAddr::V4(address), &node[end..])
        }
    };
    (port.is_empty() || is_port(port)).then(|| address.to_canonical())
}

/// A colon and a number, or a name that hides it.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| {
        let hidden = port.strip_prefix('_');
        let is_hidden = hidden.is_some_and(|name| name.bytes().all(is_token));
        is_hidden || port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_addresses_with_or_without_a_port() {
        for (node, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("192.0.2.1:_port", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
            ("192.0.2.1:99999", None),
            ("192.0.2.1:", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]80", None),
            ("2001:db8::1]:80", None),
            ("unknown", None),
            ("_hidden", None),
            ("example.org", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(address(node), expected, "{node}");
        }
    }

    #[test]
    fn quoted_strings_hide_commas_and_semicolons() {
        let read = |line| -> Vec<Option<String>> {
            let elements = forwarded(line).into_iter();
            elements
                .map(|element| element.map(|address| address.to_string()))
                .collect()
        };
        let one = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("for=192.0.2.1", vec![one("192.0.2.1")]),
            ("FOR=\"192.0.2.1\" ; by=_a", vec![one("192.0.2.1")]),
            (
                "by=\"a,b;for=1.1.1.1\";for=192.0.2.1",
                vec![one("192.0.2.1")],
            ),
            ("for=\"192.\\0.2.1\"", vec![one("192.0.2.1")]),
            (
                "for=192.0.2.1,for=\"[2001:db8::1]:4711\"",
                vec![one("192.0.2.1"), one("2001:db8::1")],
            ),
            ("for=192.0.2.1;for=192.0.2.2", vec![None]),
            ("for = 192.0.2.1", vec![None]),
            ("for=192.0.2.1 x", vec![None]),
            (
                "for=\"192.0.2.1\"x, for=192.0.2.2",
                vec![None, one("192.0.2.2")],
            ),
            ("x,,for=192.0.2.1", vec![None, None, one("192.0.2.1")]),
            (
                "for=192.0.2.1, for=\"192.0.2.2",
                vec![one("192.0.2.1"), None],
            ),
            ("for=192.0.2.1,", vec![one("192.0.2.1"), None]),
            ("192.0.2.1", vec![None]),
            ("", vec![None]),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
