"""Processes whose metrics are protected, as a scraper sees them."""

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import trustme
from tests.integration.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = ROOT / "deploy" / "kustomize"
COMPONENT = KUSTOMIZE / "components" / "protected-metrics"
HOST = "nicplug-metrics.nicplug-system.svc"


@dataclass(frozen=True, slots=True)
class Scraped:
    """A running process, as a scraper sees it."""

    port: int
    authority: trustme.CA
    kubectl: Kubectl

    def get(self, path: str, token: str = "") -> tuple[int, str]:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        context.check_hostname = False  # the name is not that of the loopback address
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def token(self, account: str) -> str:
        return self.kubectl("create", "token", account, "--duration=10m").strip()


def certificate(folder: Path) -> trustme.CA:
    """Write what the processes serve their metrics with; who has signed it."""
    authority = trustme.CA()
    made = authority.issue_cert(HOST)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    (folder / "tls.key").write_bytes(made.private_key_pem.bytes())
    return authority


def protection(prefix: str, folder: Path) -> dict[str, str]:
    """The settings that protect the metrics."""
    return {
        f"{prefix}METRICS_TLS_CERT_FILE": str(folder / "tls.crt"),
        f"{prefix}METRICS_TLS_PRIVATE_KEY_FILE": str(folder / "tls.key"),
        f"{prefix}METRICS_AUTHENTICATION": "token-review",
    }
