//! Sends requests to any network host that the test chooses. The requests are built directly with `wasi:http`.

use crate::bindings::wasi::http::outgoing_handler::handle;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, FutureIncomingResponse, Method, OutgoingRequest, Scheme};

/// Sends a request and returns the status of the answer, or the error. `lines` contains the scheme, the authority and
/// the path, and then one line for each header.
pub(crate) fn send<'a>(method: &str, mut lines: impl Iterator<Item = &'a str>) -> String {
    let mut part = || lines.next().unwrap_or_default();
    let (scheme, authority, path) = (part(), part(), part());
    let headers = Fields::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let Err(error) = headers.append(name, value.as_bytes()) {
            return format!("{name}: {error:?}");
        }
    }
    let request = OutgoingRequest::new(headers);
    let set = [
        ("method", request.set_method(&named(method))),
        ("scheme", request.set_scheme(Some(&scheme_named(scheme)))),
        ("authority", request.set_authority(Some(authority))),
        ("path", request.set_path_with_query(Some(path))),
    ];
    if let Some((part, _)) = set.iter().find(|(_, set)| set.is_err()) {
        return format!("malformed {part}");
    }
    let answer = match handle(request, None) {
        Ok(answer) => answer,
        Err(error) => return format!("{error:?}"),
    };
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => response.status().to_string(),
        Some(Ok(Err(error))) => format!("{error:?}"),
        Some(Err(())) | None => "no answer".to_owned(),
    }
}

/// Sends a GET request and does not wait for the answer.
pub(crate) fn start(authority: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let _set = (request.set_authority(Some(authority)), request.set_path_with_query(Some("/")));
    handle(request, None)
}

/// Sends a GET request and returns the body of the answer.
pub(crate) fn fetch(authority: &str, path: &str) -> Option<Vec<u8>> {
    let request = OutgoingRequest::new(Fields::new());
    let _set = (request.set_authority(Some(authority)), request.set_path_with_query(Some(path)));
    let answer = handle(request, None).ok()?;
    answer.subscribe().block();
    let body = answer.get()?.ok()?.ok()?.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    while let Ok(chunk) = stream.blocking_read(4096) {
        bytes.extend(chunk);
    }
    Some(bytes)
}

fn named(method: &str) -> Method {
    match method {
        "CONNECT" => Method::Connect,
        "DELETE" => Method::Delete,
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme_named(scheme: &str) -> Scheme {
    match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}
