"""An API server that records requests and answers what it is told to, and the command line against it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nicplug.cli.main import main

Json = dict[str, Any]
Answer = tuple[int, Json | None]
NOT_SERVED: Answer = (
    404,
    {"kind": "Status", "reason": "NotFound", "message": "the server could not find the requested resource"},
)
ACCEPTED: Answer = (202, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request as it came."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(slots=True)
class PlayedServer:
    """Answers by method and path without its query; what nobody has told of is not served."""

    url: str = ""
    requests: list[Recorded] = field(default_factory=list)
    answers: dict[str, Answer | Callable[[Recorded], Answer]] = field(default_factory=dict)

    def answer(self, request: Recorded) -> Answer:
        """What it says to a request."""
        found = self.answers.get(f"{request.method} {request.path.partition('?')[0]}", NOT_SERVED)
        return found(request) if callable(found) else found

    def asked(self) -> list[Recorded]:
        """The requests but the discovery by which a command learns the mode of the cluster."""
        return [item for item in self.requests if item.path != "/apis/kubevirt.io/v1"]

    def put(self) -> list[Recorded]:
        """The writes."""
        return [item for item in self.requests if item.method != "GET"]


@contextmanager
def played_server() -> Iterator[PlayedServer]:
    """One of them, on a free port."""
    played = PlayedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Recorded(method=self.command, path=self.path, headers=tuple(self.headers.items()), body=body)
            played.requests.append(request)
            code, content = played.answer(request)
            text = json.dumps(content).encode() if content is not None else b""
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_PATCH = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256  # doctor asks for all rights at once

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that goes away is no error."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    played.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`nicplug` against one server."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        command, *rest = arguments
        options = [command, f"--kubeconfig={self.kubeconfig}", *rest]
        return CliRunner().invoke(main, options, input=stdin)


def refusal(code: int, reason: str, message: str, *, hint: str = "") -> Answer:
    """A Status as the API server sends it; `hint` is the reason of its only cause."""
    details = {"details": {"causes": [{"reason": hint}]}} if hint else {}
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message} | details


def collection(*items: Json) -> Answer:
    """A list."""
    return 200, {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": list(items)}
