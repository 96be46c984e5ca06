"""Sends the component's HTTP requests: only to TikTok Shop's two servers, under deadlines, and without redirects.

Each failure has one of the error codes of `wasi:http`. Some codes mean that the request was certainly not sent. They
are used only while there is no connection: see `docs/hosts.md`.
"""

import io
import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from values import Variant, record

# wasmtime-py ends a call whose result has 2 MiB or more: see docs/hosts.md. A larger answer becomes an error of the
# component instead.
MAX_ANSWER_BYTES = 1024 * 1024
SERVERS = ("auth.tiktok-shops.com", "open-api.tiktokglobalshop.com")
METHODS = ("get", "post", "put", "delete")


class Refused(Exception):
    """The request has no answer. `code` is an error code of `wasi:http`."""

    def __init__(self, tag, payload=None):
        super().__init__(tag)
        self.code = Variant(tag, payload)


@dataclass
class Request:
    headers: list
    method: str = "get"
    scheme: str = "HTTPS"
    authority: str = ""
    path_with_query: str = "/"
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list
    body: bytes


class Egress:
    """`stand_in` is the address (IP address and port) of a fake TikTok Shop. It gets the requests for both servers."""

    def __init__(self, stand_in=None, connect_seconds=5.0, request_seconds=25.0):
        self.stand_in = stand_in
        self.connect_seconds = connect_seconds
        self.request_seconds = request_seconds  # a whole request; less than 30 s: see wit/storage.wit

    def send(self, request):
        if request.scheme != "HTTPS" or request.authority not in SERVERS or request.method not in METHODS:
            raise Refused("HTTP-request-denied")
        ends = time.monotonic() + self.request_seconds
        connection = self._connected(request.authority, min(self.connect_seconds, self.request_seconds))
        try:
            # From here on, it is unknown whether TikTok acts.
            return self._exchanged(connection, request, ends)
        except TimeoutError as error:
            raise Refused("connection-read-timeout") from error
        except (OSError, HTTPException) as error:
            raise Refused("HTTP-protocol-error") from error
        finally:
            connection.close()

    def _connected(self, server, seconds):
        if self.stand_in is None:
            connection = HTTPSConnection(server, timeout=seconds, context=ssl.create_default_context())
        else:
            connection = HTTPConnection(*self.stand_in, timeout=seconds)
        try:
            connection.connect()
        except socket.gaierror as error:
            raise Refused("DNS-error", record(rcode=None, info_code=None)) from error
        except ConnectionRefusedError as error:
            raise Refused("connection-refused") from error
        except ssl.SSLCertVerificationError as error:
            raise Refused("TLS-certificate-error") from error
        except OSError as error:  # includes a time-out
            raise Refused("destination-unavailable") from error
        return connection

    def _exchanged(self, connection, request, ends):
        connection.sock.settimeout(remaining(ends))
        method = request.method.upper()
        connection.putrequest(method, request.path_with_query, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", request.authority)
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders(request.body or None)

        # One time-out of the socket would apply to each single read, and an answer can have many.
        answer = connection.response_class(_Until(ends, connection.sock), method=method)
        answer.begin()
        body = b""
        while part := answer.read1(65536):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise Refused("HTTP-response-body-size", len(body))
        if answer.length:
            raise Refused("HTTP-response-incomplete")
        headers = [(name.lower(), value.encode("latin-1")) for name, value in answer.getheaders()]
        return Answer(answer.status, headers, body)


class _Until(io.RawIOBase):
    """A socket for `HTTPResponse`. All its reads end at one point in time."""

    def __init__(self, ends, sock):
        self._ends, self._sock = ends, sock

    def makefile(self, _mode):
        return io.BufferedReader(self)

    def readable(self):
        return True

    def readinto(self, buffer):
        self._sock.settimeout(remaining(self._ends))
        return self._sock.recv_into(buffer)


def remaining(ends):
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
