//! The envelope `{code, message, request_id, data}` of every answer, and the failures that it carries.
//!
//! The error codes and the HTTP statuses follow the official page `common-errors` (as of 2026) and published reports of
//! live answers.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::switches::EmptyData;

/// The result of a call: the `data` of a success, or a failure.
pub(crate) type Answer = Result<Value, Failure>;

/// A failure, with the HTTP status and the code that the caller sees.
#[derive(Debug)]
pub(crate) struct Failure {
    pub status: StatusCode,
    pub code: u32,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Creates a failure with HTTP 400 and 36009004. TikTok Shop uses this code for many mistakes in a request. Only
    /// the message tells which mistake it was.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 36_009_004, message)
    }
}

/// The form of a failure's body.
#[derive(Clone, Copy)]
pub(crate) enum FailureForm {
    /// The body has the members `code`, `message` and `request_id`.
    Short,
    /// The body also has the member `data`, which is `null`, and the message ends with a link.
    WithLink,
}

/// Returns the HTTP status, the code and the body of an answer.
pub(crate) fn render(
    answer: Answer,
    request_id: String,
    empty: EmptyData,
    failures: FailureForm,
) -> (StatusCode, u32, Value) {
    match answer {
        Ok(data) => {
            let data = match empty {
                EmptyData::Null if is_empty(&data) => Some(Value::Null),
                EmptyData::Missing if is_empty(&data) => None,
                EmptyData::Object | EmptyData::Null | EmptyData::Missing => Some(data),
            };
            let mut body = json!({ "code": 0, "message": "success", "request_id": request_id });
            if let Value::Object(members) = &mut body {
                members.extend(data.map(|data| ("data".to_owned(), data)));
            }
            (StatusCode::OK, 0, body)
        }
        Err(Failure { status, code, message }) => {
            let body = match failures {
                FailureForm::Short => json!({ "code": code, "message": message, "request_id": request_id }),
                FailureForm::WithLink => {
                    // Real messages of the API host end with a short link. So a client that compares whole messages
                    // also fails with this fake.
                    let message = format!("{message}. For more details: https://m.tiktok.shop/s/fixture");
                    json!({ "code": code, "message": message, "request_id": request_id, "data": null })
                }
            };
            (status, code, body)
        }
    }
}

fn is_empty(data: &Value) -> bool {
    data.as_object().is_some_and(Map::is_empty)
}
