"""The package in threads. The thread that loads the package first ends before the others begin."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

#: Opens a host, and prints the connections.
ASYNC: Final = """
    from tiktok_shop_connector import Host

    async def connections():
        async with Host.open(**options) as host:
            print(await host.list_connections(tenant="acme", customer="acme-1"))

    asyncio.run(connections())
"""
BLOCKING: Final = """
    from tiktok_shop_connector.blocking import Host

    with Host.open(**options) as host:
        print(host.list_connections(tenant="acme", customer="acme-1"))
"""

#: Each thread has a host of its own.
PROGRAM: Final = """
import asyncio
import threading

app = {"tenant": "acme", "app_key": "6abcdefghijkl", "app_secret": "a-secret-of-the-usual-length"}
options = {"storage": "memory:", "keys": "drawn", "apps": [app]}

def listed():
    LISTED

for together in (1, 1, 3):
    threads = [threading.Thread(target=listed) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("listed", [ASYNC, BLOCKING], ids=["async", "blocking"])
def test_the_package_works_after_the_thread_that_loaded_it_has_ended(listed: str) -> None:
    program = PROGRAM.replace("    LISTED", listed)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == ["[]"] * 5
