//! Adds to the document what is the same for many requests: the problems, the headers of every answer, and the headers
//! `Idempotency-Key` and `X-Reason`.

use http::Method;
use utoipa::Modify;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};

use crate::idempotency::applies;

/// The header of an answer that the service has given before.
const REPLAYED: &str = "Idempotency-Replayed";

/// The name of the response that describes every problem.
const PROBLEM: &str = "Problem";

/// Adds the answers that the service itself gives to a request that fails.
pub(super) struct Problems;

/// The statuses of the problems of every request to the API.
const OF_EVERY_REQUEST: [&str; 7] = ["400", "401", "403", "429", "431", "500", "503"];
/// The statuses of the problems of a request with a body.
const OF_BODIES: [&str; 4] = ["408", "413", "415", "422"];
/// The statuses of the problems of a request about a customer: there is no such thing, the seller must consent again,
/// the request can't be carried out, or TikTok Shop failed.
const OF_CUSTOMERS: [&str; 5] = ["404", "409", "422", "502", "504"];

/// The status of a request about a delivery or an endpoint that the tenant does not have.
const OF_NAMED: [&str; 1] = ["404"];
/// The statuses of a request with an idempotency key: the first request with this key is not finished, or it was another
/// request.
const OF_IDEMPOTENCY_KEYS: [&str; 2] = ["409", "422"];

impl Modify for Problems {
    fn modify(&self, document: &mut OpenApi) {
        let problem = ResponseBuilder::new()
            .description("A problem. Its member `action` says what to do next")
            .content(
                "application/problem+json",
                ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDetails"))).build(),
            )
            .header("Retry-After", whole_seconds())
            .header("X-Request-Id", request_id())
            .header(REPLAYED, replayed())
            .build();
        document.components.get_or_insert_default().responses.insert(PROBLEM.to_owned(), problem.into());
        for (path, item) in &mut document.paths.paths {
            let is_about_customer = path.contains("{customer}");
            let is_named = path.contains("{delivery}") || path.contains("{endpoint}");
            for (method, operation) in operations(item) {
                let responses = &mut operation.responses.responses;
                let mut added = vec![("X-Request-Id", request_id())];
                if takes_key(path, method) {
                    added.push((REPLAYED, replayed()));
                }
                if path.contains("/tiktok/") {
                    added.extend(of_tiktok());
                }
                for response in responses.values_mut() {
                    if let RefOr::T(Response { headers, .. }) = response {
                        for (name, header) in &added {
                            headers.entry((*name).to_owned()).or_insert_with(|| header.clone().into());
                        }
                    }
                }
                // The answer to a signed call is TikTok Shop's and may have any status.
                if !path.starts_with("/v1/") || responses.contains_key("default") {
                    continue;
                }
                let body = operation.request_body.as_ref().map(|_| &OF_BODIES[..]).unwrap_or_default();
                let has_cursor = operation
                    .parameters
                    .iter()
                    .flatten()
                    .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "cursor"));
                let cursor = if has_cursor { &["422"][..] } else { &[] };
                let customer = if is_about_customer { &OF_CUSTOMERS[..] } else { &[] };
                let named = if is_named { &OF_NAMED[..] } else { &[] };
                let keys = if takes_key(path, method) { &OF_IDEMPOTENCY_KEYS[..] } else { &[] };
                let statuses = OF_EVERY_REQUEST.iter().chain(body).chain(cursor).chain(customer);
                for status in statuses.chain(named).chain(keys) {
                    responses.insert((*status).to_owned(), Ref::from_response_name(PROBLEM).into());
                }
            }
        }
    }
}

/// Adds the header `Idempotency-Key` to the requests that change something.
pub(super) struct IdempotencyKey;

impl Modify for IdempotencyKey {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                if takes_key(path, method) {
                    operation.parameters.get_or_insert_default().push(key().into());
                }
            }
        }
    }
}

/// Adds the header `X-Reason` to the requests about a customer that change something or use a token.
pub(super) struct Reason;

impl Modify for Reason {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            // The reason of a connect session is its own id.
            if !path.starts_with("/v1/customers/") || path.ends_with("/connect-sessions") {
                continue;
            }
            let is_call = path.contains("/tiktok/");
            for (_, operation) in operations(item).filter(|(method, _)| *method != "get" || is_call) {
                operation.parameters.get_or_insert_default().push(reason().into());
            }
        }
    }
}

/// Returns whether a request takes an idempotency key.
fn takes_key(path: &str, method: &str) -> bool {
    Method::try_from(method.to_ascii_uppercase().as_str()).is_ok_and(|method| applies(path, &method))
}

fn key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(256))
        .pattern(Some("^[!#-~][!-~]*$"))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A text that no other request has, for example a random UUID. If the answer is lost, repeat the request with \
             the same key within 24 hours: it is carried out once, and you get the same answer",
        ))
        .schema(Some(schema))
        .build()
}

fn reason() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(256))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
        .build();
    ParameterBuilder::new()
        .name("X-Reason")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Why the request is sent, for example the number of a support case. The events that it causes contain it as \
             `stated_reason`, so it must not be a secret",
        ))
        .schema(Some(schema))
        .build()
}

fn request_id() -> Header {
    text("The id of the request in the log of the service")
}

fn replayed() -> Header {
    text("`true` if this is the answer to an earlier request with the same `Idempotency-Key`. Otherwise missing")
}

/// Returns the headers of TikTok Shop's answer to a signed call.
fn of_tiktok() -> [(&'static str, Header); 3] {
    [
        ("X-Answered-By", "`tiktok-shop` if this is TikTok Shop's answer. Missing if it is a problem of the service"),
        (
            "X-Tiktok-Code",
            "The code in the envelope of TikTok Shop's answer. `0` means success. Missing without a code",
        ),
        ("X-Tiktok-Request-Id", "TikTok Shop's id of the request. Missing if TikTok Shop gave none"),
    ]
    .map(|(name, description)| (name, text(description)))
}

/// Returns a header that contains a text.
fn text(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build()))
        .description(Some(description))
        .build()
}

fn whole_seconds() -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(0)).build()))
        .description(Some("The number of seconds to wait before the same request is repeated"))
        .build()
}

/// Returns the operations of an address, each with its method.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
