//! Faults that answer with an error code. For each code there are faults with HTTP 200, and with each other HTTP status
//! that documentation or reports give for the code.
//!
//! Source: the official page `common-errors` (as of 2026), reports from live use, and unofficial tables of codes.

use super::Fault;
use super::catalogue::JSON;

/// An error code, its message, and the HTTP statuses other than 200 that are known for this code.
struct Code(u32, &'static str, &'static [&'static str]);

const CODES: [Code; 31] = [
    Code(101_000, "The user type of the token does not fit", &[UNAUTHORIZED]),
    Code(105_001, "Access token is invalid", &[UNAUTHORIZED]),
    Code(105_002, "Expired credentials", &[UNAUTHORIZED]),
    Code(105_004, "Authorization related", &[UNAUTHORIZED]),
    Code(105_005, "Access denied, you should apply auth pkg for this api", &[UNAUTHORIZED]),
    Code(106_001, "Signature is invalid", &[UNAUTHORIZED]),
    Code(106_013, "Shop cipher is required", &[BAD_REQUEST]),
    Code(36_004_001, "rt has expired", &[]),
    Code(36_004_004, "invalid auth code", &[]),
    Code(36_004_005, "can not find related auth record", &[]),
    Code(36_009_002, "Too many requests", &["429 Too Many Requests"]),
    Code(36_009_003, "Internal error", &["500 Internal Server Error"]),
    Code(36_009_004, "Invalid timestamp", &[BAD_REQUEST]),
    Code(36_009_004, "Invalid app_key", &[BAD_REQUEST]),
    Code(36_009_004, "Unexpected identifier", &[BAD_REQUEST]),
    Code(36_009_007, "Request timed out", &["408 Request Timeout"]),
    Code(36_009_009, "Invalid path", &["404 Not Found"]),
    Code(36_009_010, "Invalid method", &[]),
    Code(36_009_014, "Invalid version", &[]),
    Code(36_009_021, "Body too large", &[]),
    Code(36_009_022, "Body is malformed", &[]),
    Code(36_009_023, "Content type is not supported", &[]),
    Code(36_009_033, "The IP address is not on the list of the app", &[]),
    Code(36_009_037, "Hourly limit of test shops reached", &["429 Too Many Requests"]),
    Code(36_009_043, "The shop is inactive", &[UNAUTHORIZED]),
    Code(36_009_044, "The seller is inactive", &[UNAUTHORIZED]),
    Code(98_001_004, "Named in an unofficial table", &[]),
    Code(98_001_005, "Named in an unofficial table", &[]),
    Code(98_001_006, "Named in an unofficial table", &[]),
    Code(99_999_999, "Named nowhere", &[]),
    Code(u32::MAX, "Named nowhere", &[]),
];

const BAD_REQUEST: &str = "400 Bad Request";
const UNAUTHORIZED: &str = "401 Unauthorized";

/// Returns one fault for every pair of an entry of `CODES` and an HTTP status of this entry. The code 36009004 has
/// several entries, so the names of its faults also contain the message.
pub(super) fn answers() -> impl Iterator<Item = (String, Fault)> {
    CODES.iter().flat_map(|Code(code, message, statuses)| {
        ["200 OK"].iter().chain(*statuses).map(move |status| {
            let number = status.get(..3).unwrap_or_default();
            let name = match code {
                36_009_004 => format!("HTTP {number}, code {code}: {message}"),
                _ => format!("HTTP {number}, code {code}"),
            };
            let body = format!(
                r#"{{"code":{code},"message":"{message}. For more details: https://partner.tiktokshop.com/docv2/page/common-errors?code={code}","request_id":"20260101000000F4017000000000000001","data":null}}"#
            );
            (name, Fault::answer(status, JSON, &body))
        })
    })
}
