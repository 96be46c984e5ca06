"""Nothing that stops waiting cuts off a save: no cancelled task, no `close`, and no end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Stages
from fake import Fake
from stage import BROWSER, COMPILED_CACHE, EIGHT_DAYS, NAMED, TENANT, Stage
from tiktok_shop_connector import Connection, Host, InvalidRequestError, Webhook


def sqlite(folder: Path) -> dict[str, Any]:
    keys = {"file_or_new": str(folder / "host-keys")}
    return {"storage": f"sqlite:{folder / 'connections.sqlite'}", "tables": "create", "keys": keys}


async def stored(fake: Fake, options: dict[str, Any]) -> Connection:
    """Opens the storage with another host, and returns the stored connection."""
    usual: Any = {"apps": [fake.app_of(TENANT)], "fake": fake.url, "compiled_cache": COMPILED_CACHE}
    async with Host.open(**options, **usual) as host:
        (connection,) = await host.list_connections(**NAMED)
        return connection


async def test_a_cancelled_task_ends_the_waiting_and_not_the_refresh(stages: Stages, tmp_path: Path) -> None:
    options = sqlite(tmp_path)
    stage = await stages.open(**options)
    before = await stage.connected()
    await stage.advance(EIGHT_DAYS)
    refreshing = asyncio.ensure_future(stage.host.refresh(**NAMED, mode="forced"))
    await asyncio.sleep(0)
    refreshing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    await stage.host.close()
    assert (await stored(stage.fake, options)).refreshed_at > before.refreshed_at


async def test_a_timeout_ends_the_waiting_and_not_the_refresh(stages: Stages, tmp_path: Path) -> None:
    options = sqlite(tmp_path)
    stage = await stages.open(**options)
    before = await stage.connected()
    await stage.advance(EIGHT_DAYS)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(stage.host.refresh(**NAMED, mode="forced"), 0.000_1)
    await stage.host.close()
    assert (await stored(stage.fake, options)).refreshed_at > before.refreshed_at


async def test_close_waits_for_the_requests_that_have_begun_and_refuses_others(stages: Stages, tmp_path: Path) -> None:
    options = sqlite(tmp_path)
    stage = await stages.open(**options)
    before = await stage.connected()
    await stage.advance(EIGHT_DAYS)
    refreshing = asyncio.ensure_future(stage.host.refresh(**NAMED, mode="forced"))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(stage.host.close())
    await asyncio.sleep(0)
    with pytest.raises(InvalidRequestError, match=r"^host-closed: "):
        await stage.host.refresh(**NAMED)
    refreshed, _ = await asyncio.gather(refreshing, closing)
    assert refreshed.effect == "renewed"
    assert (await stored(stage.fake, options)).refreshed_at > before.refreshed_at
    await stage.host.close()


async def test_an_event_stops_a_sweep_whose_result_says_so(stage: Stage) -> None:
    await stage.connected()
    await stage.advance(EIGHT_DAYS)
    stop = asyncio.Event()
    stop.set()
    swept = await stage.host.sweep(jitter_seconds=60, stop=stop)
    assert (swept.stopped, swept.refreshed, swept.left) == (True, 0, 1)


async def test_close_ends_a_rotation_in_its_pause(stages: Stages, tmp_path: Path) -> None:
    stage = await stages.open(**sqlite(tmp_path))
    await stage.connected()
    await stage.host.promote_host_key(host_key=await stage.host.add_host_key())
    rotating = asyncio.ensure_future(stage.host.rotate_keys())
    await asyncio.sleep(0)
    await asyncio.wait_for(stage.host.close(), 60)
    with pytest.raises(InvalidRequestError, match=r"^host-closed: .* the next rotation continues there$"):
        await rotating


async def test_a_cancelled_sweep_begins_nothing_else(stage: Stage) -> None:
    await stage.connected()
    await stage.advance(EIGHT_DAYS)
    sweeping = asyncio.ensure_future(stage.host.sweep(jitter_seconds=60))
    await asyncio.sleep(0)
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    await stage.host.close()
    paths = [request["path"] for request in stage.fake.ask("GET", "/requests")]
    assert "/api/v2/token/refresh" not in paths


async def test_a_copy_of_a_host_shares_its_end(stage: Stage) -> None:
    copy = stage.host.acting_as("ana")
    assert copy.plugin == stage.host.plugin
    async with stage.host:
        pass
    with pytest.raises(InvalidRequestError, match=r"^host-closed: "):
        await copy.list_shops(**NAMED)


async def test_the_end_of_the_block_of_a_copy_does_not_close_the_host(stage: Stage) -> None:
    host = stage.host
    for copy in (host.acting_as("ana"), host.because("case 4711"), host.because("case 4711").acting_as("ana")):
        async with copy as same:
            assert same is copy
        assert await host.list_shops(**NAMED) == []
    await host.acting_as("ana").close()
    with pytest.raises(InvalidRequestError, match=r"^host-closed: "):
        await host.list_shops(**NAMED)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/statm")
async def test_a_closed_host_that_the_platform_keeps_holds_no_address_space(stages: Stages) -> None:
    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0])

    before = pages()
    host = (await stages.open()).host
    with_host = pages() - before
    await host.close()

    async def freed() -> None:
        # A thread of the host ends a moment later, and tells nobody.
        while pages() - before > with_host / 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await asyncio.wait_for(freed(), 10)


async def test_an_event_of_another_event_loop_does_not_let_a_sweep_run_that_nobody_can_stop(stage: Stage) -> None:
    stop = asyncio.Event()

    def wait_on_another_loop() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            asyncio.run(asyncio.wait_for(stop.wait(), 0.01))

    await asyncio.to_thread(wait_on_another_loop)
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        await asyncio.wait_for(stage.host.sweep(jitter_seconds=60, stop=stop), 30)
    assert (await stage.host.sweep(jitter_seconds=0)).stopped is False


async def test_a_webhook_is_handled_to_its_end_if_the_caller_is_cancelled(stage: Stage) -> None:
    await stage.connected()
    stage.fake.ask("POST", "/sellers/one-shop/deauthorize", {"service_id": stage.fake.app["service_id"]})
    authorization, body = stage.fake.webhook()
    begun, go_on, handled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(_webhook: Webhook) -> None:
        begun.set()
        await go_on.wait()
        handled.set()

    accepting = asyncio.ensure_future(
        stage.host.accept_webhook(tenant=TENANT, authorization=authorization, body=body, handle=handle)
    )
    await begun.wait()
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    go_on.set()
    await handled.wait()
    await stage.host.close()


async def test_a_handler_that_fails_lets_tiktok_shop_send_the_webhook_again(stage: Stage) -> None:
    await stage.connected()
    stage.fake.ask("POST", "/sellers/one-shop/deauthorize", {"service_id": stage.fake.app["service_id"]})
    authorization, body = stage.fake.webhook()
    failure = LookupError("the queue is full")

    def handle(_webhook: Webhook) -> None:
        raise failure

    reply = await stage.host.accept_webhook(tenant=TENANT, authorization=authorization, body=body, handle=handle)
    assert (reply.status, reply.reply, reply.error) == (500, "not-handled", failure)


def run(program: str, *, timeout: float = 60) -> int:
    """Runs a program of Python, and returns its exit status."""
    arguments = [sys.executable, "-X", "dev", "-c", program]
    return subprocess.run(arguments, timeout=timeout, check=False).returncode


ENDINGS = {
    "sys.exit": ("sys.exit(3)", 3),
    "an uncaught exception": ("raise RuntimeError('this error is a part of the test')", 1),
    "the end of asyncio.run": ("pass", 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_exit_waits_until_new_tokens_are_saved(stages: Stages, tmp_path: Path, ending: str) -> None:
    options = sqlite(tmp_path)
    stage = await stages.open(**options)
    before = await stage.connected()
    await stage.host.close()
    stage.fake.ask("POST", "/clock/advance", {"seconds": EIGHT_DAYS})
    statement, status = ENDINGS[ending]
    opening = {**options, "apps": [stage.fake.app_of(TENANT)], "fake": stage.fake.url}
    program = f"""
import asyncio, json, sys
from tiktok_shop_connector import Host
async def main():
    host = await Host.open(**json.loads({json.dumps(opening)!r}))
    await host.advance_clock(seconds={EIGHT_DAYS})
    refreshing = asyncio.ensure_future(host.refresh(tenant={TENANT!r}, customer="customer-7", mode="forced"))
    await asyncio.sleep(0)
    {statement}
asyncio.run(main())
"""
    assert run(program) == status
    assert (await stored(stage.fake, options)).refreshed_at > before.refreshed_at


def opened_in_memory(fake: Fake, apps: str, body: str) -> str:
    return f"""
import asyncio, json, os, sys
from tiktok_shop_connector import Host
app = json.loads({json.dumps(fake.app_of(TENANT))!r})
async def open_host():
    return await Host.open(storage="memory:", keys="drawn", apps={apps}, fake={fake.url!r})
named = {NAMED!r}
{body}
"""


def test_the_exit_does_not_wait_for_a_function_of_python(fake: Fake) -> None:
    body = f"""
async def main():
    host = await open_host()
    asyncio.ensure_future(host.begin_consent(**named, browser={BROWSER.expose()!r}))
    await asyncio.sleep(3600)
def apps_of(tenant):
    sys.exit(3)
asyncio.run(main())
"""
    assert run(opened_in_memory(fake, "lambda tenant: apps_of(tenant)", body)) == 3


#: Signs a webhook, and begins to receive it.
WEBHOOK = """
import hashlib, hmac, time
event = {"type": 1, "tts_notification_id": "7327", "shop_id": "7490000000000000001", "timestamp": int(time.time())}
body = json.dumps({**event, "data": {}}).encode()
signed = app["app_key"].encode() + body
authorization = hmac.new(app["app_secret"].encode(), signed, hashlib.sha256).hexdigest()
def accept(host, handle):
    delivery = {"tenant": named["tenant"], "authorization": authorization, "body": body}
    return asyncio.ensure_future(host.accept_webhook(**delivery, handle=handle))
"""


def test_a_function_that_ends_the_process_does_not_keep_the_host_open(fake: Fake) -> None:
    body = """
async def main():
    async with await open_host() as host:
        accept(host, lambda webhook: sys.exit(3))
        await asyncio.sleep(3600)
asyncio.run(main())
"""
    assert run(opened_in_memory(fake, "[app]", WEBHOOK + body)) == 3


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_function_of_an_event_loop_that_has_ended_does_not_keep_the_host_open(fake: Fake, has_begun: bool) -> None:
    body = f"""
async def handle(webhook):
    begun.set()
    await asyncio.sleep(3600)
async def start():
    accepting.append(accept(host, handle))
    if {has_begun}:
        await begun.wait()
    await asyncio.sleep(0)
async def close():
    await asyncio.wait_for(host.close(), 30)
host, accepting, begun = asyncio.run(open_host()), [], asyncio.Event()
loop = asyncio.new_event_loop()
loop.run_until_complete(start())
time.sleep(1)
loop.close()
asyncio.run(close())
"""
    assert run(opened_in_memory(fake, "[app]", WEBHOOK + body)) == 0


def test_a_host_that_is_not_closed_does_not_keep_the_process_alive(fake: Fake) -> None:
    assert run(opened_in_memory(fake, "[app]", "asyncio.run(open_host())")) == 0


def test_a_host_serves_several_event_loops_one_after_the_other(fake: Fake) -> None:
    body = """
async def close():
    await host.close()
host = asyncio.run(open_host())
for _ in range(3):
    assert asyncio.run(host.list_shops(**named)) == []
import threading
found = []
threads = [threading.Thread(target=lambda: found.append(asyncio.run(host.list_shops(**named)))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [[]] * 4
asyncio.run(close())
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


def test_a_call_fails_at_once_if_the_event_loop_of_its_function_has_ended(fake: Fake) -> None:
    body = f"""
from tiktok_shop_connector import TikTokShopError
first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
host = first.run_until_complete(open_host())
# The second loop exists before the first one ends, so this tests that an existing loop notices the end, too.
assert second.run_until_complete(host.events(tenant=named["tenant"])) == []
first.close()
try:
    second.run_until_complete(host.begin_consent(**named, browser={BROWSER.expose()!r}))
except TikTokShopError as error:
    assert "event loop has ended" in error.message, error
else:
    raise AssertionError("the function was called")
"""
    assert run(opened_in_memory(fake, "lambda tenant: [app]", body)) == 0


def test_a_process_that_is_forked_after_a_host_was_opened_is_told_so(fake: Fake) -> None:
    body = """
from tiktok_shop_connector import MisconfiguredError
async def refused(awaitable):
    try:
        await awaitable
    except MisconfiguredError as error:
        return error.code == "process-forked"
async def child():
    assert await refused(host.list_shops(**named))
    assert await refused(open_host())
    await host.close()
host = asyncio.run(open_host())
process = os.fork()
if process == 0:
    asyncio.run(child())
    del host
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3
assert asyncio.run(host.list_shops(**named)) == []
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


def test_a_process_that_is_forked_before_opens_a_host_of_its_own(fake: Fake) -> None:
    body = """
process = os.fork()
host = asyncio.run(open_host())
assert asyncio.run(host.list_shops(**named)) == []
if process != 0:
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


def test_uvloop_is_an_event_loop_like_every_other(fake: Fake) -> None:
    body = """
import uvloop
async def main():
    async with await open_host() as host:
        found = await asyncio.gather(*(host.list_shops(**named) for _ in range(100)))
        assert found == [[]] * 100
uvloop.run(main())
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


def test_a_second_interpreter_of_the_process_can_not_import_the_package(fake: Fake) -> None:
    body = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
reader, writer = os.pipe()
interpreters.run_string(interpreters.create(), f'''
import os
try:
    import tiktok_shop_connector
except ImportError:
    os.write({writer}, b"refused")
else:
    os.write({writer}, b"imported")
''')
assert os.read(reader, 8) == b"refused"
assert asyncio.run(open_host()).plugin
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


async def test_many_requests_in_flight_do_not_block_the_event_loop(stage: Stage) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await asyncio.gather(*(stage.host.list_shops(**NAMED) for _ in range(200)))
    counting.cancel()
    # At most 16 replies are read in one turn of the loop.
    assert turns > 200 // 16


def test_the_module_holds_no_file_of_a_closed_loop(fake: Fake) -> None:
    body = """
host = asyncio.run(open_host())
def files():
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
asyncio.run(host.list_shops(**named))
before = files()
for _ in range(20):
    asyncio.run(host.list_shops(**named))
assert files() <= before + 2, (before, files())
"""
    assert run(opened_in_memory(fake, "[app]", body)) == 0


def test_the_environment_of_the_tests_is_a_fresh_one() -> None:
    """The package under test comes from its wheel, and not from the sources beside the tests."""
    import tiktok_shop_connector

    assert Path(tiktok_shop_connector.__file__).is_relative_to(sys.prefix)
    assert "PYTHONPATH" not in os.environ
