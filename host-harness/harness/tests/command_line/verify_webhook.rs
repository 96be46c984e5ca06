//! Tests `verify-webhook`: verdicts, exit statuses and explanations.

use serde_json::{Value, json};

use crate::{Run, WEBHOOKS, changed, harness, lines, run, vectors};

/// Returns the vector of a webhook of type 6. Its app secret is too long to occur in an output by accident.
fn sample() -> Value {
    vectors(WEBHOOKS)[1].clone()
}

#[test]
fn every_vector_is_valid_alone_and_in_an_array() {
    let valid = |count| Run { status: Some(0), stdout: "valid\n".repeat(count), stderr: String::new() };
    assert_eq!(run(harness("verify-webhook"), WEBHOOKS), valid(3));
    for vector in vectors(WEBHOOKS) {
        assert_eq!(run(harness("verify-webhook"), vector.to_string()), valid(1), "{}", vector["id"]);
    }
}

#[test]
fn any_change_makes_a_webhook_invalid_with_status_1() {
    let sample = sample();
    let text = |name: &str| sample[name].as_str().unwrap();
    let (body, digest) = (text("body"), text("authorization"));
    let other_secrets = json!({ "app_secret": "other", "previous_app_secret": "another" });
    let table = [
        json!({ "body": body.replace("\"type\":6", "\"type\":7") }),
        json!({ "body": body.replace("\"type\":6", "\"type\": 6") }),
        json!({ "body": format!("{body}\n") }),
        json!({ "body": "" }),
        json!({ "app_key": "38fixture0key2" }),
        json!({ "app_secret": "other" }),
        other_secrets,
        json!({ "authorization": digest.to_uppercase() }),
        json!({ "authorization": digest.replacen('3', "4", 1) }),
        json!({ "authorization": format!("{digest} ") }),
        json!({ "authorization": format!("Bearer {digest}") }),
        json!({ "authorization": digest[..63] }),
        json!({ "authorization": "" }),
    ];
    for members in table {
        let expected = Run { status: Some(1), stdout: "invalid\n".to_owned(), stderr: String::new() };
        assert_eq!(run(harness("verify-webhook"), changed(&sample, &members).to_string()), expected, "{members}");
    }
}

#[test]
fn the_previous_secret_is_tried_second() {
    let sample = sample();
    let secret = &sample["app_secret"];
    let changed_secret = changed(&sample, &json!({ "app_secret": "new", "previous_app_secret": secret })).to_string();
    let verdict = |webhook: &str| -> Value {
        let run = run(harness("verify-webhook --json"), webhook);
        assert_eq!(run.status, Some(0));
        serde_json::from_str(&run.stdout).unwrap()
    };
    assert_eq!(run(harness("verify-webhook"), &changed_secret).stdout, "valid\n");
    assert_eq!(verdict(&changed_secret), json!({ "id": sample["id"], "valid": true, "secret": "previous" }));
    let both = changed(&sample, &json!({ "previous_app_secret": secret })).to_string();
    assert_eq!(verdict(&both), json!({ "id": sample["id"], "valid": true, "secret": "current" }));
}

#[test]
fn the_verdicts_have_the_order_of_the_webhooks() {
    let mut webhooks = vectors(WEBHOOKS);
    webhooks[1] = changed(&webhooks[1], &json!({ "body": "{}" }));
    let input = Value::from(webhooks).to_string();
    let expected = Run { status: Some(1), stdout: lines(["valid", "invalid", "valid"]), stderr: String::new() };
    assert_eq!(run(harness("verify-webhook"), &input), expected);

    let machine = run(harness("verify-webhook --json"), &input);
    let second = machine.stdout.lines().nth(1).unwrap();
    assert_eq!(second, r#"{"id":"fixture-seller-deauthorization-type-6","valid":false}"#);
    assert_eq!(machine.status, Some(1));
}

#[test]
fn explain_shows_the_signed_text_and_the_digest_and_compares_the_input_but_never_shows_a_secret() {
    let sample = sample();
    let text = |name: &str| sample[name].as_str().unwrap();
    let (signed, digest, secret) = (text("string_to_sign"), text("authorization"), text("app_secret"));
    // Python's `hmac` computed this digest.
    let digest_of_other_secret = "8862ef454e5ee2bbeaaf0014a164f35e53846d1d04c96570c04445a0524836c8";
    let table = [
        (json!({}), "valid", digest, "agrees"),
        (
            json!({ "authorization": digest.to_uppercase() }),
            "invalid",
            digest,
            "is in upper case; TikTok Shop sends lower case",
        ),
        (json!({ "authorization": "deadbeef" }), "invalid", digest, "has a different digest"),
        (
            json!({ "app_secret": "other-secret", "previous_app_secret": secret }),
            "valid",
            digest_of_other_secret,
            "agrees with the digest of previous_app_secret",
        ),
    ];
    for (members, verdict, digest, compared) in table {
        let input = changed(&sample, &members).to_string();
        let explained = run(harness("verify-webhook --explain"), &input);
        let details =
            [format!("    signed  {signed}"), format!("    digest  {digest}"), format!("    input   {compared}")];
        assert_eq!(
            explained.stdout,
            lines([verdict].into_iter().chain(details.iter().map(String::as_str))),
            "{members}"
        );
        let machine = run(harness("verify-webhook --explain --json"), &input);
        let object: Value = serde_json::from_str(&machine.stdout).unwrap();
        assert_eq!((object["string_to_sign"].as_str(), object["digest"].as_str()), (Some(signed), Some(digest)));
        for text in [explained.stdout, explained.stderr, machine.stdout, machine.stderr] {
            assert!(!text.contains(secret) && !text.contains("other-secret"), "{text}");
        }
    }
}
