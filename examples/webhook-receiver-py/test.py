"""Runs the service with a fake TikTok Shop, and checks that the receiver accepts its webhooks and no others."""

import http.cookiejar
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path

import receiver

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("TIKTOK_SHOP_TEST_HARNESS", ROOT / "target/debug/tiktok-shop-harness")
COMPONENT = os.environ.get("TIKTOK_SHOP_COMPONENT", ROOT / "target/dist/tiktok_shop_connector.wasm")
SHOP = "7490000000000000001"
ORDER = {"order_id": "5760000000000010001", "order_status": "AWAITING_SHIPMENT"}
DEADLINE = 60  # seconds


def new_secret():
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


class Service:
    """The service with a fake TikTok Shop, which sends its webhooks to this port."""

    def __init__(self, home, port, secret, previous_secret):
        config = Path(home, "config.toml")
        config.touch(mode=0o600)
        config.write_text(
            f'[[serve.webhooks]]\ntenant = "default"\nname = "python"\naddress = "http://127.0.0.1:{port}/"\n'
            f'secret = "{secret}"\nprevious-secret = "{previous_secret}"\n'
        )
        arguments = ["serve", "--with-fake", "--listen", "127.0.0.1:0", "--config", config]
        environment = {"HOME": home, "PATH": os.environ["PATH"], "TIKTOK_SHOP_COMPONENT": str(Path(COMPONENT).resolve())}
        self._process = subprocess.Popen(
            [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self._printed = {}
        while "KEY" not in self._printed:
            line = self._process.stdout.readline()
            if not line:
                raise AssertionError("the service has ended; run it by hand to see why")
            name, equals, value = line.strip().partition("=")
            if equals:
                self._printed[name] = value

    def end(self):
        self._process.terminate()
        return self._process.wait(DEADLINE)

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self._printed['KEY']}", "Content-Type": "application/json"}
        return self._send(self._printed["SERVICE"] + path, method, headers, body)

    def control(self, path, body):
        """Asks the fake to do something that TikTok Shop does."""
        return self._send(f"{self._printed['FAKE']}/_control{path}", "POST", {"Content-Type": "application/json"}, body)

    def app(self):
        return self._send(f"{self._printed['FAKE']}/_control/apps", "GET", {}, None)[0]

    def address(self):
        return self._printed["SERVICE"]

    @staticmethod
    def _send(address, method, headers, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.loads(answer.read() or "null")

    def connect(self, customer):
        """Plays the seller's browser."""
        session = self.ask("POST", f"/v1/customers/{customer}/connect-sessions", {})
        # A browser sends secure cookies to loopback without TLS, too.
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https"))
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(policy))
        browser = urllib.request.build_opener(cookies)
        with browser.open(session["address"], timeout=DEADLINE) as page:
            address, _, query = page.url.partition("?")
        form = f"{query}&seller=one-shop&decision=allow".encode()
        with browser.open(address, form, timeout=DEADLINE) as page:
            assert "Connected" in page.read().decode(), page.url


class ReceiverTest(unittest.TestCase):
    def setUp(self):
        self._home = tempfile.TemporaryDirectory()
        self.addCleanup(self._home.cleanup)
        self.inbox = receiver.Inbox(str(Path(self._home.name, "inbox.sqlite")))
        self.secret, self.new_secret = new_secret(), new_secret()
        self.requests = []
        self.listening = receiver.server(0, self.secret, self.inbox)
        # Keeps each request, so that a test can send it again.
        handler = self.listening.RequestHandlerClass
        answer = handler.answer

        def answer_and_keep(request, status):
            self.requests.append((dict(request.headers), status))
            answer(request, status)

        handler.answer = answer_and_keep
        threading.Thread(target=self.listening.serve_forever, daemon=True).start()
        self.addCleanup(self.listening.server_close)
        self.addCleanup(self.listening.shutdown)
        # The receiver does not have the new secret yet: the secret is being replaced.
        self.service = Service(self._home.name, self.listening.server_port, self.new_secret, self.secret)
        self.addCleanup(self.service.end)

    def wait_for(self, count):
        """Waits until the receiver has this number of webhooks, and returns them."""
        end = time.monotonic() + DEADLINE
        while len(bodies := self.inbox.bodies()) < count:
            self.assertLess(time.monotonic(), end, bodies)
            time.sleep(0.05)
        return bodies

    def post(self, body, headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.listening.server_port}/", body.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def test_a_client_that_does_not_go_on_loses_its_connection(self):
        listening = receiver.server(0, self.secret, self.inbox, timeout=0.1)
        self.addCleanup(listening.server_close)
        self.addCleanup(listening.shutdown)
        threading.Thread(target=listening.serve_forever).start()
        with socket.create_connection(listening.server_address, DEADLINE) as client:
            client.sendall(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\n{")
            self.assertEqual(client.recv(1), b"")

    def test_the_receiver_accepts_every_webhook_and_no_other(self):
        self.service.ask("POST", "/v1/webhook-endpoints/python/test")
        self.assertEqual(self.wait_for(1)[0]["type"], "webhook.test")
        self.service.connect("customer-7")
        lifecycle = self.wait_for(3)[1:]
        self.assertEqual([body["type"] for body in lifecycle], ["connection.connected", "connection.shops_linked"])
        queued = {"service_id": self.service.app()["service_id"], "type": 1, "shop_id": SHOP, "data": ORDER}
        self.service.control("/webhooks", queued)
        to = urllib.parse.urlsplit(self.service.address()).netloc
        self.service.control("/webhooks/send", {"to": to, "path": "/webhooks/default"})
        order = self.wait_for(4)[3]
        self.assertEqual((order["type"], order["data"]["customer"], order["data"]["data"]), ("tiktok.1", "customer-7", ORDER))
        self.assertEqual([status for _, status in self.requests], [204] * 4)
        deliveries = self.service.ask("GET", "/v1/deliveries?endpoint=python")["deliveries"]
        self.assertEqual([delivery["state"] for delivery in deliveries], ["delivered"] * 4)

        headers = {name: value for name, value in self.requests[0][0].items() if name.lower().startswith("webhook-")}
        body = json.dumps(self.inbox.bodies()[0], separators=(",", ":"))
        self.assertEqual(self.post(body, headers), 204, "a repetition is accepted")
        self.assertEqual(self.post(body.replace("webhook.test", "webhook.best"), headers), 400)
        for name in headers:
            wrong = "msg_0" if name.lower() == "webhook-id" else "1767225600"
            self.assertEqual(self.post(body, {**headers, name: wrong}), 400, name)
            self.assertEqual(self.post(body, {other: headers[other] for other in headers if other != name}), 400, name)
        for length in ["-1", "1.5", "", str(receiver.MAX_BYTES + 1)]:
            self.assertEqual(self.post("", {**headers, "content-length": length}), 400, length)
        self.assertEqual(len(self.inbox.bodies()), 4, "nothing was stored twice")


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    failed = len(result.failures) + len(result.errors)
    print(f"webhook receiver: {result.testsRun - failed} tests passed, {failed} failed")
    sys.exit(failed > 0)
