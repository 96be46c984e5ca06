"""Plays a customer in a browser, and TikTok Shop, against the running platform, on each framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import ModuleType

import pytest
import uvicorn
from conftest import TENANT, Stage

from shop_platform.platform import Platform

SHOP = "7490000000000000001"


async def test_a_customer_connects_a_shop_sees_its_orders_and_disconnects_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage.browser() as browser, stage.browser() as other:
        assert "Connect TikTok Shop" in (await browser.get("/")).text
        assert await stage.connect(browser) == "/?message=connected"
        page = (await browser.get("/?message=connected")).text
        assert "The shop is connected." in page
        assert "Teapot Corner (GB)" in page
        orders = await browser.get(f"/shops/{SHOP}/orders")
        assert (orders.status_code, orders.json()["code"]) == (200, 0)
        # Another customer does not see the shop, and can't use it.
        assert "Teapot" not in (await other.get("/")).text
        assert (await other.get(f"/shops/{SHOP}/orders")).status_code == 404
        assert "a request failed: unknown-shop" in caplog.text
        assert (await browser.post("/disconnect")).status_code == 303
        assert "Teapot" not in (await browser.get("/")).text
        metrics = (await browser.get("/metrics")).text
        assert 'tiktok_shop_requests_total{operation="call",outcome="ok"} 1.0' in metrics
    assert "ROW_" not in caplog.text
    assert stage.fake.app["app_secret"] not in caplog.text


async def test_a_visitor_whose_first_request_is_the_button_keeps_the_session(stage: Stage) -> None:
    async with stage.browser() as browser:
        assert await stage.connect(browser) == "/?message=connected"


async def test_each_way_in_which_a_consent_ends_has_its_message(stage: Stage) -> None:
    async with stage.browser() as browser, stage.browser() as other:
        assert await stage.connect(browser, "refuse") == "/?message=refused"
        pressed = await browser.post("/connect")
        callback = await stage.decide(pressed.headers["location"])
        assert (await other.get(callback)).headers["location"] == "/?message=other-browser"
        assert (await browser.get(callback)).headers["location"] == "/?message=connected"
        assert (await browser.get(callback)).headers["location"] == "/?message=start-again"


async def test_a_form_of_another_site_is_refused(stage: Stage) -> None:
    async with stage.browser() as browser:
        refused = await browser.post("/connect", headers={"sec-fetch-site": "cross-site"})
        assert refused.status_code == 403


async def test_a_webhook_reaches_the_queue_once_and_a_forged_one_never(stage: Stage) -> None:
    async with stage.browser() as browser:
        await stage.connect(browser)
        await stage.control("/sellers/one-shop/deauthorize", {"service_id": stage.fake.app["service_id"]})
        (webhook,) = await stage.control("/webhooks")
        headers, body = dict(webhook["headers"]), webhook["body"].encode()
        path = f"/webhooks/{TENANT}"
        assert (await browser.post(path, headers=headers, content=body + b" ")).status_code == 401
        assert (await browser.post(path, headers=headers, content=body)).status_code == 200
        assert (await browser.post(path, headers=headers, content=body)).status_code == 200
        assert [(event.event_type, event.shop, event.customers) for event in stage.platform.events] == [
            (6, SHOP, ["customer-1"])
        ]


async def test_a_platform_whose_host_does_not_open_serves_nothing(
    asgi_framework: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Platform]:
        raise LookupError("this error is a part of the test")
        yield

    # With `auto`, uvicorn serves an app whose lifespan ends with an exception.
    config = uvicorn.Config(asgi_framework.create_app(opening), port=0, lifespan="auto", log_config=None)
    server = uvicorn.Server(config)
    with pytest.raises(SystemExit):
        await server.serve()
    assert not server.started
    assert "this error is a part of the test" in caplog.text


async def test_a_failure_at_the_end_is_told_to_the_server(asgi_framework: ModuleType) -> None:
    @asynccontextmanager
    async def opening() -> AsyncIterator[None]:
        yield
        raise LookupError("this error is a part of the test")

    sent: list[str] = []
    events = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> dict[str, str]:
        return {"type": next(events)}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    # Starlette also raises the exception.
    with suppress(LookupError):
        await asgi_framework.create_app(opening)({"type": "lifespan", "app": None, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
