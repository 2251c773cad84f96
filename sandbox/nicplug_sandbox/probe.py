"""The few plain requests that tell whether an API server serves; anything more is kubectl's work."""

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response; status 0 means that there was none, and the body says why."""

    status: int
    body: str


def get(path: str, *, server: str, pki: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
    """GET as the sandbox's admin, with the credentials in `pki`."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    url = urlsplit(server)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout_seconds, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(status=0, body=str(error))
    finally:
        connection.close()
