"""The package in threads. The thread that loads the package first ends before the others begin."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

#: Each thread has an event loop and a host of its own.
PROGRAM: Final = """
import asyncio
import threading

def listed():
    from tiktok_shop_connector import Host

    async def connections():
        apps = [{"tenant": "acme", "app_key": "6abcdefghijkl", "app_secret": "a-secret-of-the-usual-length"}]
        async with Host.open(storage="memory:", keys="drawn", apps=apps) as host:
            print(await host.list_connections(tenant="acme", customer="acme-1"))

    asyncio.run(connections())

for together in (1, 1, 3):
    threads = [threading.Thread(target=listed) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_the_package_works_after_the_thread_that_loaded_it_has_ended() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["[]"] * 5
