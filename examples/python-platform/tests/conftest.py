"""The running platform, and a browser."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
import uvicorn

from shop_platform import django_app, fastapi_app, flask_app
from shop_platform.blocking_platform import open_blocking_platform
from shop_platform.fake import Fake, start_fake
from shop_platform.platform import AnyPlatform, Platform, open_platform

TENANT = "acme"


@dataclass
class Stage:
    fake: Fake
    address: str
    platform: AnyPlatform[Any]

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        """A browser: it keeps cookies and follows no redirect."""
        async with httpx.AsyncClient(base_url=self.address, timeout=60, trust_env=False) as client:
            yield client

    async def control(self, path: str, body: object = None) -> Any:
        """Asks the fake."""
        async with httpx.AsyncClient(base_url=self.fake.url, timeout=60, trust_env=False) as client:
            method = "GET" if body is None else "POST"
            answer = await client.request(method, f"/_control{path}", json=body)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    async def decide(self, link: str, decision: str = "allow") -> str:
        """Lets the seller decide, and returns the path of the callback."""
        assert link.startswith(f"{self.fake.url}/open/authorize?"), link
        state = parse_qs(urlsplit(link).query)["state"][0]
        consent = {"service_id": self.fake.app["service_id"], "seller": "one-shop", "decision": decision}
        decided = await self.control("/consent", {**consent, "state": state})
        return f"/callback?{decided['callback_query']}"

    async def connect(self, browser: httpx.AsyncClient, decision: str = "allow") -> str:
        """Presses the button, and returns where the callback leads."""
        pressed = await browser.post("/connect")
        assert pressed.status_code == 303
        called_back = await browser.get(await self.decide(pressed.headers["location"], decision))
        assert called_back.status_code == 303
        return str(called_back.headers["location"])


#: A running platform: its address, and its parts.
Serving = AbstractAsyncContextManager[tuple[str, AnyPlatform[Any]]]


@asynccontextmanager
async def serve_asgi(framework: ModuleType, **options: Any) -> AsyncIterator[tuple[str, Platform]]:
    """Serves the platform on FastAPI or Django."""
    opened: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def opening() -> AsyncIterator[Platform]:
        async with open_platform(**options) as platform:
            opened.set_result(platform)
            yield platform

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(framework.create_app(opening), lifespan="on", log_config=None))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        started: list[asyncio.Future[Any]] = [opened, serving]
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", await opened
        server.should_exit = True
        await serving


@asynccontextmanager
async def serve_wsgi(**options: Any) -> AsyncIterator[tuple[str, AnyPlatform[Any]]]:
    """Serves the platform on Flask. The blocking host is used only in threads."""
    stack = ExitStack()
    platform = await asyncio.to_thread(stack.enter_context, open_blocking_platform(**options))
    server = flask_app.server_of(platform, 0)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.port}", platform
    await asyncio.to_thread(server.shutdown)
    await asyncio.to_thread(serving.join)
    await asyncio.to_thread(stack.close)


@pytest.fixture(params=[fastapi_app, django_app], ids=["FastAPI", "Django"])
def asgi_framework(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


@pytest_asyncio.fixture(params=[fastapi_app, django_app, flask_app], ids=["FastAPI", "Django", "Flask"])
async def stage(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Stage]:
    # Not the logs of the browser, which show the queries of callbacks.
    for logger in ("shop_platform", "tiktok_shop_connector"):
        caplog.set_level(logging.DEBUG, logger)
    with start_fake("http://127.0.0.1:1/callback") as fake:
        options: dict[str, Any] = {
            "tenant": TENANT,
            "consent_page": fake.consent_page,
            "storage": "memory:",
            "keys": "drawn",
            "apps": [fake.app_of(TENANT)],
            "fake": fake.url,
        }
        serving: Serving = serve_wsgi(**options) if request.param is flask_app else serve_asgi(request.param, **options)
        async with serving as (address, platform):
            yield Stage(fake, address, platform)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the line in which `.ci/run` finds the number of tests."""
    stats = terminalreporter.stats
    passed = len(stats.get("passed", []))
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(f"the platform on Python: {passed} tests passed, {failed} failed")
