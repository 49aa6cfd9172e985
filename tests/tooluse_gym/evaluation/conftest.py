"""A server that answers as a test wants, on this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = Callable[[dict[str, Any]], tuple[int, Any]]
"""The status and the body of the answer to a request."""


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a server that answers so; its address up to /v1. A GET is a request without fields."""
    servers = []

    def start(answer: Answer, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                self._answer({})

            def _answer(self, request: dict[str, Any]) -> None:
                status, body = answer({**request, "path": self.path, "key": self.headers.get("Authorization")})
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                """A client may hang up."""

        server = Quiet(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def speak() -> Iterator[Callable[..., str]]:
    """Starts a server that answers each request with these bytes, whatever they are, and hangs up.

    With ``every`` it takes so many seconds for each byte behind the first hundred.
    """
    listening = []

    def start(said: bytes, every: float = 0.0) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def answer() -> None:
            with suppress(OSError):  # closed by the test, or by who asked
                while True:
                    one, _ = server.accept()
                    with one:
                        one.recv(2**16)
                        one.sendall(said[:100] if every else said)
                        for byte in said[100:] if every else b"":
                            time.sleep(every)
                            one.sendall(bytes([byte]))

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"

    yield start
    for server in listening:
        server.close()


@pytest.fixture(scope="session")
def says() -> Callable[..., tuple[int, Any]]:
    """The answer in which a model says something."""

    def answer(content: str | None, finish_reason: str = "stop", **message: Any) -> tuple[int, Any]:
        return 200, {"choices": [{"message": {"content": content, **message}, "finish_reason": finish_reason}]}

    return answer
