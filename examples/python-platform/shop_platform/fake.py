"""Starts a fake TikTok Shop, so that the example runs on one machine. A real platform needs no such file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiktok_shop_connector import TenantApp

WORKSPACE = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("FAKE_TIKTOK_SHOP", str(WORKSPACE / "target/debug/fake-tiktok-shop"))


@dataclass(frozen=True)
class Fake:
    url: str
    app: dict[str, Any]

    def app_of(self, tenant: str) -> TenantApp:
        """The fake's app, as `Host.open` takes it."""
        return {
            "tenant": tenant,
            "app_key": self.app["app_key"],
            "app_secret": self.app["app_secret"],
            "authorization_link": self.app["authorization_link"],
        }

    def consent_page(self, link: str) -> str:
        """Turns a link to TikTok Shop's consent page into a link to the fake's page."""
        return re.sub(r"^https://[^/]+", self.url, link)


@contextmanager
def start_fake(callback: str) -> Iterator[Fake]:
    """Starts a fake that sends browsers back to this address. It ends with the block."""
    if not Path(PROGRAM).exists():
        raise FileNotFoundError(f"{PROGRAM} is missing: run cargo build --bin fake-tiktok-shop")
    with subprocess.Popen(  # noqa: S603
        [PROGRAM, "--json", "--redirect", callback], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None  # noqa: S101
        started = json.loads(program.stdout.readline())
        try:
            yield Fake(f"http://{started['address']}", started["apps"][0])
        finally:
            program.kill()
