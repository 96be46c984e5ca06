//! Compares the OpenAPI document of the control interface with what the interface does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::World;

async fn document(world: &World) -> Value {
    let reply = world.local("GET", "/_control/openapi.json", "").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.body, include_str!("../../openapi.json"));
    reply.json()
}

/// Returns a fake that can carry out every example request of the document.
async fn busy() -> World {
    let world = World::new();
    let (access_token, refresh_token) = world.connect("one-shop").await;
    world.list_shops(&access_token).await;
    world.refresh(&refresh_token).await;
    let data = json!({ "order_id": "1" });
    world.control.queue_webhook(&world.app.service_id, 1, None, data.clone()).unwrap();
    world.control.queue_webhook(&world.app.service_id, 1, Some("7490000000000000001"), data.clone()).unwrap();
    world.control.queue_webhook(&world.app.service_id, 1, None, data).unwrap();
    world.control.webhook_answered(2, Some(500)).unwrap();
    world.control.webhook_answered(3, Some(200)).unwrap();
    world.control.advance(Duration::from_secs(1));
    world
}

#[tokio::test]
async fn every_documented_operation_answers_its_example_as_documented() {
    let described = document(&World::new()).await;
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let world = busy().await;
            if path.ends_with("/restore") {
                let (app, shop) = (&world.app.service_id, "7490000000000000001");
                world.control.update_switches(|switches| {
                    switches.last_shop_removed = fake_tiktok_shop::LastShopRemoved::LeavesGrant;
                });
                world.control.deauthorize_shop(app, "one-shop", shop).unwrap();
            }
            let target = path.replace("{seller}", "one-shop").replace("{shop}", "7490000000000000001");
            let target = target.replace("{number}", "1");
            let body = operation.pointer("/requestBody/content/application~1json/example");
            // The test replaces the receiver's port by port 1, on which no receiver listens.
            let body = body.map(Value::to_string).unwrap_or_default().replace("127.0.0.1:3000", "127.0.0.1:1");
            let reply = world.local(&method.to_uppercase(), &target, &body).await;
            assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
            let content = operation.pointer("/responses/200/content").unwrap().as_object().unwrap();
            let (media_type, documented) = content.iter().next().unwrap();
            assert_eq!((content.len(), reply.header("content-type")), (1, Some(media_type.as_str())), "{path}");
            let place = format!("{method} {path}");
            // The schema of JSON lines describes one line.
            let values: Vec<Value> = match media_type.as_str() {
                "application/jsonl" => reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
                _ => vec![reply.json()],
            };
            assert!(!values.is_empty(), "{place}");
            values.iter().for_each(|value| fits(value, &documented["schema"], &described, &place));
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_documented_is_not_allowed() {
    let world = World::new();
    for (path, item) in document(&world).await["paths"].as_object().unwrap() {
        let target = path.replace("{seller}", "one-shop").replace("{shop}", "1").replace("{number}", "1");
        for method in ["get", "post", "put", "patch", "delete"] {
            let reply = world.local(&method.to_uppercase(), &target, "").await;
            assert_eq!(reply.status != 405, item.get(method).is_some(), "{method} {path}: {}", reply.status);
        }
    }
}

#[tokio::test]
async fn an_error_has_the_documented_form_and_a_documented_status() {
    let world = World::new();
    let described = document(&world).await;
    let error = json!({ "$ref": "#/components/schemas/Error" });
    for (path, item) in described["paths"].as_object().unwrap() {
        let target = path.replace("{seller}", "nobody").replace("{shop}", "1").replace("{number}", "99");
        for (method, operation) in item.as_object().unwrap() {
            let reply = world.local(&method.to_uppercase(), &target, r#"{"no such member": 1}"#).await;
            let documented = operation.pointer(&format!("/responses/{}", reply.status));
            assert!(documented.is_some(), "{method} {path}: {}", reply.status);
            if reply.status != 200 {
                fits(&reply.json(), &error, &described, &format!("{method} {path}"));
            }
        }
    }
}

/// Checks a value against the parts of JSON Schema that the document uses.
fn fits(value: &Value, schema: &Value, document: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("no {reference}"));
        return fits(value, target, document, place);
    }
    for keyword in schema.as_object().unwrap().keys() {
        let known = [
            "additionalProperties",
            "description",
            "enum",
            "examples",
            "items",
            "maxItems",
            "minimum",
            "oneOf",
            "properties",
            "required",
            "type",
        ];
        assert!(known.contains(&keyword.as_str()), "{place}: this test does not know {keyword}");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let of_type = |choice: &&Value| value.is_object() == choice["properties"].is_object();
        let choice = choices.iter().find(of_type).unwrap_or_else(|| panic!("{place}: {value} fits no choice"));
        return fits(value, choice, document, place);
    }
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{place}: {value} is none of {values:?}");
    }
    let is = |name: &str| match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => panic!("{place}: this test does not know the type {name}"),
    };
    match &schema["type"] {
        Value::String(name) => assert!(is(name), "{place}: {value} is no {name}"),
        Value::Array(names) => assert!(names.iter().any(|name| is(name.as_str().unwrap())), "{place}: {value}"),
        Value::Null => {}
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => panic!("{place}: {other} is no type"),
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: {name} is missing in {value}");
    }
    if let Some(members) = value.as_object() {
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(schema) => fits(member, schema, document, &format!("{place}.{name}")),
                None => assert_ne!(schema["additionalProperties"], false, "{place}: {name} is not documented"),
            }
        }
    }
    if let Some(limit) = schema["maxItems"].as_u64() {
        assert!(value.as_array().unwrap().len() as u64 <= limit, "{place}");
    }
    if schema.get("items").is_some() {
        for (position, entry) in value.as_array().into_iter().flatten().enumerate() {
            fits(entry, &schema["items"], document, &format!("{place}[{position}]"));
        }
    }
}
