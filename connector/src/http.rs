//! Sends one request over `wasi:http` and reads the answer's body in chunks, up to a limit. Redirects are not followed:
//! an answer of 3xx is returned as it is. No other file uses waki.

use tiktok_shop_connector_core::http::{
    ACCEPT_ENCODING, MAX_RESPONSE_CHUNKS, Method, Request, Response, TransportFailure,
};
use waki::{Client, ErrorCode};
use zeroize::Zeroizing;

const CHUNK_BYTES: u64 = 16 * 1024;

pub(crate) fn send(request: Request<'_>) -> Result<Response, TransportFailure> {
    // Path and query are already percent-encoded; waki does not encode them again.
    let url = Zeroizing::new(format!("https://{}{}", request.authority.host(), request.path_and_query.expose()));
    let length = request.body.len().to_string();
    let mut builder = Client::new().request(method(request.method), &url).header("accept-encoding", ACCEPT_ENCODING);
    if request.method != Method::Get {
        builder = builder.header("content-length", &length);
    }
    if let Some(token) = &request.access_token {
        builder = builder.header("x-tts-access-token", token.expose());
    }
    if let Some(content_type) = request.content_type {
        builder = builder.header("content-type", content_type);
    }
    if !request.body.is_empty() {
        builder = builder.body(request.body);
    }
    let answer = builder.send().map_err(failure)?;

    let header = |name: &str| answer.header(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut response = Response {
        status: answer.status_code(),
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
        retry_after: header("retry-after"),
        date: header("date"),
        body: Vec::new(),
    };
    let mut chunks = 0;
    // An error in the middle of a body has no `ErrorCode`, and it is unknown whether TikTok acted.
    while let Some(chunk) = answer.chunk(CHUNK_BYTES).map_err(|_| TransportFailure::Interrupted)? {
        chunks += 1;
        if chunks > MAX_RESPONSE_CHUNKS || response.body.len() + chunk.len() > request.max_response_bytes {
            return Err(TransportFailure::TooLarge);
        }
        response.body.extend_from_slice(&chunk);
    }
    Ok(response)
}

fn method(method: Method) -> waki::Method {
    match method {
        Method::Get => waki::Method::Get,
        Method::Post => waki::Method::Post,
        Method::Put => waki::Method::Put,
        Method::Delete => waki::Method::Delete,
    }
}

/// Classifies waki's `anyhow` error by the `wasi:http` error code in it. If there is no such code, it is unknown
/// whether TikTok acted. The error must never be formatted, because its text may contain the URL, and because the build
/// of the component removes the code of its `Debug` implementation.
fn failure(error: anyhow::Error) -> TransportFailure {
    error.downcast_ref::<ErrorCode>().map_or(TransportFailure::Interrupted, classified)
}

fn classified(code: &ErrorCode) -> TransportFailure {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => TransportFailure::Denied,
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsCertificateError => TransportFailure::NotConnected,
        ErrorCode::HttpResponseBodySize(_) => TransportFailure::TooLarge,
        // Some hosts let the time for the connection run on after the request was sent.
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionTerminated
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpResponseTimeout
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError
        | ErrorCode::LoopDetected
        | ErrorCode::ConfigurationError
        | ErrorCode::InternalError(_) => TransportFailure::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_timeout_does_not_say_that_nothing_was_sent() {
        assert_eq!(classified(&ErrorCode::ConnectionTimeout), TransportFailure::Interrupted);
        for code in [
            ErrorCode::DnsTimeout,
            ErrorCode::DestinationNotFound,
            ErrorCode::DestinationUnavailable,
            ErrorCode::DestinationIpUnroutable,
            ErrorCode::ConnectionRefused,
            ErrorCode::ConnectionLimitReached,
            ErrorCode::TlsCertificateError,
        ] {
            assert_eq!(classified(&code), TransportFailure::NotConnected, "{code:?}");
        }
        for code in [ErrorCode::HttpRequestDenied, ErrorCode::DestinationIpProhibited] {
            assert_eq!(classified(&code), TransportFailure::Denied, "{code:?}");
        }
    }
}
