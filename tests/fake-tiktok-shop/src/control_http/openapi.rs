//! The OpenAPI document of the control interface. `openapi.json` is written by hand, and tests compare it with the
//! routes, the switches and the answers. From this document, the fake takes the description that `/_control` returns
//! and the page that documents the interface.

use std::sync::LazyLock;

use serde_json::Value;

/// The text of `openapi.json`.
pub(crate) const TEXT: &str = include_str!("../../openapi.json");

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(TEXT).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let tags = document.get("tags").and_then(Value::as_array).into_iter().flatten();
    let mut groups: Vec<_> =
        tags.filter_map(|tag| Some(Group { tag: text(tag.get("name"))?, operations: Vec::new() })).collect();
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let body = operation.pointer("/requestBody/content/application~1json/example");
            let tag = text(operation.pointer("/tags/0"));
            let described = Operation {
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                summary: text(operation.get("summary")).unwrap_or_default(),
                description: text(operation.get("description")),
                body: body.map(Value::to_string),
            };
            if let Some(group) = groups.iter_mut().find(|group| Some(&group.tag) == tag.as_ref()) {
                group.operations.push(described);
            }
        }
    }
    groups
});

/// The operations of the document that have the same tag.
pub(crate) struct Group {
    pub tag: String,
    pub operations: Vec<Operation>,
}

/// An operation of the interface, described for people.
pub(crate) struct Operation {
    pub method: String,
    pub path: String,
    pub summary: String,
    pub description: Option<String>,
    /// An example of the body, as JSON.
    pub body: Option<String>,
}

/// Returns the operations, grouped by tag. The groups are in the order of the document's tags.
pub(crate) fn groups() -> &'static [Group] {
    &GROUPS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::control_http::PATHS;
    use crate::switches::EXPLANATIONS;

    fn document() -> Value {
        serde_json::from_str(TEXT).unwrap()
    }

    #[test]
    fn the_document_describes_exactly_the_paths_of_the_interface() {
        let document = document();
        let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let served: BTreeSet<_> = PATHS.iter().map(|path| format!("/_control{}", path.trim_end_matches('/'))).collect();
        assert_eq!(described, served);
        let operations: usize = groups().iter().map(|group| group.operations.len()).sum();
        let all: usize =
            document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(operations, all, "an operation without a known tag is in no group");
    }

    #[test]
    fn the_document_lists_every_switch_with_its_question_and_values() {
        let document = document();
        let members = document.pointer("/components/schemas/Switches/properties").unwrap().as_object().unwrap();
        assert_eq!(
            members.keys().map(String::as_str).collect::<Vec<_>>(),
            EXPLANATIONS.iter().map(|switch| switch.name).collect::<Vec<_>>()
        );
        for switch in EXPLANATIONS {
            let values: Value = serde_json::from_str(&format!("[{}]", switch.values)).unwrap();
            let member = &members[switch.name];
            assert_eq!(member["description"], switch.question, "{}", switch.name);
            assert_eq!(member["examples"], values, "{}", switch.name);
            let simple: Vec<_> = values.as_array().unwrap().iter().filter(|value| value.is_string()).collect();
            let listed = member.get("enum").unwrap_or_else(|| &member["oneOf"][0]["enum"]);
            assert_eq!(*listed, json!(simple), "{}", switch.name);
        }
    }
}
