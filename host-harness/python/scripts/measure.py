"""Measures the package that is installed in the environment of this Python. `cargo xtask bench` starts it.

python measure.py BASE APP_KEY APP_SECRET PATH BODY

Opens a host that sends its requests to BASE, connects a customer, and prints a line when it is ready. Then it reads
lines from standard input. Each line is one round, and the script prints the result of the round:

call CALLS: makes this number of signed calls, one after the other. The result is their median time in microseconds.
blocking-call CALLS: the same with the blocking host, in a thread without an event loop.
nothing CALLS: the same with requests that do nothing. The result is the time of the package without the host's work.
event-loop CALLS IN_FLIGHT: makes this number of signed calls, and always has IN_FLIGHT of them in flight. The result
is the 99th percentile of the delay of the event loop, in milliseconds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tiktok_shop_connector import CallResponse, Host, blocking

TENANT: Final = "acme"
CUSTOMER: Final = "customer-7"

Call = Callable[[], Awaitable[object]]


async def median_time(calls: int, make: Call) -> float:
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        await make()
        times.append((time.perf_counter_ns() - began) / 1000)
    return statistics.median_low(times)


def blocking_median_time(calls: int, make: Callable[[], object]) -> float:
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        make()
        times.append((time.perf_counter_ns() - began) / 1000)
    return statistics.median_low(times)


async def lateness(calls: int, in_flight: int, make: Call) -> float:
    late: list[float] = []
    left = calls

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await make()

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began) * 1000 - 1)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    watching.cancel()
    return statistics.quantiles(late, n=100)[98]


async def measure(line: str, call: Call, nothing: Call, blocking_call: Callable[[], object]) -> float:
    what, *numbers = line.split()
    if what == "event-loop":
        calls, in_flight = numbers
        return await lateness(int(calls), int(in_flight), call)
    (calls,) = numbers
    if what == "blocking-call":
        return await asyncio.to_thread(blocking_median_time, int(calls), blocking_call)
    return await median_time(int(calls), {"call": call, "nothing": nothing}[what])


def check(answer: CallResponse) -> None:
    if answer.json()["code"] != 0:
        raise RuntimeError(f"code {answer.code}")


async def main() -> None:
    base, app_key, app_secret, path, body = sys.argv[1:]
    app: Any = {"tenant": TENANT, "app_key": app_key, "app_secret": app_secret}
    options: Any = {
        "storage": "memory:",
        "keys": "drawn",
        "apps": [app],
        "fake": base,
        "limits": {"tenant_percent": 100},
    }
    customer: Any = {"tenant": TENANT, "customer": CUSTOMER}
    request: Any = {"method": "POST", "path": path, "query": {"page_size": 20}, "body": body}
    code = "a-code-of-the-bench"
    async with Host.open(**options) as host:
        shop = (await host.connect(**customer, code=code)).shops[0].id
        blocking_host = await asyncio.to_thread(blocking.Host.open, **options)
        await asyncio.to_thread(blocking_host.connect, **customer, code=code)

        async def call() -> None:
            check(await host.call(**customer, shop=shop, **request))

        def blocking_call() -> None:
            check(blocking_host.call(**customer, shop=shop, **request))

        print('"ready"', flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            result = await measure(line, call, lambda: host.advance_clock(seconds=0), blocking_call)
            print(result, flush=True)
        await asyncio.to_thread(blocking_host.close)


asyncio.run(main())
