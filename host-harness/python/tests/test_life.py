"""The life of a connection, on each storage that the package contains."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from conftest import Stages
from stage import BROWSER, CUSTOMER, EIGHT_DAYS, NAMED, SHOP, TENANT, Stage
from tiktok_shop_connector import ConnectionName, InvalidRequestError, ReauthorizeError, Secret, Webhook

SEARCH = "/order/202309/orders/search"


@pytest.mark.parametrize("storage", ["memory", "sqlite"])
async def test_the_whole_life(stages: Stages, storage: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {}
    if storage == "sqlite":
        keys = {"file_or_new": str(tmp_path / "host-keys")}
        options = {"storage": f"sqlite:{tmp_path / 'connections.sqlite'}", "tables": "create", "keys": keys}
    stage = await stages.open(**options)
    host = stage.host
    assert host.plugin.startswith("tiktok-shop:connector@")

    await connect_and_read(stage)
    await call(stage)
    await keep_alive(stage)
    await end(stage)
    await audit(stage)

    status = await host.key_status()
    assert [key.tenant for key in status.keys] == [TENANT]
    await host.check_keys()
    erased = await host.erase_tenant(tenant=TENANT)
    assert erased is not None
    assert erased.keys == 1
    assert await host.erase_tenant(tenant="nobody") is None


async def connect_and_read(stage: Stage) -> None:
    host, connection = stage.host, await stage.connected()
    assert connection.status == "active"
    assert connection.connected_at.tzinfo is timezone.utc
    assert abs(datetime.now(timezone.utc) - connection.connected_at) < timedelta(minutes=1)
    assert [(shop.id, shop.linked, shop.usable) for shop in connection.shops] == [(SHOP, True, True)]
    assert [shop.id for shop in await host.list_shops(**NAMED)] == [SHOP]
    assert await host.list_connections(**NAMED) == [connection]
    assert await host.left_out(**NAMED) == []
    assert await host.tenant_connections(tenant=TENANT, shop=SHOP, status="active") == [connection]
    assert await host.tenant_connections(tenant=TENANT, after=connection) == []
    # An access token is a secret.
    token = await host.access_token(**NAMED, min_validity_seconds=60)
    assert isinstance(token.token, Secret)
    assert token.expires_at is not None
    assert token.expires_at > datetime.now(timezone.utc)


async def call(stage: Stage) -> None:
    bodies: list[object] = [{}, "{}", b"{}", bytearray(b"{}")]
    for body in bodies:
        answer = await stage.host.call(
            **NAMED, shop=SHOP, method="POST", path=SEARCH, query={"page_size": 1}, body=body
        )
        assert (answer.http_status, answer.code, answer.is_success) == (200, "0", True)
        assert json.loads(answer.body) == answer.json()
        assert answer.json()["code"] == 0
    account = await stage.host.call(**NAMED, method="GET", path="/authorization/202309/shops")
    assert account.is_success


async def keep_alive(stage: Stage) -> None:
    host = stage.host
    await stage.advance(EIGHT_DAYS)
    refreshed = await host.acting_as("ana").because("case 4711").refresh(**NAMED, mode="forced")
    assert (refreshed.effect, refreshed.nothing_sent) == ("renewed", None)
    await stage.advance(EIGHT_DAYS)
    swept = await host.sweep(jitter_seconds=0)
    assert (swept.refreshed, swept.failed, swept.not_refreshed) == (1, 0, [])
    unlinked = await host.link_shops(**NAMED, shops=[])
    assert not unlinked.shops[0].linked
    await host.link_shops(**NAMED, shops=[SHOP])


async def end(stage: Stage) -> None:
    """The seller removes the app. A webhook says so, and the next refresh finds out."""
    fake, host = stage.fake, stage.host
    fake.ask("POST", "/sellers/one-shop/deauthorize", {"service_id": fake.app["service_id"]})
    authorization, body = fake.webhook()
    received: list[Webhook] = []
    delivery: dict[str, Any] = {"tenant": TENANT, "authorization": authorization, "handle": received.append}
    reply = await host.accept_webhook(**delivery, body=body)
    assert (reply.status, reply.reply, reply.error) == (200, "handled", None)
    reply = await host.accept_webhook(**delivery, body=body)
    assert (reply.status, reply.reply) == (200, "repeated")
    assert (await host.accept_webhook(**delivery, body=body + b" ")).status == 401
    assert [(one.event_type, one.shop, one.effect) for one in received] == [(6, SHOP, "verification-due")]
    assert received[0].owners[0].may_use

    ended = await host.sweep(jitter_seconds=0)
    assert ended.ended == 1
    assert isinstance(ended.not_refreshed[0].error, ReauthorizeError)
    with pytest.raises(ReauthorizeError) as raised:
        await host.call(**NAMED, shop=SHOP, method="POST", path=SEARCH, body={})
    assert raised.value.action == "reauthorize"
    disconnected = await host.disconnect(**NAMED, tiktok_access="keep")
    assert [name.customer for name in disconnected.found] == [CUSTOMER]
    assert (await host.disconnect(**NAMED, tiktok_access="keep")).found == []


async def audit(stage: Stage) -> None:
    events = await stage.host.events(tenant=TENANT)
    kinds = {event.event for event in events}
    assert {"connected", "token-shown", "refresh-forced", "reauthorization-required", "disconnected"} <= kinds
    forced = next(event for event in events if event.event == "refresh-forced")
    assert (forced.actor, forced.stated_reason, forced.cause) == ("ana", "case 4711", "refresh")
    assert isinstance(forced.position, str)
    assert await stage.host.events(tenant=TENANT, after=events[-1].position) == []


async def test_a_seller_of_another_system_is_imported_and_exported_again(stages: Stages) -> None:
    stage = await stages.open(allow_export=True)
    fake, host = stage.fake, stage.host
    grant = fake.ask("POST", "/grants", {"service_id": fake.app["service_id"], "sellers": 1})
    ends = datetime.now(timezone.utc) + timedelta(days=30)
    connection = await host.import_grant(**NAMED, refresh_token=Secret(grant["refresh_token"]), refresh_token_ends=ends)
    assert connection.status == "active"
    exported = await host.export_grant(**NAMED)
    assert exported.account == connection.account
    assert exported.refresh_token.expose() != grant["refresh_token"]
    assert "ROW_" not in repr(exported)


async def test_an_install_from_the_app_store_connects_only_after_the_customer_has_confirmed_it(stage: Stage) -> None:
    fake, host = stage.fake, stage.host
    consent = {"service_id": fake.app["service_id"], "seller": "one-shop", "decision": "allow"}
    query = fake.ask("POST", "/consent", consent)["callback_query"]
    pending = await host.begin_install(**NAMED, browser=BROWSER, query=query)
    assert [shop.id for shop in pending.shops] == [SHOP]
    assert await host.list_connections(**NAMED) == []
    with pytest.raises(InvalidRequestError, match=r"^other-customer: "):
        await host.confirm_install(tenant=TENANT, customer="customer-8", browser=BROWSER, id=pending.id)
    connection = await host.confirm_install(**NAMED, browser=BROWSER, id=pending.id)
    assert connection.status == "active"


async def test_a_pending_install_is_cancelled_once(stage: Stage) -> None:
    fake, host = stage.fake, stage.host
    consent = {"service_id": fake.app["service_id"], "seller": "one-shop", "decision": "allow"}
    query = fake.ask("POST", "/consent", consent)["callback_query"]
    pending = await host.begin_install(**NAMED, browser=BROWSER, query=query)
    assert await host.cancel_install(**NAMED, browser=BROWSER, id=pending.id)
    assert not await host.cancel_install(**NAMED, browser=BROWSER, id=pending.id)


async def test_a_revocation_shows_first_which_other_customers_lose_the_shop(stage: Stage) -> None:
    account = (await stage.connected()).account
    await stage.connected(customer="customer-8")
    shared = await stage.host.shared_connections(**NAMED)
    assert [(one.customer, one.account, one.shops) for one in shared.connections] == [("customer-8", account, [SHOP])]
    assert shared.shops_not_read == []
    disconnected = await stage.host.disconnect(**NAMED, tiktok_access="revoke")
    assert [(one.account, one.shop) for one in disconnected.revoked] == [(account, SHOP)]
    assert disconnected.found == [ConnectionName(CUSTOMER, account)]


async def test_a_platform_with_its_own_state_connects_with_the_callback_or_its_code(stage: Stage) -> None:
    host, state = stage.host, "st-8kQ2vXw0Zr5LmN7pTfBh3A"
    url = await host.authorization_url(tenant=TENANT, state=state)
    query = stage.fake.decide(url.expose(), "one-shop")
    assert (await host.connect(**NAMED, query=query, state=state)).status == "active"
    with pytest.raises(InvalidRequestError, match=r"give either a code, or a query with its state"):
        await host.connect(**NAMED, code="CODE", query=query)


async def test_host_keys_of_a_file_are_added_and_promoted(stages: Stages, tmp_path: Path) -> None:
    stage = await stages.open(keys={"file_or_new": str(tmp_path / "host-keys")})
    before = (await stage.host.key_status()).current
    added = await stage.host.add_host_key()
    await stage.host.promote_host_key(host_key=added)
    assert (await stage.host.key_status()).current == added != before
    await stage.host.retire_host_key(host_key=before)
