"""A fake and a host for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from fake import Fake
from stage import COMPILED_CACHE, Stage
from tiktok_shop_connector import Host


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.stop()


class Stages:
    """Opens hosts that use the fake. They end with the test."""

    def __init__(self, fake: Fake, stack: AsyncExitStack) -> None:
        self._fake = fake
        self._stack = stack

    async def open(self, **options: Any) -> Stage:
        usual: dict[str, Any] = {
            "storage": "memory:",
            "keys": "drawn",
            "apps": [self._fake.app_of("tenant-1")],
            "fake": self._fake.url,
            "compiled_cache": COMPILED_CACHE,
        }
        host = await self._stack.enter_async_context(Host.open(**{**usual, **options}))
        return Stage(self._fake, host)


@pytest_asyncio.fixture
async def stages(fake: Fake) -> AsyncIterator[Stages]:
    async with AsyncExitStack() as stack:
        yield Stages(fake, stack)


@pytest_asyncio.fixture
async def stage(stages: Stages) -> Stage:
    return await stages.open()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the line in which `.ci/run` finds the number of tests."""
    stats = terminalreporter.stats
    passed = len(stats.get("passed", []))
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(f"the package for Python: {passed} tests passed, {failed} failed")
