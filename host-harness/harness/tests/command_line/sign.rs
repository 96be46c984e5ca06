//! Tests `sign`: signatures, explanations and warnings.

use serde_json::{Value, json};

use crate::{REQUESTS, Run, changed, harness, lines, run, vectors};

const JSON_BODY: &str = "signed byte for byte; the Node sample of TikTok's page serialises JSON again without spaces, the \
                         Python sample with spaces. Send exactly the bytes that you sign";
const EMPTY_VALUE: &str = "a parameter with an empty value is signed as its name alone; the .NET and Laravel SDKs omit it. \
                           Omit the parameter";
const SHOP_CIPHER: &str =
    "shop_cipher is signed like any other parameter; EcomPHP omits it under /authorization/ and /seller/";
const BODY_ON_GET: &str =
    "the body of a GET is signed like any other body; EcomPHP and the .NET SDK do not sign it. Send no body";
const EMPTY_OBJECT: &str = "an empty object is signed like any other body; the Node and Python samples of TikTok's page do not \
                            sign it. Send no body";
const MULTIPART: &str = "a body of type multipart/form-data is not signed; five public implementations sign it, because they \
                         expect the type without a boundary, or in a header of another name";
const TIMESTAMP: &str =
    "not ten digits; TikTok Shop expects Unix seconds, at most 5 minutes in the past and 30 seconds in the future";

fn sign_of(vector: &Value) -> String {
    format!("{}\n", vector["sign"].as_str().unwrap())
}

#[test]
fn all_vectors_in_one_array_get_their_published_signatures_and_warnings() {
    let digests: String = vectors(REQUESTS).iter().map(sign_of).collect();
    assert_eq!(digests.lines().count(), 13);
    let warnings = [(2, "body", JSON_BODY), (3, "body", JSON_BODY), (7, "query", EMPTY_VALUE)];
    let warnings = warnings.into_iter().chain([(11, "body", JSON_BODY), (12, "body", MULTIPART)]);
    let stderr = warnings.map(|(at, member, text)| format!("warning: .[{at}].{member}: {text}\n")).collect();
    assert_eq!(run(harness("sign"), REQUESTS), Run { status: Some(0), stdout: digests, stderr });
}

#[test]
fn each_vector_alone_gets_the_same_signature() {
    for vector in vectors(REQUESTS) {
        let run = run(harness("sign"), vector.to_string());
        assert_eq!((run.status, run.stdout), (Some(0), sign_of(&vector)), "{}", vector["id"]);
    }
}

#[test]
fn explain_shows_the_signed_text_and_never_the_secret() {
    for vector in vectors(REQUESTS) {
        let secret = vector["app_secret"].as_str().unwrap();
        let signed = vector["string_to_sign"].as_str().unwrap();
        let inner = signed.strip_prefix(secret).unwrap().strip_suffix(secret).unwrap();
        assert!(!inner.contains(secret), "the search below can find the secret");
        let masked = format!("<app secret>{inner}<app secret>");
        let digest = sign_of(&vector);

        let explained = run(harness("sign --explain"), vector.to_string());
        assert_eq!(explained.stdout, format!("{digest}    signed  {masked}\n    input   agrees\n"));
        let machine = run(harness("sign --explain --json"), vector.to_string());
        let expected = json!({ "id": vector["id"], "sign": vector["sign"], "string_to_sign": masked, "agrees": true });
        assert_eq!(serde_json::from_str::<Value>(&machine.stdout).unwrap(), expected);
        for text in [&explained.stdout, &explained.stderr, &machine.stdout, &machine.stderr] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn explain_says_that_the_input_has_a_different_sign() {
    let vector = &vectors(REQUESTS)[0];
    for other in [json!(vector["sign"].as_str().unwrap().to_uppercase()), json!("bc721f0e"), json!("")] {
        let input = changed(vector, &json!({ "sign": other })).to_string();
        let explained = run(harness("sign --explain"), &input);
        assert_eq!(explained.status, Some(0));
        assert_eq!(explained.stdout.lines().nth(2), Some("    input   has a different sign"), "{other}");
        let machine: Value = serde_json::from_str(&run(harness("sign --explain --json"), &input).stdout).unwrap();
        assert_eq!((&machine["sign"], &machine["agrees"]), (&vector["sign"], &json!(false)));
    }
    let without = run(harness("sign --explain"), changed(vector, &json!({ "sign": 7 })).to_string());
    assert_eq!(without.stdout.lines().count(), 2, "there is no sign to compare with");
}

#[test]
fn json_is_one_object_per_line() {
    let run = run(harness("sign --json"), REQUESTS);
    let objects: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<_> =
        vectors(REQUESTS).iter().map(|vector| json!({ "id": vector["id"], "sign": vector["sign"] })).collect();
    assert_eq!(objects, expected);
}

#[test]
fn explain_shows_a_body_in_one_line_with_escapes() {
    let request = changed(&sample(), &json!({ "body": "a\r\n\u{1b}[31mb\0" })).to_string();
    let signed = r"<app secret>/papp_keyktimestamp1767225600a\r\n\u{1b}[31mb\u{0}<app secret>";
    assert_eq!(
        run(harness("sign --explain"), &request).stdout,
        format!("026b48f158ba8ca181bdd9c86c57f25052008114a2ac016ef7a4b7076a15b74d\n    signed  {signed}\n")
    );
    let machine: Value = serde_json::from_str(&run(harness("sign --explain --json"), request).stdout).unwrap();
    let exact = "<app secret>/papp_keyktimestamp1767225600a\r\n\u{1b}[31mb\0<app secret>";
    assert_eq!(machine["string_to_sign"], exact);
}

fn sample() -> Value {
    json!({ "app_key": "k", "app_secret": "CANARY-secret", "timestamp": 1_767_225_600, "path": "/p" })
}

#[test]
fn a_request_that_others_sign_differently_is_signed_by_the_rule_with_a_warning() {
    const PLAIN: &str = "1c2af58c1f144118f4e5d2da1ef473f724f8c4b6c32062f388abaf32054b19c4";
    let pair = |name: &str, value: &str| json!([{ "name": name, "value": value }]);
    let form = "Multipart/Form-Data; boundary=b";
    type Warnings = &'static [(&'static str, &'static str)];
    let table: [(Value, &str, Warnings); 21] = [
        // Requests without a warning. Members may be missing or null, and an empty body counts as no body.
        (json!({}), PLAIN, &[]),
        (json!({ "method": "GET", "body": null, "query": null, "content_type": null, "sign": null }), PLAIN, &[]),
        (json!({ "method": "GET", "body": "", "query": [] }), PLAIN, &[]),
        (json!({ "body": "", "content_type": form }), PLAIN, &[]),
        (json!({ "query": pair("sign", "x") }), PLAIN, &[]),
        (json!({ "query": pair("access_token", "x") }), PLAIN, &[]),
        (
            json!({ "method": "POST", "body": "text" }),
            "d8548c831d2e010df9a2b41fbee0c8917a8ff9a640ae8282fdf52e748e74a76a",
            &[],
        ),
        // A parameter with an empty value.
        (
            json!({ "query": pair("page_token", "") }),
            "0762663c60723ad1f62263283f4a0bccbe8208c07552842c63726a9e9e58bc7e",
            &[("query", EMPTY_VALUE)],
        ),
        // A body on GET.
        (
            json!({ "method": "GET", "body": "x" }),
            "f50ef07fe2ca432e8675a28e16c9baafe87418d8324a1fd481de337ed23d6b80",
            &[("body", BODY_ON_GET)],
        ),
        (
            json!({ "method": "get", "body": "x" }),
            "f50ef07fe2ca432e8675a28e16c9baafe87418d8324a1fd481de337ed23d6b80",
            &[("body", BODY_ON_GET)],
        ),
        (
            json!({ "method": "GET", "body": "{}" }),
            "0546676748e23ed264ecee43ac660424120a8c47164288fdd3404cb545af4343",
            &[("body", BODY_ON_GET), ("body", EMPTY_OBJECT)],
        ),
        // An empty object, and JSON that some implementations serialise again.
        (
            json!({ "method": "POST", "body": "{}" }),
            "0546676748e23ed264ecee43ac660424120a8c47164288fdd3404cb545af4343",
            &[("body", EMPTY_OBJECT)],
        ),
        (
            json!({ "method": "POST", "body": "{ }" }),
            "de447cc6905559ed31877cf4e2adffd238d5601090566e7423da3b410df1ca3e",
            &[("body", EMPTY_OBJECT)],
        ),
        (
            json!({ "method": "POST", "body": r#"{"a": 1}"# }),
            "1d8371f608e5a79cc35af0a1d308cfd4c6b84df96fced9ca64aa029451a2c7ff",
            &[("body", JSON_BODY)],
        ),
        (
            json!({ "body": "[1]" }),
            "be3e59589939e4774081a70ce54935247886f9e6b0a0b6d9f1e8fdaa18a48b30",
            &[("body", JSON_BODY)],
        ),
        // A body of type multipart/form-data.
        (json!({ "body": "{}", "content_type": form }), PLAIN, &[("body", MULTIPART)]),
        (json!({ "method": "GET", "body": "x", "content_type": "multipart/form-data" }), PLAIN, &[("body", MULTIPART)]),
        // A shop_cipher in a request whose path makes one SDK omit the cipher.
        (
            json!({ "path": "/authorization/1/x", "query": pair("shop_cipher", "c") }),
            "3ce54b283a903ea5855b2ac3acbc0e6b9cc088ca4da6e1ecd1f06b9e29242679",
            &[("query", SHOP_CIPHER)],
        ),
        (
            json!({ "path": "/seller/1/x", "query": pair("shop_cipher", "c") }),
            "88e1981aad21e66661fb8ac61ce7d8d8413e8f6c3e3980dda0e4dd0fbc2b0560",
            &[("query", SHOP_CIPHER)],
        ),
        // A timestamp in milliseconds, and a timestamp of zero.
        (
            json!({ "timestamp": 1_767_225_600_000_u64 }),
            "79222740f216c39a7ef2de4f87d2d09bcdf8e24a74b6d077508bae6dfde42c49",
            &[("timestamp", TIMESTAMP)],
        ),
        (
            json!({ "timestamp": 0 }),
            "83121b6f86632e90865443b861937a639e2d31d970679eeb3180db5ed6ffafcb",
            &[("timestamp", TIMESTAMP)],
        ),
    ];
    for (members, digest, warnings) in table {
        let stderr = warnings.iter().map(|(member, text)| format!("warning: .{member}: {text}\n")).collect();
        let expected = Run { status: Some(0), stdout: lines([digest]), stderr };
        assert_eq!(run(harness("sign"), changed(&sample(), &members).to_string()), expected, "{members}");
    }
}
