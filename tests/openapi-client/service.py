"""Starts the service with a fake TikTok Shop in the same process."""

import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl

import httpx

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "host-harness/server/openapi.json"
# The public API key of a service with a fake.
KEY = "ttsk_fa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4e5e0f815a"

# Exports are allowed, so that they can be tried. The limits must not end a test.
CONFIGURATION = """
export = "allowed"

[serve]
requests-per-second = 1000000
requests-in-flight = 1000
sweep-seconds = 0
"""


class Service:
    """A service in a process of its own. `address` and `fake` are its addresses."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        configuration = Path(self._folder.name) / "config.toml"
        configuration.touch(mode=0o600)
        configuration.write_text(CONFIGURATION)
        command = [os.environ["TIKTOK_SHOP_TEST_HARNESS"], "serve", "--with-fake", "--listen", "127.0.0.1:0", "--json"]
        self._log = open(Path(self._folder.name) / "log", "w+")
        # Other settings of the caller, for example of CI, do not reach the service.
        settings = {name: os.environ[name] for name in ["HOME", "PATH", "TIKTOK_SHOP_COMPONENT"]}
        self._process = subprocess.Popen(
            [*command, "--config", str(configuration)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=settings,
        )
        line = self._process.stdout.readline()
        announced = json.loads(line or "{}")
        if "address" not in announced:
            raise SystemExit(f"the service did not start: {line}{self.log()}")
        self.address, self.fake = announced["address"], announced["fake"]

    def control(self, path, body):
        """Changes the fake."""
        request = urllib.request.Request(
            f"{self.fake}/_control{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def consent(self, address, decision):
        """Plays the seller's browser on the address of a connect session. Returns the text of the last page."""
        opened = httpx.get(address)
        # A browser sends a secure cookie to loopback without TLS. httpx does not.
        cookie = opened.headers["set-cookie"].split(";")[0]
        page, _, query = opened.headers["location"].partition("?")
        decided = httpx.post(page, data=dict(parse_qsl(query)) | {"seller": "one-shop", "decision": decision})
        return httpx.get(decided.headers["location"], headers={"cookie": cookie}).text

    def log(self):
        """Returns what the service has logged."""
        self._log.flush()
        return Path(self._log.name).read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        if self._process.wait() != 0:
            raise SystemExit("the service did not end well:\n" + self.log())
        self._folder.cleanup()
