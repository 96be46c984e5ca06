"""Measures the package.

It measures one signed call, compared with a session of requests, a request that does nothing, and how late calls make
the event loop.

python scripts/measure.py [uvloop]

Needs `cargo build --release --package tiktok-shop-bench`, whose command `serve` answers as TikTok Shop does, and an
environment with requests and the wheel of `maturin build --release`. TIKTOK_SHOP_BENCH names another program of the
bench.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from tiktok_shop_connector import Host

WORKSPACE: Final = Path(__file__).resolve().parents[3]
TARGET: Final = WORKSPACE / os.environ.get("CARGO_TARGET_DIR", "target")
BENCH: Final = os.environ.get("TIKTOK_SHOP_BENCH", str(TARGET / "release/tiktok-shop-bench"))
YARDSTICK: Final = WORKSPACE / "bench/yardsticks/call.py"
ROUNDS: Final = 7
CALLS: Final = 2_000
TENANT: Final = "acme"
CUSTOMER: Final = "customer-7"
APP_KEY: Final = "6abcdefghijkl"
APP_SECRET: Final = "an-app-secret-of-the-usual-length-00000000"  # noqa: S105
TOKEN: Final = "ROW_bench-access-token-of-the-usual-length-0000000000000000"  # noqa: S105
CIPHER: Final = "ROW_Fq3kzwAAAABz0cP0iVgXl2bT4nYh8sQe"
ORDERS: Final = "/order/202309/orders/search"
FILTER: Final = '{"order_status":"UNPAID"}'

Call = Callable[[], Awaitable[object]]


@contextmanager
def serve(*arguments: str) -> Iterator[str]:
    """Starts a server of the bench, which ends with its standard input. Returns its address."""
    pipe = subprocess.PIPE
    with subprocess.Popen([BENCH, "serve", *arguments], stdin=pipe, stdout=pipe, text=True) as program:
        if program.stdin is None or program.stdout is None:
            raise RuntimeError(f"{BENCH} has no pipes")
        yield f"http://{json.loads(program.stdout.readline())['address']}"
        program.stdin.close()


@asynccontextmanager
async def connected_to(url: str) -> AsyncIterator[tuple[Call, Call]]:
    """Opens a host with a connection. Returns functions that make a signed call, and a request that does nothing."""
    app: Any = {"tenant": TENANT, "app_key": APP_KEY, "app_secret": APP_SECRET}
    limits: Any = {"tenant_percent": 100}
    async with Host.open(storage="memory:", keys="drawn", apps=[app], fake=url, limits=limits) as host:
        connection = await host.connect(tenant=TENANT, customer=CUSTOMER, code="a-code-of-the-bench")
        shop = connection.shops[0].id

        async def call() -> None:
            answer = await host.call(
                tenant=TENANT,
                customer=CUSTOMER,
                shop=shop,
                method="POST",
                path=ORDERS,
                query={"page_size": 20},
                body=FILTER,
            )
            if answer.json()["code"] != 0:
                raise RuntimeError(f"code {answer.code}")

        yield call, lambda: host.advance_clock(seconds=0)


async def median(call: Call) -> float:
    """Returns the median time of a call, in microseconds."""
    times = []
    for _ in range(500):
        await call()
    for _ in range(CALLS):
        began = time.perf_counter_ns()
        await call()
        times.append((time.perf_counter_ns() - began) / 1000)
    return statistics.median(times)


def theirs(url: str) -> float:
    """Returns the median time of a call with requests and hmac, in a process of its own."""
    arguments = [url, APP_KEY, APP_SECRET, TOKEN, CIPHER, ORDERS, FILTER, str(CALLS)]
    return float(subprocess.check_output([sys.executable, str(YARDSTICK), *arguments], text=True))


async def lateness(call: Call, in_flight: int, calls: int) -> list[float]:
    """Returns how late the event loop is, in milliseconds, while so many calls are in flight."""
    late: list[float] = []
    left = calls

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began) * 1000 - 1)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(work() for _ in range(in_flight)))
    watching.cancel()
    return late


async def main() -> None:
    rounds = []
    with serve() as url:
        async with connected_to(url) as (call, nothing):
            for _ in range(ROUNDS):
                mine = await median(call)
                rounds.append((mine, await asyncio.to_thread(theirs, url)))
            print(f"a request that does nothing: {await median(nothing):.0f} µs")
    ratios = [mine / other for mine, other in rounds]
    mine, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"one signed call: {mine:.0f} µs, requests and hmac {other:.0f} µs")
    print(f"ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {ROUNDS} rounds)")
    with serve("--delay-ms", "20") as url:
        async with connected_to(url) as (call, _):
            await lateness(call, 64, 2_000)
            late = statistics.quantiles(await lateness(call, 64, 10_000), n=100)
    print(f"event loop with 64 calls in flight: late by {late[49]:.2f} ms at p50, {late[98]:.2f} ms at p99")


if __name__ == "__main__":
    if sys.argv[1:] == ["uvloop"]:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
