"""A platform without an event loop that is checked with `mypy --strict`. Nobody runs it."""

import threading

from typing_extensions import assert_type

from tiktok_shop_connector import (
    CallResponse,
    Connection,
    Secret,
    SharedConnections,
    Shop,
    Swept,
    Webhook,
    WebhookReply,
)
from tiktok_shop_connector.blocking import Host, with_retries
from tiktok_shop_connector.types import Erased


def handle(webhook: Webhook) -> None:
    assert_type(webhook.event_type, int)


def platform(stop: threading.Event) -> None:
    received: list[Webhook] = []
    with Host.open(storage="memory:", keys={"file": "keys"}, apps=[]) as host:
        assert_type(host, Host)
        assert_type(host.plugin, str)
        assert_type(host.begin_consent(tenant="acme", customer="c", browser="session"), Secret)
        assert_type(host.finish_consent(tenant="acme", browser="session", query=Secret("query")), Connection)
        assert_type(host.list_shops(tenant="acme", customer="c"), list[Shop])
        call = host.call(tenant="acme", customer="c", shop="1", method="POST", path="/a", query={"n": 1}, body={})
        assert_type(call, CallResponse)
        assert_type(with_retries(10, lambda: host.sweep(stop=stop)), Swept)
        assert_type(host.shared_connections(tenant="acme", customer="c", shop="1", stop=stop), SharedConnections)
        assert_type(host.check_host_keys(tenants=["acme"]).fits_nothing, bool)
        assert_type(host.acting_as("ana").because("case 4711").key_status().is_rotated, bool)
        reply = host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=handle)
        assert_type(reply, WebhookReply)
        host.accept_webhook(tenant="acme", authorization=None, body=b"", handle=received.append)
        host.check_keys()
    opened = Host.open(storage="memory:", keys="drawn", apps=[])
    assert_type(opened, Host)
    opened.close()


def erase(host: Host) -> Erased | None:
    return host.erase_tenant(tenant="acme")
