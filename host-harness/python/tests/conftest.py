"""A fake and a host for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
import pytest_asyncio

from fake import Fake
from stage import COMPILED_CACHE, BlockingStage, Stage
from tiktok_shop_connector import Host, blocking


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
        host = await self._stack.enter_async_context(Host.open(**usual(self._fake, options)))
        return Stage(self._fake, host)


class BlockingStages:
    """Opens blocking hosts that use the fake. They end with the test."""

    def __init__(self, fake: Fake, stack: ExitStack) -> None:
        self._fake = fake
        self._stack = stack

    def open(self, **options: Any) -> BlockingStage:
        host = self._stack.enter_context(blocking.Host.open(**usual(self._fake, options)))
        return BlockingStage(self._fake, host)


def usual(fake: Fake, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of a host for a test, with these options in place of the usual ones."""
    return {
        "storage": "memory:",
        "keys": "drawn",
        "apps": [fake.app_of("tenant-1")],
        "fake": fake.url,
        "compiled_cache": COMPILED_CACHE,
        **options,
    }


@pytest_asyncio.fixture
async def stages(fake: Fake) -> AsyncIterator[Stages]:
    async with AsyncExitStack() as stack:
        yield Stages(fake, stack)


@pytest_asyncio.fixture
async def stage(stages: Stages) -> Stage:
    return await stages.open()


@pytest.fixture
def blocking_stages(fake: Fake) -> Iterator[BlockingStages]:
    with ExitStack() as stack:
        yield BlockingStages(fake, stack)


@pytest.fixture
def blocking_stage(blocking_stages: BlockingStages) -> BlockingStage:
    return blocking_stages.open()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the line in which `.ci/run` finds the number of tests."""
    stats = terminalreporter.stats
    passed = len(stats.get("passed", []))
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    terminalreporter.write_line(f"the package for Python: {passed} tests passed, {failed} failed")
