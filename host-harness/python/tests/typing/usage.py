"""A platform that is checked with `mypy --strict`. Nobody runs it."""

from datetime import datetime
from pathlib import Path

from typing_extensions import assert_type

from tiktok_shop_connector import (
    App,
    CallResponse,
    Connection,
    EndedRequest,
    Host,
    HostKeys,
    KeyProvider,
    RetryAfterError,
    Secret,
    Swept,
    TikTokShopError,
    Webhook,
    WrappedDataKey,
    with_retries,
)


async def apps(tenant: str) -> list[App]:
    return [{"app_key": tenant, "app_secret": Secret("secret")}]


def observe(ended: EndedRequest) -> None:
    assert_type(ended.seconds, float)


async def handle(webhook: Webhook) -> None:
    assert_type(webhook.occurred_at, datetime | None)


class Keys:
    def current(self) -> str:
        return "host-1"

    async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> WrappedDataKey:
        return {"host_key": self.current(), "bytes": data_key + context}

    async def unwrap(self, *, tenant: str, wrapped: WrappedDataKey, context: bytes) -> bytes:
        return wrapped["bytes"]


KEYS: list[HostKeys] = [
    Keys(),
    {"file": Path("keys")},
    {"key_service": {"address": "https://bao", "auth": "approle", "role_id": "r", "secret_id": Secret("s")}},
    {"key_service": {"address": "https://bao", "auth": "kubernetes", "role": "r", "prefix": "shop", "ca_file": "ca"}},
]


async def platform() -> None:
    received: list[Webhook] = []
    async with Host.open(storage="memory:", keys={"file": "keys"}, apps=apps, on_request=observe) as host:
        connection = await host.finish_consent(tenant="acme", browser="session", query=Secret("query"))
        assert_type(connection, Connection)
        assert_type(connection.shops[0].id, str)
        assert_type(connection.connected_at, datetime)
        call = host.call(tenant="acme", customer="c", shop="1", method="POST", path="/a", query={"n": 1}, body={})
        assert_type(await call, CallResponse)
        assert_type(await with_retries(10, lambda: host.sweep()), Swept)
        assert_type(await host.apps(tenant="acme"), list[str])
        assert_type((await host.check_host_keys(tenants=["acme"])).fits_nothing, bool)
        await host.disconnect(tenant="acme", customer="c", tiktok_access="keep")
        await host.disconnect(tenant="acme", customer="c", tiktok_access="keep", shop="1")
        await host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=handle)
        await host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=received.append)
    provider: KeyProvider = Keys()
    await Host.open(storage="memory:", keys=provider, earlier_keys={"file": "keys"}, apps=[])
    opened = await Host.open(storage="memory:", keys="drawn", apps=[])
    await opened.close()


def wait(error: TikTokShopError) -> None:
    assert_type(error.retry_after_ms, int | None)
    if isinstance(error, RetryAfterError):
        assert_type(error.retry_after_ms, int)
