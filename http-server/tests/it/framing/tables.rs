//! What is served, what is refused, and whether the connection goes on.

use super::{
    LAST, REFUSED, REFUSED_ALONE, SERVED, SERVED_AND_CLOSED, SMUGGLED_REQUEST, ambiguous, asked,
    chunked, headed, hello, holds, row,
};

#[tokio::test]
async fn a_length_is_one_decimal_number() {
    let mut rows = vec![
        row(
            "9110 8.6: the same again",
            hello("Content-Length: 5\r\nContent-Length: 5"),
            SERVED,
        ),
        row(
            "9112 6.3: two lengths",
            hello("Content-Length: 5\r\nContent-Length: 6"),
            REFUSED,
        ),
        row(
            "9112 6.3: two lengths",
            hello("Content-Length: 0\r\nContent-Length: 5"),
            REFUSED,
        ),
    ];
    for value in [
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5,6",
        "5, 5",
        "5;",
        "",
        "5.0",
        "18446744073709551616",
    ] {
        let lines = format!("Content-Length: {value}");
        rows.push(row("9110 8.6: digits only", hello(&lines), REFUSED));
    }
    holds(rows).await;
}

#[tokio::test]
async fn a_chunked_body_with_a_length_is_the_last_of_its_connection() {
    holds(vec![
        row(
            "9112 6.1: the length does not count",
            ambiguous("Content-Length: 46\r\nTransfer-Encoding: chunked"),
            SERVED_AND_CLOSED,
        ),
        row(
            "9112 6.1: in whichever order",
            ambiguous("Transfer-Encoding: chunked\r\nContent-Length: 46"),
            SERVED_AND_CLOSED,
        ),
        row(
            "9112 6.1: nor one that is none",
            ambiguous("Content-Length: x\r\nTransfer-Encoding: chunked"),
            REFUSED,
        ),
        row(
            "9112 6.1: HTTP/1.0 knows no encodings",
            ambiguous("Transfer-Encoding: chunked")
                .replace("HTTP/1.1\r\nHost: x\r\nT", "HTTP/1.0\r\nHost: x\r\nT"),
            REFUSED,
        ),
        row(
            "9112 6.1: not even beside a length",
            ambiguous("Content-Length: 46\r\nTransfer-Encoding: chunked")
                .replace("echo HTTP/1.1", "echo HTTP/1.0"),
            REFUSED,
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_last_encoding_is_chunked() {
    let mut rows = vec![row(
        "9112 7: names in any case",
        ambiguous("transfer-encoding:\tCHUNKED").replace(SMUGGLED_REQUEST, ""),
        SERVED,
    )];
    for value in [
        "gzip",
        "chunked, gzip",
        "identity",
        "xchunked",
        "chunked;",
        "\"chunked\"",
        "chunked, identity",
        "",
    ] {
        let lines = format!("Transfer-Encoding: {value}");
        rows.push(row(
            "9112 6.3: else no end is known",
            ambiguous(&lines),
            REFUSED,
        ));
        let lines = format!("Content-Length: 46\r\nTransfer-Encoding: {value}");
        rows.push(row(
            "9112 6.3: with a length as well",
            ambiguous(&lines),
            REFUSED,
        ));
    }
    let lines = "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity";
    rows.push(row(
        "9112 6.3: over several lines",
        ambiguous(lines),
        REFUSED,
    ));
    for lines in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        rows.push(row(
            "9112 6.1: of the others none is understood",
            ambiguous(lines).replace(SMUGGLED_REQUEST, ""),
            REFUSED_ALONE,
        ));
    }
    let lines = "Transfer-Encoding: \u{b}chunked";
    rows.push(row(
        "9110 5.5: no control characters",
        ambiguous(lines),
        REFUSED,
    ));
    holds(rows).await;
}

#[tokio::test]
async fn a_chunk_says_its_size_in_hexadecimal_digits() {
    let extension = "e".repeat(1_000);
    let mut rows = vec![
        row(
            "9112 7.1: digits in any case",
            chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            SERVED,
        ),
        row(
            "9112 7.1: leading zeros",
            chunked("0005\r\nhello\r\n000\r\n\r\n"),
            SERVED,
        ),
        row(
            "9112 7.1.1: extensions are ignored",
            chunked(&format!("5;{extension}=\"1\"\r\nhello\r\n0;b\r\n\r\n")),
            SERVED,
        ),
    ];
    for size in [
        "+5",
        "-5",
        "0x5",
        "",
        "g",
        "5 5",
        "\u{e9}",
        ";5",
        "10000000000000005",
        "fffffffffffffffff",
    ] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n{SMUGGLED_REQUEST}");
        rows.push(row("9112 7.1: nothing else", chunked(&body), REFUSED));
    }
    let huge = "e".repeat(100_000);
    for (rule, body) in [
        (
            "9112 7.1.1: extensions are bounded",
            format!("5;{huge}\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "9112 7.1: CRLF behind the size",
            "5\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1: CRLF behind extensions",
            "5;a\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1: no CR within extensions",
            "5;a\rb\r\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1: CRLF behind the data",
            "5\r\nhello0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1: CRLF behind the data",
            "5\r\nhello\n0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1: no more data than said",
            "4\r\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1.2: trailers are fields",
            "0\r\nno field\r\n\r\n".to_owned(),
        ),
        (
            "9112 7.1.2: trailers are bounded",
            format!("0\r\nX: {huge}\r\n\r\n"),
        ),
    ] {
        rows.push(row(
            rule,
            chunked(&format!("{body}{SMUGGLED_REQUEST}")),
            REFUSED,
        ));
    }
    holds(rows).await;
}

#[tokio::test]
async fn a_head_is_lines_of_fields() {
    // Beyond the bound by more than what one read may take in.
    let large = "v".repeat(100 * 1024);
    let many = "X: 1\r\n".repeat(200);
    let mut rows = vec![
        row(
            "9112 2.2: LF alone may end a line",
            "GET /echo HTTP/1.1\nHost: x\n\n",
            SERVED,
        ),
        row(
            "9112 2.2: an empty line before a request",
            format!("\r\n{}", headed("Host: x")),
            SERVED,
        ),
        row(
            "9110 5.5: bytes above ASCII",
            headed("Host: x\r\nX: \u{e9}"),
            SERVED,
        ),
        row(
            "9112 5: no space around a value",
            headed("Host:x\r\nX:\t 1 \t"),
            SERVED,
        ),
        row(
            "9110 5.4: a large head",
            headed(&format!("Host: x\r\nX: {large}")),
            &[431],
        ),
        row(
            "9110 5.4: many fields",
            headed(&format!("{many}Host: x")),
            &[431],
        ),
    ];
    for (rule, lines) in [
        ("9112 5.2: folded", "Host: x\r\nX: 1\r\n 2"),
        ("9112 5.2: folded by a tab", "Host: x\r\nX: 1\r\n\t2"),
        ("9112 5.1: space before the colon", "Host: x\r\nX : 1"),
        (
            "9112 5.1: tab before the colon",
            "Host: x\r\nContent-Length\t: 5",
        ),
        ("9112 2.2: space before the first field", " Host: x\r\nX: 1"),
        ("9110 5.5: NUL in a value", "Host: x\r\nX: 1\0"),
        ("9110 5.1: NUL in a name", "Host: x\r\nX\0: 1"),
        ("9112 2.2: CR in a value", "Host: x\r\nX: 1\r2"),
        ("9112 5: no colon", "Host: x\r\nX"),
        ("9112 5: no name", "Host: x\r\n: 1"),
        ("9110 5.1: no token", "Host: x\r\nX(: 1"),
        ("9110 5.1: a name beyond ASCII", "Host: x\r\nX\u{e9}: 1"),
    ] {
        rows.push(row(
            rule,
            format!("{}{SMUGGLED_REQUEST}", headed(lines)),
            REFUSED,
        ));
    }
    holds(rows).await;
}

#[tokio::test]
async fn a_request_line_is_a_method_a_target_and_a_version() {
    let mut rows = vec![
        row(
            "9112 2.3: HTTP/1.0 ends",
            asked("GET /echo HTTP/1.0"),
            SERVED_AND_CLOSED,
        ),
        row(
            "9112 3.2.2: absolute form",
            asked("GET http://x/echo HTTP/1.1"),
            SERVED,
        ),
        row(
            "9110 9.1: an unknown method",
            asked("BREW /only-get HTTP/1.1"),
            &[405, LAST],
        ),
        row(
            "9110 9.1: methods are case-sensitive",
            asked("get /only-get HTTP/1.1"),
            &[405, LAST],
        ),
        row(
            "9110 9.3.8: TRACE is not allowed",
            asked("TRACE /only-get HTTP/1.1"),
            &[405, LAST],
        ),
        row(
            "9112 3.2.3: an authority is for CONNECT",
            asked("GET x:80 HTTP/1.1"),
            REFUSED_ALONE,
        ),
        row(
            "9112 3.2.4: an asterisk is for OPTIONS",
            asked("GET * HTTP/1.1"),
            REFUSED_ALONE,
        ),
    ];
    for (rule, line) in [
        ("9112 3: no version", "GET /echo"),
        ("9112 3: no target", "GET HTTP/1.1"),
        (
            "9112 3: a space in the target",
            "GET /echo /smuggled HTTP/1.1",
        ),
        ("9112 2.3: no such version", "GET /echo HTTP/3.1"),
        ("9112 2.3: no version at all", "GET /echo HTTP/x.y"),
        ("9112 2.3: case-sensitive", "GET /echo http/1.1"),
        ("9110 9.1: no token", "G(T /echo HTTP/1.1"),
        ("9112 3.2: NUL in the target", "GET /echo\0 HTTP/1.1"),
        ("9112 3: CR in the line", "GET /echo\rHTTP/1.1"),
    ] {
        rows.push(row(
            rule,
            format!("{}{SMUGGLED_REQUEST}", asked(line)),
            REFUSED,
        ));
    }
    holds(rows).await;
}

#[tokio::test]
async fn there_is_one_host() {
    holds(vec![
        row(
            "9112 3.2: empty where there is none",
            headed("Host:"),
            SERVED,
        ),
        row(
            "9110 7.2: with a port",
            headed("Host: x.example:8080"),
            SERVED,
        ),
        row(
            "9110 7.2: an IPv6 address",
            headed("Host: [::1]:8080"),
            SERVED,
        ),
        row(
            "9112 3.2: HTTP/1.0 needs none",
            "GET /echo HTTP/1.0\r\n\r\n",
            SERVED_AND_CLOSED,
        ),
        row(
            "9112 3.2.2: the target's host counts",
            asked("GET http://y/echo HTTP/1.1"),
            SERVED,
        ),
        row(
            "9112 3.2: one that is none",
            headed("Host: u@x"),
            REFUSED_ALONE,
        ),
        row("9112 3.2: two in one", headed("Host: x, y"), REFUSED_ALONE),
        row(
            "9112 3.2: no number as its port",
            headed("Host: x:port"),
            REFUSED_ALONE,
        ),
        row(
            "9112 3.2: two in HTTP/1.0",
            "GET /echo HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
            &[400],
        ),
        row(
            "9112 3.2: two for an operation",
            "GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            REFUSED_ALONE,
        ),
        row("9112 3.2: none", headed("X: 1"), REFUSED_ALONE),
        row(
            "9112 3.2: none beside an absolute form",
            "GET http://x/echo HTTP/1.1\r\n\r\n",
            REFUSED_ALONE,
        ),
        row("9112 3.2: two", headed("Host: x\r\nHost: y"), REFUSED_ALONE),
        row(
            "9112 3.2: the same twice",
            headed("Host: x\r\nX: 1\r\nhost: x"),
            REFUSED_ALONE,
        ),
        row(
            "9112 3.2: two beside an absolute form",
            asked("GET http://x/echo HTTP/1.1\r\nHost: x"),
            REFUSED_ALONE,
        ),
    ])
    .await;
}
