"""Runs nginx with tiktok-shop-connector.conf in front of two services with a fake TikTok Shop, and checks what
docs/service.md demands of a proxy.

`.ci/deploy nginx PROGRAM` starts this test. PROGRAM is tiktok-shop-harness. The test replaces only addresses, ports and
the paths of files in the configuration. It needs nginx and openssl, no rights of root, and no packages of Python. In
some tests the replicas are small servers, because they can break connections and keep what they receive.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

import stage
from stage import APP, DEADLINE, RETURN_TO, SHOP, Client, Nginx, Processes, Replica, wait_for

KIB = 1024


class ProxyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        home = tempfile.TemporaryDirectory(prefix="tiktok-shop-nginx-")
        cls.addClassCleanup(home.cleanup)
        cls.folder = Path(home.name)
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1", "-nodes"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", cls.folder / "localhost.key"]
        openssl = ["openssl", "req", "-x509", *subject, *key, "-out", cls.folder / "localhost.pem"]
        subprocess.run(openssl, check=True, capture_output=True)
        cls.ports = cls.ports_of_nginx()
        # An idle connection lasts for seconds, so it is measured while the other tests run.
        cls.idle_replica = Replica()
        cls.addClassCleanup(cls.idle_replica.end)
        idle = cls.folder / "idle"
        idle.mkdir()
        nginx = Nginx(idle, cls.folder, cls.ports_of_nginx(), [cls.idle_replica.port] * 2)
        cls.addClassCleanup(nginx.end)
        assert cls.client(nginx.public_https).ask("GET", "/callback").status == 200
        processes = cls.folder / "processes"
        processes.mkdir(mode=0o700)
        cls.processes = Processes(processes)
        cls.addClassCleanup(cls.processes.end)
        cls.processes.start(cls.ports[1])
        cls.secrets = {cls.processes.key}

    @classmethod
    def ports_of_nginx(cls):
        reserved = [stage.reserved_port() for _ in range(3)]
        for each in reserved:
            cls.addClassCleanup(each.close)
        return [each.getsockname()[1] for each in reserved]

    @classmethod
    def client(cls, port, source=None):
        return Client(port, cls.folder / "localhost.pem", source)

    def setUp(self):
        self.nginx = None

    def start(self, *replicas):
        """Starts nginx in front of two ports, in place of an earlier one. The end of the test searches its logs."""
        if self.nginx:
            self.nginx.end()
        folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=self.folder))
        self.nginx = Nginx(folder, self.folder, self.ports, replicas)
        self.addCleanup(self.search_logs, self.nginx)
        self.addCleanup(self.nginx.end)
        self.public = self.client(self.nginx.public_https)
        self.private = self.client(self.nginx.private)
        return self.nginx

    def replica(self, manner=stage.ANSWER):
        replica = Replica(manner)
        self.addCleanup(replica.end)
        return replica

    def refusing_socket(self):
        reserved = stage.reserved_port()
        self.addCleanup(reserved.close)
        return reserved

    def refusing_port(self):
        return self.refusing_socket().getsockname()[1]

    def search_logs(self, nginx):
        logs = nginx.logs()
        for secret in self.secrets:
            self.assertGreater(len(secret), 7, secret)
            self.assertFalse(secret in logs, f"{secret} is in a log of nginx")
        other = nginx.folder / "other.log"
        self.assertEqual(other.read_text(), "", "the log of other sites")

    def keep(self, secret):
        """Remembers a secret that no log may contain."""
        self.secrets |= {secret, urllib.parse.unquote(secret), urllib.parse.unquote_plus(secret)}

    def api(self, method, target, body=None):
        """The platform asks, at the private address."""
        headers = {"Authorization": f"Bearer {self.processes.key}", "Content-Type": "application/json"}
        return self.private.ask(method, target, None if body is None else json.dumps(body).encode(), headers)

    def begin(self, customer, body):
        """Returns the path of the address of a new connect session."""
        session = self.api("POST", f"/v1/customers/{customer}/connect-sessions", body)
        self.assertEqual(session.status, 201, session)
        address = json.loads(session.body)["address"]
        public = f"https://localhost:{self.nginx.public_https}"
        self.assertTrue(address.startswith(f"{public}/connect/"), address)
        self.keep(address.rpartition("/")[2])
        return address.removeprefix(public)

    def connect(self, customer, body):
        """Plays the browser of the seller. Returns the answer to the callback, and its target and cookie."""
        opened = self.public.ask("GET", self.begin(customer, body))
        self.assertEqual(opened.status, 303, opened)
        cookie, _, attributes = opened.header("set-cookie").partition("; ")
        self.assertEqual(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600")
        self.assertTrue(cookie.startswith("__Host-"), cookie)
        self.keep(cookie.partition("=")[2])
        page = urllib.parse.urlsplit(opened.header("location"))
        self.assertEqual(page.netloc, f"127.0.0.1:{self.processes.fake.port}")
        self.assertEqual(self.processes.fake.ask("GET", f"{page.path}?{page.query}").status, 200)
        form = f"{page.query}&seller=one-shop&decision=allow".encode()
        coded = {"Content-Type": "application/x-www-form-urlencoded"}
        back = urllib.parse.urlsplit(self.processes.fake.ask("POST", page.path, form, coded).header("location"))
        self.assertEqual((back.scheme, back.netloc), ("https", f"localhost:{self.nginx.public_https}"))
        for name in ["code", "state"]:
            self.keep(re.search(rf"(?:^|&){name}=([^&]+)", back.query).group(1))
        target = f"{back.path}?{back.query}"
        return self.public.ask("GET", target, headers={"Cookie": cookie}), target, cookie

    def post_webhook(self, body, headers):
        return self.public.ask("POST", "/webhooks/default", body, headers)

    def test_a_seller_connects_and_the_platform_uses_the_shop(self):
        nginx = self.start(*self.processes.ports)
        checked = nginx.check_syntax()
        self.assertEqual((checked.returncode, "[warn]" in checked.stderr), (0, False), checked.stderr)
        # A return address of the maximum length makes a long address and a long cookie.
        long = {"return_to": f"{RETURN_TO}?{'a' * 990}"}
        for customer, body in [("customer-7", {"return_to": RETURN_TO}), ("a%2Fb", long)]:
            answer, target, cookie = self.connect(customer, body)
            self.assertEqual(answer.status, 200, answer)
            self.assertIn(b"<h1>Connected</h1>", answer.body)
            again = self.public.ask("GET", target, headers={"Cookie": cookie})
            self.assertEqual((again.status, again.body), (200, answer.body), "loaded again")
            shops = self.api("GET", f"/v1/customers/{customer}/shops")
            self.assertEqual([shop["id"] for shop in json.loads(shops.body)["shops"]], [SHOP])
            call = f"/v1/customers/{customer}/shops/{SHOP}/tiktok/order/202309/orders/search?page_size=1"
            called = self.api("POST", call, {})
            self.assertEqual((called.status, called.header("x-answered-by")), (200, "tiktok-shop"), called)
        listed = json.loads(self.api("GET", "/v1/connections").body)["connections"]
        self.assertEqual({each["customer"] for each in listed}, {"customer-7", "a/b"})
        # The page with the name of a customer has a form, whose POST passes as well.
        path = self.begin("customer-7", {"customer_name": "Alpine Teapots"})
        self.assertIn(b"Alpine Teapots", self.public.ask("GET", path).body)
        pressed = self.public.ask("POST", path, b"", {"Sec-Fetch-Site": "same-origin"})
        self.assertEqual(pressed.status, 303, pressed)
        self.keep(re.search("state=([^&]+)", pressed.header("location")).group(1))
        log = wait_for("the log", lambda: (text := nginx.access_log()).count(" connect ") >= 4 and text)
        for line in [" connect GET 303 ", " callback GET 200 ", " connect POST 303 ", " api POST 201 "]:
            self.assertIn(line, log)
        # The id in the log is that of the service.
        self.assertIn(f"id={pressed.header('x-request-id')}\n", log)

    def test_a_webhook_reaches_the_service_unchanged(self):
        self.start(*self.processes.ports)
        body, headers = self.processes.webhook("5760000000000010001")
        self.assertEqual(headers["authorization"], self.processes.signature(body))
        self.assertEqual(self.post_webhook(body, headers).status, 200)
        self.assertEqual(self.post_webhook(body + b" ", headers).status, 401, "the service checks the signature")
        pieces = [body[:7], body[7:]]
        self.assertEqual(self.post_webhook(pieces, headers).status, 200, "chunked")
        came = self.public.expect_continue("/webhooks/default", body, headers)
        self.assertRegex(came, r"\AHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")

        replica = self.replica()
        self.start(replica.port, replica.port)
        body = bytes(range(256))
        headers = {"Authorization": "0" * 64, "Content-Encoding": "gzip", "Content-Type": "application/json"}
        for sent in [body, [body[:100], body[100:]]]:
            self.assertEqual(self.post_webhook(sent, headers).status, 200)
            received = replica.received.pop()
            self.assertEqual((received.line, received.body), ("POST /webhooks/default HTTP/1.1", body))
            names = [name for name, _ in received.headers]
            for name, value in headers.items():
                self.assertIn((name.lower(), value), received.headers)
            self.assertNotIn("transfer-encoding", names, "nginx has read the whole body")
            self.assertNotIn("expect", names)

    def test_only_three_addresses_are_public_and_only_the_others_private(self):
        replica = self.replica()
        nginx = self.start(replica.port, replica.port)
        public = ["/connect/x", "/connect/x?y", "/callback", "/callback?code=c", "/webhooks/default", "/webhooks/a%2Fb"]
        private = ["/v1/apps", "/v1/customers/c/shops?x", "/metrics", "/healthz", "/readyz", "/openapi.json"]
        neither = [
            "/", "/v1", "/v2/apps", "/connect", "/connect/", "/connect/x/y", "/callback/", "/callback/x", "/callbackx",
            "/webhooks", "/webhooks/", "/webhooks/a/b", "//connect/x", "/%63onnect/x", "/metrics/", "/healthzx",
        ]  # fmt: skip
        # One side reads these as public, and the other side as private: nginx decodes an address, the service does not.
        ambiguous = [
            "/connect/../v1/apps", "/connect/..%2Fv1%2Fapps", "/connect/%2e%2e/v1/apps", "/webhooks/..%2fmetrics",
            "/v1/customers/..%2F..%2Fconnect%2F/shops", "/v1/deliveries/..%2F..%2Fwebhooks%2F/redeliver",
            "/v1/../connect/x", "/v1/../callback", "/v1/..%2Fcallback", "/v1/%2e%2e/webhooks/default",
            "/v1//..//..//callback", "/metrics/../connect/x", "/healthz/..%2Fcallback",
        ]  # fmt: skip
        for target in [*private, *neither, *ambiguous]:
            answer = self.public.ask("GET", target)
            self.assertEqual((answer.status, answer.comes_from_a_replica()), (404, False), target)
        for target in [*public, *neither]:
            answer = self.private.ask("GET", target)
            self.assertEqual((answer.status, answer.comes_from_a_replica()), (404, False), target)
        self.assertEqual(replica.received, [])
        for client, targets in [(self.public, public), (self.private, private)]:
            for target in targets:
                self.assertEqual(client.ask("GET", target).status, 200, target)
                self.assertEqual(replica.received.pop().line, f"GET {target} HTTP/1.1")
        # The same in absolute form.
        absolute = f"https://localhost:{nginx.public_https}"
        self.assertEqual(self.public.ask("GET", f"{absolute}/v1/apps").status, 404)
        self.assertEqual(self.public.ask("GET", f"{absolute}/callback").status, 200)
        # Only the machines in the list reach the private address.
        other = self.client(nginx.private, source="127.0.0.2")
        replica.received.clear()
        self.assertEqual((other.ask("GET", "/v1/apps").status, other.ask("GET", "/healthz").status), (403, 403))
        self.assertEqual(replica.received, [])

    def test_the_addresses_of_the_service_are_public_or_private(self):
        self.start(*self.processes.ports)
        for target in ["/v1/apps", "/metrics", "/healthz", "/readyz", "/openapi.json"]:
            headers = {"Authorization": f"Bearer {self.processes.key}"}
            refused = self.public.ask("GET", target, headers=headers)
            self.assertEqual((refused.status, refused.comes_from_a_replica()), (404, False), target)
            passed = self.private.ask("GET", target, headers=headers)
            self.assertEqual((passed.status, passed.comes_from_a_replica()), (200, True), target)

    def test_http_leads_to_https_and_its_log_has_no_address(self):
        nginx = self.start(*self.processes.ports)
        plain = Client(nginx.public_http)
        for target in ["/connect/a-secret-of-http", "/callback?code=a-code-of-http&state=%2F", "/webhooks/default"]:
            answer = plain.ask("GET", target, headers={"Host": "evil.example"})
            self.assertEqual(answer.status, 308)
            self.assertEqual(answer.header("location"), f"https://localhost:{nginx.public_https}{target}")
            self.assertEqual(answer.header("cache-control"), "no-store")
        self.secrets |= {"a-secret-of-http", "a-code-of-http"}
        for target in ["/v1/apps", "/metrics", "/"]:
            self.assertEqual(plain.ask("GET", target).status, 404, target)
        wait_for("the log", lambda: " callback GET 308 " in nginx.access_log())

    def test_addresses_reach_the_service_unchanged_also_the_second_one(self):
        targets = [
            "/v1/customers/a%2Fb/shops?id=%2F+%20&x=%2f&y", "/v1/customers/a%2fb%3F%23/shops", "/v1/customers//shops",
            "/v1/customers/%C3%A9%20+/shops/1/tiktok/order//x/%2e?a=%00", "/v1/customers/a;b=c,d:e@f!$&'()*~/shops",
            "/v1/customers/a%2Fb/shops/1/tiktok/x%2Fy", "/v1/customers/a%252Fb/calls", "/v1/customers/a%5Cb/shops?",
        ]  # fmt: skip
        public = ["/connect/a-b_c.d?x=%2F", "/callback?a=%2F&b=+&&", "/webhooks/a%2Fb%20"]
        replica = self.replica()
        for first in [replica.port, self.refusing_port()]:
            nginx = self.start(first, replica.port)
            for client, all_targets in [(self.private, targets), (self.public, public)]:
                # With a replica that refuses, half of the requests go to the second one after the first.
                for target in all_targets * 4:
                    self.assertEqual(client.ask("GET", target).status, 200, target)
                    self.assertEqual(replica.received.pop().line, f"GET {target} HTTP/1.1")
            nginx.end()
            both = f'replica="127.0.0.1:{first} : 127.0.0.1:{replica.port}"'
            self.assertEqual(both in nginx.access_log(), first != replica.port)

    def test_the_headers_of_the_service_reach_the_client_unchanged(self):
        self.start(*self.processes.ports)
        direct = Client(self.processes.ports[0])
        path = self.begin("customer-8", {"customer_name": "Alpine Teapots"})
        requests = [
            (self.public, "GET", path),
            (self.public, "GET", "/connect/unknown"),
            (self.public, "HEAD", "/connect/unknown"),
            (self.public, "GET", "/callback"),
            (self.public, "POST", "/webhooks/default"),
            (self.public, "GET", f"/callback?app_key={APP}&code=c"),
            (self.private, "GET", "/v1/apps"),
            (self.private, "GET", "/openapi.json"),
            (self.private, "HEAD", "/healthz"),
        ]
        changing = {"date", "x-request-id", "server", "connection", "strict-transport-security"}
        required = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
        for client, method, target in requests:
            body = b"" if method == "POST" else None
            wanted = direct.ask(method, target, body, {"Accept-Encoding": "gzip, br"})
            found = client.ask(method, target, body, {"Accept-Encoding": "gzip, br"})
            self.assertEqual((found.status, found.body), (wanted.status, wanted.body), target)
            for name, value in required.items():
                self.assertEqual([value for known, value in found.headers if known == name], [value], target)
            self.assertIn("default-src 'none'", found.header("content-security-policy"))
            kept = [sorted(pair for pair in each.headers if pair[0] not in changing) for each in [wanted, found]]
            self.assertEqual(*kept, target)
            strict = "max-age=31536000" if client is self.public else None
            self.assertEqual(found.header("strict-transport-security"), strict)

    def test_long_heads_pass(self):
        nginx = self.start(*self.processes.ports)
        # The address and each cookie have up to 4096 bytes. A seller may have three consents open.
        self.assertEqual(self.public.ask("GET", f"/connect/{'A' * 4096}").status, 410)
        cookies = "; ".join(f"__Host-tiktok-shop-{number:016x}={'A' * 4096}" for number in range(3))
        answer = self.public.ask("GET", f"/callback?state={'s' * 64}&code={'c' * 4096}", headers={"Cookie": cookies})
        self.assertEqual((answer.status, answer.comes_from_a_replica()), (400, True))
        # The query of an install has up to 8192 bytes, and the answer repeats it.
        query = f"app_key={APP}&code="
        query += "c" * (8192 - len(query))
        answer = self.public.ask("GET", f"/callback?{query}")
        leads_to = f"https://app.example/tiktok-install?{query}"
        self.assertEqual((answer.status, answer.header("location")), (303, leads_to))
        redirected = Client(nginx.public_http).ask("GET", f"/callback?{query}")
        leads_to = f"https://localhost:{nginx.public_https}/callback?{query}"
        self.assertEqual((redirected.status, redirected.header("location")), (308, leads_to))
        answer = self.private.ask("GET", f"/v1/events?cursor={'7' * 12_000}")
        self.assertEqual((answer.status, answer.comes_from_a_replica()), (401, True))
        self.secrets |= {"A" * 64, "c" * 64, "s" * 64}

    def test_the_limits_of_bodies_are_those_of_the_service(self):
        replica = self.replica()
        nginx = self.start(replica.port, replica.port)
        call = f"/v1/customers/customer-9/shops/{SHOP}/tiktok/product/202309/products"
        private = [
            ("/v1/customers/customer-9/connect-sessions", 64 * KIB),
            ("/v1/customers/customer-9/imports", 64 * KIB),
            ("/v1/customers/customer-9/calls", 1024 * KIB),
            ("/v1/customers/c%2F9/calls", 1024 * KIB),
            (call, 16 * 1024 * KIB),
            (call.replace("customer-9", "c%2F9"), 16 * 1024 * KIB),
        ]
        public = [("/connect/unknown", 64 * KIB), ("/callback", 64 * KIB), ("/webhooks/default", 256 * KIB)]
        cases = [(self.private, *each) for each in private] + [(self.public, *each) for each in public]
        for client, target, limit in cases:
            self.assertEqual(client.ask("POST", target, b" " * limit).status, 200, target)
            self.assertEqual(len(replica.received.pop().body), limit)
            self.assertEqual(client.ask("POST", target, declared=limit + 1).status, 413, target)
            self.assertEqual(client.ask("POST", target, [b" " * limit, b" "]).status, 413, target)
        self.assertEqual(replica.received, [])
        self.assertIn("client intended to send too large", nginx.error_log())

        # The service has the same limits.
        self.start(*self.processes.ports)
        for target, limit in private:
            answer = self.api("POST", target, {"a": "b" * (limit - 10)})
            self.assertEqual((answer.status == 413, answer.comes_from_a_replica()), (False, True), target)
        # A webhook at the limit is not only passed on: its signature is right.
        event = {"type": 1, "tts_notification_id": "7600000000000099999", "shop_id": SHOP, "timestamp": 1767225600}
        body = json.dumps({**event, "data": {"pad": ""}}).encode()
        body = body.replace(b'"pad": ""', b'"pad": "%s"' % (b"p" * (256 * KIB - len(body))))
        self.assertEqual(len(body), 256 * KIB)
        headers = {"Authorization": self.processes.signature(body), "Content-Type": "application/json"}
        self.assertEqual(self.post_webhook(body, headers).status, 200)

    def test_a_long_answer_is_not_written_to_a_file(self):
        replica = self.replica(stage.LONG_ANSWER)
        self.start(replica.port, replica.port)
        for client, target in [(self.private, "/v1/customers/c/shops/1/tiktok/a"), (self.public, "/callback")]:
            replica.has_waited.clear()
            with client.begin(target, 4 * KIB) as stream:
                self.assertTrue(replica.has_waited.wait(DEADLINE), "nginx took the whole answer")
                answer = b"".join(iter(lambda: stream.recv(65536), b""))
            self.assertEqual(len(answer.partition(b"\r\n\r\n")[2]), stage.LONG)

    def test_a_head_that_nginx_refuses_is_not_in_a_log(self):
        nginx = self.start(self.refusing_port(), self.refusing_port())
        clients = [self.public, Client(nginx.public_http)]
        # A secret can be anywhere in such a request.
        self.secrets.add("a-secret-in-a-head")
        get, host = b"GET /connect/a-secret-in-a-head", b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        for client in clients:
            for request, status in [
                (get + b"a" * 17 * KIB + host, 414),
                (get + host + b"Cookie: a-secret-in-a-head" + b"a" * 17 * KIB + b"\r\n", 400),
                (get + b"%zz" + host, 400),
                (get + b"/../../.." + host, 400),
                (get + b" HTTP/7.1\r\nHost: localhost\r\n", 505),
                (get + b" HTTP/1.1\r\nConnection: close\r\n", 400),
                (get + b" HTTP/1.1\r\nConnection: close\r\nHost: a/b\r\n", 400),
                (get + host + b"Content-Length: x\r\n", 400),
                (b"a-secret-in-a-head\r\n", 400),
            ]:
                self.assertIn(b" %d " % status, client.raw(request + b"\r\n")[:40], request[:80])
        without_tls = Client(nginx.public_https)
        self.assertIn(b" 400 ", without_tls.raw(get + host + b"\r\n")[:20])
        wait_for("the log", lambda: nginx.access_log().count(" other ") >= len(clients))

    def test_if_a_replica_is_down_the_other_one_answers(self):
        refusing, running = self.refusing_port(), self.processes.ports[0]
        for replicas in [(refusing, running), (running, refusing)]:
            with self.subTest(replicas=replicas):
                self.check_with_one_replica(refusing, running, replicas)

    def check_with_one_replica(self, refusing, running, replicas):
        nginx = self.start(*replicas)
        second = f'replica="127.0.0.1:{refusing} : 127.0.0.1:{running}" answered="502 : '
        event = {"type": 1, "tts_notification_id": "7600000000000099998", "shop_id": SHOP, "timestamp": 1767225600}
        body = json.dumps({**event, "data": {"pad": "p" * (200 * KIB)}}).encode()
        signature = {"Authorization": self.processes.signature(body), "Content-Type": "application/json"}
        unknown = "/v1/customers/a%2Fc/connections/unknown"

        def all_were_second():
            """Sends each kind of request. Returns whether each kind went to the refusing replica first."""
            answer, _, _ = self.connect("a%2Fb", {"return_to": RETURN_TO})
            self.assertIn(b"<h1>Connected</h1>", answer.body)
            self.assertEqual(self.post_webhook(body, signature).status, 200)
            self.assertEqual(self.post_webhook([body[:9], body[9:]], signature).status, 200)
            self.assertEqual(self.api("GET", "/v1/apps").status, 200)
            linked = self.api("PUT", f"{unknown}/linked-shops", {"shops": [SHOP]})
            self.assertEqual(linked.status, 404, linked)
            call = self.api("DELETE", f"/v1/customers/a%2Fb/shops/{SHOP}/tiktok/product/202309/products", {})
            self.assertNotIn(call.status, [502, 504], call)
            log = nginx.access_log()
            kinds = ["connect GET", "callback GET", "webhooks POST", "api GET", "api POST", "api PUT", "api DELETE"]
            return all(re.search(f" {kind} .*{re.escape(second)}", log) for kind in kinds)

        wait_for("requests that go to the refusing replica first", all_were_second)

    def test_if_a_replica_accepts_no_connection_the_other_one_answers_after_a_second(self):
        # The queue of this socket is full, so the system drops further connections, as if the machine were off.
        reserved = self.refusing_socket()
        reserved.listen(0)
        waiting = []
        for _ in range(8):
            stream = socket.socket()
            stream.setblocking(False)
            stream.connect_ex(reserved.getsockname())
            waiting.append(stream)
            self.addCleanup(stream.close)
        sound = self.replica()
        self.start(reserved.getsockname()[1], sound.port)

        def was_second():
            mark = f"a-secret-for-the-second-{len(self.secrets)}"
            self.secrets.add(mark)
            began = time.monotonic()
            self.assertEqual(self.public.ask("POST", f"/connect/{mark}", b"body").status, 200)
            took = time.monotonic() - began
            self.assertLess(took, 3, "TikTok Shop waits no longer for the answer to a webhook")
            received = [(each.line, each.body) for each in sound.received]
            self.assertEqual(received.count((f"POST /connect/{mark} HTTP/1.1", b"body")), 1)
            return took > 0.9

        wait_for("a request that goes to the full queue first", was_second)

    def test_if_both_replicas_are_down_the_answer_is_502(self):
        nginx = self.start(self.refusing_port(), self.refusing_port())
        self.secrets |= {"a-secret-for-nobody", "a-code-for-nobody"}
        for target in ["/connect/a-secret-for-nobody", "/callback?code=a-code-for-nobody", "/webhooks/default"]:
            self.assertEqual(self.public.ask("GET", target).status, 502, target)
        self.assertEqual(self.private.ask("GET", "/v1/apps").status, 502)
        # The search for secrets means something: the private server does write the address of a failed request.
        self.assertRegex(nginx.error_log(), 'refused.*"GET /v1/apps HTTP/1.1"')

    def test_a_request_that_a_replica_may_have_got_is_not_repeated(self):
        requests = [
            ("public", "GET", "/connect/{}"),
            ("public", "POST", "/connect/{}"),
            ("public", "GET", "/callback?code={}"),
            ("public", "POST", "/webhooks/{}"),
            ("private", "GET", "/v1/customers/{}/shops"),
            ("private", "POST", "/v1/customers/{}/disconnect"),
            ("private", "PUT", "/v1/customers/{}/connections/a/linked-shops"),
            ("private", "DELETE", "/v1/customers/{}/shops/1/tiktok/product/202309/products"),
            ("private", "POST", "/v1/customers/{}/shops/1/tiktok/product/202309/products"),
            ("private", "GET", "/readyz?{}"),
        ]
        for manner in [stage.CLOSE_UNREAD, stage.CLOSE, stage.RESET, stage.BREAK_OFF, stage.CLOSE_THE_SECOND]:
            broken, sound = self.replica(manner), self.replica()
            nginx = self.start(broken.port, sound.port)
            for where, method, pattern in requests:
                self.check_each_is_sent_once(where, method, pattern, broken, sound)
            nginx.end()
            # nginx may notice that a connection was closed before it has sent anything. Then, and only then, the other
            # replica gets the request.
            repeated = re.findall(r'replica="[^" ]+ : [^"]+" .* sent="([0-9]+) : [0-9]+"', nginx.access_log())
            self.assertLessEqual(set(repeated), {"0"}, manner)
            # The private addresses are in the error log, which shows that a search would find the others.
            for where, _, pattern in requests:
                found = re.search(re.escape(pattern).replace(r"\{\}", "mark-of-[0-9a-f]+"), nginx.logs())
                self.assertEqual(found is not None, where == "private", pattern)

    def check_each_is_sent_once(self, where, method, pattern, broken, sound):
        def breaks():
            return sum(broken.manner != stage.CLOSE_THE_SECOND or each.number == 1 for each in broken.received)

        what = f"{broken.manner}: {method} {pattern}"
        sent, statuses, before = [], [], breaks()
        end = time.monotonic() + DEADLINE
        # Half of the requests go to the broken replica.
        while breaks() < before + 3 or 200 not in statuses:
            self.assertLess(time.monotonic(), end, what)
            mark = f"mark-of-{os.urandom(8).hex()}"
            body = b"{}" if method in ("POST", "PUT", "DELETE") else None
            answer = getattr(self, where).ask(method, pattern.format(mark), body)
            statuses.append(answer.status)
            sent.append(pattern.format(mark))
        lines = [each.line for each in [*broken.received, *sound.received]]
        counts = [lines.count(f"{method} {target} HTTP/1.1") for target in sent]
        unread = broken.manner == stage.CLOSE_UNREAD
        self.assertEqual(counts, [0 if unread and status == 502 else 1 for status in statuses], what)
        self.assertLessEqual(set(statuses), {200, 502}, what)
        if not unread:
            self.assertEqual(statuses.count(502), breaks() - before, what)

    def test_the_errors_of_the_service_reach_the_client_unchanged(self):
        replica = self.replica()
        self.start(replica.port, replica.port)
        for status in [401, 404, 413, 429, 500, 502, 503, 504]:
            replica.status = status
            for client, method, target in [(self.public, "GET", "/callback"), (self.private, "POST", "/v1/x")]:
                answer = client.ask(method, target, None if method == "GET" else b"{}")
                found = (answer.status, answer.body, answer.header("retry-after"), answer.comes_from_a_replica())
                self.assertEqual(found, (status, b"ok", "7", True))
                replica.received.pop()
                self.assertEqual(replica.received, [], "the request was repeated")

    def test_nginx_closes_an_idle_connection_before_the_service_does(self):
        idle = wait_for("the end of the idle connection", lambda: self.idle_replica.idle)
        # The service closes it after 15 s. If nginx did not keep it at all, the time would be about 0.
        self.assertEqual(len(idle), 1)
        self.assertTrue(5 < idle[0] < 14, idle)


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    failed = len(result.failures) + len(result.errors)
    print(f"nginx: {max(result.testsRun - failed, 0)} tests passed, {failed} failed")
    sys.exit(failed > 0)
