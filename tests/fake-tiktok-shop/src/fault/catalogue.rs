//! The catalogue of named faults. Most of their answers have the header `connection: close`, so that no later request
//! uses the same connection.

use super::codes;
use super::{Ending, Fault, Piece};

pub(super) const JSON: &str = "application/json; charset=utf-8";

const HTML: &str = "text/html; charset=utf-8";
const PAGE: &str = "<!doctype html><title>Gateway</title><p>This page is a gateway's.</p>";
const OK: &str = "200 OK";
const LIMITED: &str = "429 Too Many Requests";
const ENDED: &str = r#"{"code":36004005,"message":"can not find related auth record","data":null}"#;
const BUSY: &str = r#"{"code":36009003,"message":"Internal error","request_id":"20260101000000F4017000000000000002"}"#;
const NOTHING: &str = r#"{"code":0,"message":"success","data":{}}"#;
const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\n";
const BEGUN: &str = r#"{"code":0,"message":"success","data":{"access_token":"ROW_"#;

/// Returns every named fault. A name has the same meaning for the token host and for the API host.
pub fn catalogue() -> Vec<(String, Fault)> {
    let named = |faults: Vec<(&'static str, Fault)>| faults.into_iter().map(|(name, fault)| (name.to_owned(), fault));
    codes::answers()
        .chain(named(limits()))
        .chain(named(statuses()))
        .chain(redirects())
        .chain(named(bodies()))
        .chain(named(labels()))
        .chain(named(heads()))
        .chain(named(lengths()))
        .chain(named(breaks()))
        .collect()
}

impl Fault {
    /// Creates a fault that keeps TikTok Shop from acting. The fake sends the pieces and closes the connection.
    fn sends(pieces: impl Into<Vec<Piece>>) -> Self {
        Self { acts: false, sends: pieces.into(), then: Ending::Close }
    }

    /// Creates a fault that keeps TikTok Shop from acting. The fake sends an answer with this status, content type and
    /// body.
    pub(super) fn answer(status: &str, content_type: &str, body: &str) -> Self {
        Self::with_headers(status, &format!("content-type: {content_type}\r\n"), body)
    }

    /// Creates a fault that keeps TikTok Shop from acting. The fake sends an answer with this status, these header
    /// lines and this body.
    fn with_headers(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
        Self::sends([text(head + body)])
    }

    /// Creates a fault that lets TikTok Shop act. The fake sends this text, then the body of TikTok Shop's own answer.
    fn with_own_head(before: &str) -> Self {
        Self { acts: true, ..Self::sends([text(before), ANSWER]) }
    }

    fn then(self, then: Ending) -> Self {
        Self { then, ..self }
    }
}

const ANSWER: Piece = Piece::Answer { skip: 0, take: None };

fn text(text: impl Into<String>) -> Piece {
    Piece::Text(text.into())
}

/// Returns faults that ask the client to wait. All except the last have status 429. They differ in the header
/// `Retry-After` (RFC 9110, section 10.2.3): some do not have this header, and the rest have various values of it. The
/// last fault has status 503 and a `Retry-After`.
fn limits() -> Vec<(&'static str, Fault)> {
    let limited = |headers: &str| Fault::with_headers(LIMITED, headers, "");
    let now = "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    vec![
        ("HTTP 429, no Retry-After", limited("")),
        ("HTTP 429, HTML", Fault::answer(LIMITED, HTML, PAGE)),
        ("HTTP 429, Retry-After: 7", limited("retry-after: 7\r\n")),
        ("HTTP 429, Retry-After: 0", limited("retry-after: 0\r\n")),
        ("HTTP 429, Retry-After: -1", limited("retry-after: -1\r\n")),
        ("HTTP 429, Retry-After: +7", limited("retry-after: +7\r\n")),
        ("HTTP 429, Retry-After: soon", limited("retry-after: soon\r\n")),
        ("HTTP 429, Retry-After empty", limited("retry-after:\r\n")),
        ("HTTP 429, Retry-After of a year", limited("retry-after: 31536000\r\n")),
        ("HTTP 429, Retry-After beyond 64 bits", limited("retry-after: 99999999999999999999999\r\n")),
        ("HTTP 429, two Retry-After, 7 and 1800", limited("retry-after: 7\r\nretry-after: 1800\r\n")),
        (
            "HTTP 429, Retry-After: the date in 90 s",
            limited(&format!("{now}retry-after: Thu, 01 Jan 2026 00:01:30 GMT\r\n")),
        ),
        (
            "HTTP 429, Retry-After: the date in a year",
            limited(&format!("{now}retry-after: Fri, 01 Jan 2027 00:00:00 GMT\r\n")),
        ),
        (
            "HTTP 429, Retry-After: a date gone by",
            limited(&format!("{now}retry-after: Wed, 31 Dec 2025 23:59:00 GMT\r\n")),
        ),
        ("HTTP 429, Retry-After: a date, no Date", limited("retry-after: Thu, 01 Jan 2026 00:01:30 GMT\r\n")),
        ("HTTP 503, Retry-After: 300", Fault::with_headers("503 Service Unavailable", "retry-after: 300\r\n", "")),
    ]
}

/// Returns faults with an error status or an unusual status. In many of them, the body is the HTML page of a gateway.
fn statuses() -> Vec<(&'static str, Fault)> {
    vec![
        ("HTTP 400, empty", Fault::answer("400 Bad Request", JSON, "")),
        ("HTTP 401, HTML", Fault::answer("401 Unauthorized", HTML, PAGE)),
        ("HTTP 401, code 0", Fault::answer("401 Unauthorized", JSON, NOTHING)),
        ("HTTP 403, HTML of a firewall", Fault::answer("403 Forbidden", HTML, PAGE)),
        ("HTTP 404, plain \"404 page not found\"", Fault::answer("404 Not Found", "text/plain", "404 page not found")),
        ("HTTP 407, HTML of a proxy", Fault::answer("407 Proxy Authentication Required", HTML, PAGE)),
        ("HTTP 408, HTML", Fault::answer("408 Request Timeout", HTML, PAGE)),
        ("HTTP 425, empty", Fault::answer("425 Too Early", JSON, "")),
        ("HTTP 500, JSON", Fault::answer("500 Internal Server Error", JSON, BUSY)),
        ("HTTP 500, HTML", Fault::answer("500 Internal Server Error", HTML, PAGE)),
        ("HTTP 500, a refusal", Fault::answer("500 Internal Server Error", JSON, ENDED)),
        ("HTTP 502, HTML", Fault::answer("502 Bad Gateway", HTML, PAGE)),
        ("HTTP 503, JSON", Fault::answer("503 Service Unavailable", JSON, BUSY)),
        ("HTTP 503, HTML", Fault::answer("503 Service Unavailable", HTML, PAGE)),
        ("HTTP 504, HTML", Fault::answer("504 Gateway Timeout", HTML, PAGE)),
        ("HTTP 999, HTML", Fault::answer("999 Blocked", HTML, PAGE)),
        ("HTTP 204", Fault::sends([text("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")])),
        ("HTTP 205, empty", Fault::with_headers("205 Reset Content", "", "")),
        (
            "HTTP 206, a part of the answer",
            Fault::with_headers("206 Partial Content", "content-range: bytes 0-57/900\r\n", BEGUN),
        ),
        ("HTTP 304", Fault::sends([text("HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n")])),
    ]
}

/// Returns faults that redirect the client. There are three faults for each redirect status: one leads to TikTok Shop's
/// token host, one to its API host, and one to a foreign host. Two more faults have status 302: one leads to another
/// path of the same host, and one has no `location` header.
fn redirects() -> impl Iterator<Item = (String, Fault)> {
    let hosts = ["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com", "elsewhere.example"];
    let to = |status: &str, location: &str| {
        Fault::with_headers(status, &format!("location: {location}\r\ncontent-type: text/html\r\n"), PAGE)
    };
    let kinds =
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"];
    kinds
        .into_iter()
        .flat_map(move |kind| {
            let number = kind.get(..3).unwrap_or_default();
            hosts
                .map(|host| (format!("HTTP {number} to {host}"), to(kind, &format!("https://{host}/api/v2/token/get"))))
        })
        .chain([
            ("HTTP 302 to the same host".to_owned(), to("302 Found", "/api/v2/token/refresh")),
            ("HTTP 302 without a location".to_owned(), Fault::with_headers("302 Found", "", "")),
        ])
}

/// Returns faults with HTTP 200, the right content type and an unexpected body.
fn bodies() -> Vec<(&'static str, Fault)> {
    let body = |body: &str| Fault::answer(OK, JSON, body);
    let utf16 = |start: &str| {
        let head = format!("{HEAD}\r\n{start}");
        Fault::sends([text(head), Piece::Bytes(ENDED.encode_utf16().flat_map(u16::to_le_bytes).collect())])
    };
    let deep = |levels| {
        let levels = |bracket: &str| Piece::Repeat(bracket.to_owned(), levels);
        Fault::sends([text(format!(r#"{HEAD}{}{{"code":0,"data":"#, "\r\n")), levels("["), levels("]"), text("}")])
    };
    vec![
        ("empty body", body("")),
        ("an array", body("[]")),
        ("a text", body(r#""success""#)),
        ("a number", body("0")),
        ("null", body("null")),
        ("an empty object", body("{}")),
        ("JSON cut short", body(BEGUN)),
        ("two objects in one body", body(&format!("{ENDED}{ENDED}"))),
        ("JSON and a byte more", body(&format!("{ENDED}x"))),
        ("code as text", body(&ENDED.replace("36004005", "\"36004005\""))),
        ("code as words", body(&ENDED.replace("36004005", "\"revoked\""))),
        ("code as a fraction", body(&ENDED.replace("36004005", "36004005.5"))),
        ("code with an exponent", body(&ENDED.replace("36004005", "3.6004005e7"))),
        ("code beyond 64 bits", body(&ENDED.replace("36004005", "36004005000000000000000000"))),
        ("code 1e400", body(&ENDED.replace("36004005", "1e400"))),
        ("code -1", body(&ENDED.replace("36004005", "-1"))),
        ("code null", body(&ENDED.replace("36004005", "null"))),
        ("code twice, a refusal and then 0", body(&ENDED.replace("36004005", r#"36004005,"code":0"#))),
        ("code twice, 0 and then a refusal", body(&ENDED.replace("36004005", r#"0,"code":36004005"#))),
        ("success without data", body(r#"{"code":0,"message":"success"}"#)),
        ("success with empty data", body(NOTHING)),
        ("success with data null", body(&NOTHING.replace("{}", "null"))),
        ("success with data of text", body(&NOTHING.replace("{}", r#""ROW_token""#))),
        ("success with data of a list", body(&NOTHING.replace("{}", "[]"))),
        (
            "success with tokens and shops of wrong types",
            body(&NOTHING.replace(
                "{}",
                r#"{"access_token":7,"refresh_token":["ROW_"],"open_id":{},"user_type":"seller","shops":"none"}"#,
            )),
        ),
        ("deep JSON, 30 000 levels", deep(30_000)),
        ("deep JSON, 100 000 levels", deep(100_000)),
        ("deep JSON, not closed", Fault::sends([text(format!("{HEAD}\r\n")), Piece::Repeat("{\"a\":".into(), 12_000)])),
        ("a refusal in UTF-16", utf16("\u{feff}")),
        ("a refusal with a byte that is not UTF-8", {
            let (before, after) = ENDED.split_at(ENDED.find("can not").unwrap_or_default());
            Fault::sends([text(format!("{HEAD}\r\n{before}")), Piece::Bytes(vec![0xe9]), text(after)])
        }),
        ("the answer with a byte that is not UTF-8", {
            let before = text(format!("{HEAD}\r\n{{\"seller\":\"Caf"));
            let rest = Piece::Answer { skip: 1, take: None };
            Fault { acts: true, ..Fault::sends([before, Piece::Bytes(vec![0xe9]), text("\","), rest]) }
        }),
        ("the answer behind a byte order mark", Fault::with_own_head(&format!("{HEAD}\r\n\u{feff}"))),
        ("the answer among unknown members", {
            let unknown = r#"{"code2":1,"extra":{"deep":[1e400,12345678901234567890123]},"#;
            let rest = Piece::Answer { skip: 1, take: None };
            Fault { acts: true, ..Fault::sends([text(format!("{HEAD}\r\n{unknown}")), rest]) }
        }),
    ]
}

/// Returns faults with HTTP 200 and a wrong, missing or repeated content type, or a wrong content encoding.
fn labels() -> Vec<(&'static str, Fault)> {
    let labelled = |headers: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}\r\n");
    let answered = |headers: &str| Fault::with_own_head(&labelled(headers));
    let refusal = |headers: &str| Fault::sends([text(labelled(headers) + ENDED)]);
    let (json, html) = ("content-type: application/json\r\n", "content-type: text/html\r\n");
    vec![
        ("the answer as text/plain", answered("content-type: text/plain; charset=utf-8\r\n")),
        ("the answer as text/html", answered(html)),
        ("the answer without a content type", answered("")),
        ("the answer with an empty content type", answered("content-type:\r\n")),
        ("the answer as UTF-16 that it is not", answered("content-type: application/json; charset=utf-16\r\n")),
        ("the answer as ISO-8859-1", answered("content-type: application/json; charset=iso-8859-1\r\n")),
        ("the answer as problem+json", answered("content-type: application/problem+json\r\n")),
        ("the answer with two content types, JSON first", answered(&format!("{json}{html}"))),
        ("the answer with two content types, HTML first", answered(&format!("{html}{json}"))),
        ("a refusal as text/plain", refusal("content-type: text/plain\r\n")),
        ("a refusal as text/html", refusal(html)),
        ("a refusal without a content type", refusal("")),
        ("a refusal as UTF-16 that it is not", refusal("content-type: application/json; charset=utf-16\r\n")),
        ("a refusal as ISO-8859-1", refusal("content-type: application/json; charset=iso-8859-1\r\n")),
        ("a refusal with two content types, JSON first", refusal(&format!("{json}{html}"))),
        ("a refusal with two content types, HTML first", refusal(&format!("{html}{json}"))),
        ("a page with two content types, JSON first", {
            Fault::sends([text(labelled(&format!("{json}{html}")) + PAGE)])
        }),
        (
            "an answer said to be gzip",
            Fault::sends([
                text(labelled(&format!("{json}content-encoding: gzip\r\n"))),
                Piece::Bytes(vec![0x1f, 0x8b, 0x08, 0x00, 0xff]),
            ]),
        ),
    ]
}

/// Returns faults whose answer has an unusual or broken head (status line and headers). In most faults with an unusual
/// head, TikTok Shop acts, and the body of its own answer follows the head.
fn heads() -> Vec<(&'static str, Fault)> {
    let informed = |before: &str| Fault::with_own_head(&format!("{before}{HEAD}\r\n"));
    let odd = |header: &[u8]| Fault {
        acts: true,
        ..Fault::sends([text(HEAD), Piece::Bytes(header.to_vec()), text("\r\n\r\n"), ANSWER])
    };
    let long = |headers: Piece| Fault::sends([text(HEAD), headers, text("\r\n"), text(NOTHING)]);
    vec![
        ("100 Continue, then the answer", informed("HTTP/1.1 100 Continue\r\n\r\n")),
        ("103 Early Hints, then the answer", informed("HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")),
        ("three times 102, then the answer", informed(&"HTTP/1.1 102 Processing\r\n\r\n".repeat(3))),
        ("100 Continue and no answer", Fault::sends([text("HTTP/1.1 100 Continue\r\n\r\n")])),
        (
            "101 Switching Protocols",
            Fault::sends([text("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")]),
        ),
        ("the answer in HTTP/1.0", Fault::with_own_head("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n")),
        ("the answer without a reason phrase", Fault::with_own_head("HTTP/1.1 200\r\nconnection: close\r\n\r\n")),
        ("the answer and a header that is not UTF-8", odd(b"server: caf\xe9")),
        ("the answer and a Retry-After that is not UTF-8", odd(b"retry-after: \xff\xfe")),
        ("the answer and a content type that is not UTF-8", {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: ";
            Fault { acts: true, ..Fault::sends([text(head), Piece::Bytes(vec![0xff]), text("\r\n\r\n"), ANSWER]) }
        }),
        ("the answer and a second one behind it", {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
            let second = format!("{head}{}\r\n\r\n{ENDED}", ENDED.len());
            let sends = [text(head), Piece::AnswerLength, text("\r\n\r\n"), ANSWER, text(second)];
            Fault { acts: true, ..Fault::sends(sends) }.then(Ending::Stall)
        }),
        ("one header of 1 MB", long(Piece::Repeat(format!("x-long: {}\r\n", "x".repeat(1_000_000)), 1))),
        ("10 000 headers", long(Piece::Repeat("x-many: 1\r\n".into(), 10_000))),
        ("headers without end", Fault::sends([text(HEAD)]).then(Ending::Endless("x-endless: 1\r\n".into()))),
        ("a header without a colon", Fault::sends([text(format!("{HEAD}no colon\r\n\r\n{NOTHING}"))])),
        ("not HTTP", Fault::sends([text("SSH-2.0-OpenSSH_9.9\r\n\r\n")])),
        ("an unknown version of HTTP", Fault::sends([text("HTTP/7.3 200 OK\r\n\r\n")])),
        ("a status that is no number", Fault::sends([text("HTTP/1.1 abc OK\r\n\r\n")])),
        ("bytes of TLS", Fault::sends([Piece::Bytes(vec![0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28])])),
    ]
}

/// Returns faults whose answer has a body with a wrong or ambiguous length, or a body that is longer than a client
/// should read.
fn lengths() -> Vec<(&'static str, Fault)> {
    let framed = |framing: &str, body: &str| Fault::sends([text(format!("{HEAD}{framing}\r\n\r\n{body}"))]);
    let large = |kib: usize| {
        Fault::sends([
            text(format!(r#"{HEAD}{}{{"code":0,"message":""#, "\r\n")),
            Piece::Repeat("x".repeat(1024), kib),
            text("\"}"),
        ])
    };
    let chunked = "transfer-encoding: chunked";
    vec![
        ("65 KiB", large(65)),
        ("1 MiB and 1 KiB", large(1025)),
        ("10 MiB", large(10 * 1024)),
        ("1 GB announced", framed("content-length: 1000000000", BEGUN).then(Ending::Stall)),
        ("a body without end", framed("x: y", BEGUN).then(Ending::Endless("x".repeat(4096)))),
        ("chunks without end", framed(chunked, "").then(Ending::Endless(format!("1000\r\n{}\r\n", "x".repeat(4096))))),
        ("chunks of one byte without end", framed(chunked, "").then(Ending::Endless("1\r\nx\r\n".repeat(64)))),
        ("chunks that break off", framed(chunked, &format!("1000\r\n{BEGUN}"))),
        ("a chunk whose length is no number", framed(chunked, &format!("zz\r\n{ENDED}\r\n0\r\n\r\n"))),
        ("shorter than announced", framed("content-length: 1000", BEGUN)),
        ("a refusal shorter than announced", framed("content-length: 1000", ENDED)),
        ("longer than announced", framed("content-length: 10", ENDED)),
        ("two different content lengths", framed("content-length: 10\r\ncontent-length: 74", ENDED)),
        ("content length and chunks", framed(&format!("content-length: 10\r\n{chunked}"), "4a\r\n")),
        ("a negative content length", framed("content-length: -1", ENDED)),
        ("a content length beyond 64 bits", framed("content-length: 99999999999999999999999", ENDED)),
    ]
}

/// Returns faults in which the connection is closed or reset, or stays open and silent. This happens before, during or
/// after the answer. In one more fault, TikTok Shop acts, and the page of a gateway is sent in place of its answer.
fn breaks() -> Vec<(&'static str, Fault)> {
    let acts = |fault: Fault| Fault { acts: true, ..fault };
    let part = Piece::Answer { skip: 0, take: Some(60) };
    let announced = |piece| [text(format!("{HEAD}content-length: ")), Piece::AnswerLength, text("\r\n\r\n"), piece];
    vec![
        ("closed before the first byte", Fault::sends([])),
        ("closed in the head", Fault::sends([text(HEAD)])),
        ("reset before the first byte", Fault::sends([]).then(Ending::Reset)),
        ("reset after the first byte", Fault::sends([text("H")]).then(Ending::Reset)),
        (
            "reset in the body",
            Fault::sends([text(format!("{HEAD}content-length: 1000\r\n\r\n{BEGUN}"))]).then(Ending::Reset),
        ),
        ("reply lost: TikTok acted, then reset", acts(Fault::sends([])).then(Ending::Reset)),
        ("reply lost: TikTok acted, then closed", acts(Fault::sends([]))),
        ("reply lost: TikTok acted, HTTP 502", acts(Fault::answer("502 Bad Gateway", HTML, PAGE))),
        ("reply lost: TikTok acted, cut off in the body", acts(Fault::sends(announced(part.clone())))),
        ("reply lost: TikTok acted, no first byte", acts(Fault::sends([])).then(Ending::Stall)),
        ("reply lost: TikTok acted, stalled in the body", acts(Fault::sends(announced(part))).then(Ending::Stall)),
        ("no first byte", Fault::sends([]).then(Ending::Stall)),
        ("stalled in the head", Fault::sends([text(HEAD)]).then(Ending::Stall)),
        (
            "stalled in the body",
            Fault::sends([text(format!("{HEAD}content-length: 1000\r\n\r\n{BEGUN}"))]).then(Ending::Stall),
        ),
        ("the whole answer, and the connection stays open", {
            acts(Fault::sends(announced(ANSWER))).then(Ending::Stall)
        }),
    ]
}
