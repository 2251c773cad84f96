"""What KubeVirt's virtctl sends, byte for byte, as the binaries of 1.0.0-rc.0 and 1.0.0 were seen to send it."""

import gzip
import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GROUP = "subresources.kubevirt.io"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer; `body` is empty with a success."""

    code: int
    body: bytes

    @property
    def message(self) -> str:
        """The text of a Status."""
        return str(json.loads(self.body)["message"])

    @property
    def status(self) -> dict[str, Any]:
        """The whole Status."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def add(network: str, name: str) -> bytes:
    """The body of `addinterface`."""
    return b'{"networkAttachmentDefinitionName":"%s","name":"%s"}' % (network.encode(), name.encode())


def remove(name: str) -> bytes:
    """The body of `removeinterface`."""
    return b'{"name":"%s"}' % name.encode()


def request(
    tail: str,
    body: bytes,
    *,
    namespace: str = "default",
    version: str = "v1",
    method: str = "PUT",
    more: Mapping[str, str] | None = None,
) -> bytes:
    """The request: no Content-Type, and no newline behind the body.

    Args:
        tail: of the path, behind the namespace.
        more: headers that virtctl does not send.
    """
    head = [
        f"{method} /apis/{GROUP}/{version}/namespaces/{namespace}/{tail} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: virtctl/v0.0.0 (linux/amd64) kubernetes/$Format",
        f"Content-Length: {len(body)}",
        "Accept: application/json, */*",
        *(f"{name}: {value}" for name, value in (more or {}).items()),
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def read_request(path: str, *, accept: str = "application/json, */*") -> bytes:
    """A GET as Go's client sends it: no body, and no length of one."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: virtctl/v0.0.0 (linux/amd64) kubernetes/$Format",
        f"Accept: {accept}",
        "Accept-Encoding: gzip",
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Virtctl:
    """Somebody at a command line.

    Attributes:
        directory: of the sandbox, whose admin's certificate is used.
        server: URL of the API server.
        acts_as: the user that the admin impersonates; the admin when empty.
    """

    directory: Path
    server: str
    namespace: str = "default"
    acts_as: str = ""

    def put(self, tail: str, body: bytes = b"{}", **options: Any) -> Answered:
        """Send a request as virtctl sends it."""
        when_connected = options.pop("when_connected", lambda: None)
        more = dict(options.pop("more", {}))
        if self.acts_as:
            more["Impersonate-User"] = self.acts_as
        content = request(tail, body, namespace=self.namespace, more=more, **options)
        return self.send(content, when_connected=when_connected)

    def send(self, content: bytes, *, when_connected: Callable[[], object] = lambda: None) -> Answered:
        """Send bytes to the API server on a connection of their own."""
        pki, url = self.directory / "pki", urlsplit(self.server)
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(str(url.hostname), url.port, context=context, timeout=60)
        try:
            connection.connect()
            when_connected()
            connection.send(content)
            answer = http.client.HTTPResponse(connection.sock, method="PUT")
            answer.begin()
            body = answer.read()
            is_compressed = answer.getheader("Content-Encoding") == "gzip"
            return Answered(answer.status, gzip.decompress(body) if is_compressed else body)
        finally:
            connection.close()
