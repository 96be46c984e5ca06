//! The OpenAPI 3.1 document. It is generated from the handlers and the bodies. `openapi.json` beside this package is a
//! copy of it, so that a change of the API shows in a review.

mod additions;

use utoipa::openapi::Required;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use self::additions::{IdempotencyKey, Problems, Reason, operations};
use crate::api::{
    access_token, apps, calls, connect_sessions, connections, deliveries, disconnect, events, export, imports,
    installs, refresh, shops, tiktok,
};
use crate::operations as for_operators;
use crate::problem::ProblemDetails;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "TikTok Shop connector",
        description = "Connects the customers of a platform to their TikTok shops. Every error is a problem (RFC 9457) \
                       whose member action says what to do next."
    ),
    paths(
        apps::list,
        connect_sessions::begin,
        connect_sessions::show,
        connections::of_customer,
        connections::one,
        connections::of_tenant,
        shops::list,
        shops::link,
        refresh::refresh,
        access_token::get,
        export::export,
        disconnect::disconnect,
        disconnect::shared,
        imports::import,
        installs::begin,
        installs::confirm,
        installs::cancel,
        events::list,
        deliveries::list,
        deliveries::show,
        deliveries::redeliver,
        deliveries::redeliver_all,
        deliveries::endpoints,
        deliveries::test,
        calls::call,
        tiktok::for_shop,
        tiktok::for_account,
        for_operators::health,
        for_operators::ready,
        for_operators::metrics,
    ),
    components(schemas(ProblemDetails)),
    modifiers(&ApiKeySecurity, &MethodsOfCalls, &Problems, &IdempotencyKey, &Reason)
)]
struct Document;

/// Describes the API keys.
struct ApiKeySecurity;

impl Modify for ApiKeySecurity {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("api-key", scheme);
    }
}

/// Completes the signed calls. One handler serves all methods of their addresses, and describes only what all methods
/// have. So each method gets an id of its own, and each method but GET gets the body of the request.
struct MethodsOfCalls;

impl Modify for MethodsOfCalls {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            if !path.contains("/tiktok/") {
                continue;
            }
            for (method, operation) in operations(item) {
                if let Some(id) = &mut operation.operation_id {
                    id.push('_');
                    id.push_str(method);
                }
                if method != "get" {
                    operation.request_body = Some(body_of_call().into());
                }
            }
        }
    }
}

/// The body of a signed call. It goes to TikTok Shop as it is.
fn body_of_call() -> RequestBody {
    let any_json = ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(SchemaType::AnyValue))).build();
    let bytes = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    RequestBodyBuilder::new()
        .description(Some("The body for TikTok Shop, at most 16 MiB. It is sent unchanged, with its content type"))
        .required(Some(Required::False))
        .content("application/json", any_json)
        .content("application/octet-stream", ContentBuilder::new().schema(Some(bytes)).build())
        .build()
}

/// Returns the OpenAPI document of the API, as indented JSON with a line break at its end.
#[must_use]
pub fn openapi_json() -> String {
    // The document contains only texts and numbers, so it can always be serialized.
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::router::ROUTES;

    #[test]
    fn the_document_in_the_tree_is_the_one_of_the_code() {
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let (kept, generated) = (std::fs::read_to_string(&written).unwrap_or_default(), openapi_json());
        if kept != generated {
            let target = std::env::current_exe().unwrap().with_file_name("openapi.json");
            std::fs::write(&target, generated).unwrap();
            panic!("the API has changed: read {}, and copy it over {}", target.display(), written.display());
        }
    }

    #[test]
    fn the_document_describes_exactly_the_routes_of_programs() {
        let described: BTreeSet<_> = Document::openapi().paths.paths.into_keys().collect();
        let served = ROUTES.iter().map(|route| route.replace("{*path}", "{path}")).collect::<BTreeSet<_>>();
        assert_eq!(described, served);
    }

    #[test]
    fn every_summary_is_one_short_sentence() {
        let mut document = Document::openapi();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let summary = operation.summary.as_deref().unwrap_or_default();
                assert!(summary.ends_with('.'), "{method} {path}: {summary}");
                assert!(!summary.contains(". ") && summary.len() <= 120, "{method} {path}: {summary}");
            }
        }
    }

    #[test]
    fn a_signed_call_has_a_body_unless_its_method_is_get() {
        let mut document = Document::openapi();
        let calls = document.paths.paths.iter_mut().filter(|(path, _)| path.contains("/tiktok/"));
        let methods = calls.flat_map(|(_, item)| operations(item));
        let with_body = methods.map(|(method, operation)| (method, operation.request_body.is_some()));
        let expected = [("get", false), ("put", true), ("post", true), ("delete", true)];
        assert_eq!(with_body.collect::<Vec<_>>(), expected.repeat(2));
    }

    #[test]
    fn a_reason_can_be_stated_for_what_changes_a_connection_or_uses_its_token() {
        let mut document = Document::openapi();
        let mut with = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let parameters = serde_json::to_value(&operation.parameters).unwrap();
                let parameters = parameters.as_array().into_iter().flatten();
                if parameters.filter(|parameter| parameter["name"] == "X-Reason").count() == 1 {
                    with.insert(format!("{method} {}", path.trim_start_matches("/v1/customers/{customer}/")));
                }
            }
        }
        let call = |of: &str| ["get", "put", "post", "delete"].map(|method| format!("{method} {of}/tiktok/{{path}}"));
        let others = [
            "post calls",
            "post connections/{account}/access-token",
            "post connections/{account}/export",
            "post connections/{account}/refresh",
            "post disconnect",
            "post imports",
            "post installs",
            "post installs/{install}/cancel",
            "post installs/{install}/confirm",
            "post shared-connections",
            "put connections/{account}/linked-shops",
        ];
        let expected = others.map(str::to_owned).into_iter();
        let expected = expected.chain(call("shops/{shop}")).chain(call("accounts/{account}"));
        assert_eq!(with, expected.collect());
    }

    #[test]
    fn the_headers_of_an_answer_are_described() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let headers = |path: &str, method: &str, status: &str| -> Vec<String> {
            let headers = document["paths"][path][method]["responses"][status]["headers"].as_object().unwrap();
            headers.keys().cloned().collect()
        };
        let call = "/v1/customers/{customer}/shops/{shop}/tiktok/{path}";
        let of_tiktok = ["X-Answered-By", "X-Tiktok-Code", "X-Tiktok-Request-Id"];
        for name in of_tiktok {
            assert!(headers(call, "get", "default").iter().any(|found| found == name), "{name}");
        }
        let replayed = "Idempotency-Replayed".to_owned();
        assert!(headers(call, "post", "default").contains(&replayed));
        assert!(!headers(call, "get", "default").contains(&replayed));
        assert!(headers("/v1/customers/{customer}/connect-sessions", "post", "201").contains(&replayed));
        assert_eq!(headers("/v1/events", "get", "200"), ["X-Request-Id"]);
    }

    #[test]
    fn a_member_that_is_always_in_an_answer_is_required_even_if_it_may_be_null() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let is_required = |schema: &str, member: &str| {
            let required = document["components"]["schemas"][schema]["required"].as_array();
            required.is_some_and(|required| required.iter().any(|name| name == member))
        };
        for (schema, member) in [
            ("ConnectionPage", "next_cursor"),
            ("EventPage", "next_cursor"),
            ("DeliveryPage", "next_cursor"),
            ("Delivery", "customer"),
            ("Delivery", "ended_at"),
            ("Delivery", "due_at"),
            ("Attempt", "failure"),
            ("Connection", "app"),
            ("Connection", "last_failure"),
            ("Event", "shops"),
            ("CallAnswer", "json"),
            ("RefreshResult", "nothing_sent"),
            ("AccessToken", "expires_at"),
        ] {
            assert!(is_required(schema, member), "{schema} {member}");
        }
        for (schema, member) in [
            ("ConnectionList", "left_out"),
            ("Delivery", "body"),
            ("ProblemDetails", "retry_after_ms"),
            ("SessionRequest", "app"),
            ("ImportRequest", "access_token"),
        ] {
            assert!(!is_required(schema, member), "{schema} {member}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_the_document_is_version_3_1() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|item| item.as_object().unwrap().values());
        let ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
