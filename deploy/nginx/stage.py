"""What test.py starts: nginx with the shipped file, a fake TikTok Shop with two services, and replicas that break
connections. Also the client that sends requests."""

import hashlib
import hmac
import http.client
import json
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PROGRAM = os.environ.get("TIKTOK_SHOP_TEST_HARNESS", ROOT / "target/debug/tiktok-shop-harness")
COMPONENT = os.environ.get("TIKTOK_SHOP_COMPONENT", ROOT / "target/dist/tiktok_shop_connector.wasm")
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
DEADLINE = 60  # seconds
SHOP = "7490000000000000001"
APP = "6fakeapp00001"
RETURN_TO = "https://app.example/connected"

# What Debian's nginx.conf sets for every site, as far as it could change an answer, and other sites on the same ports.
# The level `info` logs the most.
AROUND = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log {folder}/other.log;
    gzip on;
    gzip_min_length 1;
    gzip_proxied any;
    gzip_types *;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    ssl_certificate {certificate}/localhost.pem;
    ssl_certificate_key {certificate}/localhost.key;
    server {{
        listen 127.0.0.1:{public_http};
        listen 127.0.0.1:{public_https} ssl;
        server_name other.example;
    }}
    include {folder}/shipped.conf;
}}
"""


def wait_for(what, ask):
    """Asks again until the answer is true, and returns it."""
    end = time.monotonic() + DEADLINE
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE} s for {what}")
        time.sleep(0.02)
    return answer


def reserved_port():
    """Returns a socket that has a port and does not listen. The port refuses connections, until another program listens
    on it. As long as the socket is open, only a program that names the port gets it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Answer(NamedTuple):
    status: int
    headers: list  # pairs, with names in lower case
    body: bytes

    def header(self, name):
        return next((value for known, value in self.headers if known == name), None)

    def comes_from_a_replica(self):
        # The service gives every answer an id, and so do the replicas of this file. nginx gives none.
        return self.header("x-request-id") is not None


class Client:
    """Sends requests to a port of this machine. Each request has a connection of its own."""

    def __init__(self, port, certificate=None, source=None):
        self.port = port
        self._tls = ssl.create_default_context(cafile=certificate) if certificate else None
        self._source = source and (source, 0)

    def ask(self, method, target, body=None, headers=None, declared=None):
        """`declared` is the length that the head names. The body is then not sent."""
        connection = self._connection()
        try:
            headers = headers or {}
            connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            chunks = body if isinstance(body, list) else None
            if chunks is not None:
                connection.putheader("Transfer-Encoding", "chunked")
            elif body is not None or declared is not None:
                connection.putheader("Content-Length", str(len(body) if declared is None else declared))
            if chunks is not None:
                connection.endheaders(iter(chunks), encode_chunked=True)
            else:
                connection.endheaders(body)
            response = connection.getresponse()
            headers = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def expect_continue(self, target, body, headers):
        """Sends the body only after the other side has asked for it. Returns everything that came."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as plain:
            with self._tls.wrap_socket(plain, server_hostname="localhost") as stream:
                lines = [f"POST {target} HTTP/1.1", "Host: localhost", "Connection: close", "Expect: 100-continue"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                lines += [f"Content-Length: {len(body)}", "", ""]
                stream.sendall("\r\n".join(lines).encode())
                came = stream.recv(4096)
                stream.sendall(body)
                while more := stream.recv(4096):
                    came += more
        return came.decode()

    def raw(self, request):
        """Sends these bytes. Returns everything that came."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as plain:
            with self._tls.wrap_socket(plain, server_hostname="localhost") if self._tls else plain as stream:
                stream.sendall(request)
                return b"".join(iter(lambda: stream.recv(65536), b""))

    def begin(self, target, small_buffer):
        """Sends a request, and returns the stream with the answer. This side has little space for the answer."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small_buffer)
        plain.settimeout(DEADLINE)
        plain.connect(("127.0.0.1", self.port))
        stream = self._tls.wrap_socket(plain, server_hostname="localhost")
        stream.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return stream

    def _connection(self):
        options = {"timeout": DEADLINE, "source_address": self._source}
        if self._tls:
            return http.client.HTTPSConnection("localhost", self.port, context=self._tls, **options)
        return http.client.HTTPConnection("127.0.0.1", self.port, **options)


class Received(NamedTuple):
    line: str
    headers: list  # pairs, with names in lower case
    body: bytes
    number: int  # of the request on its connection


# How a replica of this file ends a request.
ANSWER, CLOSE, RESET, BREAK_OFF, CLOSE_THE_SECOND = "answer", "close", "reset", "break off", "close the second"
CLOSE_UNREAD, LONG_ANSWER = "close unread", "long answer"
# The bytes of a long answer. The buffers of the system hold some megabytes of it.
LONG = 32 << 20


class Replica:
    """A server in place of a service. It keeps what it receives, and breaks connections if told so."""

    def __init__(self, manner=ANSWER):
        self.manner = manner
        self.status = 200
        self.received = []
        self.has_waited = threading.Event()  # nobody took more of an answer for some time
        self.idle = []  # for each connection that the other side wanted to end: the seconds since the last answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def end(self):
        self._listening.close()

    def _accept(self):
        while True:
            try:
                stream, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        with stream, stream.makefile("rb") as reading:
            if self.manner == CLOSE_UNREAD:
                self.received.append(Received("unread", [], b"", 0))
                return
            number, answered = 0, None
            while request := self._read(reading, number):
                self.received.append(request)
                number += 1
                if not self._answers(stream, number):
                    return
                answered = time.monotonic()
                if ("connection", "close") in request.headers:
                    break
            if answered:
                self.idle.append(time.monotonic() - answered)

    def _answers(self, stream, number):
        """Answers, and returns whether the connection stays open."""
        closes = self.manner == CLOSE_THE_SECOND and number == 2
        if self.manner in (ANSWER, CLOSE_THE_SECOND) and not closes:
            head = f"HTTP/1.1 {self.status} X\r\nX-Request-Id: replica\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n"
            stream.sendall(head.encode() + b"ok")
            return True
        if self.manner == LONG_ANSWER:
            self._send_much(stream)
        if self.manner == BREAK_OFF:
            stream.sendall(b"HTTP/1.1 200 OK\r\nX-Reque")
        if self.manner == RESET:
            # With this option, the end of a connection is a reset.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _send_much(self, stream):
        rest = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + b"a" * LONG)
        while rest:
            if not select.select([], [stream], [], 0.3)[1]:
                self.has_waited.set()
                select.select([], [stream], [], DEADLINE)
            rest = rest[stream.send(rest[:65536]) :]

    @staticmethod
    def _read(reading, number):
        line = reading.readline().decode().strip()
        if not line:
            return None
        headers = []
        while header := reading.readline().decode().strip():
            name, _, value = header.partition(":")
            headers.append((name.lower(), value.strip()))
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        return Received(line, headers, reading.read(length), number)


class Nginx:
    """nginx with the shipped file in front of two replicas."""

    def __init__(self, folder, certificate, ports, replicas):
        self.folder = folder
        self.public_http, self.public_https, self.private = ports
        text = (FOLDER / "tiktok-shop-connector.conf").read_text()
        replaced = [
            ("server 10.0.0.11:4020;", f"server 127.0.0.1:{replicas[0]};"),
            ("server 10.0.0.12:4020;", f"server 127.0.0.1:{replicas[1]};"),
            ("listen 80 ", f"listen 127.0.0.1:{self.public_http} "),
            ("listen 443 ", f"listen 127.0.0.1:{self.public_https} "),
            ("listen 10.0.0.10:8443 ", f"listen 127.0.0.1:{self.private} "),
            ("https://connect.example", f"https://localhost:{self.public_https}"),
            ("allow 10.0.0.0/24;", "allow 127.0.0.1;"),
            ("server_name connect.example;", "server_name localhost;"),
            ("server_name connector.internal.example;", "server_name localhost;"),
            ("/etc/nginx/tls/connect.example.", f"{certificate}/localhost."),
            ("/etc/nginx/tls/connector.internal.example.", f"{certificate}/localhost."),
            ("/var/log/nginx/", f"{folder}/"),
        ]
        for old, new in replaced:
            assert old in text, f"{old} is not in the shipped file"
            text = text.replace(old, new)
        assert "10.0.0." not in text, "an address was not replaced"
        (folder / "shipped.conf").write_text(text)
        names = {"public_http": self.public_http, "public_https": self.public_https, "certificate": certificate}
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, **names))
        assert NGINX, "nginx is not installed"
        self._command = [NGINX, "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"]
        self._output = open(folder / "output.log", "wb")
        self._process = subprocess.Popen(self._command, stdout=self._output, stderr=self._output)
        wait_for("nginx", lambda: all(map(self._listens, ports)))
        # nginx has made these folders for bodies and answers that do not stay in memory. It can't write to a file in
        # place of a folder, so a request that needs one fails.
        for name in ["body", "proxy"]:
            (folder / name).rmdir()
            (folder / name).touch()

    def _listens(self, port):
        if self._process.poll() is not None:
            raise AssertionError("nginx has ended:\n" + self.logs())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def check_syntax(self):
        return subprocess.run([*self._command, "-t"], capture_output=True, text=True)

    def logs(self):
        return "".join(self._log(path) for path in sorted(self.folder.glob("*.log")))

    def access_log(self):
        return self._log(self.folder / "tiktok-shop-connector.log")

    def error_log(self):
        return self._log(self.folder / "error.log")

    @staticmethod
    def _log(path):
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(DEADLINE)
        self._output.close()


class Processes:
    """A fake TikTok Shop, and two services on one SQLite database."""

    def __init__(self, folder):
        self._running = []
        self._folder = folder
        self._environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "TIKTOK_SHOP_COMPONENT": str(Path(COMPONENT).resolve()),
        }

    def start(self, public_port):
        public = f"https://localhost:{public_port}"
        fake = self._start("fake", "--json", "--redirect", f"{public}/callback")
        self.fake = Client(int(fake["address"].rpartition(":")[2]))
        self.apps = {app["app_key"]: app for app in fake["apps"]}
        made = self._run("api-keys", "create", "--name", "platform", "--scopes", "connect,read,call,token,admin")
        self.key, _, entry = made.partition("\n")
        config = self._folder / "config.toml"
        config.touch(mode=0o600)
        config.write_text(
            f'storage = "sqlite:{self._folder}/connections.sqlite"\nkey-file = "{self._folder}/host-keys"\n[serve]\n'
            f'public-address = "{public}"\nreturn-addresses = ["{RETURN_TO}"]\n'
            f'install-addresses = {{ {APP} = "https://app.example/tiktok-install" }}\n{entry}'
        )
        self._environment["TIKTOK_SHOP_CONFIG"] = str(config)
        self._environment["TIKTOK_SHOP_FAKE"] = f"http://{fake['address']}"
        self._run("migrate")
        self._run("keys", "init")
        started = [self._start("serve", "--json", "--listen", "127.0.0.1:0") for _ in range(2)]
        self.ports = [int(service["listen"].rpartition(":")[2]) for service in started]

    def control(self, path, body=None):
        """Asks the fake to do something that TikTok Shop does."""
        text = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        answer = self.fake.ask(method, f"/_control{path}", text, {"Content-Type": "application/json"})
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def webhook(self, order):
        """Returns the body and the headers of a webhook that the fake wants to send."""
        service = self.apps[APP]["service_id"]
        self.control("/webhooks", {"service_id": service, "type": 1, "shop_id": SHOP, "data": {"order_id": order}})
        due = self.control("/webhooks")[-1]
        return due["body"].encode(), dict(due["headers"])

    def signature(self, body):
        """Signs the body of a webhook, as docs/signatures.md says."""
        return hmac.new(self.apps[APP]["app_secret"].encode(), APP.encode() + body, hashlib.sha256).hexdigest()

    def _run(self, *arguments):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env=self._environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _start(self, *arguments):
        """Returns the JSON that the program prints when it is ready."""
        log = open(self._folder / f"{arguments[0]}-{len(self._running)}.log", "w+")
        process = subprocess.Popen(
            [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
        )
        self._running.append((process, log))
        line = process.stdout.readline()
        printed = json.loads(line or "{}")
        if not printed or "error" in printed:
            log.seek(0)
            raise AssertionError(f"{arguments[0]} has ended:\n{line}{log.read()}")
        return printed

    def end(self):
        for process, log in reversed(self._running):
            process.terminate()
            process.wait(DEADLINE)
            process.stdout.close()
            log.close()
