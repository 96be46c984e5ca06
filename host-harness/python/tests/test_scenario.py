"""Runs the scenario file (`tests/scenario` of the repository) on the package, with a storage in Python."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest

from fake import Fake
from memory_storage import MemoryStorage
from stage import COMPILED_CACHE, TENANT
from tiktok_shop_connector import Connection, Host, TikTokShopError, blocking

STATE: Final = "st-8kQ2vXw0Zr5LmN7pTfBh3A"
KEYS: Final = {"text": f"scenario:{'5a' * 32}"}
OTHER_KEYS: Final = {"text": f"other:{'3c' * 32}"}
SCENARIOS: Final = json.loads(Path(os.environ["TIKTOK_SHOP_SCENARIO"]).read_text())["scenarios"]

#: The functions of the storage that a scenario names.
FUNCTIONS: Final = {
    "accounts": "accounts",
    "load_token": "load(tokens)",
    "swap_token": "swap(tokens)",
    "list_rows": "list",
    "load_row": "load(rows)",
    "swap_row": "swap(rows)",
    "owners": "owners",
}


class Intercepted:
    """A storage that lets the scenario act before each function."""

    def __init__(self, play: Play, storage: MemoryStorage) -> None:
        self._play = play
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        async def called(**arguments: Any) -> Any:
            await self._play.before(FUNCTIONS.get(name))
            return getattr(self._storage, name)(**arguments)

        return called


async def open_host(**options: Any) -> Host:
    return await Host.open(**options)


async def open_blocking_host(**options: Any) -> Host:
    """Opens a blocking host. Each of its functions runs in a thread, so that the scenario can await it."""
    host = await asyncio.to_thread(blocking.Host.open, **options)

    class InThreads:
        def __getattr__(self, name: str) -> Any:
            async def called(**arguments: Any) -> Any:
                return await asyncio.to_thread(getattr(host, name), **arguments)

            return called

    return cast(Host, InThreads())


class Play:
    """One scenario: a fresh fake, an empty storage and a host."""

    def __init__(self, fake: Fake, open_host: Callable[..., Awaitable[Host]], settings: dict[str, int]) -> None:
        self.fake = fake
        self.open_host = open_host
        self.settings = settings
        self.storage: Any = Intercepted(self, MemoryStorage(lambda: time.monotonic() + self.ahead))
        self.host: Host | None = None
        self.callback = ""
        self.ahead = 0
        self.throws: dict[str, Any] | None = None
        self.races: dict[str, list[dict[str, Any]]] = {}
        self.arranged = {"upstream": "up", "ciphers": "readable"}
        self.mismatch: AssertionError | None = None

    async def open(self) -> None:
        """Opens the host anew, with what the steps have arranged."""
        await self.close()
        wait, save = self.settings.get("request-deadline-ms"), self.settings.get("save-deadline-ms")
        deadlines: Any = {
            **({"first_byte_ms": wait, "between_bytes_ms": wait} if wait else {}),
            **({"save_ms": save} if save else {}),
        }
        keys: Any = KEYS if self.arranged["ciphers"] == "readable" else OTHER_KEYS
        # The host opens only if the fake answers. If the scenario needs a fake that is down, start a second fake, open
        # the host with it, and then stop it.
        down = None if self.arranged["upstream"] == "up" else Fake()
        try:
            self.host = await self.open_host(
                storage=self.storage,
                keys=keys,
                apps=[self.fake.app_of(TENANT)],
                fake=(down or self.fake).url,
                deadlines=deadlines,
                compiled_cache=COMPILED_CACHE,
            )
        finally:
            if down is not None:
                down.stop()
        await self.host.advance_clock(seconds=self.ahead)

    async def close(self) -> None:
        if self.host is not None:
            await self.host.close()

    async def before(self, name: str | None) -> None:
        """Runs before each function of the storage."""
        for step in self.races.pop(name or "", []):
            try:
                await self.check(step["call"], step["with"], step["expect"])
            except AssertionError as error:
                # The host takes every exception here for a failure of the storage.
                self.mismatch = error
        if self.throws is None or self.throws["function"] != name:
            return
        if self.throws["after"] > 0:
            self.throws["after"] -= 1
        elif self.throws["times"] != 0:
            if self.throws["times"] is not None:
                self.throws["times"] -= 1
            raise ConnectionError("the scenario lets the storage throw")

    async def step(self, step: dict[str, Any]) -> None:
        kind = next(iter(step))
        value = step[kind]
        await getattr(self, f"step_{kind.replace('-', '_')}")(value, step)

    async def step_call(self, value: str, step: dict[str, Any]) -> None:
        await self.check(value, step["with"], step["expect"])
        if value == "receive-webhook" and "ok" in step["expect"]:
            number = self.fake.ask("GET", "/webhooks")[0]["number"]
            self.fake.ask("POST", f"/webhooks/{number}/answer", {"status": 200})

    async def step_consent(self, value: dict[str, Any], _step: object) -> None:
        consent = {"service_id": self.fake.app["service_id"], "state": STATE, **value}
        self.callback = self.fake.ask("POST", "/consent", consent)["callback_query"]

    async def step_advance(self, value: int, _step: object) -> None:
        self.fake.ask("POST", "/clock/advance", {"seconds": value})
        assert self.host is not None
        await self.host.advance_clock(seconds=value)
        self.ahead += value

    async def step_fault(self, value: object, _step: object) -> None:
        self.fake.ask("POST", "/faults", value)

    async def step_switches(self, value: object, _step: object) -> None:
        self.fake.ask("PATCH", "/switches", value)

    async def step_seller(self, value: str, step: dict[str, Any]) -> None:
        self.fake.ask("POST", f"/sellers/{value}/{step['does']}", {"service_id": self.fake.app["service_id"]})

    async def step_requests(self, value: dict[str, int], _step: object) -> None:
        counts: dict[str, int] = {}
        for request in self.fake.ask("GET", "/requests"):
            counts[request["path"]] = counts.get(request["path"], 0) + 1
        self.fake.ask("DELETE", "/requests")
        assert counts == value

    async def step_storage_throws(self, value: dict[str, Any] | None, _step: object) -> None:
        self.throws = value and dict(value)

    async def step_race(self, value: dict[str, Any], _step: object) -> None:
        self.races[value["before"]] = value["steps"]

    async def step_upstream(self, value: str, _step: object) -> None:
        self.arranged["upstream"] = value
        await self.open()

    async def step_ciphers(self, value: str, _step: object) -> None:
        self.arranged["ciphers"] = value
        await self.open()

    async def check(self, name: str, values: dict[str, Any], expected: Any) -> None:
        """Makes a call, and compares its outcome with the expectation."""
        try:
            actual: dict[str, Any] = {"ok": await getattr(self, f"call_{name.replace('-', '_')}")(**values)}
        except TikTokShopError as error:
            actual = {"error": error.action, "code": error.code}
        assert self.mismatch is None, f"in the race: {self.mismatch}"
        assert matches(expected, actual), f"{name}\n  expected {expected}\n  but was  {actual}"

    # The exports that a scenario calls. Each function returns the value that the file describes.

    async def call_connect(self, customer: str, shops: Any, state: str = STATE) -> Any:
        assert self.host is not None
        grant = {"query": self.callback, "state": state}
        return shown(await self.host.connect(tenant=TENANT, customer=customer, shop_policy=shops, **grant))

    async def call_refresh(self, customer: str, rotation: Any) -> Any:
        assert self.host is not None
        refreshed = await self.host.refresh(tenant=TENANT, customer=customer, mode=rotation)
        return {"effect": refreshed.effect, "connection": shown(refreshed.connection)}

    async def call_list_shops(self, customer: str) -> Any:
        assert self.host is not None
        return [shop.id for shop in await self.host.list_shops(tenant=TENANT, customer=customer)]

    async def call_list_connections(self, customer: str) -> Any:
        assert self.host is not None
        return [shown(one) for one in await self.host.list_connections(tenant=TENANT, customer=customer)]

    async def call_call(self, method: str, **values: Any) -> Any:
        assert self.host is not None
        named: Any = {**values, "method": method.upper()}
        answer = await self.host.call(tenant=TENANT, **named)
        return {"http-status": answer.http_status, "code": answer.code}

    async def call_disconnect(self, customer: str, target: str, remote: Any) -> Any:
        assert self.host is not None
        assert target == "all"
        ended = await self.host.disconnect(tenant=TENANT, customer=customer, tiktok_access=remote)
        not_revoked = [one.shop for one in ended.not_revoked]
        return {"remaining": [shown(one) for one in ended.remaining], "not-revoked": not_revoked}

    async def call_receive_webhook(self, body: str) -> Any:
        assert self.host is not None
        authorization, sent = self.fake.webhook()
        sent += b" " if body == "tampered" else b""
        webhook = await self.host.receive_webhook(tenant=TENANT, authorization=authorization, body=sent)
        owners = [{"customer": owner.customer, "may-use": owner.may_use} for owner in webhook.owners]
        return {"event-type": webhook.event_type, "shop": webhook.shop, "effect": webhook.effect, "owners": owners}


def shown(connection: Connection) -> dict[str, Any]:
    """What the scenario file says about a connection."""
    shops = [
        {"id": shop.id, "standing": shop.standing, "linked": shop.linked, "cipher": shop.has_cipher}
        for shop in connection.shops
    ]
    failure = connection.last_failure
    return {
        "customer": connection.customer,
        "seller": connection.seller_name,
        "status": connection.status,
        "shops": shops,
        "last-failure": None if failure is None else failure.code,
    }


def matches(expected: Any, actual: Any) -> bool:
    """A dict matches if its members match those of the same name. Everything else must be equal."""
    if isinstance(expected, list):
        is_list = isinstance(actual, list) and len(expected) == len(actual)
        return is_list and all(matches(one, other) for one, other in zip(expected, actual, strict=True))
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(matches(it, actual.get(name)) for name, it in expected.items())
    return bool(expected == actual) and type(expected) is type(actual)


@pytest.mark.parametrize("opening", [open_host, open_blocking_host], ids=["async", "blocking"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: dict[str, Any], opening: Callable[..., Awaitable[Host]], fake: Fake) -> None:
    play = Play(fake, opening, scenario.get("host", {}))
    await play.open()
    try:
        for number, step in enumerate(scenario["steps"], 1):
            try:
                await play.step(step)
            except AssertionError as error:
                raise AssertionError(f"step {number}: {error}") from error
    finally:
        await play.close()
