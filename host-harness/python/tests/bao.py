"""A real OpenBao server for one test, with the transit engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = os.environ.get("TIKTOK_SHOP_TEST_BAO")


def _free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


class Bao:
    """A server with its data in this folder. It is initialized and unsealed."""

    def __init__(self, program: str, folder: Path) -> None:
        api, cluster = _free_address(), _free_address()
        data, configuration = folder / "data", folder / "server.json"
        data.mkdir()
        settings = {
            "storage": {"raft": {"path": str(data), "node_id": "test", "performance_multiplier": 1}},
            "listener": [{"tcp": {"address": api, "cluster_address": cluster, "tls_disable": True}}],
            "api_addr": f"http://{api}",
            "cluster_addr": f"http://{cluster}",
        }
        configuration.write_text(json.dumps(settings))
        arguments = [program, "server", "-config", str(configuration)]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = f"http://{api}"
        self.token = ""
        try:
            self._initialize()
        except BaseException:
            self.stop()
            raise

    def _initialize(self) -> None:
        assert self._process.stdout is not None
        started = any("server started!" in line for line in self._process.stdout)
        assert started, "OpenBao did not start"
        keys = self.ask("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.ask("PUT", "sys/unseal", {"key": keys["keys"][0]})
        # The server answers this question with an error until it has become active.
        while not self._is_active():
            assert self._process.poll() is None, "OpenBao has ended"
        self.token = keys["root_token"]
        self.ask("POST", "sys/mounts/transit", {"type": "transit"})

    def _is_active(self) -> bool:
        try:
            self.ask("GET", "sys/health")
        except urllib.error.HTTPError:
            return False
        return True

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"x-vault-token": self.token}
        request = urllib.request.Request(f"{self.address}/v1/{path}", data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
