//! The part of `wasi:http` and `wasi:io` that the component uses. A request is made when the component asks for its
//! answer, so the component never has to wait for anything else.

use serde_json::{Value, json};
use tiktok_shop_connector_core::http::{Response, TransportFailure};
use wasmtime::AsContextMut;
use wasmtime::component::Val;
use wasmtime::error::Context as _;
use wasmtime::{Result, bail};

use crate::imports::Guest;
use crate::values::{bytes, option, text, write_all, write_bytes, write_text};

/// An object that the component holds as a resource.
pub(crate) enum Thing {
    Fields(Vec<(String, Vec<u8>)>),
    /// An outgoing request. It is also its own body, stream and future answer.
    Request(Request),
    /// An answer. It is also its own body.
    Response(Response),
    /// The rest of the body of an answer.
    Stream(Vec<u8>),
    /// An object without a state.
    Nothing,
}

#[derive(Default)]
pub(crate) struct Request {
    method: String,
    authority: String,
    path_with_query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The number of bytes that the component may write or read at once.
const CHUNK: usize = 64 * 1024;

/// Returns whether a function belongs to an interface of `wasi:http` or `wasi:io`.
pub(crate) fn is_of_http(function: &str) -> bool {
    ["types.", "outgoing-handler.", "streams.", "poll.", "error."].iter().any(|name| function.starts_with(name))
}

/// Replaces each resource in the arguments by its number.
pub(crate) fn with_numbers(store: &mut impl AsContextMut, arguments: &[Val]) -> Result<Vec<Val>> {
    let number = |argument: &Val| match argument {
        Val::Resource(resource) => Ok(Val::U32(resource.try_into_resource_dynamic(&mut *store)?.rep())),
        other => Ok(other.clone()),
    };
    arguments.iter().map(number).collect()
}

/// Answers a call to a function of `wasi:http` or `wasi:io`. A resource in the answer is the number of an object.
pub(crate) async fn answer(guest: &mut Guest, function: &str, arguments: &[Val]) -> Result<Value> {
    let (_, function) = function.split_once('.').context("the name has no interface")?;
    let (this, arguments) = match arguments {
        [Val::U32(number), arguments @ ..] => (*number as usize, arguments),
        other => (usize::MAX, other),
    };
    Ok(match (function, guest.things.get_mut(this), arguments) {
        ("[static]fields.from-list", None, [Val::List(entries)]) => {
            let entries = entries.iter().map(|entry| match entry {
                Val::Tuple(entry) => (text(&entry[0]).to_owned(), bytes(&entry[1])),
                other => panic!("{other:?} is no header"),
            });
            let fields = Thing::Fields(entries.collect());
            json!({"ok": own(guest, fields)})
        }
        ("[method]fields.entries", Some(Thing::Fields(entries)), []) => {
            let text = |value: &[u8]| str::from_utf8(value).unwrap().to_owned();
            entries.iter().map(|(name, value)| json!([name, {"text": text(value)}])).collect()
        }
        ("[constructor]request-options", None, []) => json!(own(guest, Thing::Nothing)),
        ("[method]request-options.set-connect-timeout", Some(Thing::Nothing), [_]) => json!({"ok": null}),
        ("[constructor]outgoing-request", Some(Thing::Fields(headers)), []) => {
            let headers = std::mem::take(headers);
            json!(own(guest, Thing::Request(Request { headers, ..Request::default() })))
        }
        ("[method]outgoing-request.set-method", Some(Thing::Request(request)), [Val::Variant(method, None)]) => {
            request.method.clone_from(method);
            json!({"ok": null})
        }
        ("[method]outgoing-request.set-scheme", Some(Thing::Request(_)), [scheme]) => {
            assert_eq!(option(scheme), Some(&Val::Variant("HTTPS".to_owned(), None)));
            json!({"ok": null})
        }
        ("[method]outgoing-request.set-authority", Some(Thing::Request(request)), [authority]) => {
            request.authority = text(option(authority).context("no authority")?).to_owned();
            json!({"ok": null})
        }
        ("[method]outgoing-request.set-path-with-query", Some(Thing::Request(request)), [path]) => {
            request.path_with_query = text(option(path).context("no path")?).to_owned();
            json!({"ok": null})
        }
        ("[method]outgoing-request.body" | "[method]outgoing-body.write" | "handle", Some(Thing::Request(_)), _) => {
            json!({"ok": this})
        }
        ("[method]output-stream.check-write", Some(Thing::Request(_)), []) => json!({"ok": CHUNK.to_string()}),
        ("[method]output-stream.write", Some(Thing::Request(request)), [part]) => {
            request.body.extend(bytes(part));
            json!({"ok": null})
        }
        ("[method]output-stream.flush" | "[static]outgoing-body.finish", Some(Thing::Request(_)), _) => {
            json!({"ok": null})
        }
        ("[method]output-stream.subscribe" | "[method]future-incoming-response.subscribe", Some(_), []) => {
            json!(own(guest, Thing::Nothing))
        }
        ("[method]pollable.block", Some(Thing::Nothing), []) => Value::Null,
        ("[method]future-incoming-response.get", Some(Thing::Request(request)), []) => {
            let request = std::mem::take(request);
            json!({"ok": exchange(guest, &request).await})
        }
        ("[method]incoming-response.status", Some(Thing::Response(response)), []) => json!(response.status),
        ("[method]incoming-response.headers", Some(Thing::Response(response)), []) => {
            let headers = headers(response).into_iter();
            let headers = headers.map(|(name, value)| (name.to_owned(), value.into())).collect();
            json!(own(guest, Thing::Fields(headers)))
        }
        ("[method]incoming-response.consume", Some(Thing::Response(_)), []) => json!({"ok": this}),
        ("[method]incoming-body.stream", Some(Thing::Response(response)), []) => {
            let body = Thing::Stream(std::mem::take(&mut response.body));
            json!({"ok": own(guest, body)})
        }
        ("[method]input-stream.blocking-read", Some(Thing::Stream(rest)), [Val::U64(length)]) => {
            if rest.is_empty() {
                return Ok(json!({"err": {"case": "closed"}}));
            }
            let length = rest.len().min(CHUNK).min(usize::try_from(*length)?);
            let part = String::from_utf8(rest.drain(..length).collect())?;
            json!({"ok": {"text": part}})
        }
        _ => bail!("the simulated host has no {function}"),
    })
}

fn own(guest: &mut Guest, thing: Thing) -> usize {
    guest.things.push(thing);
    guest.things.len() - 1
}

/// Makes a request in the simulated world.
async fn exchange(guest: &mut Guest, request: &Request) -> Value {
    let Guest { host, transcript, .. } = &*guest;
    if let Some(transcript) = transcript {
        transcript.add(host.call(), request_line(request));
    }
    let token = request.headers.iter().find(|(name, _)| name == "x-tts-access-token");
    let token = token.map(|(_, value)| str::from_utf8(value).unwrap());
    let answer = host.exchange(&request.path_with_query, token).await.map_err(|failure| match failure {
        TransportFailure::NotConnected => "connection-refused",
        TransportFailure::Interrupted => "connection-read-timeout",
        TransportFailure::Denied | TransportFailure::TooLarge => panic!("the simulated network does not refuse"),
    });
    if let Some(transcript) = transcript {
        transcript.end(host.call(), &answer_text(&answer));
    }
    match answer {
        Ok(response) => json!({"ok": own(guest, Thing::Response(response))}),
        Err(code) => json!({"err": {"case": code}}),
    }
}

fn headers(response: &Response) -> Vec<(&'static str, &str)> {
    let Response { status: _, content_type, content_encoding, retry_after, date, body: _ } = response;
    let values = [
        ("content-type", content_type),
        ("content-encoding", content_encoding),
        ("retry-after", retry_after),
        ("date", date),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}

fn request_line(request: &Request) -> String {
    let mut line = String::from("{\"import\":\"http\",\"arguments\":[{\"method\":");
    write_text(&mut line, &request.method);
    line.push_str(",\"authority\":");
    write_text(&mut line, &request.authority);
    line.push_str(",\"path-with-query\":");
    write_text(&mut line, &request.path_with_query);
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    write_headers(&mut line, headers);
    line.push_str(",\"body\":");
    write_bytes(&mut line, &request.body);
    line.push_str("}]");
    line
}

fn answer_text(answer: &Result<Response, &str>) -> String {
    let mut text = String::from(",\"answer\":");
    match answer {
        Ok(response) => {
            text.push_str("{\"ok\":{\"status\":");
            text.push_str(&response.status.to_string());
            write_headers(&mut text, headers(response).into_iter().map(|(name, value)| (name, value.as_bytes())));
            text.push_str(",\"body\":");
            write_bytes(&mut text, &response.body);
            text.push_str("}}");
        }
        Err(code) => {
            text.push_str("{\"err\":{\"case\":");
            write_text(&mut text, code);
            text.push_str("}}");
        }
    }
    text
}

fn write_headers<'a>(text: &mut String, headers: impl Iterator<Item = (&'a str, &'a [u8])>) {
    text.push_str(",\"headers\":");
    write_all(text, ['[', ']'], headers, |text, (name, value)| {
        text.push('[');
        write_text(text, name);
        text.push(',');
        write_text(text, str::from_utf8(value).unwrap());
        text.push(']');
    });
}
