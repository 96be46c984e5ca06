//! Tests of the pages' forms: what they change, and who may send them.

use fake_tiktok_shop::{GrantState, RefusalError, TokenVerdict, WebhookState};

use crate::client::{Reply, START, World, send};

/// Returns the token that every form of a page contains.
async fn token(world: &World) -> String {
    let page = world.local("GET", "/_pages/sellers", "").await.body;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

/// Sends a form as a page of the fake does. Returns the text of the page that the browser shows afterwards.
async fn submit(world: &World, action: &str, fields: &[(&str, &str)]) -> String {
    let token = token(world).await;
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("token", token.as_str()), ("back", "/_pages/sellers")])
        .extend_pairs(fields)
        .finish();
    let host = world.address().to_string();
    let own = format!("http://{host}");
    let headers = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    let reply = send(world.address(), "POST", &host, &format!("/_pages/do/{action}"), &headers, body).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/_pages/sellers#message")), "{}", reply.body);
    world.local("GET", "/_pages/sellers", "").await.body
}

fn shows(page: &str, text: &str) {
    assert!(page.contains(text), "{text}: {page}");
}

#[tokio::test]
async fn a_form_is_carried_out_only_if_a_page_of_the_fake_has_sent_it() {
    let world = World::new();
    let token = token(&world).await;
    let host = world.address().to_string();
    let own = format!("http://{host}");
    let with_token = format!("token={token}&seconds=60");
    let post = async |headers: &[(&str, &str)], body: &str| -> Reply {
        send(world.address(), "POST", &host, "/_pages/do/advance-clock", headers, body).await
    };
    let refused: [(&[(&str, &str)], &str); 7] = [
        (&[("origin", "https://evil.example")], &with_token),
        (&[("origin", "null")], &with_token),
        (&[("sec-fetch-site", "cross-site")], &with_token),
        (&[("sec-fetch-site", "same-site"), ("origin", own.as_str())], &with_token),
        (&[("origin", own.as_str())], "seconds=60"),
        (&[], "token=&seconds=60"),
        (&[], "token=0000&seconds=60"),
    ];
    for (headers, body) in refused {
        let reply = post(headers, body).await;
        assert_eq!(reply.status, 403, "{headers:?} {body}");
        shows(&reply.body, "This form was refused");
    }
    assert_eq!(world.control.now(), START);
    let reply = post(&[("origin", own.as_str()), ("sec-fetch-site", "same-origin")], &with_token).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/#message")));
    assert_eq!(world.control.now(), START + 60);
    assert_ne!(token, self::token(&World::new()).await, "another fake has another token");
}

#[tokio::test]
async fn a_message_is_shown_once() {
    let world = World::new();
    let page = submit(&world, "advance-clock", &[("seconds", "86400")]).await;
    shows(&page, "The time is now 2026-01-02 00:00:00 UTC.");
    let again = world.local("GET", "/_pages/sellers", "").await.body;
    assert!(!again.contains("The time is now"), "{again}");
}

#[tokio::test]
async fn forms_set_the_clock() {
    let world = World::new();
    submit(&world, "set-clock", &[("time", "2027-03-01T12:30")]).await;
    assert_eq!(world.control.now(), 1_803_904_200);
    let page = submit(&world, "set-clock", &[("time", "tomorrow")]).await;
    shows(&page, "Nothing was changed: &quot;tomorrow&quot; is not a time like 2026-01-31T12:00:00.");
    assert_eq!(world.control.now(), 1_803_904_200);
}

#[tokio::test]
async fn forms_change_grants_and_their_tokens() {
    let world = World::new();
    let (_, refresh_token) = world.connect("several-regions").await;
    let service_id = world.app.service_id.clone();
    let key = [("service_id", service_id.as_str()), ("seller", "several-regions")];
    let shop = ("shop", "7490000000000000003");
    let newest = || {
        let grant = world.control.grants().remove(0);
        (grant.access_tokens[0].verdict, grant.refresh_tokens[0].verdict)
    };
    let granted = || world.control.grants()[0].shops.iter().map(|shop| shop.granted).collect::<Vec<_>>();

    shows(&submit(&world, "remove-shop", &[key[0], key[1], shop]).await, "Webhooks that are due: 1.");
    assert_eq!(granted(), [true, false, true]);
    submit(&world, "restore-shop", &[key[0], key[1], shop]).await;
    assert_eq!(granted(), [true, true, true]);
    let page = submit(&world, "restore-shop", &[key[0], key[1], shop]).await;
    shows(&page, "Nothing was changed: the grant covers the shop &quot;7490000000000000003&quot; already.");

    submit(&world, "rotate-tokens", &key).await;
    assert_eq!(world.control.grants()[0].refresh_tokens.len(), 2);
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_005), "the rotation has replaced the token");
    assert_eq!(newest(), (TokenVerdict::Works, TokenVerdict::Works));
    submit(&world, "expire-access-tokens", &key[1..]).await;
    assert_eq!(newest(), (TokenVerdict::Expired, TokenVerdict::Works));
    submit(&world, "end-authorizations", &key[1..]).await;
    assert_eq!(world.control.grants()[0].state, GrantState::Ended);
    assert_eq!(newest(), (TokenVerdict::Expired, TokenVerdict::Expired));

    world.connect("several-regions").await;
    submit(&world, "remove-app", &key).await;
    assert_eq!(world.control.grants()[0].state, GrantState::Removed);
    assert_eq!(newest(), (TokenVerdict::Refused, TokenVerdict::Refused));
    let page = submit(&world, "rotate-tokens", &key).await;
    shows(&page, "the app has no authorization by &quot;several-regions&quot;");

    world.connect("several-regions").await;
    let due = world.control.webhooks_due().len();
    submit(&world, "revoke-authorizations", &key[1..]).await;
    assert_eq!(world.control.grants()[0].state, GrantState::Removed);
    assert_eq!(world.control.webhooks_due().len(), due, "a revocation queues no webhook");
}

#[tokio::test]
async fn forms_close_open_and_add_shops_and_set_how_long_authorizations_last() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let shops = async || world.list_shops(&access_token).await.data()["shops"].as_array().unwrap().len();
    let shop = [("seller", "one-shop"), ("shop", "7490000000000000001")];
    submit(&world, "close-shop", &shop).await;
    assert_eq!(shops().await, 0);
    let page = submit(&world, "close-shop", &shop).await;
    shows(&page, "Nothing was changed: the seller has no shop &quot;7490000000000000001&quot;.");
    submit(&world, "reopen-shop", &shop).await;
    assert_eq!(shops().await, 1);
    let new = [("seller", "one-shop"), ("id", "42"), ("name", "Second"), ("region", "GB")];
    submit(&world, "add-shop", &new).await;
    assert_eq!(shops().await, 2);
    shows(&submit(&world, "add-shop", &new).await, "a shop &quot;42&quot; exists already");
    let malformed = [("seller", "one-shop"), ("id", "4 2"), ("name", "Second"), ("region", "GB")];
    shows(&submit(&world, "add-shop", &malformed).await, "is not a number of 1 to 19 digits");
    submit(&world, "set-authorization", &[("seller", "one-shop"), ("days", "30")]).await;
    assert_eq!(world.control.sellers()[0].authorization_lasts.as_secs(), 30 * 86_400);
}

#[tokio::test]
async fn forms_queue_answer_and_repeat_webhooks() {
    let world = World::new();
    let service_id = world.app.service_id.clone();
    let queue = |data| [("service_id", service_id.as_str()), ("type", "1"), ("shop_id", ""), ("data", data)];
    shows(&submit(&world, "queue-webhook", &queue("{")).await, "Nothing was changed: the data is not JSON");
    shows(&submit(&world, "queue-webhook", &queue("{}")).await, "The webhook is queued. Webhooks that are due: 1.");
    submit(&world, "answer-webhook", &[("number", "1"), ("status", "500")]).await;
    let state =
        || world.control.webhooks().into_iter().map(|webhook| (webhook.number, webhook.state)).collect::<Vec<_>>();
    assert_eq!(state(), [(1, WebhookState::DueAt(START + 120))]);
    submit(&world, "repeat-webhook", &[("number", "1")]).await;
    assert_eq!(state(), [(2, WebhookState::Due), (1, WebhookState::DueAt(START + 120))]);
    submit(&world, "answer-webhook", &[("number", "2"), ("status", "200")]).await;
    assert_eq!(state()[0], (2, WebhookState::Delivered));
    let webhooks = world.control.webhooks();
    assert_eq!(webhooks[0].id, webhooks[1].id);
    assert_eq!((webhooks[0].last_status, webhooks[1].last_status), (Some(200), Some(500)));
    shows(
        &submit(&world, "repeat-webhook", &[("number", "9")]).await,
        "Nothing was changed: no webhook 9 is remembered.",
    );
    let nowhere = [("to", "127.0.0.1"), ("path", "/")];
    shows(&submit(&world, "send-webhooks", &nowhere).await, "is not the address of a receiver");
    let elsewhere = [("to", "192.0.2.1:80"), ("path", "/")];
    shows(&submit(&world, "send-webhooks", &elsewhere).await, "is not an address of this machine");
}

#[tokio::test]
async fn forms_set_switches_and_script_faults() {
    let world = World::new();
    submit(&world, "set-switch", &[("name", "refusal_error"), ("value", "\"access_denied\"")]).await;
    assert_eq!(world.control.switches().refusal_error, RefusalError::AccessDenied);
    let page = world.local("GET", "/_pages/switches", "").await.body;
    shows(&page, "1 changed");
    shows(&page, "<span class=\"badge wait\">changed</span> <span class=\"note\">initially auth_denied</span>");
    let wrong = submit(&world, "set-switch", &[("name", "refusal_error"), ("value", "\"no\"")]).await;
    shows(&wrong, "unknown variant `no`");
    submit(&world, "reset-switches", &[]).await;
    assert_eq!(world.control.switches(), fake_tiktok_shop::Switches::default());

    let fault = [("path", "/api/v2/token/get"), ("name", "HTTP 429, Retry-After: 7"), ("times", "2")];
    submit(&world, "script-fault", &fault).await;
    assert_eq!(world.control.faults()[0].left, Some(2));
    submit(&world, "script-fault", &[fault[0], fault[1], ("times", "")]).await;
    assert_eq!(world.control.faults()[1].left, None);
    shows(
        &submit(&world, "script-fault", &[fault[0], ("name", "nothing")]).await,
        "there is no fault &quot;nothing&quot;",
    );
    submit(&world, "clear-faults", &[]).await;
    assert_eq!(world.control.faults(), []);
}

#[tokio::test]
async fn an_unknown_form_and_a_missing_field_change_nothing_and_say_so() {
    let world = World::new();
    shows(&submit(&world, "nothing", &[]).await, "Nothing was changed: there is no such form.");
    shows(&submit(&world, "advance-clock", &[]).await, "Nothing was changed: the field seconds is empty.");
    shows(
        &submit(&world, "advance-clock", &[("seconds", "1e3")]).await,
        "Nothing was changed: the field seconds is no number: &quot;1e3&quot;.",
    );
    assert_eq!(world.control.now(), START);
}

#[tokio::test]
async fn the_request_log_is_filtered_by_text_and_outcome() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    world.list_shops(&access_token).await;
    world.list_shops("ROW_unknown").await;
    let name = "HTTP 429, Retry-After: 7";
    world.control.fault_next("/api/v2/token/get", name, fake_tiktok_shop::Fault::named(name).unwrap());
    world.exchange("unknown").await;
    for (query, count) in [
        ("", "4 of 4 requests"),
        ("?text=TOKEN", "2 of 4 requests"),
        ("?text=open-api", "2 of 4 requests"),
        ("?text=token&outcome=accepted", "1 of 4 requests"),
        ("?outcome=accepted", "2 of 4 requests"),
        ("?outcome=refused", "1 of 4 requests"),
        ("?outcome=fault", "1 of 4 requests"),
        ("?text=nothing", "0 of 4 requests"),
        ("?outcome=unknown", "4 of 4 requests"),
    ] {
        let page = world.local("GET", &format!("/_pages/requests{query}"), "").await;
        assert_eq!(page.status, 200);
        shows(&page.body, count);
    }
    let page = world.local("GET", "/_pages/requests?outcome=fault", "").await.body;
    shows(&page, "<span class=\"badge wait\">fault</span>");
    submit(&world, "clear-requests", &[]).await;
    assert_eq!(world.control.requests(), []);
}

#[tokio::test]
async fn the_end_of_a_token_is_shown_according_to_its_state() {
    let world = World::new();
    let keep = |time: &str| format!("<span class=\"keep\">{time} UTC</span>");
    let page = async || world.local("GET", "/", "").await.body;
    let year_2124 = keep("2124-12-08 00:00:00");

    world.connect("one-shop").await;
    let works = "<span class=\"badge good\">works</span> until ";
    shows(&page().await, &format!("<dt>Ends</dt><dd>{year_2124}"));
    shows(&page().await, &format!("{works}{}", keep("2026-01-08 00:00:00")));
    shows(&page().await, &format!("{works}{year_2124}"));

    world.control.end_access_tokens("one-shop").unwrap();
    world.control.end_authorization("one-shop").unwrap();
    let expired = "<span class=\"badge wait\">expired</span>";
    shows(&page().await, &format!("<dt>Ended</dt><dd>{}", keep("2026-01-01 00:00:00")));
    shows(&page().await, &format!("{expired} since {}", keep("2026-01-01 00:00:00")));
    shows(&page().await, &format!("{expired}, issued until {year_2124}"));

    world.connect("one-shop").await;
    world.control.deauthorize(&world.app.service_id, "one-shop").unwrap();
    let refused = "<span class=\"badge bad\">refused</span>, issued until ";
    shows(&page().await, &format!("<dt>Would end</dt><dd>{year_2124}"));
    shows(&page().await, &format!("{refused}{}", keep("2026-01-08 00:00:00")));
    shows(&page().await, &format!("{refused}{year_2124}"));
}

#[tokio::test]
async fn the_start_page_begins_with_the_apps_until_there_is_a_grant() {
    let world = World::new();
    let apps_first = async || {
        let page = world.local("GET", "/", "").await.body;
        page.find("Open the consent page").unwrap() < page.find("id=\"clock\"").unwrap()
    };
    assert!(apps_first().await);
    world.connect("one-shop").await;
    assert!(!apps_first().await);
}

#[tokio::test]
async fn the_page_of_the_control_interface_shows_commands_for_this_fake() {
    let world = World::new();
    let page = world.local("GET", "/_pages/control", "").await.body;
    let base = format!("http://{}/_control", world.address());
    let json = "-H 'content-type: application/json'";
    for command in [
        format!("curl {base}/clock"),
        format!("curl -X PUT {json} \\\n  -d '{{\"now\":1767225600}}' \\\n  {base}/clock"),
        format!("curl -X POST {json} {base}/sellers/one-shop/end"),
        format!("curl -X DELETE {base}/sellers/one-shop/shops/7490000000000000001"),
        format!("curl -X POST {json} {base}/webhooks/1/repeat"),
    ] {
        shows(&page, &format!("<pre><code>{}</code></pre>", command.replace('"', "&quot;")));
    }
    shows(&page, "<code>DELETE</code> <code>/sellers/{seller}/shops/{shop}</code>");
}

#[tokio::test]
async fn every_page_links_to_every_other_page() {
    let world = World::new();
    let paths = ["/", "/_pages/sellers", "/_pages/webhooks", "/_pages/requests", "/_pages/switches", "/_pages/control"];
    for path in paths {
        let page = world.local("GET", path, "").await;
        assert_eq!(page.status, 200, "{path}");
        for other in paths {
            shows(&page.body, &format!("href=\"{other}\""));
        }
        assert_eq!(page.body.matches("aria-current=\"page\"").count(), 1, "{path}");
    }
    assert_eq!(world.control.requests(), [], "the log contains no requests for pages");
}
