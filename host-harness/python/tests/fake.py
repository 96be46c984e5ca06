"""A fake TikTok Shop in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tiktok_shop_connector import TenantApp


class Fake:
    def __init__(self) -> None:
        program = os.environ["FAKE_TIKTOK_SHOP"]
        self._process = subprocess.Popen([program, "--json"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        started = json.loads(self._process.stdout.readline())
        self.url = f"http://{started['address']}"
        self.app: dict[str, Any] = started["apps"][0]

    def app_of(self, tenant: str) -> TenantApp:
        """The fake's app, as `Host.open` takes it."""
        return {
            "tenant": tenant,
            "app_key": self.app["app_key"],
            "app_secret": self.app["app_secret"],
            "authorization_link": self.app["authorization_link"],
        }

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_control{path}", data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def decide(self, link: str, seller: str, decision: str = "allow") -> str:
        """Lets a seller decide on the page of this link, and returns the query of the callback."""
        state = parse_qs(urlsplit(link).query)["state"][0]
        consent = {"service_id": self.app["service_id"], "state": state, "seller": seller, "decision": decision}
        query: str = self.ask("POST", "/consent", consent)["callback_query"]
        return query

    def webhook(self) -> tuple[str, bytes]:
        """Returns the first webhook: the value of its header `Authorization`, and its body."""
        webhook = self.ask("GET", "/webhooks")[0]
        headers = {name.lower(): value for name, value in webhook["headers"]}
        return headers["authorization"], webhook["body"].encode()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
