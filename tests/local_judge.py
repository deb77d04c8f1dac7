"""Serve chat completions on this machine, for as long as a test lasts, and keep what was asked."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.isolation import OWN_SERVERS

QUOTED = re.compile(r"-----BEGIN (?P<name>[A-Z ]+) (?P<key>\w+)-----\n(?P<text>.*?)\n-----END (?P=name) (?P=key)-----", re.DOTALL)


@dataclass
class Reply:
    """Hold what the server sends: JSON, or bytes as they are; then it closes. `before` is waited for."""

    content: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], Any] | None = None


@dataclass
class Asked:
    """Hold one request."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return str(self.body["messages"][-1]["content"])

    @property
    def quoted(self) -> dict[str, str]:
        return {found["name"]: found["text"] for found in QUOTED.finditer(self.text)}


@dataclass
class LocalJudge:
    """Hold a running server."""

    base_url: str
    asked: list[Asked]


def completion(text: Any, prompt_tokens: int | None = 100, completion_tokens: int | None = 10) -> dict[str, Any]:
    """Return a chat completion as OpenAI's interface has it."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {"choices": [{"message": {"role": "assistant", "content": text}}]} | ({} if prompt_tokens is None else {"usage": usage})


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64  # with fewer, a client that is not let in waits for a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that does not wait any longer is what some tests are about."""


@contextmanager
def local_judge(answer: Callable[[Asked, int], Reply | str]) -> Iterator[LocalJudge]:
    """Serve what `answer` says to a request and its number, from 0; a text becomes a chat completion."""
    asked: list[Asked] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            new = Asked(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), dict(self.headers))
            with lock:
                asked.append(new)
                number = len(asked) - 1
            found = answer(new, number)
            reply = found if isinstance(found, Reply) else Reply(completion(found))
            if reply.before is not None:
                reply.before()
            data = reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(data))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    with _Server(("127.0.0.1", 0), Handler) as server:
        address = server.server_address
        OWN_SERVERS.add(address)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True).start()
        try:
            yield LocalJudge(f"http://127.0.0.1:{address[1]}/v1", asked)
        finally:
            server.shutdown()
            OWN_SERVERS.discard(address)


@contextmanager
def nobody_there() -> Iterator[str]:
    """Give an address of this machine at which nobody listens."""
    with _Server(("127.0.0.1", 0), BaseHTTPRequestHandler, bind_and_activate=False) as server:
        server.server_bind()  # taken, so that nobody else listens there, and refused
        OWN_SERVERS.add(server.server_address)
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            OWN_SERVERS.discard(server.server_address)
