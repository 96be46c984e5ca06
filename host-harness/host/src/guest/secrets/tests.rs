use http::header::HeaderName;

use super::*;
use crate::connection::{ConnectionStatus, ReauthorizationReason, UnixSeconds};

const SECRET: &str = "ROW_k9/aQz+7v_1f0e8a5b";

fn knowing(texts: &[&str]) -> Secrets {
    let secrets = Secrets::default();
    texts.iter().for_each(|text| secrets.learn(text));
    secrets
}

fn base64(text: &str) -> [String; 2] {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    [STANDARD.encode(text), URL_SAFE_NO_PAD.encode(text)]
}

#[test]
fn a_secret_is_found_as_it_is_and_in_each_encoding() {
    let secrets = knowing(&["another secret", SECRET]);
    let hex = hex::encode(SECRET);
    let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let bytes = SECRET.as_bytes();
    let mut forms = vec![
        SECRET.to_owned(),
        SECRET.to_lowercase(),
        SECRET.to_uppercase(),
        SECRET.replace('/', "%2F").replace('+', "%2b"),
        percent,
        hex.to_uppercase(),
        format!("{bytes:?}"),
        format!("{bytes:?}").replace(' ', ""),
        format!("7, {bytes:?}, 256, 1"),
        hex.clone(),
        format!("a{hex}"),
        format!("{hex}b"),
    ];
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "x", "xy"] {
            forms.extend(base64(&format!("{before}{SECRET}{after}")));
        }
    }
    for form in forms {
        assert!(secrets.are_in(&form), "{form}");
        assert!(secrets.are_in(&format!("before {form} after")), "{form}");
    }
}

#[test]
fn other_texts_and_short_secrets_are_not_found() {
    let secrets = knowing(&[SECRET, "eleven byte"]);
    for text in
        ["", "ROW_k9/aQz+7v_1f0e8a5", "OW_k9/aQz+7v_1f0e8a5b", "eleven byte", &"ab1f".repeat(40), "1, 2, 3, 4, 5"]
    {
        assert!(!secrets.are_in(text), "{text}");
    }
    assert!(!Secrets::default().are_in("any text that is long enough"));
}

#[test]
fn an_error_keeps_its_action_and_loses_only_the_texts_with_a_secret() {
    let failure = |detail: &str| Failure {
        code: "code-of-the-error".to_owned(),
        detail: detail.to_owned(),
        http_status: Some(502),
        request_id: Some("id-of-the-request".to_owned()),
    };
    let secrets = knowing(&[SECRET]);
    assert_eq!(secrets.removed_from(failure("no secret in it")), failure("no secret in it"));
    assert_eq!(secrets.removed_from(failure(&format!("see {SECRET}"))), failure(REMOVED));
}

#[test]
fn a_link_may_contain_its_state_and_an_error_may_not() {
    let secrets = Secrets::of_link(&SECRET.into());
    let link = Secret::from(format!("https://services.tiktokshop.com/?state={SECRET}"));
    assert!(!secrets.are_in_result(&link));
    assert!(secrets.are_in(&link));
    secrets.learn("the secret of the app");
    assert!(secrets.are_in_result(&Secret::from("https://example.com/the%20secret%20of%20the%20app")));
}

#[test]
fn the_secrets_of_a_grant_are_its_codes_and_states() {
    let query = "code=a-code%2Fwith-a-slash&state=a-state-of-a-consent&app_key=not-a-secret-at-all";
    let callback = Grant::Callback { query: query.into(), state: "the-expected-state".into() };
    let secrets = Secrets::of_grant(&callback);
    for text in ["a-code/with-a-slash", "a-state-of-a-consent", "the-expected-state"] {
        assert!(secrets.are_in(text), "{text}");
    }
    assert!(!secrets.are_in("not-a-secret-at-all"));
    assert!(Secrets::of_grant(&Grant::Code("a-code-that-works".into())).are_in("<a-code-that-works>"));
}

#[test]
fn the_secrets_of_a_request_are_in_its_query_and_in_one_header() {
    let uri = "https://auth.tiktok-shops.com/api/v2/token/get?app_key=key-of-the-app-1&app_secret=secret-of-the-app\
               &auth_code=code-%31-of-a-consent&refresh_token=token-for-a-refresh&shop_cipher=cipher-of-a-shop";
    let token = HeaderName::from_static(TOKEN_HEADER);
    let request = Request::builder().uri(uri).header(token, "token-for-the-calls").header("x-other", "no-secret-here");
    let secrets = Secrets::default();
    secrets.learn_request(&request.body(()).unwrap());
    for text in
        ["secret-of-the-app", "code-1-of-a-consent", "token-for-a-refresh", "cipher-of-a-shop", "token-for-the-calls"]
    {
        assert!(secrets.are_in(text), "{text}");
    }
    assert!(!secrets.are_in("key-of-the-app-1") && !secrets.are_in("no-secret-here"));
}

/// Puts the secret into each text of a row in turn. So the test fails if one of the texts is not searched.
#[test]
fn every_text_of_a_row_is_searched_and_the_cipher_is_not() {
    let account = "account".parse().unwrap();
    let mut shop = Shop::new("7".parse().unwrap(), account);
    shop.cipher = Some(SECRET.into());
    let failure =
        Failure { code: String::new(), detail: String::new(), http_status: Some(500), request_id: Some(String::new()) };
    let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
    let mut connection = Connection::new(key);
    connection.status = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationExpired);
    connection.shops = vec![shop];
    connection.granted_scopes = vec![String::new()];
    connection.last_failure = Some(PastFailure { at: UnixSeconds(1), failure });
    let row = OpenRow::new(connection);
    let secrets = Secrets::default();
    secrets.learn_ciphers(&row);
    assert!(secrets.are_in(SECRET));
    let are_in = |row: &OpenRow| secrets.are_in(&Document::read(&row.encode().unwrap().document).unwrap());
    assert!(!are_in(&row));

    let put: [fn(&mut OpenRow); 11] = [
        |row| row.token_lineage = SECRET.to_owned(),
        |row| row.connection.seller_name = SECRET.to_owned(),
        |row| row.connection.seller_base_region = SECRET.to_owned(),
        |row| row.connection.granted_scopes[0] = SECRET.to_owned(),
        |row| row.connection.shops[0].name = SECRET.to_owned(),
        |row| row.connection.shops[0].region = SECRET.to_owned(),
        |row| row.connection.shops[0].seller_type = SECRET.to_owned(),
        |row| row.connection.shops[0].code = SECRET.to_owned(),
        |row| row.connection.shops[0].raw = SECRET.to_owned(),
        |row| row.connection.last_failure.as_mut().unwrap().failure.detail = SECRET.to_owned(),
        |row| row.connection.last_failure.as_mut().unwrap().failure.request_id = Some(SECRET.to_owned()),
    ];
    for (at, put) in put.into_iter().enumerate() {
        let mut row = row.clone();
        put(&mut row);
        assert!(are_in(&row), "text {at}");
    }
}

#[test]
fn a_secret_in_an_unknown_member_of_a_document_is_found_however_it_is_written() {
    let secrets = Secrets::default();
    secrets.learn(SECRET);
    let escaped: String = SECRET.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let numbers: Vec<String> = SECRET.bytes().map(|byte| byte.to_string()).collect();
    for document in [
        format!(r#"{{"new":"{SECRET}"}}"#),
        format!(r#"{{"new":["{escaped}"]}}"#),
        format!(r#"{{"{escaped}":1}}"#),
        format!(r#"{{"new":[{}]}}"#, numbers.join(",")),
    ] {
        assert!(secrets.are_in(&Document::read(&document).unwrap()), "{document}");
    }
    assert!(!secrets.are_in(&Document::read(r#"{"new":"harmless text"}"#).unwrap()));
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert!(Document::read(&deep).is_none());
}

#[test]
fn at_most_64_secrets_are_learned_from_a_request() {
    let secret = |number: usize| format!("signature-number-{number:03}");
    let query: Vec<_> = (1..=70).map(|number| format!("sign={}", secret(number))).collect();
    let request = Request::builder().uri(format!("https://auth.tiktok-shops.com/?{}", query.join("&")));
    let request = request.header(HeaderName::from_static(TOKEN_HEADER), secret(0)).body(()).unwrap();
    let secrets = Secrets::default();
    secrets.learn_request(&request);
    let learned = (0..=70).filter(|number| secrets.are_in(&secret(*number)));
    assert_eq!(learned.collect::<Vec<_>>(), (0..64).collect::<Vec<_>>(), "the token of the header comes first");
}
