//! Links `wasi:http` so that a request runs in the task of its call.
//!
//! wasmtime's own functions start one task for each request, and another task when its response begins. So each request
//! would wake threads that have nothing else to do. Here the call's task runs its requests (`exchanges.rs`). This file
//! replaces the functions of two resources, `outgoing-body` and `future-incoming-response`, and `handle`. All other
//! functions are wasmtime's.

use std::task::Poll;

use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{DynOutputStream, DynPollable, subscribe};
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, HostFutureIncomingResponse as _};
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
};
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiBody, WasiHttpHooks as _, WasiHttpView as _};

use super::call_state::CallState;
use super::exchanges::PendingResponse;
use super::request_body::RequestBody;

/// The interfaces in the version that wasmtime links. With another version, no component could be linked.
const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Links `wasi:http`.
pub(super) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);

    let mut types = linker.instance(TYPES)?;
    types.resource("outgoing-body", ResourceType::host::<RequestBody>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<RequestBody>::new_own(rep))?;
        Ok(())
    })?;
    types.resource("future-incoming-response", ResourceType::host::<PendingResponse>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<PendingResponse>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap("[method]outgoing-request.body", body)?;
    types.func_wrap("[method]outgoing-response.body", response_body)?;
    types.func_wrap("[method]outgoing-body.write", write)?;
    types.func_wrap("[static]outgoing-body.finish", finish)?;
    types.func_wrap("[method]future-incoming-response.subscribe", subscribe_to_response)?;
    types.func_wrap("[method]future-incoming-response.get", take_response)?;
    linker.instance(HANDLER)?.func_wrap("handle", handle)?;

    linker.allow_shadowing(false);
    Ok(())
}

type Context<'a> = StoreContextMut<'a, CallState>;

/// Returns the body of a request. A request has one body, which can be taken once.
fn body(
    mut context: Context<'_>,
    (request,): (Resource<HostOutgoingRequest>,),
) -> wasmtime::Result<(Result<Resource<RequestBody>, ()>,)> {
    let CallState { table, body_bytes_left, .. } = context.data_mut();
    let request = table.get_mut(&request)?;
    let (None, Ok(announced)) = (&request.body, announced_length(&request.headers)) else { return Ok((Err(()),)) };
    let (resource, body) = RequestBody::new(announced, body_bytes_left.clone());
    request.body = Some(body);
    Ok((Ok(table.push(resource)?),))
}

/// Does the same as [`body`], for a response. The connector never answers a request, but a component may import every
/// function of `wasi:http`.
fn response_body(
    mut context: Context<'_>,
    (response,): (Resource<HostOutgoingResponse>,),
) -> wasmtime::Result<(Result<Resource<RequestBody>, ()>,)> {
    let CallState { table, body_bytes_left, .. } = context.data_mut();
    let response = table.get_mut(&response)?;
    let (None, Ok(announced)) = (&response.body, announced_length(&response.headers)) else { return Ok((Err(()),)) };
    let (resource, body) = RequestBody::new(announced, body_bytes_left.clone());
    response.body = Some(body);
    Ok((Ok(table.push(resource)?),))
}

fn write(
    mut context: Context<'_>,
    (body,): (Resource<RequestBody>,),
) -> wasmtime::Result<(Result<Resource<DynOutputStream>, ()>,)> {
    let table = &mut context.data_mut().table;
    let Some(stream) = table.get_mut(&body)?.stream() else { return Ok((Err(()),)) };
    Ok((Ok(table.push_child(stream, &body)?),))
}

/// Finishes a body. Trailers are not sent, because TikTok Shop does not use them.
fn finish(
    mut context: Context<'_>,
    (body, trailers): (Resource<RequestBody>, Option<Resource<FieldMap>>),
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let table = &mut context.data_mut().table;
    let body = table.delete(body)?;
    if let Some(trailers) = trailers {
        table.delete(trailers)?;
    }
    Ok((body.finish(),))
}

/// Begins a request. It is sent while the guest waits.
fn handle(
    mut context: Context<'_>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>),
) -> wasmtime::Result<(Result<Resource<PendingResponse>, ErrorCode>,)> {
    let state = context.data_mut();
    let options = options.map(|options| state.table.delete(options)).transpose()?;
    let request = match to_request(state.table.delete(request)?) {
        Ok(request) => request,
        Err(error) => return Ok((Err(error),)),
    };
    let sending = Box::into_pin(state.egress.send_request(request, options, Box::new(std::future::ready(Ok(())))));
    let pending = state.exchanges.begin(Box::pin(async move { Ok(sending.await?.0) }));
    Ok((Ok(state.table.push(pending)?),))
}

fn subscribe_to_response(
    mut context: Context<'_>,
    (response,): (Resource<PendingResponse>,),
) -> wasmtime::Result<(Resource<DynPollable>,)> {
    Ok((subscribe(&mut context.data_mut().table, response)?,))
}

/// The answer to a guest that asks for a response: `None` if it has not arrived, an outer error if the guest has got it
/// before, or else the response or the error of the request.
type Taken = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

fn take_response(mut context: Context<'_>, (response,): (Resource<PendingResponse>,)) -> wasmtime::Result<(Taken,)> {
    let mut http = context.data_mut().http();
    let answer = match http.table.get(&response)?.take() {
        Poll::Ready(Some(answer)) => answer,
        Poll::Ready(None) => return Ok((Some(Err(())),)),
        Poll::Pending => return Ok((None,)),
    };
    let (head, body) = match answer {
        Ok(response) => response.into_parts(),
        Err(error) => {
            // wasmtime converts the error.
            let failed = http.table.push(HostFutureIncomingResponse::Ready(Err(error)))?;
            let taken = http.get(Resource::new_borrow(failed.rep()))?;
            http.table.delete(failed)?;
            return Ok((taken,));
        }
    };
    let response = HostIncomingResponse {
        status: head.status.as_u16(),
        headers: FieldMap::new_immutable(http.hooks, head.headers),
        body: Some(HostIncomingBody::new(body)),
    };
    Ok((Some(Ok(Ok(http.table.push(response)?))),))
}

/// Builds the request that a guest has described.
fn to_request(request: HostOutgoingRequest) -> Result<Request<WasiBody>, ErrorCode> {
    let HostOutgoingRequest { method, scheme, authority, path_with_query, headers, body } = request;
    let announced = announced_length(&headers)?;
    if body.is_none() && announced.is_some_and(|length| length != 0) {
        return Err(ErrorCode::HttpRequestBodySize(Some(0)));
    }
    let method = method.try_into().map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let scheme = match scheme {
        None | Some(types::Scheme::Https) => Scheme::HTTPS,
        Some(types::Scheme::Http) => Scheme::HTTP,
        Some(types::Scheme::Other(scheme)) => scheme.parse().map_err(|_| ErrorCode::HttpProtocolError)?,
    };
    let mut uri = Uri::builder().scheme(scheme).authority(authority.unwrap_or_default());
    if let Some(path) = path_with_query {
        uri = uri.path_and_query(path);
    }
    let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut built = Request::new(body.unwrap_or_else(empty));
    *built.method_mut() = method;
    *built.uri_mut() = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    *built.headers_mut() = headers.into();
    Ok(built)
}

/// Returns the length that the header `content-length` announces.
fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, ErrorCode> {
    let invalid = || ErrorCode::InternalError(Some("the header content-length is invalid".to_owned()));
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|digits| digits.parse().ok()), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(invalid()),
    }
}
