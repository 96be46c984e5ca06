//! The log of requests to TikTok Shop's hosts. Tests check the log, and people read it.

use std::collections::VecDeque;
use std::fmt;

use axum::http::header;
use serde::Serialize;

use crate::issued::IssuedPair;
use crate::server::Reply;
use crate::vendor_request::VendorRequest;

/// The highest number of requests in the log. The oldest requests are dropped first.
const CAPACITY: usize = 10_000;

/// Headers whose values are secrets or may contain them.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "referer", "x-tts-access-token"];

/// Query parameters whose values are secrets. An authorization code and a state work only once, but each of them is a
/// secret until it is used.
const SECRET_PARAMETERS: [&str; 8] =
    ["access_token", "app_secret", "auth_code", "code", "refresh_token", "shop_cipher", "sign", "state"];

const MASK: &str = "[masked]";

/// A recorded request to the token host, the API host or the consent page.
///
/// The fields are not masked. `Debug` and the control interface over HTTP mask secrets.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// The number of the request, counted from 1. [`clear_requests`](crate::Control::clear_requests) does not reset it.
    pub number: u64,
    /// The fake's time when it handled the request, in Unix seconds.
    pub at: u64,
    /// The `Host` header, unchanged.
    pub host: String,
    /// The method, in upper case.
    pub method: String,
    /// The path, not decoded.
    pub path: String,
    /// Decoded query parameters, in the order in which they were sent.
    pub query: Vec<(String, String)>,
    /// All headers except `host`, sorted by name. Names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The length of the body in bytes.
    pub body_length: usize,
    /// The HTTP status of TikTok Shop's own answer. 0 if a fault kept TikTok Shop from acting.
    pub status: u16,
    /// The `code` in the envelope of TikTok Shop's own answer. `None` if that answer had no envelope.
    pub code: Option<u32>,
    /// The tokens in TikTok Shop's own answer. This field contains the tokens even if a fault replaced the answer.
    pub issued: Option<IssuedPair>,
    /// The name of the fault that replaced the answer, if any.
    pub fault: Option<String>,
}

impl RequestRecord {
    pub(crate) fn new(request: &VendorRequest, at: u64, reply: Option<&Reply>, fault: Option<String>) -> Self {
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| *name != header::HOST)
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        headers.sort();
        Self {
            number: 0,
            at,
            host: request.host.clone(),
            method: request.method.as_str().to_owned(),
            path: request.path.clone(),
            query: request.query.pairs().to_vec(),
            headers,
            body_length: request.body.len(),
            status: reply.map_or(0, |reply| reply.status().as_u16()),
            code: reply.and_then(Reply::code),
            issued: reply.and_then(Reply::issued).cloned(),
            fault,
        }
    }

    /// Returns the first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a header. `name` must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns a copy in which secrets are masked.
    pub(crate) fn masked(&self) -> Self {
        let mut masked = self.clone();
        for (name, value) in &mut masked.query {
            if SECRET_PARAMETERS.contains(&name.as_str()) {
                MASK.clone_into(value);
            }
        }
        for (name, value) in &mut masked.headers {
            if SECRET_HEADERS.contains(&name.as_str()) {
                MASK.clone_into(value);
            }
        }
        if let Some(pair) = &mut masked.issued {
            MASK.clone_into(&mut pair.access_token);
            MASK.clone_into(&mut pair.refresh_token);
        }
        masked
    }
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at, host, method, path, query, headers, body_length, status, code, issued, fault } =
            self.masked();
        f.debug_struct("RequestRecord")
            .field("number", &number)
            .field("at", &at)
            .field("host", &host)
            .field("method", &method)
            .field("path", &path)
            .field("query", &query)
            .field("headers", &headers)
            .field("body_length", &body_length)
            .field("status", &status)
            .field("code", &code)
            .field("issued", &issued)
            .field("fault", &fault)
            .finish()
    }
}

#[derive(Default)]
pub(crate) struct RequestLog {
    last_number: u64,
    records: VecDeque<RequestRecord>,
}

impl RequestLog {
    pub(crate) fn record(&mut self, mut record: RequestRecord) {
        if self.records.len() == CAPACITY {
            self.records.pop_front();
        }
        self.last_number += 1;
        record.number = self.last_number;
        self.records.push_back(record);
    }

    pub(crate) fn records(&self) -> impl DoubleEndedIterator<Item = &RequestRecord> {
        self.records.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }
}
