//! Converts the names of members between the snake case of Rust and the camel case of JavaScript.

use serde_json::Value;

/// Returns the value with names in camel case.
pub(crate) fn to_camel(value: Value) -> Value {
    renamed(value, &camel)
}

/// Returns the value with names in snake case.
pub(crate) fn to_snake(value: Value) -> Value {
    renamed(value, &snake)
}

fn renamed(value: Value, rename: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (rename(&name), renamed(value, rename))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| renamed(item, rename)).collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

/// Returns a name in camel case.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut is_start = false;
    for letter in name.chars() {
        match letter {
            '_' => is_start = true,
            letter if is_start => {
                camel.push(letter.to_ascii_uppercase());
                is_start = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

/// Returns the text of an error about arguments or options, with the names that JavaScript uses. The text has the names
/// of members between backticks, and the name of an operation in kebab case after *the arguments of*.
pub(crate) fn message(text: &str) -> String {
    const OPERATION: &str = "the arguments of ";
    let (operation, rest) = match text.strip_prefix(OPERATION).and_then(|rest| rest.split_once(':')) {
        Some((operation, rest)) => (format!("{OPERATION}{}:", camel(&operation.replace('-', "_"))), rest),
        None => (String::new(), text),
    };
    let parts = rest.split('`').enumerate().map(|(at, part)| if at % 2 == 1 { member(part) } else { part.to_owned() });
    operation + &parts.collect::<Vec<_>>().join("`")
}

/// Returns the name that JavaScript uses for a member of the arguments.
fn member(name: &str) -> String {
    // The package passes the body beside the other arguments, and in its place whether there is one.
    if name == "has_body" { "body".to_owned() } else { camel(name) }
}

fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_the_names_of_javascript() {
        let unknown =
            "the arguments of link-shops: unknown field `shop_ids`, expected one of `content_type`, `has_body`";
        let script = "the arguments of linkShops: unknown field `shopIds`, expected one of `contentType`, `body`";
        assert_eq!(message(unknown), script);
        let missing = "the options: missing field `app_key`";
        assert_eq!(message(missing), "the options: missing field `appKey`");
        for plain in ["actor: 1 to 256 bytes", "shops_of: a text", "an odd ` backtick_", ""] {
            let odd = plain.replace("backtick_", "backtick");
            assert_eq!(message(plain), odd);
        }
    }

    #[test]
    fn names_change_their_case_at_every_depth_and_values_do_not() {
        let rust =
            json!({ "retry_after_ms": 7, "shops": [{ "seller_type": "seller_type" }], "tiktok_http_status": null });
        let script = json!({ "retryAfterMs": 7, "shops": [{ "sellerType": "seller_type" }], "tiktokHttpStatus": null });
        assert_eq!(to_camel(rust.clone()), script);
        assert_eq!(to_snake(script), rust);
    }
}
