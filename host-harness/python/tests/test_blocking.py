"""The blocking host: the same functions as the async one, for threads without an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import pydoc
import threading
import warnings
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from conftest import BlockingStages
from fake import Fake
from memory_keys import MemoryKeys
from memory_storage import MemoryStorage
from stage import BROWSER, CUSTOMER, EIGHT_DAYS, NAMED, SHOP, TENANT, BlockingStage
from tiktok_shop_connector import (
    App,
    ConnectionName,
    EndedRequest,
    Host,
    InvalidRequestError,
    ReauthorizeError,
    RetryAfterError,
    Secret,
    StorageConflictError,
    TikTokShopError,
    Webhook,
    blocking,
)

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

SEARCH: Final = "/order/202309/orders/search"
FUNCTIONS: Final = [name for name, _ in inspect.getmembers(Host, inspect.isfunction) if not name.startswith("_")]
#: The functions of the blocking host that have an argument of another type, or another result.
DIFFERENT: Final = {"accept_webhook", "acting_as", "because", "open", "shared_connections", "sweep"}


def options_of(storage: str, folder: Path) -> dict[str, Any]:
    if storage == "memory":
        return {}
    if storage == "python":
        return {"storage": MemoryStorage(), "keys": MemoryKeys()}
    keys = {"file_or_new": str(folder / "host-keys")}
    return {"storage": f"sqlite:{folder / 'connections.sqlite'}", "tables": "create", "keys": keys}


@pytest.mark.parametrize("storage", ["memory", "sqlite", "python"])
def test_the_whole_life(blocking_stages: BlockingStages, storage: str, tmp_path: Path) -> None:
    stage = blocking_stages.open(**options_of(storage, tmp_path))
    fake, host = stage.fake, stage.host
    assert host.plugin.startswith("tiktok-shop:connector@")
    connection = stage.connected()
    assert [shop.id for shop in host.list_shops(**NAMED)] == [SHOP]
    assert host.list_connections(**NAMED) == [connection]
    assert host.tenant_connections(tenant=TENANT, after=connection) == []
    assert isinstance(host.access_token(**NAMED).token, Secret)
    answer = host.call(**NAMED, shop=SHOP, method="POST", path=SEARCH, query={"page_size": 1}, body={})
    assert (answer.http_status, answer.json()["code"]) == (200, 0)

    stage.advance(EIGHT_DAYS)
    assert host.acting_as("ana").because("case 4711").refresh(**NAMED, mode="forced").effect == "renewed"
    stage.advance(EIGHT_DAYS)
    swept = host.sweep(jitter_seconds=0)
    assert (swept.refreshed, swept.failed, swept.stopped) == (1, 0, False)
    assert not host.link_shops(**NAMED, shops=[]).shops[0].linked

    fake.ask("POST", "/sellers/one-shop/deauthorize", {"service_id": fake.app["service_id"]})
    with pytest.raises(ReauthorizeError):
        host.refresh(**NAMED, mode="forced")
    assert host.disconnect(**NAMED, tiktok_access="keep").found == [ConnectionName(CUSTOMER, connection.account)]
    forced = next(event for event in host.events(tenant=TENANT) if event.event == "refresh-forced")
    assert (forced.actor, forced.stated_reason) == ("ana", "case 4711")
    assert [key.tenant for key in host.key_status().keys] == [TENANT]
    host.check_keys()
    erased = host.erase_tenant(tenant=TENANT)
    assert erased is not None
    assert erased.keys == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_of_the_async_host_is_a_function_that_blocks(name: str) -> None:
    theirs, ours = getattr(Host, name), getattr(blocking.Host, name)
    assert not inspect.iscoroutinefunction(ours)
    assert (ours.__module__, ours.__qualname__) == ("tiktok_shop_connector.blocking", f"Host.{name}")
    assert ours.__doc__
    if name not in DIFFERENT:
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert ours.__doc__ == theirs.__doc__
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_the_blocking_host_has_no_other_functions() -> None:
    ours = {name for name, _ in inspect.getmembers(blocking.Host, inspect.isfunction) if not name.startswith("_")}
    assert ours == set(FUNCTIONS)


def test_the_help_shows_the_arguments_and_the_description(blocking_stage: BlockingStage) -> None:
    # Newer versions of Python write each argument in a line.
    text = " ".join(pydoc.plain(pydoc.render_doc(blocking_stage.host.call)).split())
    assert "*, tenant: 'str', customer: 'str', method: 'Method'" in text
    assert "Makes a signed call of TikTok Shop's API." in text


def test_a_host_is_made_by_open() -> None:
    with pytest.raises(TypeError, match=r"Host.open"):
        blocking.Host()


def test_errors_are_those_of_the_async_host(blocking_stage: BlockingStage) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        blocking_stage.host.refresh(**NAMED)
    assert (raised.value.action, raised.value.code) == ("invalid-request", "not-connected")
    host: Any = blocking_stage.host
    with pytest.raises(TypeError, match=r"^call: shop is None"):
        host.call(**NAMED, method="GET", path="/a", shop=None)
    with pytest.raises(TypeError, match="costumer"):
        host.refresh(tenant=TENANT, costumer=CUSTOMER)
    with pytest.raises(TypeError, match="a value of the type set is not expected here"):
        host.link_shops(**NAMED, shops=[{1}])
    with pytest.raises(TypeError, match="storage: give"):
        blocking.Host.open(storage=5, keys="drawn", apps=[])  # type: ignore[arg-type]
    with pytest.raises(TikTokShopError, match=r"^host-keys: "):
        blocking.Host.open(storage="memory:", keys={"text": "CANARY"}, apps=[])
    with pytest.raises(TikTokShopError, match=r"^host-keys: "):
        blocking.Host.open(storage="memory:", keys={"text": "CANARY"}, apps=lambda tenant: [])


def test_functions_on_threads_that_are_greenlets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # gevent puts greenlets of one thread in the place of threads.
    monkeypatch.setattr(threading, "get_native_id", lambda: 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="give the apps as a list"):
            blocking.Host.open(storage="memory:", keys="drawn", apps=lambda tenant: [])
    join_function_threads()


def test_a_failed_start_leaves_no_thread() -> None:
    with pytest.raises(TikTokShopError):
        blocking.Host.open(storage="memory:", keys={"text": "CANARY"}, apps=lambda tenant: [])
    join_function_threads()


def join_function_threads() -> None:
    """Waits until no host of this process has a thread for functions of Python."""
    for thread in threading.enumerate():
        if thread.name == "tiktok-shop-functions":
            thread.join(30)
            assert not thread.is_alive()


# Threads.


def test_many_threads_call_at_the_same_time_and_each_gets_its_own_answer(blocking_stage: BlockingStage) -> None:
    customers = [f"customer-{number}" for number in range(8)]
    for customer in customers:
        blocking_stage.connected(customer=customer)
    together = threading.Barrier(len(customers))

    def names_of(customer: str) -> set[str]:
        together.wait()
        found = [blocking_stage.host.list_connections(tenant=TENANT, customer=customer) for _ in range(50)]
        return {one.customer for connections in found for one in connections}

    with ThreadPoolExecutor(len(customers)) as threads:
        assert list(threads.map(names_of, customers)) == [{customer} for customer in customers]


async def test_a_thread_with_an_event_loop_is_refused(fake: Fake) -> None:
    options: Any = {"storage": "memory:", "keys": "drawn", "apps": [fake.app_of(TENANT)], "fake": fake.url}
    text = "an event loop runs in this thread, .* use tiktok_shop_connector.Host there"
    with warnings.catch_warnings():
        # A coroutine that nobody awaits is a warning.
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match=text):
            blocking.Host.open(**options)
        # In a thread of its own, the host blocks nothing else.
        host = await asyncio.to_thread(blocking.Host.open, **options)
        for call in (
            lambda: host.list_shops(**NAMED),
            lambda: host.accept_webhook(tenant=TENANT, authorization=None, body=b"", handle=repr),
            lambda: host.shared_connections(**NAMED),
            lambda: host.sweep(),
            lambda: host.close(),
            lambda: blocking.with_retries(1, lambda: None),
        ):
            with pytest.raises(RuntimeError, match=text):
                call()
        assert await asyncio.to_thread(host.list_shops, **NAMED) == []
        await asyncio.to_thread(host.close)


# Webhooks.


def webhook_of(stage: BlockingStage) -> dict[str, Any]:
    """Returns the arguments of `accept_webhook` for a webhook of the fake."""
    stage.connected()
    stage.fake.ask("POST", "/sellers/one-shop/deauthorize", {"service_id": stage.fake.app["service_id"]})
    authorization, body = stage.fake.webhook()
    return {"tenant": TENANT, "authorization": authorization, "body": body}


def test_a_webhook_is_handled_once_and_on_the_calling_thread(blocking_stage: BlockingStage) -> None:
    delivery = webhook_of(blocking_stage)
    request = contextvars.ContextVar[str]("request")
    request.set("a request of the web framework")
    received: list[tuple[int | None, int, str]] = []

    def handle(webhook: Webhook) -> None:
        received.append((webhook.event_type, threading.get_ident(), request.get()))

    forged = blocking_stage.host.accept_webhook(**{**delivery, "authorization": None}, handle=handle)
    assert (forged.status, forged.reply, forged.error) == (401, "forged", None)
    for expected in ("handled", "repeated"):
        reply = blocking_stage.host.accept_webhook(**delivery, handle=handle)
        assert (reply.status, reply.reply, reply.error) == (200, expected, None)
    assert received == [(6, threading.get_ident(), "a request of the web framework")]


def test_handle_may_call_the_host(blocking_stage: BlockingStage) -> None:
    delivery, host = webhook_of(blocking_stage), blocking_stage.host
    seen: list[object] = []

    def handle(_webhook: Webhook) -> None:
        seen.append([shop.id for shop in host.list_shops(**NAMED)])
        forged = host.accept_webhook(tenant=TENANT, authorization=None, body=b"{}", handle=repr)
        seen.append(forged.status)
        with ThreadPoolExecutor(1) as other:
            seen.append(len(other.submit(host.list_connections, **NAMED).result()))

    assert host.accept_webhook(**delivery, handle=handle).status == 200
    assert seen == [[SHOP], 401, 1]


def test_a_handle_that_raises_lets_tiktok_shop_send_the_webhook_again(blocking_stage: BlockingStage) -> None:
    delivery, failure = webhook_of(blocking_stage), LookupError("the queue is full")

    def handle(_webhook: Webhook) -> None:
        raise failure

    reply = blocking_stage.host.accept_webhook(**delivery, handle=handle)
    assert (reply.status, reply.reply, reply.error) == (500, "not-handled", failure)
    assert blocking_stage.host.accept_webhook(**delivery, handle=repr).status == 200


def test_an_asynchronous_handle_fails_and_the_webhook_is_not_lost(blocking_stage: BlockingStage) -> None:
    delivery, host = webhook_of(blocking_stage), blocking_stage.host
    handled: list[Webhook] = []

    async def handle(webhook: Webhook) -> None:
        handled.append(webhook)

    class Later:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits it")

    def later(_webhook: Webhook) -> Awaitable[None]:
        return Later()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (handle, later):
            reply = host.accept_webhook(**delivery, handle=function)
            assert (reply.status, reply.reply) == (500, "not-handled")
            assert isinstance(reply.error, TypeError)
            assert "the blocking host needs a plain function" in str(reply.error)
    assert handled == []
    assert host.accept_webhook(**delivery, handle=handled.append).status == 200
    assert len(handled) == 1


# Functions of the platform.


def test_on_request_runs_on_the_calling_thread(fake: Fake, blocking_stages: BlockingStages) -> None:
    ended: list[tuple[str, str, str | None]] = []
    threads: set[int] = set()

    def observe(request: EndedRequest) -> None:
        threads.add(threading.get_ident())
        ended.append((request.operation, request.outcome, request.code))
        assert request.seconds > 0

    stage = blocking_stages.open(on_request=observe, apps=lambda tenant: [app_of(fake)])
    delivery = webhook_of(stage)
    stage.host.accept_webhook(**delivery, handle=repr)
    stage.host.sweep(jitter_seconds=0)
    with pytest.raises(InvalidRequestError):
        stage.host.refresh(tenant=TENANT, customer="nobody")
    assert ended == [
        ("open", "ok", None),
        ("begin-consent", "ok", None),
        ("finish-consent", "ok", None),
        ("accept-webhook", "handled", None),
        ("sweep", "ok", None),
        ("refresh", "invalid-request", "not-connected"),
    ]
    assert threads == {threading.get_ident()}


def test_an_exception_of_on_request_is_logged_and_changes_no_result(
    blocking_stages: BlockingStages, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(_request: EndedRequest) -> None:
        raise LookupError("this error is a part of the test")

    stage = blocking_stages.open(on_request=observe)
    assert stage.host.list_shops(**NAMED) == []
    assert "on_request raised an exception" in caplog.text
    assert "LookupError" in caplog.text


def app_of(fake: Fake) -> App:
    app = fake.app_of(TENANT)
    link = app["authorization_link"]
    return {"app_key": app["app_key"], "app_secret": app["app_secret"], "authorization_link": link}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_provides_the_apps_on_a_thread_of_the_host(blocking_stages: BlockingStages, is_async: bool) -> None:
    asked: set[str] = set()

    def apps(_tenant: str) -> list[App]:
        asked.add(threading.current_thread().name)
        return [app_of(stage.fake)]

    async def apps_later(tenant: str) -> list[App]:
        await asyncio.sleep(0)
        return apps(tenant)

    stage = blocking_stages.open(apps=apps_later if is_async else apps)
    assert stage.connected().status == "active"
    assert asked == {"tiktok-shop-functions"}
    stage.host.close()
    join_function_threads()


def test_a_function_that_calls_the_blocking_host_fails_and_blocks_nothing(blocking_stages: BlockingStages) -> None:
    def apps(_tenant: str) -> list[App]:
        stage.host.list_shops(**NAMED)
        return []

    stage = blocking_stages.open(apps=apps)
    with pytest.raises(TikTokShopError, match=r"apps raised RuntimeError of builtins"):
        stage.host.begin_consent(**NAMED, browser=BROWSER)


def test_a_function_that_takes_too_long_is_cancelled_when_the_host_closes(blocking_stages: BlockingStages) -> None:
    cancelled = threading.Event()

    async def apps(_tenant: str) -> list[App]:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return []

    stage = blocking_stages.open(apps=apps, deadlines={"queue_ms": 10, "save_ms": 10})
    with pytest.raises(TikTokShopError):
        stage.host.begin_consent(**NAMED, browser=BROWSER)
    stage.host.close()
    assert cancelled.wait(30)
    join_function_threads()


def test_an_event_of_another_library_can_not_stop_a_request(blocking_stage: BlockingStage) -> None:
    host: Any = blocking_stage.host
    with pytest.raises(TypeError, match=r"^stop: the type is asyncio\.locks\.Event, and must be threading\.Event$"):
        host.sweep(stop=asyncio.Event())
    with pytest.raises(TypeError, match=r"^stop: the type is builtins\.bool, and must be threading\.Event$"):
        host.shared_connections(**NAMED, stop=True)


def test_with_retries_waits_as_long_as_the_error_says() -> None:
    calls = 0

    def third_succeeds() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RetryAfterError("busy", "no instance is free", 1)
        if calls == 2:
            raise StorageConflictError("conflict", "another host has written")
        return calls

    assert blocking.with_retries(60, third_succeeds) == 3

    def never() -> None:
        raise RetryAfterError("busy", "no instance is free", 1_000)

    with pytest.raises(RetryAfterError):
        blocking.with_retries(0.5, never)


def test_the_logs_go_to_logging(blocking_stages: BlockingStages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tiktok_shop_connector")
    stage = blocking_stages.open()
    with pytest.raises(InvalidRequestError):
        stage.host.refresh(tenant=TENANT, customer="nobody")
    codes: set[object] = set()
    while "not-connected" not in codes:
        codes = {record.__dict__.get("fields", {}).get("code") for record in list(caplog.records)}
