//! Decides what an answer of TikTok Shop means. The HTTP status counts first, then the `code` in the envelope. The
//! envelope is the JSON object with `code`, `message`, `request_id` and `data`. For code 36009004, words of the message
//! also count. A failure may have HTTP status 200, and a gateway may answer with its own error page.
//!
//! Sources: partner.tiktokshop.com/docv2/page/common-errors (2026) and …/rate-limits (2026).

use crate::error::{Cause, Error, MAX_DELAY, scrubbed, shares_a_part};
use crate::http::{Response, TransportFailure, is_utf_16};
use crate::json::Members;
use crate::time::http_date;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Whether TikTok may have acted on a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// TikTok certainly did not act.
    No,
    /// It is unknown whether TikTok acted.
    Unknown,
}

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The error for the host.
    pub error: Error,
    /// Whether TikTok may have acted.
    pub acted: Acted,
}

/// An envelope with `code` 0. This type has no `Debug`, because `data` holds tokens.
pub struct Success<'a> {
    /// The JSON text of `data`. It may be absent or `null`.
    pub data: Option<&'a str>,
    /// TikTok's request id. It is needed if `data` causes an error.
    pub request_id: Option<String>,
}

/// Reads an answer. `text` is the body of the answer. `secrets` are the secrets of the request: if TikTok repeats one
/// of them in the answer, it does not get into the error.
///
/// # Errors
/// A [`Fault`], unless the HTTP status is 2xx and the body is an envelope with code 0.
pub fn read<'a>(response: &Response, text: &'a str, secrets: &[&str]) -> Result<Success<'a>, Fault> {
    let status = response.status;
    let envelope = Members::of(text);
    let code = envelope.as_ref().and_then(|envelope| envelope.whole_number("code"));
    let envelope = envelope.unwrap_or_default();
    let message = envelope.text("message").unwrap_or_default();
    let (cause, acted) = match (status, code) {
        (429, _) => (Cause::RateLimited, Acted::No),
        (408 | 425 | 500.., _) => (Cause::TikTokUnavailable, Acted::Unknown),
        (300..=399, _) => (Cause::Redirected, Acted::Unknown),
        // A success counts even if its content type or its charset is wrong, because it may hold new tokens. A refusal
        // with a wrong content type or charset proves nothing.
        (200..=299, Some(0)) => {
            return Ok(Success { data: envelope.raw("data"), request_id: request_id(&envelope, secrets) });
        }
        (200..=299 | 400..=499, Some(code)) if code != 0 && is_json(response) => cause_of_code(code, &message),
        (_, _) if response.is_coded() => (Cause::AnswerCoded, Acted::Unknown),
        (_, _) => (Cause::AnswerUnreadable, Acted::Unknown),
    };
    let default_delay = match (cause, code) {
        (Cause::RateLimited, Some(HOURLY_LIMIT)) => MAX_DELAY,
        (Cause::RateLimited, _) => LIMIT_DELAY,
        (_, _) => TRANSIENT_DELAY,
    };
    let mut error = Error::new(cause).with_delay(retry_after(response).unwrap_or(default_delay));
    error.http_status = Some(status);
    error.request_id = request_id(&envelope, secrets);
    if let Some(code) = code {
        error = error.with_note(&format!("TikTok code {code}: {}", scrubbed(&message, secrets)));
    } else if let (Cause::AnswerCoded, Some(coding)) = (cause, &response.content_encoding) {
        error = error.with_note(&format!("content-encoding: {}", scrubbed(coding, secrets)));
    }
    Err(Fault { error, acted })
}

/// Decides what it means that a request got no complete answer.
#[must_use]
pub fn transport(failure: TransportFailure) -> Fault {
    let (cause, acted) = match failure {
        TransportFailure::Denied => (Cause::EgressDenied, Acted::No),
        TransportFailure::NotConnected => (Cause::TikTokUnreachable, Acted::No),
        TransportFailure::Interrupted => (Cause::AnswerIncomplete, Acted::Unknown),
        TransportFailure::TooLarge => (Cause::AnswerTooLarge, Acted::Unknown),
    };
    Fault { error: Error::new(cause).with_delay(TRANSIENT_DELAY), acted }
}

impl Fault {
    /// Builds the fault of a request that was not sent.
    #[must_use]
    pub fn before_sending(cause: Cause) -> Self {
        Self { error: Error::new(cause), acted: Acted::No }
    }
}

/// Returns the code of an envelope, regardless of the HTTP status. Returns `None` if the body is not an envelope.
#[must_use]
pub fn code(text: &str) -> Option<i64> {
    Members::of(text)?.whole_number("code")
}

/// The delay after a temporary fault: 5 s.
pub(crate) const TRANSIENT_DELAY: Duration = Duration::from_secs(5);
/// The delay after HTTP status 429 without `Retry-After`: one minute.
const LIMIT_DELAY: Duration = Duration::from_secs(60);
/// TikTok's code for the rate limit of test shops. This limit is counted by the hour.
const HOURLY_LIMIT: i64 = 36_009_037;

/// Reads `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3). The result is at least one second. A
/// date is compared with the date of the answer, because the host's clock may be wrong. If the answer has no date, a
/// date in `Retry-After` is ignored.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.retry_after.as_deref()?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit into 64 bits becomes the largest 64-bit number.
        text.parse().unwrap_or(u64::MAX)
    } else {
        http_date(text)?.since(http_date(response.date.as_deref()?)?)
    };
    Some(Duration::from_secs(seconds.max(1)))
}

/// Returns the request id if it has only letters, digits and hyphens and contains no part of a secret. [`scrubbed`] is
/// not used here: it would always remove a request id, because a request id is as long as a token.
fn request_id(envelope: &Members<'_>, secrets: &[&str]) -> Option<String> {
    let plain = |text: &String| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let echoes = |text: &String| secrets.iter().any(|secret| shares_a_part(text, secret));
    envelope.text("request_id").filter(|text| plain(text) && !echoes(text))
}

/// Returns true if all of these hold:
/// - The body is not UTF-16.
/// - The content type is absent or is a JSON media type.
/// - The content type names no charset, or it names UTF-8.
fn is_json(response: &Response) -> bool {
    if is_utf_16(&response.body) {
        return false;
    }
    let Some(text) = &response.content_type else {
        return true;
    };
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = media == "application/json" || media == "text/json" || media.ends_with("+json");
    json && parts.all(|part| {
        let lower = part.to_ascii_lowercase();
        lower.strip_prefix("charset=").is_none_or(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8"))
    })
}

fn cause_of_code(code: i64, message: &str) -> (Cause, Acted) {
    let (cause, acted) = match code {
        101_000 => (Cause::WrongUserType, Acted::No),
        105_001 => (Cause::TokenInvalid, Acted::No),
        105_002 => (Cause::TokenExpired, Acted::No),
        105_004 => (Cause::AuthorizationInactive, Acted::No),
        105_005 => (Cause::MissingPermission, Acted::No),
        106_001 => (Cause::SignatureRejected, Acted::No),
        36_004_001 => (Cause::AuthorizationExpired, Acted::No),
        36_004_004 => (Cause::AuthorizationCodeSpent, Acted::No),
        36_004_005 => (Cause::AuthorizationRevoked, Acted::No),
        36_009_002 | HOURLY_LIMIT => (Cause::RateLimited, Acted::No),
        36_009_003 | 36_009_007 => (Cause::TikTokUnavailable, Acted::Unknown),
        36_009_004 => (refused_parameter(message), Acted::No),
        36_009_033 => (Cause::IpNotAllowed, Acted::No),
        36_009_043 => (Cause::ShopInactive, Acted::No),
        36_009_044 => (Cause::SellerInactive, Acted::No),
        106_013 | 36_009_009 | 36_009_010 | 36_009_014 | 36_009_021..=36_009_023 => (Cause::TikTokRefused, Acted::No),
        _ => (Cause::UnrecognisedAnswer, Acted::Unknown),
    };
    (cause, acted)
}

/// Returns the cause of an answer with code 36009004, which TikTok uses for many faults. The function looks for single
/// words in the message and not for sentences, because TikTok's texts differ in their quote marks and endings.
fn refused_parameter(message: &str) -> Cause {
    let text = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["x-tts-access-token"]) {
        Cause::TokenInvalid
    } else if has(&["timestamp"]) {
        Cause::ClockSkewed
    } else if has(&["app_key", "app key", "app_secret", "app secret"]) {
        Cause::AppRejected
    } else {
        Cause::TikTokRefused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Response {
        let content_type = Some(content_type.into());
        Response { status, content_type, content_encoding: None, retry_after: None, date: None, body: body.into() }
    }

    fn failure(response: &Response) -> Fault {
        read(response, &response.text(), &[]).err().expect("a failure")
    }

    fn cause(response: &Response) -> (Cause, Acted) {
        let fault = failure(response);
        (fault.error.cause, fault.acted)
    }

    #[test]
    fn status_and_code_decide() {
        let json = "application/json; charset=utf-8";
        let code = |code: &str| format!(r#"{{"code":{code},"message":"m","request_id":"A1","data":null}}"#);
        let table = [
            (answer(200, json, &code("36004001")), Cause::AuthorizationExpired, Acted::No),
            (answer(200, json, &code("\"36004005\"")), Cause::AuthorizationRevoked, Acted::No),
            (answer(200, json, &code("36004004")), Cause::AuthorizationCodeSpent, Acted::No),
            (answer(401, json, &code("105001")), Cause::TokenInvalid, Acted::No),
            (answer(200, json, &code("105002")), Cause::TokenExpired, Acted::No),
            (answer(200, json, &code("105004")), Cause::AuthorizationInactive, Acted::No),
            (answer(401, json, &code("105005")), Cause::MissingPermission, Acted::No),
            (answer(401, json, &code("106001")), Cause::SignatureRejected, Acted::No),
            (answer(400, json, &code("36009033")), Cause::IpNotAllowed, Acted::No),
            (answer(200, json, &code("36009003")), Cause::TikTokUnavailable, Acted::Unknown),
            (answer(200, json, &code("98001004")), Cause::UnrecognisedAnswer, Acted::Unknown),
            (answer(200, json, &code("1.5")), Cause::AnswerUnreadable, Acted::Unknown),
            (answer(200, json, "{}"), Cause::AnswerUnreadable, Acted::Unknown),
            (answer(404, "text/plain", "404 page not found"), Cause::AnswerUnreadable, Acted::Unknown),
            (answer(403, "text/html", "<html>blocked</html>"), Cause::AnswerUnreadable, Acted::Unknown),
            (answer(200, "text/html", &code("36004005")), Cause::AnswerUnreadable, Acted::Unknown),
            (
                answer(200, "application/json; charset=utf-16", &code("36004005")),
                Cause::AnswerUnreadable,
                Acted::Unknown,
            ),
            (answer(500, json, &code("36004005")), Cause::TikTokUnavailable, Acted::Unknown),
            (answer(503, "text/html", "busy"), Cause::TikTokUnavailable, Acted::Unknown),
            (answer(408, json, &code("36009007")), Cause::TikTokUnavailable, Acted::Unknown),
            (answer(425, json, ""), Cause::TikTokUnavailable, Acted::Unknown),
            (answer(429, "text/html", "slow down"), Cause::RateLimited, Acted::No),
            (answer(302, json, &code("0")), Cause::Redirected, Acted::Unknown),
            (answer(401, json, &code("0")), Cause::AnswerUnreadable, Acted::Unknown),
        ];
        for (response, expected, acted) in table {
            assert_eq!(cause(&response), (expected, acted), "{} {}", response.status, response.text());
        }
    }

    #[test]
    fn the_words_of_36009004_decide_its_cause() {
        let of = |message: &str| {
            cause(&answer(400, "application/json", &format!(r#"{{"code":36009004,"message":"{message}"}}"#))).0
        };
        assert_eq!(
            of(
                "Invalid credentials. The 'x-tts-access-token' header is invalid. For more details: https://m.tiktok.shop/s/fixture"
            ),
            Cause::TokenInvalid
        );
        assert_eq!(of("the header \u{201c}X-TTS-Access-Token\u{201d} is malformed"), Cause::TokenInvalid);
        assert_eq!(of("Invalid timestamp. For more details: https://x"), Cause::ClockSkewed);
        assert_eq!(of("The 'app_key' is invalid or disabled"), Cause::AppRejected);
        assert_eq!(of("Unexpected identifier shop_cipher"), Cause::TikTokRefused);
    }

    #[test]
    fn retry_after_is_honoured_within_an_hour() {
        let mut response = answer(429, "text/plain", "");
        let delay = |response: &Response| failure(response).error.delay.as_secs();
        assert_eq!(delay(&response), 60);
        for (header, seconds) in [
            ("7", 7),
            (" 7 ", 7),
            ("0", 1),
            ("99999999", 3600),
            ("99999999999999999999999", 3600),
            ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
            ("-1", 60),
            ("+7", 60),
            ("", 60),
        ] {
            response.retry_after = Some(header.into());
            assert_eq!(delay(&response), seconds, "{header}");
        }
        response.date = Some("Wed, 21 Oct 2026 07:26:30 GMT".into());
        for (header, seconds) in [
            ("Wed, 21 Oct 2026 07:28:00 GMT", 90),
            ("Thu, 21 Oct 2027 07:28:00 GMT", 3600),
            ("Wed, 21 Oct 2026 07:26:30 GMT", 1),
            ("Wed, 21 Oct 2026 07:26:00 GMT", 1),
            ("Wed, 21 Oct 2026 07:28:00", 60),
            ("7", 7),
        ] {
            response.retry_after = Some(header.into());
            assert_eq!(delay(&response), seconds, "{header}");
        }
        response = answer(503, "text/html", "busy");
        assert_eq!(delay(&response), 5);
        response.retry_after = Some("300".into());
        assert_eq!(delay(&response), 300);
        response = answer(429, "application/json", r#"{"code":36009037}"#);
        assert_eq!(delay(&response), 3600, "counted by the hour");
    }

    #[test]
    fn an_answer_in_an_unknown_coding_proves_nothing_unless_its_status_does() {
        let coded = |status: u16, body: &str| Response {
            content_encoding: Some("br".into()),
            ..answer(status, "application/json", body)
        };
        assert_eq!(cause(&coded(200, "\u{b}gibberish")), (Cause::AnswerCoded, Acted::Unknown));
        assert_eq!(cause(&coded(403, "gibberish")), (Cause::AnswerCoded, Acted::Unknown));
        assert_eq!(cause(&coded(429, "gibberish")), (Cause::RateLimited, Acted::No));
        assert_eq!(cause(&coded(502, "gibberish")), (Cause::TikTokUnavailable, Acted::Unknown));
        assert!(failure(&coded(200, "x")).error.detail().ends_with(" [content-encoding: br]"));
        // A gateway may decode the body and forget to remove the header.
        let plain = coded(200, r#"{"code":0,"data":{"a":1}}"#);
        assert_eq!(read(&plain, &plain.text(), &[]).expect("success").data, Some(r#"{"a":1}"#));
    }

    #[test]
    fn a_pair_in_a_mislabelled_answer_is_still_read() {
        let response = answer(200, "text/plain", r#"{"code":0,"data":{"a":1}}"#);
        assert_eq!(read(&response, &response.text(), &[]).expect("success").data, Some(r#"{"a":1}"#));
    }

    #[test]
    fn the_detail_has_tiktoks_code_and_message_for_every_status_and_content_type() {
        for (status, content_type) in [(200, "text/html"), (408, "application/json"), (429, "text/plain"), (500, "")] {
            let response = answer(status, content_type, r#"{"code":7,"message":"words","request_id":"A1"}"#);
            let error = failure(&response).error;
            assert!(error.detail().ends_with(" [TikTok code 7: words]"), "{}", error.detail());
            assert_eq!((error.http_status, error.request_id.as_deref()), (Some(status), Some("A1")));
        }
    }

    #[test]
    fn an_echoed_secret_does_not_reach_the_error() {
        let response =
            answer(400, "application/json", r#"{"code":36009004,"message":"bad app_secret s3cretvalue here"}"#);
        let error = read(&response, &response.text(), &["s3cretvalue"]).err().expect("refused").error;
        assert_eq!(
            error.detail(),
            format!("{} [TikTok code 36009004: bad app_secret […] here]", Cause::AppRejected.sentence())
        );
    }
}
