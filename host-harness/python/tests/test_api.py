"""The package as a Python library: secrets, errors, options, metrics and logs."""

from __future__ import annotations

import asyncio
import copy
import enum
import json
import logging
import pickle
import threading
from typing import Any

import prometheus_client
import pytest

from conftest import Stages
from fake import Fake
from memory_storage import MemoryStorage
from stage import BROWSER, CUSTOMER, NAMED, SHOP, TENANT, Stage
from tiktok_shop_connector import (
    App,
    EndedRequest,
    Host,
    InvalidRequestError,
    MisconfiguredError,
    ReauthorizeError,
    RetryAfterError,
    Secret,
    StorageConflictError,
    TikTokShopError,
    forward_logs,
    with_retries,
)
from tiktok_shop_connector._post import Reply
from tiktok_shop_connector.metrics import RequestMetrics


def test_a_secret_is_shown_nowhere() -> None:
    secret = Secret("ROW_token")
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret:>20}", repr([secret]), ascii(secret)):
        assert "ROW_" not in shown
        assert "[redacted]" in shown
    assert secret.expose() == "ROW_token"
    with pytest.raises(TypeError):
        json.dumps({"secret": secret})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(secret, protocol)
    assert copy.deepcopy({"secret": secret})["secret"] is secret
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        Secret(None)  # type: ignore[arg-type]


async def test_an_error_about_a_malformed_text_does_not_contain_it(stage: Stage) -> None:
    malformed = "CANARY\udc80"
    with pytest.raises(ValueError, match="lone surrogate") as raised:
        Secret(malformed)
    assert "CANARY" not in repr(raised.value)
    with pytest.raises(ValueError, match="lone surrogate") as wrong:
        await stage.host.refresh(tenant=NAMED["tenant"], customer=malformed)
    assert "CANARY" not in repr(wrong.value)
    with pytest.raises(ValueError, match="lone surrogate") as refused:
        await stage.host.import_grant(**NAMED, refresh_token=malformed)
    assert "CANARY" not in repr(refused.value)


async def test_an_error_about_a_malformed_body_does_not_contain_it(stage: Stage) -> None:
    for body in ("CANARY\udc80", {"name": "CANARY\udc80"}, ["CANARY\udc80"]):
        with pytest.raises(ValueError, match=r"^body: a text contains a lone surrogate") as raised:
            await stage.host.call(**NAMED, method="POST", path="/a", body=body)
        assert "CANARY" not in repr(raised.value)


async def test_the_text_of_a_printed_secret_is_not_taken_for_the_secret(stage: Stage) -> None:
    host: Any = stage.host
    why = "the value is the text of a Secret that was printed"
    for printed in (f"{BROWSER}", f"{BROWSER!r}", f"state of {BROWSER}", Secret(str(BROWSER))):
        for function, name, arguments in (
            ("authorization_url", "state", {"tenant": TENANT}),
            ("connect", "state", {**NAMED, "query": "code=a&state=b"}),
            ("begin_consent", "browser", NAMED),
            ("import_grant", "refresh_token", NAMED),
            ("import_grant", "access_token", {**NAMED, "refresh_token": "a"}),
        ):
            with pytest.raises(ValueError, match=f"^{name}: {why}"):
                await getattr(host, function)(**arguments, **{name: printed})
        app: Any = {"tenant": "acme", "app_key": "6abcdefghijkl", "app_secret": printed}
        with pytest.raises(ValueError, match=f"^app_secret: {why}"):
            await Host.open(storage="memory:", keys="drawn", apps=[app])


async def test_an_error_is_of_the_class_of_its_action_and_shows_no_secret(stage: Stage) -> None:
    fake, host = stage.fake, stage.host
    with pytest.raises(InvalidRequestError) as raised:
        await host.refresh(**NAMED)
    error = raised.value
    assert (error.action, error.code, error.retry_after_ms) == ("invalid-request", "not-connected", None)
    assert isinstance(error, TikTokShopError)
    assert str(error) == f"not-connected: {error.message}"

    url = await host.begin_consent(**NAMED, browser=BROWSER)
    assert isinstance(url, Secret)
    query = fake.decide(url.expose(), "one-shop")
    with pytest.raises(ReauthorizeError, match=r"^other-browser: "):
        await host.finish_consent(tenant=TENANT, browser="another-session-secret-of-this-user", query=query)
    await host.finish_consent(tenant=TENANT, browser=BROWSER, query=query)
    with pytest.raises(ReauthorizeError, match=r"^state-used: ") as used:
        await host.finish_consent(tenant=TENANT, browser=BROWSER, query=query)
    assert query not in repr(used.value)


def test_an_error_can_be_pickled() -> None:
    error = RetryAfterError("rate-limited", "too many calls", 7, 429, "a-request")
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copied) is RetryAfterError
    shown = (copied.action, copied.code, copied.retry_after_ms, copied.tiktok_http_status, copied.tiktok_request_id)
    assert shown == ("retry-after", "rate-limited", 7, 429, "a-request")


@pytest.mark.parametrize(
    ("operation", "arguments", "message"),
    [
        (
            "refresh",
            {"mode": "CANARY"},
            "the arguments of refresh: `mode` has the wrong type or form: expected `when-due` or `forced`",
        ),
        ("refresh", {"account": 7}, "the arguments of refresh: `account` has the wrong type or form"),
        ("link_shops", {"shops": ["CANARY"]}, "the arguments of link-shops: shop id: 1 to 19 digits"),
        ("begin_consent", {"browser": "CANARY"}, "browser: a random secret of 16 bytes at least"),
        (
            "begin_consent",
            {"browser": BROWSER, "shop_policy": "CANARY"},
            "the arguments of begin-consent: not one of: all, exactly-one",
        ),
        ("call", {"method": "HEAD", "path": "/a"}, "call: the method is GET, POST, PUT or DELETE"),
        (
            "disconnect",
            {"tiktok_access": "CANARY"},
            "the arguments of disconnect: `tiktok_access` has the wrong type or form: expected `keep` or `revoke`",
        ),
    ],
)
async def test_a_wrong_argument_is_named_without_its_value(
    stage: Stage, operation: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        await getattr(stage.host, operation)(**NAMED, **arguments)
    assert (raised.value.code, raised.value.message) == ("invalid-argument", message)


async def test_a_value_of_another_type_is_a_type_error(stage: Stage) -> None:
    endless: list[Any] = []
    endless.append(endless)
    for body in (object(), {"a": {1, 2}}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            await stage.host.call(**NAMED, method="POST", path="/a", body=body)
    for shops, message in (
        ([b"CANARY"], r"^shops\[0\]: a value of the type bytes is not expected here$"),
        (["1", {"a": {"b": {1}}}], r"^shops\[1\]\.a\.b: a value of the type set is not expected here$"),
        ([endless], r"^shops: a value is more than 32 levels deep$"),
        ([2**64], r"^shops\[0\]: a number has more than 64 bits$"),
    ):
        with pytest.raises(TypeError, match=message):
            await stage.host.link_shops(**NAMED, shops=shops)  # type: ignore[arg-type]
    for names in (SHOP, "7"):
        with pytest.raises(TypeError, match=r"^shops: the type is str, and must be a list of str$"):
            await stage.host.link_shops(**NAMED, shops=names)
    for number in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match=r"^a number of the query is not finite$"):
            await stage.host.call(**NAMED, method="GET", path="/a", query={"a": number})
    for value in (None, ["a"], Secret("CANARY")):
        with pytest.raises(TypeError, match=f"a value of the query has the type {type(value).__name__}, "):
            await stage.host.call(**NAMED, method="GET", path="/a", query={"a": value})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="access_token_ends: the type is int"):
        await stage.host.import_grant(**NAMED, refresh_token=Secret("CANARY"), access_token_ends=7)  # type: ignore[arg-type]
    limits: Any = {"concurrent_calls": b"CANARY"}
    with pytest.raises(TypeError, match=r"^limits\.concurrent_calls: a value of the type bytes is not expected here$"):
        await Host.open(storage="memory:", keys="drawn", apps=[], limits=limits)
    with pytest.raises(ValueError, match=r"^customer: a text contains a lone surrogate"):
        await stage.host.list_shops(tenant=TENANT, customer="CANARY\udc80")
    with pytest.raises(InvalidRequestError, match="actor: 1 to 256 bytes"):
        await stage.host.acting_as("").list_shops(**NAMED)


async def test_a_member_of_an_enumeration_is_sent_as_its_value(stage: Stage) -> None:
    class Number(int, enum.Enum):
        TWENTY = 20

    class Kind(enum.IntEnum):
        FIRST = 1

    class Word(str, enum.Enum):
        UNPAID = "unpaid"

    class Share(float, enum.Enum):
        HALF = 0.5

    await stage.connected()
    members: dict[str, str | int | float | bool] = {"page_size": Number.TWENTY, "kind": Kind.FIRST}
    members |= {"word": Word.UNPAID, "share": Share.HALF, "all": True}
    await stage.host.call(**NAMED, method="GET", path="/order/202309/orders/search", shop=SHOP, query=members)
    sent = [request["query"] for request in stage.fake.ask("GET", "/requests")][-1]
    expected = {"page_size": "20", "kind": "1", "word": "unpaid", "share": "0.5", "all": "true"}
    assert {name: value for name, value in sent if name in expected} == expected


async def test_a_webhook_without_a_function_is_refused_and_not_received(stage: Stage) -> None:
    host: Any = stage.host
    with pytest.raises(TypeError, match=r"^handle: the type is NoneType, and must be a function$"):
        await host.accept_webhook(tenant=TENANT, authorization="forged", body=b"{}", handle=None)


@pytest.mark.parametrize("wrong", [0, "", False])
async def test_empty_limits_of_another_type_are_refused(wrong: Any) -> None:
    for name in ("limits", "deadlines"):
        with pytest.raises(InvalidRequestError) as raised:
            await Host.open(**{"storage": "memory:", "keys": "drawn", "apps": [], name: wrong})
        assert (raised.value.code, name in raised.value.message) == ("invalid-argument", True)


async def test_a_missing_account_or_shop_does_not_end_all_connections(stage: Stage) -> None:
    await stage.connected()
    host: Any = stage.host
    for name in ("account", "shop"):
        for function, more in (("disconnect", {"tiktok_access": "keep"}), ("shared_connections", {})):
            text = (
                rf"^{function}: {name} is None\. If you mean all connections of the customer, leave the argument out$"
            )
            with pytest.raises(TypeError, match=text):
                await getattr(host, function)(**NAMED, **more, **{name: None})
    assert len(await host.list_connections(**NAMED)) == 1
    assert (await host.shared_connections(**NAMED)).connections == []
    assert len((await host.disconnect(**NAMED, tiktok_access="keep")).found) == 1


async def test_a_missing_account_or_shop_makes_no_call_of_the_whole_account(stage: Stage) -> None:
    await stage.connected()
    host: Any = stage.host
    call: dict[str, Any] = {**NAMED, "method": "GET", "path": "/authorization/202309/shops"}
    for name, meant in (("shop", "the whole account"), ("account", "the customer's only account")):
        with pytest.raises(TypeError, match=rf"^call: {name} is None\. If you mean {meant}, leave the argument out$"):
            await host.call(**call, **{name: None})
    assert (await host.call(**call)).is_success


async def test_a_missing_actor_or_reason_is_refused(stage: Stage) -> None:
    host: Any = stage.host
    for missing in (None, 7, Secret("CANARY")):
        for function in ("acting_as", "because"):
            with pytest.raises(TypeError, match=f"^{function}: the argument is not a string$"):
                getattr(host, function)(missing)


@pytest.mark.parametrize("limit", [0, 1001, -1])
async def test_a_page_has_1_to_1000_entries(stage: Stage, limit: int) -> None:
    for function in (stage.host.events, stage.host.tenant_connections):
        with pytest.raises(InvalidRequestError, match="limit: a number from 1 to 1000") as raised:
            await function(tenant=TENANT, limit=limit)
        assert raised.value.code == "invalid-argument"
        assert await function(tenant=TENANT, limit=1000) == []


async def test_an_event_of_another_library_can_not_stop_a_request(stage: Stage) -> None:
    host: Any = stage.host
    with pytest.raises(TypeError, match=r"^stop: the type is threading\.Event, and must be asyncio\.Event$"):
        await host.sweep(stop=threading.Event())
    with pytest.raises(TypeError, match=r"^stop: the type is builtins\.bool, and must be asyncio\.Event$"):
        await host.shared_connections(**NAMED, stop=True)


@pytest.mark.parametrize("body", [5, "{}", None, [1]])
async def test_the_body_of_a_webhook_is_bytes(stage: Stage, body: object) -> None:
    delivery: dict[str, Any] = {"tenant": TENANT, "authorization": "00", "body": body}
    with pytest.raises(TypeError, match=r"^body: the type is \w+; pass the raw bytes of the request's body$"):
        await stage.host.accept_webhook(**delivery, handle=repr)
    with pytest.raises(TypeError, match=r"^body: the type is \w+; pass the raw bytes"):
        await stage.host.receive_webhook(**delivery)


@pytest.mark.parametrize("authorization", [None, "", "00"])
async def test_a_webhook_without_a_signature_is_forged(stage: Stage, authorization: str | None) -> None:
    for body in (b"{}", bytearray(b"{}"), memoryview(b"{}")):
        reply = await stage.host.accept_webhook(tenant=TENANT, authorization=authorization, body=body, handle=repr)
        assert (reply.status, reply.reply) == (401, "forged")


async def test_the_apps_of_a_tenant_are_listed(stage: Stage) -> None:
    assert await stage.host.apps(tenant=TENANT) == [stage.fake.app["app_key"]]
    with pytest.raises(MisconfiguredError, match=r"^credentials-refused: "):
        await stage.host.apps(tenant="another-tenant")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"storage": "mysql:CANARY"}, "invalid-argument"),
        # The compiled component would be written into the current folder.
        ({"compiled_cache": ""}, "invalid-argument"),
        ({"keys": {"text": "CANARY"}}, "host-keys"),
        ({"keys": {"file": "/nowhere/host-keys"}}, "host-keys"),
        ({"storage": "sqlite:/nowhere/missing.sqlite", "keys": {"file": "/nowhere/host-keys"}}, "storage-not-opened"),
        ({"storage": Secret("sqlite:/nowhere/missing.sqlite")}, "invalid-argument"),
        ({"fake": "http://10.0.0.1:4010"}, "invalid-argument"),
        ({"proxy": "socks5://CANARY"}, "invalid-argument"),
        ({"deadlines": {"call_ms": 1}}, "host-not-built"),
    ],
)
async def test_options_that_do_not_fit_are_refused(options: dict[str, Any], code: str) -> None:
    usual: dict[str, Any] = {"storage": "memory:", "keys": "drawn", "apps": []}
    with pytest.raises(TikTokShopError) as raised:
        await Host.open(**{**usual, **options})
    assert raised.value.code == code
    assert "CANARY" not in repr(raised.value)


NO_LINK = (
    "`authorization_link` is not valid: it must begin with https:// (of a fake also http://), name a host, consist of "
    "at most 2048 visible ASCII characters, and have no `#` and no parameter `state`; copy it from Partner Center"
)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"app_key": ""}, "the key of an app has 1 to 64 bytes"),
        ({"app_secret": ""}, "`app_secret` is empty; copy it from Partner Center"),
        ({"authorization_link": "CANARY"}, NO_LINK),
        ({"authorization_link": "https://services.tiktokshop.com/open/authorize?state=CANARY"}, NO_LINK),
    ],
)
async def test_the_apps_are_checked_when_the_host_opens(wrong: dict[str, str], message: str) -> None:
    app: Any = {"tenant": "acme", "app_key": "6abcdefghijkl", "app_secret": "CANARY-of-the-usual-length", **wrong}
    with pytest.raises(InvalidRequestError) as raised:
        await Host.open(storage="memory:", keys="drawn", apps=[app])
    assert (raised.value.code, raised.value.message) == ("invalid-argument", f"apps: tenant acme: {message}")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"app_key": "6realapp00001"}, "app 1"),
        ({"app_secret": "CANARY-of-the-usual-length"}, "the secret of app 1"),
    ],
)
async def test_a_fake_gets_no_secret_that_it_has_not_shown(
    stages: Stages, fake: Fake, wrong: dict[str, str], what: str
) -> None:
    app: Any = {**fake.app_of(TENANT), **wrong}
    with pytest.raises(MisconfiguredError) as raised:
        await stages.open(apps=[app])
    address = fake.url.removeprefix("http://")
    text = (
        f"apps: tenant {TENANT}: the fake at {address} has not shown {what}, so the host does not send the app's "
        "secret to this fake; copy the app from the fake's page, or leave out the option `fake`"
    )
    assert (raised.value.code, raised.value.message) == ("app-not-of-fake", text)
    # A function may return other apps later, so the host checks them in each call.
    stage = await stages.open(apps=lambda tenant: [{name: value for name, value in app.items() if name != "tenant"}])
    with pytest.raises(MisconfiguredError, match=r"^credentials-refused: "):
        await stage.host.begin_consent(**NAMED, browser=BROWSER)
    assert fake.ask("GET", "/requests") == []


async def test_a_host_with_a_fake_opens_only_if_the_fake_answers() -> None:
    with pytest.raises(MisconfiguredError, match=r"^fake-unavailable: "):
        # No server listens on the port of the discard protocol.
        await Host.open(storage="memory:", keys="drawn", apps=[], fake="http://127.0.0.1:9")


@pytest.mark.parametrize("storage", [None, 5, b"memory:"])
async def test_a_storage_of_another_type_is_named(storage: object) -> None:
    with pytest.raises(TypeError, match="storage: give"):
        await Host.open(storage=storage, keys="drawn", apps=[])  # type: ignore[arg-type]


async def test_a_storage_without_all_functions_is_refused_when_the_host_opens() -> None:
    class Incomplete(MemoryStorage):
        swap_token: Any = None
        delete_tenant: Any = "no function"

    with pytest.raises(TypeError, match=r"^storage: the object has no function swap_token, delete_tenant; give a "):
        await Host.open(storage=Incomplete(), keys="drawn", apps=[])


async def test_the_text_of_a_future_does_not_show_a_reply() -> None:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    future.set_result(Reply(({"access_token": "CANARY"}, b"CANARY")))
    assert "<reply>" in repr(future)
    assert "CANARY" not in repr(future)


def test_a_host_is_made_by_open() -> None:
    with pytest.raises(TypeError, match=r"Host.open"):
        Host()


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_provides_the_apps_and_is_asked_for_each_tenant(stages: Stages, is_async: bool) -> None:
    asked: list[str] = []

    def apps(tenant: str) -> list[App]:
        asked.append(tenant)
        app = stage.fake.app_of(tenant)
        link = app["authorization_link"]
        return [{"app_key": app["app_key"], "app_secret": Secret(str(app["app_secret"])), "authorization_link": link}]

    async def apps_later(tenant: str) -> list[App]:
        return apps(tenant)

    stage = await stages.open(apps=apps_later if is_async else apps)
    assert (await stage.connected()).status == "active"
    assert set(asked) == {TENANT}


async def test_an_exception_of_a_function_does_not_show_its_text(stages: Stages) -> None:
    def apps(tenant: str) -> list[App]:
        raise LookupError(f"CANARY {tenant}")

    stage = await stages.open(apps=apps)
    with pytest.raises(TikTokShopError) as raised:
        await stage.host.begin_consent(**NAMED, browser=BROWSER)
    assert "apps raised LookupError of builtins" in raised.value.message
    assert "CANARY" not in repr(raised.value)


async def test_a_wrong_result_of_the_function_apps_names_the_member_and_shows_no_value(stages: Stages) -> None:
    def apps(tenant: str) -> list[App]:
        return [{"app_key": "CANARY"}]  # type: ignore[typeddict-item]

    stage = await stages.open(apps=apps)
    with pytest.raises(TikTokShopError, match="the result of the function apps: missing field `app_secret`") as raised:
        await stage.host.begin_consent(**NAMED, browser=BROWSER)
    assert "CANARY" not in repr(raised.value)


async def test_each_request_is_reported_for_metrics(stages: Stages) -> None:
    ended: list[EndedRequest] = []
    stage = await stages.open(on_request=ended.append)
    await stage.connected()
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="nobody")
    assert [(one.operation, one.outcome, one.code) for one in ended] == [
        ("open", "ok", None),
        ("begin-consent", "ok", None),
        ("finish-consent", "ok", None),
        ("refresh", "invalid-request", "not-connected"),
    ]
    assert all(one.seconds > 0 for one in ended)


async def test_the_metrics_of_prometheus_count_requests(stages: Stages) -> None:
    registry = prometheus_client.CollectorRegistry()
    stage = await stages.open(on_request=RequestMetrics(registry))
    await stage.host.list_shops(**NAMED)
    text = prometheus_client.generate_latest(registry).decode()
    assert 'tiktok_shop_requests_total{operation="list-shops",outcome="ok"} 1.0' in text
    assert 'tiktok_shop_request_seconds_count{operation="list-shops",outcome="ok"} 1.0' in text
    assert CUSTOMER not in text


async def test_with_retries_waits_as_long_as_the_error_says() -> None:
    calls = 0

    async def third_succeeds() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RetryAfterError("busy", "no instance is free", 1)
        if calls == 2:
            raise StorageConflictError("conflict", "another host has written")
        return calls

    assert await with_retries(60, third_succeeds) == 3

    async def never() -> None:
        raise RetryAfterError("busy", "no instance is free", 1_000)

    with pytest.raises(RetryAfterError):
        await with_retries(0.5, never)


@pytest.mark.parametrize("within", [float("nan"), -1])
async def test_with_retries_refuses_a_time_that_never_passes(within: float) -> None:
    async def called() -> None:
        pytest.fail("a call has begun")

    with pytest.raises(ValueError, match=r"^with_retries: give the time in seconds as a number, 0 or more$"):
        await with_retries(within, called)


async def test_the_logs_go_to_logging_without_secrets(stages: Stages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tiktok_shop_connector")
    stage = await stages.open()
    await stage.connected()
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="nobody")
    await stage.host.close()
    record = await asyncio.wait_for(logged(caplog, "not-connected"), 30)
    fields = record.__dict__["fields"]
    assert (fields["tenant"], fields["customer"], fields["operation"]) == (TENANT, "nobody", "refresh")
    assert record.name == "tiktok_shop_connector"
    assert "code=not-connected" in record.getMessage()
    for secret in ("ROW_", stage.fake.app["app_secret"], BROWSER.expose()):
        assert secret not in caplog.text


async def test_an_id_with_a_line_break_makes_no_second_line(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="é\nERROR forged\x1b[2J")
    record = await asyncio.wait_for(logged(caplog, "not-connected"), 30)
    assert "customer=é\\nERROR forged\\x1b[2J" in record.getMessage()
    assert record.__dict__["fields"]["customer"] == "é\nERROR forged\x1b[2J"


async def test_a_filter_that_raises_does_not_end_the_logs(
    stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(_record: logging.LogRecord) -> bool:
        raise LookupError("this error is a part of the test")

    logger = logging.getLogger("tiktok_shop_connector")
    logger.addFilter(refuse)
    try:
        with pytest.raises(InvalidRequestError):
            await stage.host.refresh(tenant=TENANT, customer="nobody")
        printed = ""
        while "LookupError" not in printed:
            await asyncio.sleep(0.01)
            printed += capfd.readouterr().err
    finally:
        logger.removeFilter(refuse)
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="nobody")
    await asyncio.wait_for(logged(caplog, "not-connected"), 30)


async def logged(caplog: pytest.LogCaptureFixture, code: str) -> logging.LogRecord:
    """Waits for the thread that fetches records."""
    while True:
        for record in caplog.records:
            if record.__dict__.get("fields", {}).get("code") == code:
                return record
        await asyncio.sleep(0)


async def test_the_level_of_the_logs_can_change(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, logger="tiktok_shop_connector")
    forward_logs(logging.CRITICAL)
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="not-logged")
    forward_logs()
    with pytest.raises(InvalidRequestError):
        await stage.host.refresh(tenant=TENANT, customer="logged")
    await asyncio.wait_for(logged(caplog, "not-connected"), 30)
    assert "customer=not-logged" not in caplog.text
