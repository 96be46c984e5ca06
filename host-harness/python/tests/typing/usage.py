"""A platform that is checked with `mypy --strict`. Nobody runs it."""

from datetime import datetime

from typing_extensions import assert_type

from tiktok_shop_connector import (
    App,
    CallResponse,
    Connection,
    EndedRequest,
    Host,
    RetryAfterError,
    Secret,
    Swept,
    TikTokShopError,
    Webhook,
    with_retries,
)


async def apps(tenant: str) -> list[App]:
    return [{"app_key": tenant, "app_secret": Secret("secret")}]


def observe(ended: EndedRequest) -> None:
    assert_type(ended.seconds, float)


async def handle(webhook: Webhook) -> None:
    assert_type(webhook.occurred_at, datetime | None)


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
        await host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=handle)
        await host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=received.append)
    opened = await Host.open(storage="memory:", keys="drawn", apps=[])
    await opened.close()


def wait(error: TikTokShopError) -> None:
    assert_type(error.retry_after_ms, int | None)
    if isinstance(error, RetryAfterError):
        assert_type(error.retry_after_ms, int)
