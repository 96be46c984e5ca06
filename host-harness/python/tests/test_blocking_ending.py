"""Nothing that stops waiting for the blocking host cuts off a save, and nothing blocks for ever."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from conftest import BlockingStages, usual
from fake import Fake
from memory_keys import MemoryKeys
from memory_storage import MemoryStorage
from stage import BROWSER, COMPILED_CACHE, EIGHT_DAYS, NAMED, TENANT, BlockingStage
from test_blocking import app_of, join_function_threads, webhook_of
from tiktok_shop_connector import App, Connection, InvalidRequestError, Webhook, WebhookReply, blocking

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

KEYS: Final = {"text": f"host:{'5a' * 32}"}
CLOSED: Final = r"^host-closed: "


class Watched:
    """A storage that calls functions of the test before its own functions, on another thread."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self.before: dict[str, Callable[[], object]] = {}

    def __getattr__(self, name: str) -> Any:
        async def called(**arguments: Any) -> Any:
            if name in self.before:
                await asyncio.to_thread(self.before.pop(name))
            return getattr(self._storage, name)(**arguments)

        return called


def stored(stage: BlockingStage, storage: object) -> Connection:
    """Opens the storage with another host, and returns the stored connection."""
    options = usual(stage.fake, {"storage": storage, "keys": KEYS, "compiled_cache": COMPILED_CACHE})
    with blocking.Host.open(**options) as host:
        (connection,) = host.list_connections(**NAMED)
        return connection


def interrupt_main_thread() -> None:
    """Does what Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


# An interrupted wait.


def test_an_interrupt_ends_the_waiting_and_not_the_refresh(blocking_stages: BlockingStages) -> None:
    storage: Any = Watched()
    stage = blocking_stages.open(storage=storage, keys=KEYS)
    before = stage.connected()
    stage.advance(EIGHT_DAYS)
    interrupted = threading.Event()

    def interrupt() -> None:
        interrupt_main_thread()
        assert interrupted.wait(8)

    storage.before["swap_token"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.host.refresh(**NAMED, mode="forced")
    interrupted.set()
    # The late reply does not reach a later request.
    while stage.host.list_connections(**NAMED) == [before]:
        pass
    stage.host.close()
    assert stored(stage, storage).refreshed_at > before.refreshed_at


def test_an_interrupted_sweep_begins_nothing_else(blocking_stages: BlockingStages) -> None:
    storage: Any = Watched()
    stage = blocking_stages.open(storage=storage)
    for number in range(3):
        stage.connected(customer=f"customer-{number}")
    stage.advance(EIGHT_DAYS)
    stopped = threading.Event()

    def interrupt() -> None:
        interrupt_main_thread()
        assert stopped.wait(8)

    # During the first refresh.
    storage.before["swap_token"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.host.sweep(jitter_seconds=0, concurrency=1)
    stopped.set()
    stage.host.close()
    paths = [request["path"] for request in stage.fake.ask("GET", "/requests")]
    assert paths.count("/api/v2/token/refresh") == 1


def test_an_interrupt_before_handle_lets_the_webhook_fail(blocking_stages: BlockingStages) -> None:
    storage: Any = Watched()
    stage = blocking_stages.open(storage=storage)
    delivery = webhook_of(stage)
    interrupted = threading.Event()

    def interrupt() -> None:
        interrupt_main_thread()
        assert interrupted.wait(8)

    storage.before["knows_webhook"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.host.accept_webhook(**delivery, handle=repr)
    interrupted.set()
    # Nobody can answer the call of `handle` any more. Nevertheless, `close` does not wait for ever.
    in_time(stage.host.close)


def test_an_interrupt_in_handle_lets_the_webhook_fail(blocking_stage: BlockingStage) -> None:
    delivery = webhook_of(blocking_stage)

    def handle(_webhook: Webhook) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        blocking_stage.host.accept_webhook(**delivery, handle=handle)
    assert blocking_stage.host.accept_webhook(**delivery, handle=repr).reply == "handled"


def test_a_signal_handler_may_call_the_host_during_a_request(blocking_stages: BlockingStages) -> None:
    answered = threading.Event()
    found: list[object] = []

    def on_signal(_number: int, _frame: object) -> None:
        found.append(stage.host.list_connections(**NAMED))
        answered.set()

    def apps(_tenant: str) -> list[App]:
        if not answered.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            assert answered.wait(8)
        return [app_of(stage.fake)]

    stage = blocking_stages.open(apps=apps)
    earlier = signal.signal(signal.SIGUSR1, on_signal)
    try:
        assert stage.connected().status == "active"
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert found == [[]]


def in_time(call: Callable[[], object]) -> object:
    """Makes a call in a thread of its own, which must end soon."""
    ended: Future[object] = Future()

    def run() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended.result(60)


# Stop and close.


def test_an_event_stops_a_sweep_of_another_thread(blocking_stage: BlockingStage) -> None:
    blocking_stage.connected()
    blocking_stage.advance(EIGHT_DAYS)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        sweeping = threads.submit(blocking_stage.host.sweep, jitter_seconds=3600, stop=stop)
        stop.set()
        swept = sweeping.result(30)
    assert (swept.stopped, swept.refreshed, swept.left) == (True, 0, 1)


def test_a_sweep_ends_without_its_event(blocking_stage: BlockingStage) -> None:
    assert not blocking_stage.host.sweep(jitter_seconds=0, stop=threading.Event()).stopped


def wait_until_closed(host: blocking.Host) -> None:
    """Waits until the host refuses requests."""
    code = ""
    while not code:
        try:
            host.key_status()
        except InvalidRequestError as error:
            code = error.code
    assert code == "host-closed"


def test_close_waits_for_the_requests_of_other_threads_and_refuses_further_ones(
    blocking_stages: BlockingStages,
) -> None:
    storage: Any = Watched()
    stage = blocking_stages.open(storage=storage, keys=KEYS)
    before = stage.connected()
    stage.advance(EIGHT_DAYS)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(8)

    storage.before["swap_token"] = wait
    with ThreadPoolExecutor(3) as threads:
        refreshing = threads.submit(stage.host.refresh, **NAMED, mode="forced")
        begun.wait()
        closing = [threads.submit(stage.host.close) for _ in range(2)]
        wait_until_closed(stage.host)
        assert not any(one.done() for one in closing)
        go_on.set()
        assert refreshing.result(30).effect == "renewed"
        for one in closing:
            one.result(30)
    stage.host.close()
    join_function_threads()
    assert stored(stage, storage).refreshed_at > before.refreshed_at


def test_close_ends_the_sweep_and_the_rotation_of_other_threads(blocking_stages: BlockingStages) -> None:
    storage: Any = Watched()
    keys = MemoryKeys()
    stage = blocking_stages.open(storage=storage, keys=keys)
    stage.connected()
    stage.advance(EIGHT_DAYS)
    keys.promote("host-2")
    both_begun, go_on = threading.Barrier(3), threading.Event()

    def wait() -> None:
        both_begun.wait(8)
        assert go_on.wait(8)

    storage.before["due"] = storage.before["key_uses"] = wait
    with ThreadPoolExecutor(3) as threads:
        sweeping = threads.submit(stage.host.sweep, jitter_seconds=0, stop=threading.Event())
        rotating = threads.submit(stage.host.rotate_keys)
        both_begun.wait(8)
        closing = threads.submit(stage.host.close)
        wait_until_closed(stage.host)
        go_on.set()
        assert sweeping.result(30).stopped
        with pytest.raises(InvalidRequestError, match=r"^host-closed: .* the next rotation continues there$"):
            rotating.result(30)
        closing.result(30)


def test_close_in_handle_is_refused_because_it_would_wait_for_itself(blocking_stage: BlockingStage) -> None:
    delivery, host = webhook_of(blocking_stage), blocking_stage.host
    text = "close: this thread receives a webhook of the host"

    def handle(_webhook: Webhook) -> None:
        assert host.accept_webhook(tenant=TENANT, authorization=None, body=b"{}", handle=repr).status == 401
        with pytest.raises(RuntimeError, match=text):
            host.acting_as("ana").close()

    assert in_time(lambda: host.accept_webhook(**delivery, handle=handle)) == WebhookReply(200, "handled", None)
    host.close()


def test_close_in_a_signal_handler_before_handle_is_refused(blocking_stages: BlockingStages) -> None:
    storage: Any = Watched()
    stage = blocking_stages.open(storage=storage)
    delivery = webhook_of(stage)
    refused = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        with pytest.raises(RuntimeError, match=r"^close: "):
            stage.host.close()
        refused.set()

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert refused.wait(8)

    storage.before["knows_webhook"] = interrupt
    earlier = signal.signal(signal.SIGUSR1, on_signal)
    try:
        assert stage.host.accept_webhook(**delivery, handle=repr).reply == "handled"
    finally:
        signal.signal(signal.SIGUSR1, earlier)


def test_the_end_of_the_block_of_a_copy_does_not_close_the_host(blocking_stage: BlockingStage) -> None:
    host = blocking_stage.host
    for copy in (host.acting_as("ana"), host.because("case 4711")):
        assert copy.plugin == host.plugin
        with copy as same:
            assert same is copy
        assert host.list_shops(**NAMED) == []
    host.acting_as("ana").close()
    with pytest.raises(InvalidRequestError, match=CLOSED):
        host.list_shops(**NAMED)


# Files and threads.


def files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


def test_threads_that_have_ended_hold_no_files(blocking_stage: BlockingStage) -> None:
    def call() -> None:
        assert blocking_stage.host.list_shops(**NAMED) == []

    call()
    before = files()
    for _ in range(200):
        in_time(call)
    assert files() <= before + 2
    # Many at the same time: 32 mailboxes with two files each are kept.
    with ThreadPoolExecutor(200) as threads:
        for _ in threads.map(lambda _: call(), range(400)):
            pass
    assert files() <= before + 64


def test_hosts_that_are_closed_hold_no_files_and_no_threads(fake: Fake) -> None:
    def open_and_close() -> None:
        with blocking.Host.open(**usual(fake, {"apps": lambda tenant: [app_of(fake)]})) as host:
            assert host.apps(tenant=TENANT) == [fake.app["app_key"]]
        join_function_threads()

    open_and_close()
    before = files()
    for _ in range(10):
        open_and_close()
    assert files() <= before + 2


# The end of the process, and forks.


def run(program: str) -> tuple[int, str]:
    """Runs a program of Python, and returns its exit status and what it prints."""
    arguments = [sys.executable, "-X", "dev", "-c", program]
    ran = subprocess.run(arguments, timeout=60, check=False, stdout=subprocess.PIPE, text=True)
    return ran.returncode, ran.stdout


def opened(fake: Fake, body: str, *, storage: str = '"memory:"', apps: str = "[app]", **options: Any) -> str:
    """Returns a program that opens a host. `storage` and `apps` are expressions of Python."""
    return f"""
import json, os, sys, threading
from tiktok_shop_connector import MisconfiguredError, blocking
from tiktok_shop_connector._waiting import Waiter
app = json.loads({json.dumps(fake.app_of(TENANT))!r})
options = json.loads({json.dumps(usual(fake, options))!r})
named = {NAMED!r}
def open_host():
    return blocking.Host.open(**{{**options, "storage": {storage}, "apps": {apps}}})
class Interrupted(Exception):
    pass
def interrupt(waiter):
    raise Interrupted
def begin(call):
    "Makes a request, and does not wait for its end."
    wait, Waiter.message = Waiter.message, interrupt
    try:
        call()
    except Interrupted:
        Waiter.message = wait
    else:
        raise AssertionError("the wait was not interrupted")
{body}
"""


ENDINGS: Final = {
    "sys.exit": ("sys.exit(3)", 3),
    "an uncaught exception": ("raise RuntimeError('this error is a part of the test')", 1),
    "the end of the program": ("pass", 0),
    # uWSGI ends so.
    "the end of the C library": (
        """
import ctypes
ctypes.CDLL(None).__cxa_atexit(ctypes.pythonapi.Py_FinalizeEx, None, None)
ctypes.PyDLL(None).exit(3)
""",
        3,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_exit_waits_until_new_tokens_are_saved(fake: Fake, tmp_path: Path, ending: str) -> None:
    options: Any = {"tables": "create", "keys": {"file_or_new": str(tmp_path / "host-keys")}}
    storage = f"sqlite:{tmp_path / 'connections.sqlite'}"
    with blocking.Host.open(**usual(fake, {**options, "storage": storage})) as host:
        before = BlockingStage(fake, host).connected()
    fake.ask("POST", "/clock/advance", {"seconds": EIGHT_DAYS})
    statement, status = ENDINGS[ending]
    body = f"""
host = open_host()
host.advance_clock(seconds={EIGHT_DAYS})
begin(lambda: host.refresh(**named, mode="forced"))
{statement}
"""
    assert run(opened(fake, body, storage=repr(storage), **options)) == (status, "")
    with blocking.Host.open(**usual(fake, {**options, "storage": storage})) as host:
        (connection,) = host.list_connections(**NAMED)
    assert connection.refreshed_at > before.refreshed_at


@pytest.mark.parametrize("keyword", ["", "async "])
def test_the_exit_waits_for_a_storage_in_python(fake: Fake, keyword: str) -> None:
    grant = fake.ask("POST", "/grants", {"service_id": fake.app["service_id"], "sellers": 1})
    body = f"""
sys.path.insert(0, {str(Path(__file__).parent)!r})
from memory_storage import MemoryStorage
class Storage(MemoryStorage):
    {keyword}def swap_token(self, *, next, **arguments):
        swapped = super().swap_token(next=next, **arguments)
        print(swapped["outcome"], flush=True)
        return swapped
host = open_host()
begin(lambda: host.import_grant(**named, refresh_token={grant["refresh_token"]!r}))
print("exit", flush=True)
"""
    status, printed = run(opened(fake, body, storage="Storage()"))
    assert status == 0
    assert printed.split()[-1] == "done"


@pytest.mark.parametrize("apps", ["[app]", "lambda tenant: threading.Event().wait()"])
def test_a_host_that_is_not_closed_does_not_keep_the_process_alive(fake: Fake, apps: str) -> None:
    body = f"""
host = open_host()
threading.Thread(target=lambda: host.sweep(jitter_seconds=3600), daemon=True).start()
begin(lambda: host.begin_consent(**named, browser={BROWSER.expose()!r}))
"""
    began = time.monotonic()
    assert run(opened(fake, body, apps=apps)) == (0, "")
    # The host would wait for the function for 10 seconds.
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("apps", ["[app]", "lambda tenant: [app_of(tenant)]"])
def test_a_process_that_is_forked_after_a_host_was_opened_is_told_so(fake: Fake, apps: str) -> None:
    body = """
def app_of(tenant):
    return {name: value for name, value in app.items() if name != "tenant"}
def refused(call):
    try:
        call()
    except MisconfiguredError as error:
        return error.code == "process-forked"
host = open_host()
assert host.list_shops(**named) == []
process = os.fork()
if process == 0:
    assert refused(lambda: host.list_shops(**named))
    assert refused(lambda: host.accept_webhook(tenant="a", authorization=None, body=b"", handle=repr))
    assert refused(open_host)
    host.close()
    del host
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3
assert host.apps(tenant=named["tenant"]) == [app["app_key"]]
host.close()
"""
    assert run(opened(fake, body, apps=apps)) == (0, "")


def test_a_fork_that_python_does_not_notice_is_told_so_and_keeps_the_requests_of_the_parent(fake: Fake) -> None:
    body = """
import ctypes
host = open_host()
assert host.list_shops(**named) == []
process = ctypes.PyDLL(None).fork()
if process == 0:
    try:
        host.list_shops(**named)
    except MisconfiguredError as error:
        print(error, flush=True)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3
assert host.list_shops(**named) == []
host.close()
"""
    status, printed = run(opened(fake, body))
    assert status == 0
    assert printed.startswith("process-forked: ")
    assert "during a request" not in printed


def test_a_process_that_is_forked_before_opens_a_host_of_its_own(fake: Fake) -> None:
    body = """
process = os.fork()
with open_host() as host:
    assert host.list_shops(**named) == []
if process != 0:
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
"""
    assert run(opened(fake, body)) == (0, "")


def test_a_process_that_is_forked_during_a_request_does_not_wait_for_its_parent(fake: Fake) -> None:
    body = """
import hashlib, hmac, time
event = {"type": 1, "tts_notification_id": "7327", "shop_id": "7490000000000000001", "timestamp": int(time.time())}
body = json.dumps({**event, "data": {}}).encode()
signed = app["app_key"].encode() + body
authorization = hmac.new(app["app_secret"].encode(), signed, hashlib.sha256).hexdigest()
children = []
def handle(webhook):
    children.append(os.fork())
with open_host() as host:
    try:
        reply = host.accept_webhook(tenant=named["tenant"], authorization=authorization, body=body, handle=handle)
    except MisconfiguredError as error:
        assert (children, error.code) == ([0], "process-forked")
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 3
    assert reply.status == 200
"""
    assert run(opened(fake, body)) == (0, "")
