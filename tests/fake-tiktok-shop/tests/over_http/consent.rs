//! Tests of the consent page and of the page that shows a callback.

use fake_tiktok_shop::{App, Clock, FakeTikTokShop, Options, fixtures};

use crate::client::{START, TOKEN_HOST, World, parameter, send};

const AUTHORIZE: &str = "/open/authorize";

#[tokio::test]
async fn the_page_names_the_app_its_scopes_and_the_sellers() {
    let world = World::new();
    let target = format!("{AUTHORIZE}?service_id={}&state=abc", world.app.service_id);
    for host in [
        "services.tiktokshop.com",
        "services.us.tiktokshop.com",
        "services.tiktokshops.us",
        "localhost",
        "127.0.0.1:8080",
    ] {
        let page = send(world.address(), "GET", host, &target, &[], "").await;
        assert_eq!(page.status, 200, "{host}");
        for text in [
            "Northwind Sync",
            "See which shops you have authorized",
            "seller.authorization.info",
            "You are signed in as <strong>Teapot Corner</strong>",
            "value=\"cross-border\"",
            "Lantern &amp; Loom",
            "name=\"state\" value=\"abc\"",
            "value=\"allow\"",
            "value=\"refuse\"",
        ] {
            assert!(page.body.contains(text), "{text}: {}", page.body);
        }
    }
}

#[tokio::test]
async fn an_unknown_or_missing_service_id_gets_an_explanation() {
    let world = World::new();
    for (query, text) in [
        ("?service_id=%3Cb%3E", "There is no app with the service id &quot;&lt;b&gt;&quot;."),
        ("", "The link has no service_id."),
    ] {
        let page = world.local("GET", &format!("{AUTHORIZE}{query}"), "").await;
        assert_eq!(page.status, 400);
        assert!(page.body.contains(text), "{}", page.body);
        assert!(page.body.contains("<a href=\"/\">The apps and all pages of this fake</a>"), "{}", page.body);
    }
}

#[tokio::test]
async fn markup_in_names_and_parameters_is_escaped() {
    let hostile = r#""><script>alert('1')</script>"#;
    let mut apps = fixtures::apps();
    hostile.clone_into(&mut apps[0].name);
    let mut sellers = fixtures::sellers();
    hostile.clone_into(&mut sellers[0].name);
    let world = World::with(Options { apps, sellers, ..Options::default() });
    let state: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    for target in [
        format!("{AUTHORIZE}?service_id={}&state={state}", world.app.service_id),
        format!("/callback?code={state}&{state}=1"),
        "/".to_owned(),
    ] {
        let page = world.local("GET", &target, "").await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("&lt;script&gt;"), "{target}");
        assert!(!page.body.contains("<script"), "{target}");
        // `frame-ancestors` keeps a page of another web site from showing the consent page in a frame and letting the
        // user click in it.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
        assert_eq!(page.header("content-security-policy"), Some(policy));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    }
}

#[tokio::test]
async fn allow_leads_back_to_the_app_with_a_code_that_works() {
    let world = World::new();
    let form = format!("service_id={}&state=a+b%26c&seller=one-shop&decision=allow", world.app.service_id);
    let reply = world.local("POST", AUTHORIZE, &form).await;
    assert_eq!(reply.status, 302);
    let location = reply.header("location").unwrap();
    let (address, query) = location.split_once('?').unwrap();
    assert_eq!(address, format!("http://{}/callback", world.address()));
    assert_eq!(parameter(query, "state").as_deref(), Some("a b&c"));
    assert_eq!(world.exchange(&parameter(query, "code").unwrap()).await.text("seller_name"), "Teapot Corner");

    let page = world.local("GET", location.strip_prefix(&format!("http://{}", world.address())).unwrap(), "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<code>a b&amp;c</code>"), "{}", page.body);
    let whole = format!("<input readonly value=\"{}\">", location.replace('&', "&amp;"));
    assert!(page.body.contains(&whole), "{whole}: {}", page.body);
}

#[tokio::test]
async fn the_older_link_names_the_app_by_its_key_and_leads_to_the_same_page() {
    let world = World::new();
    let old = "/oauth/authorize";
    let target = format!("{old}?app_key={}&state=abc", world.app.app_key);
    for host in [TOKEN_HOST, "localhost"] {
        let page = send(world.address(), "GET", host, &target, &[], "").await;
        assert_eq!(page.status, 200, "{host}");
        for text in ["Northwind Sync", "action=\"/oauth/authorize\"", "name=\"app_key\" value=\"6fakeapp00001\""] {
            assert!(page.body.contains(text), "{text}: {}", page.body);
        }
        let form = format!("app_key={}&state=abc&seller=one-shop&decision=allow", world.app.app_key);
        let reply = send(world.address(), "POST", host, old, &[], &form).await;
        let (_, query) = reply.header("location").unwrap().split_once('?').unwrap();
        assert_eq!(parameter(query, "state").as_deref(), Some("abc"));
        assert_eq!(world.exchange(&parameter(query, "code").unwrap()).await.verdict(), (200, 0));
    }
    for (query, text) in
        [("?app_key=nobody", "There is no app with the app key &quot;nobody&quot;."), ("", "The link has no app_key.")]
    {
        let page = world.local("GET", &format!("{old}{query}"), "").await;
        assert_eq!(page.status, 400);
        assert!(page.body.contains(text), "{}", page.body);
    }
    assert_eq!(send(world.address(), "GET", "services.tiktokshop.com", &target, &[], "").await.status, 404);
}

#[tokio::test]
async fn a_form_of_another_web_site_decides_nothing() {
    let world = World::new();
    let form = format!("service_id={}&seller=one-shop&decision=allow", world.app.service_id);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 403), ("same-origin", 302)] {
        let headers = [("sec-fetch-site", site)];
        let reply = send(world.address(), "POST", "localhost", AUTHORIZE, &headers, &form).await;
        assert_eq!((reply.status, reply.header("location").is_some()), (status, status == 302), "{site}");
    }
}

#[tokio::test]
async fn a_form_decides_nothing_if_its_origin_is_another_web_site() {
    let world = World::new();
    let host = world.address().to_string();
    let own = format!("http://{host}");
    let form = format!("service_id={}&seller=one-shop&decision=allow", world.app.service_id);
    for (origin, status) in [("https://evil.example", 403), ("null", 403), (own.as_str(), 302)] {
        let reply = send(world.address(), "POST", &host, AUTHORIZE, &[("origin", origin)], &form).await;
        assert_eq!(reply.status, status, "{origin}");
    }
}

#[tokio::test]
async fn a_person_can_sign_in_as_another_seller_on_the_page() {
    let world = World::new();
    let target = |seller| format!("{AUTHORIZE}?service_id={}&state=abc&seller={seller}", world.app.service_id);
    let page = world.local("GET", &target("several-regions"), "").await;
    for text in [
        "You are signed in as <strong>Lantern &amp; Loom</strong>",
        "<option value=\"several-regions\" selected>",
        "<input type=\"hidden\" name=\"seller\" value=\"several-regions\">",
        "Lantern &amp; Loom IE",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let page = world.local("GET", &target("nobody"), "").await;
    assert_eq!(page.status, 400);
    assert!(
        page.body.contains("There is no seller &quot;nobody&quot;; the sellers are one-shop, several-regions, "),
        "{}",
        page.body
    );
    let page = world.local("GET", &target("no-shop"), "").await;
    assert!(page.body.contains("You have no shop in the app's market, so the app will see none."), "{}", page.body);
}

#[tokio::test]
async fn a_scope_that_the_seller_does_not_grant_is_marked() {
    let world = World::new();
    let granted = vec!["seller.authorization.info".to_owned()];
    world.control.update_seller("one-shop", |seller| seller.granted_scopes = Some(granted)).unwrap();
    let page = world.local("GET", &format!("{AUTHORIZE}?service_id={}", world.app.service_id), "").await;
    assert_eq!(page.body.matches("(you do not grant this)").count(), 5, "{}", page.body);
}

#[tokio::test]
async fn refuse_leads_back_to_the_app_without_a_code() {
    let world = World::new();
    let form = format!("service_id={}&state=s&seller=one-shop&decision=refuse", world.app.service_id);
    let reply = world.local("POST", AUTHORIZE, &form).await;
    assert_eq!(reply.status, 302);
    let expected = format!("http://{}/callback?code=null&error=auth_denied&state=s", world.address());
    assert_eq!(reply.header("location"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_state_that_was_not_given_is_not_returned() {
    let world = World::new();
    let page = world.local("GET", &format!("{AUTHORIZE}?service_id={}", world.app.service_id), "").await;
    assert!(!page.body.contains("name=\"state\""), "{}", page.body);
    let form = format!("service_id={}&seller=one-shop&decision=allow", world.app.service_id);
    let reply = world.local("POST", AUTHORIZE, &form).await;
    assert_eq!(parameter(reply.header("location").unwrap().split_once('?').unwrap().1, "state"), None);
}

#[tokio::test]
async fn an_incomplete_form_gets_an_explanation() {
    let world = World::new();
    let service_id = &world.app.service_id;
    for (form, text) in [
        (String::new(), "The form has no decision: send `allow` or `refuse`."),
        (
            format!("service_id={service_id}&seller=one-shop&decision=perhaps"),
            "The form has no decision: send `allow` or `refuse`.",
        ),
        (format!("service_id={service_id}&seller=nobody&decision=allow"), "no seller &quot;nobody&quot;"),
        ("seller=one-shop&decision=allow".to_owned(), "no app with the service id &quot;&quot;"),
    ] {
        let reply = world.local("POST", AUTHORIZE, &form).await;
        assert_eq!(reply.status, 400, "{form}");
        assert!(reply.body.contains(text), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_app_can_have_a_redirect_address_of_its_own() {
    let mut apps = fixtures::apps();
    apps[0].redirect_address = Some("https://platform.example/callback?tenant=1".to_owned());
    let world = World::with(Options { clock: Clock::fixed(START), apps, ..Options::default() });
    let form = format!("service_id={}&seller=one-shop&decision=refuse", world.app.service_id);
    let reply = world.local("POST", AUTHORIZE, &form).await;
    let expected = "https://platform.example/callback?tenant=1&code=null&error=auth_denied";
    assert_eq!(reply.header("location"), Some(expected));
}

#[tokio::test]
async fn a_redirect_address_must_be_absolute() {
    for address in
        ["/callback", "callback.example", "ftp://app.example/", "https://app.example/#top", "https://a b/", ""]
    {
        let app = App { redirect_address: Some(address.to_owned()), ..fixtures::apps().remove(0) };
        let error = FakeTikTokShop::start(Options { apps: vec![app], ..Options::default() }).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{address}");
    }
}
