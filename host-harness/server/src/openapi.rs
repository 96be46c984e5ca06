//! The OpenAPI 3.1 document. It is generated from the handlers and the bodies. `openapi.json` beside this package is a
//! copy of it, so that a change of the API shows in a review.

mod additions;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use self::additions::{IdempotencyKey, Problems, operations};
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
    modifiers(&ApiKeySecurity, &OneIdPerMethod, &Problems, &IdempotencyKey)
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

/// Gives each method of an address an id of its own. A handler that serves several methods has only one.
struct OneIdPerMethod;

impl Modify for OneIdPerMethod {
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
            }
        }
    }
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
    fn every_operation_has_an_id_of_its_own_and_the_document_is_version_3_1() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|item| item.as_object().unwrap().values());
        let ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
