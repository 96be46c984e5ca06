"""Host keys of a provider that is written in Python, and of a key service."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import bao
from conftest import Stages
from fake import Fake
from memory_keys import MemoryKeys, TenantKeys
from stage import NAMED, TENANT
from tiktok_shop_connector import (
    Host,
    HostKeyCheck,
    HostKeyUnavailable,
    HostKeyUnknown,
    InvalidRequestError,
    MisconfiguredError,
    Refused,
    StorageFailedError,
    TikTokShopError,
    WrappedDataKey,
)

NOTHING_WRAPPED = "wrap of the key provider must return the id of a host key, and 1 to 16384 bytes"


def stored(folder: Path, keys: object) -> dict[str, Any]:
    """The options of a host with a database in this folder."""
    return {"storage": f"sqlite:{folder / 'a.sqlite'}", "tables": "create", "keys": keys}


def shown(error: TikTokShopError) -> str:
    return f"{error!s} {error!r} {error.__cause__!r} {error.__context__!r}"


async def test_a_provider_in_python_opens_the_database_again_and_another_one_does_not(
    stages: Stages, tmp_path: Path
) -> None:
    keys = MemoryKeys()
    stage = await stages.open(**stored(tmp_path, keys))
    account = (await stage.connected()).account
    await stage.host.check_keys()
    await stage.host.close()
    again = (await stages.open(**stored(tmp_path, keys))).host
    assert [one.account for one in await again.list_connections(**NAMED)] == [account]
    assert len(await again.list_shops(**NAMED)) == 1
    await again.close()
    other = (await stages.open(**stored(tmp_path, MemoryKeys()))).host
    with pytest.raises(StorageFailedError, match="does not unwrap this data key"):
        await other.access_token(**NAMED)


class OwnCode(HostKeyUnknown):
    code = 503  # type: ignore[assignment,misc]


class OwnText(HostKeyUnavailable):
    def __str__(self) -> str:
        raise LookupError(self.args[0])


class Failing(MemoryKeys):
    """Fails with an exception whose text contains the data key."""

    def __init__(self, failure: type[BaseException], text: str) -> None:
        super().__init__()
        self._failure, self._text = failure, text

    async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> NoReturn:
        self.seen.add(data_key)
        raise self._failure(self._text.format(key=data_key.hex()))


@pytest.mark.parametrize(
    ("failure", "text", "expected"),
    [
        (ConnectionError, "CANARY {key}", "wrap raised ConnectionError of builtins"),
        (HostKeyUnavailable, "the service is sealed; unseal it", "the service is sealed; unseal it"),
        (Refused, "CANARY {key}", "wrap raised RuntimeError of builtins"),
        (OwnCode, "CANARY {key}", "the key provider has no such host key"),
        (OwnText, "CANARY {key}", r"wrap raised OwnText of \w+"),
    ],
)
async def test_a_provider_that_fails_makes_calls_fail_and_nothing_secret_is_shown(
    stages: Stages,
    caplog: pytest.LogCaptureFixture,
    failure: type[BaseException],
    text: str,
    expected: str,
) -> None:
    caplog.set_level(logging.DEBUG, "tiktok_shop_connector")
    keys = Failing(failure, text)
    stage = await stages.open(keys=keys)
    with pytest.raises(StorageFailedError, match=expected) as raised:
        await stage.connected()
    everything = (shown(raised.value) + caplog.text).lower()
    assert "canary" not in everything
    assert len(keys.seen) == 1
    for key in keys.seen:
        assert key.hex() not in everything
        assert base64.b64encode(key).decode().lower() not in everything


@pytest.mark.parametrize(
    ("function", "result", "expected"),
    [
        ("wrap", None, NOTHING_WRAPPED),
        ("wrap", "CANARY", NOTHING_WRAPPED),
        ("wrap", {"host_key": "CANARY", "bytes": "CANARY"}, NOTHING_WRAPPED),
        ("wrap", {"host_key": "CANARY", "bytes": b""}, NOTHING_WRAPPED),
        ("wrap", {"host_key": "CANARY CANARY", "bytes": b"CANARY"}, NOTHING_WRAPPED),
        ("wrap", {"host_key": "CANARY\ud800", "bytes": b"CANARY"}, "wrap returned a value of a type"),
        ("wrap", {"host_key": 7, "bytes": b"CANARY"}, NOTHING_WRAPPED),
        ("unwrap", b"CANARY", "unwrap of the key provider must return 32 bytes"),
        ("unwrap", "CANARY", "unwrap of the key provider must return 32 bytes"),
        ("unwrap", None, "unwrap of the key provider must return 32 bytes"),
        ("unwrap", bytes(32), "does not unwrap this data key"),
    ],
)
async def test_a_malformed_result_is_named_and_not_shown(
    stages: Stages, function: str, result: object, expected: str
) -> None:
    keys = MemoryKeys()
    setattr(keys, function, lambda **_: result)
    stage = await stages.open(keys=keys)
    with pytest.raises(StorageFailedError, match=expected) as raised:
        await stage.connected()
    assert "CANARY" not in shown(raised.value)


async def test_a_provider_that_returns_the_data_key_as_the_wrapped_key_is_refused(stages: Stages) -> None:
    class Plain(MemoryKeys):
        async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> WrappedDataKey:
            return {"host_key": "host-1", "bytes": data_key}

    stage = await stages.open(keys=Plain())
    with pytest.raises(StorageFailedError, match="wrap of the key provider returned the data key unencrypted"):
        await stage.connected()


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"unwrap": None}, "keys: the object has no function unwrap"),
        ({"wrap": "CANARY"}, "keys: the object has no function wrap"),
        ({"current_for": "CANARY"}, "keys: current_for is no function"),
        ({"destroy": print}, "keys: a provider with destroy needs current_for"),
    ],
)
def test_an_object_that_is_no_provider_is_refused(members: dict[str, Any], expected: str) -> None:
    keys: Any = MemoryKeys()
    for name, member in members.items():
        setattr(keys, name, member)
    with pytest.raises(TypeError, match=expected) as raised:
        Host.open(storage="memory:", keys=keys, apps=[])
    assert "CANARY" not in repr(raised.value)


async def test_after_the_provider_has_another_current_key_new_data_keys_use_it_and_earlier_ones_open(
    stages: Stages, tmp_path: Path
) -> None:
    async def status(host: Host) -> tuple[str, bool, list[str | None]]:
        found = await host.key_status()
        return found.current, found.is_rotated, [key.host_key for key in found.keys]

    keys = MemoryKeys()
    stage = await stages.open(**stored(tmp_path, keys))
    await stage.connected()
    assert await status(stage.host) == ("host-1", True, ["host-1"])
    assert (await stage.host.rotate_keys()).added == 0
    keys.promote("host-2")
    assert await status(stage.host) == ("host-2", False, ["host-1"])
    await stage.host.close()
    again = await stages.open(**stored(tmp_path, keys))
    assert (await again.host.access_token(**NAMED)).token.expose() != ""
    await again.host.erase_tenant(tenant=TENANT)
    await again.connected()
    assert await status(again.host) == ("host-2", True, ["host-2"])


async def test_a_provider_with_a_key_for_each_tenant_destroys_the_key_of_an_erased_tenant(stages: Stages) -> None:
    keys = TenantKeys()
    stage = await stages.open(keys=keys)
    await stage.connected()
    host_key = f"tenants.{TENANT}:v1"
    status = await stage.host.key_status()
    assert (status.current, status.keys[0].host_key, status.keys[0].current) == ("tenants.*", host_key, host_key)
    erased = await stage.host.erase_tenant(tenant=TENANT)
    assert erased is not None
    assert (erased.connections, erased.host_key, erased.next) == (1, "destroyed", None)
    assert keys.destroyed == [(TENANT, [host_key])]


async def test_a_key_that_the_provider_must_keep_is_named_with_the_next_step(stages: Stages) -> None:
    class Keeping(TenantKeys):
        async def destroy(self, *, tenant: str, wrapped_by: list[str]) -> Any:
            return {"outcome": "not-allowed", "key": "k", "next": "ask the administrator"}

    stage = await stages.open(keys=Keeping())
    await stage.connected()
    erased = await stage.host.erase_tenant(tenant=TENANT)
    assert erased is not None
    assert (erased.host_key, erased.next) == ("not-allowed", "ask the administrator")


async def test_a_database_moves_from_a_key_file_to_a_provider(stages: Stages, tmp_path: Path) -> None:
    file = str(tmp_path / "host-keys")
    stage = await stages.open(**stored(tmp_path, {"file_or_new": file}))
    await stage.connected()
    await stage.host.close()
    moved = (await stages.open(**stored(tmp_path, MemoryKeys()), earlier_keys={"file": file})).host
    assert (await moved.access_token(**NAMED)).token.expose() != ""
    assert not (await moved.key_status()).is_rotated
    await moved.close()
    with pytest.raises(InvalidRequestError, match="`earlier_keys`: only for a key service"):
        await stages.open(**stored(tmp_path, {"file": file}), earlier_keys={"file": file})


async def test_a_file_of_host_keys_may_be_a_path(stages: Stages, tmp_path: Path) -> None:
    made = await stages.open(**stored(tmp_path, {"file_or_new": tmp_path / "host-keys"}))
    current = (await made.host.key_status()).current
    await made.host.close()
    opened = await stages.open(**stored(tmp_path, {"file": tmp_path / "host-keys"}))
    assert (await opened.host.key_status()).current == current
    await opened.host.close()
    moved = await stages.open(**stored(tmp_path, MemoryKeys()), earlier_keys={"file": tmp_path / "host-keys"})
    assert (await moved.host.key_status()).current == "host-1"


async def test_the_check_at_the_start_names_host_keys_that_open_nothing(stages: Stages, tmp_path: Path) -> None:
    stage = await stages.open(**stored(tmp_path, {"file_or_new": tmp_path / "host-keys"}))
    assert (await stage.host.check_host_keys()).found_no_data_key
    await stage.connected()
    current = (await stage.host.key_status()).current
    for tenants in (None, [TENANT], ["another-tenant"]):
        checked = await stage.host.check_host_keys(tenants=tenants)
        assert checked == HostKeyCheck([current], [], False, False, False)
    with pytest.raises(TypeError, match="tenants: the type is str, and must be a list of str"):
        await stage.host.check_host_keys(tenants=TENANT)
    await stage.host.close()
    other = (await stages.open(**stored(tmp_path, {"file_or_new": tmp_path / "other-host-keys"}))).host
    checked = await other.check_host_keys()
    assert (checked.fits_nothing, checked.usable) == (True, [])
    assert [one.host_key for one in checked.unusable] == [current]


async def test_a_provider_that_does_not_answer_does_not_mean_that_the_keys_do_not_fit(
    stages: Stages, tmp_path: Path
) -> None:
    class Away(MemoryKeys):
        async def unwrap(self, *, tenant: str, wrapped: WrappedDataKey, context: bytes) -> NoReturn:
            raise HostKeyUnavailable("the service is sealed")

    stage = await stages.open(**stored(tmp_path, MemoryKeys()))
    await stage.connected()
    await stage.host.close()
    checked = await (await stages.open(**stored(tmp_path, Away()))).host.check_host_keys()
    assert (checked.fits_nothing, checked.nothing_available) == (False, True)
    assert [one.reason for one in checked.unusable] == ["unavailable"]


@pytest.mark.parametrize(
    ("settings", "code", "expected"),
    [
        ({"auth": "approle", "role_id": "c"}, "invalid-argument", "the key service: this `auth` needs `secret_id`"),
        (
            {"auth": "token-file", "token_file": "f", "token": "CANARY"},
            "invalid-argument",
            "the key service: `token` is not used with this `auth`; remove it",
        ),
        (
            {"auth": "CANARY"},
            "invalid-argument",
            "`keys.key_service.auth` has the wrong type or form: expected one of `token`, `token-file`, `approle`, ",
        ),
        ({"auth": "token", "tokem": "CANARY"}, "invalid-argument", "unknown field `tokem`, expected one of `address`"),
        ({"address": "http://10.0.0.1", "auth": "token", "token": "CANARY"}, "host-keys", "key service: address: "),
    ],
)
async def test_wrong_settings_of_a_key_service_are_named_and_secrets_are_not_shown(
    stages: Stages, settings: dict[str, Any], code: str, expected: str
) -> None:
    service = {"address": "https://bao.internal:8200", **settings}
    with pytest.raises((InvalidRequestError, MisconfiguredError), match=expected) as raised:
        await stages.open(keys={"key_service": service})
    assert raised.value.code == code
    assert "CANARY" not in shown(raised.value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[bao.Bao]:
    if not bao.PROGRAM:
        assert os.environ.get("CI") != "true", "TIKTOK_SHOP_TEST_BAO names no program"
        pytest.skip("there is no program bao; install it with .ci/openbao, or name it in TIKTOK_SHOP_TEST_BAO")
    folder = tmp_path / "bao"
    folder.mkdir()
    server = bao.Bao(bao.PROGRAM, folder)
    yield server
    server.stop()


async def test_a_key_service_keeps_the_host_keys(stages: Stages, server: bao.Bao, tmp_path: Path) -> None:
    service = {"address": server.address, "auth": "token", "token": server.token, "prefix": "platform"}
    options = stored(tmp_path, {"key_service": service})
    stage = await stages.open(**options)
    await stage.connected()
    name = f"platform-fake.{TENANT}"
    assert [key.host_key for key in (await stage.host.key_status()).keys] == [f"{name}:v1"]
    await stage.host.close()
    again = (await stages.open(**options)).host
    assert (await again.access_token(**NAMED)).token.expose() != ""
    server.ask("POST", f"transit/keys/{name}/rotate")
    assert [key.current for key in (await again.key_status()).keys] == [f"{name}:v2"]
    await again.close()
    refused = (await stages.open(**stored(tmp_path, {"key_service": {**service, "token": "CANARY-CANARY"}}))).host
    with pytest.raises(StorageFailedError) as raised:
        await refused.check_keys()
    assert "CANARY" not in shown(raised.value)
    await refused.close()
    last = (await stages.open(**options)).host
    erased = await last.erase_tenant(tenant=TENANT)
    assert erased is not None
    assert erased.host_key == "destroyed"


async def test_the_functions_of_a_provider_run_on_the_event_loop_of_the_host(fake: Fake) -> None:
    loops: set[object] = set()

    class Watched(MemoryKeys):
        def current(self) -> str:
            loops.add(asyncio.get_running_loop())
            return super().current()

    app = fake.app_of(TENANT)
    async with Host.open(storage="memory:", keys=Watched(), apps=[app], fake=fake.url) as host:
        await host.key_status()
    assert loops == {asyncio.get_running_loop()}
