"""What `doctor` says of versions, and of the certificates of the aggregated API."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from tests.unit.cli.played import Answer, CommandLine, PlayedServer, refusal

from nicplug import __version__
from nicplug.kube.errors import APPLY_MANIFESTS
from nicplug.model.times import format_micro_time
from nicplug.model.versions import VERSION_ANNOTATION, served_version

LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
API_SERVICE = "GET /apis/apiregistration.k8s.io/v1/apiservices/v1.subresources.kubevirt.io"
OLDER_API_SERVICE = API_SERVICE.replace("v1.sub", "v1alpha3.sub")
SERVED = "GET /apis/subresources.kubevirt.io/v1/version"
SECRETS = "GET /api/v1/namespaces/nicplug-system/secrets"
OWN, OF_CERT_MANAGER = f"{SECRETS}/nicplug-api-certificate", f"{SECRETS}/nicplug-api-tls"
WEBHOOK = "GET /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nicplug-evictions"
AUTHORITY = trustme.CA()
SERVICE = {"namespace": "nicplug-system", "name": "nicplug-api"}


def findings(nicplug: CommandLine, check: str) -> list[dict[str, Any]]:
    told = json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]
    return [item for item in told if item["check"] == check]


def lease(version: str) -> Answer:
    metadata = {"annotations": {VERSION_ANNOTATION: version}} if version else {}
    renewed = format_micro_time(datetime.now(UTC))
    return 200, {"metadata": metadata, "spec": {"holderIdentity": "a", "renewTime": renewed}}


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def api_service(*, is_available: bool = True, annotations: dict[str, str] | None = None) -> Answer:
    told = {"type": "Available", "status": "True"}
    if not is_available:
        told = {"type": "Available", "status": "False", "reason": "FailedDiscoveryCheck", "message": "x509: ..."}
    spec = {"service": SERVICE, "caBundle": encoded(AUTHORITY.cert_pem.bytes())}
    metadata = {"name": "v1.subresources.kubevirt.io", "annotations": annotations or {}}
    return 200, {"metadata": metadata, "spec": spec, "status": {"conditions": [told]}}


def webhook(*, name: str = "nicplug-api", port: int = 443, authority: trustme.CA = AUTHORITY) -> Answer:
    config = {"service": {**SERVICE, "name": name, "port": port}, "caBundle": encoded(authority.cert_pem.bytes())}
    return 200, {"metadata": {"name": "nicplug-evictions"}, "webhooks": [{"clientConfig": config}]}


def secret(*, days: float) -> Answer:
    now = datetime.now(UTC)
    made = AUTHORITY.issue_cert(
        "nicplug-api.nicplug-system.svc", not_before=now - timedelta(days=90), not_after=now + timedelta(days=days)
    )
    chain = b"".join(item.bytes() for item in (*made.cert_chain_pems, AUTHORITY.cert_pem))
    return 200, {"metadata": {"name": "nicplug-api-certificate"}, "data": {"tls.crt": encoded(chain)}}


@pytest.fixture(autouse=True)
def _healthy(server: PlayedServer) -> None:
    server.answers |= {
        "GET /version": (200, {"gitVersion": "v1.37.2"}),
        LEASE: lambda _: lease(__version__),
        API_SERVICE: api_service(),
        OLDER_API_SERVICE: (200, {"metadata": {"name": "v1alpha3.subresources.kubevirt.io"}}),
        SERVED: (200, {"gitVersion": served_version(__version__)}),
        OWN: secret(days=60),
        WEBHOOK: webhook(),
    }


def test_all_of_one_version(nicplug: CommandLine) -> None:
    (found,) = findings(nicplug, "versions")
    mine = __version__
    told = f"nicplug {mine} (this command), {mine} (operator), {mine} (aggregated API); API server v1.37.2"
    assert (found["severity"], found["message"], found["remedy"]) == ("ok", told, None)


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        # When it is asked for, or it would be an old one.
        (LEASE, lambda _: lease("9.9.9"), "9.9.9 (operator)"),
        (SERVED, (200, {"gitVersion": served_version("9.9.9")}), "9.9.9 (aggregated API)"),
        (SERVED, (200, {"gitVersion": "v1.9.0"}), "not nicplug's, but v1.9.0 (aggregated API)"),
    ],
    ids=["operator", "API", "KubeVirt's API"],
)
def test_versions_that_differ_were_not_compared(
    nicplug: CommandLine, server: PlayedServer, path: str, answer: Any, told: str
) -> None:
    server.answers[path] = answer
    (found,) = findings(nicplug, "versions")
    assert found["severity"] == "warning"
    assert told in found["message"]
    assert f"Install nicplug {__version__} everywhere" in found["remedy"]


@pytest.mark.parametrize("path", [LEASE, SERVED])
@pytest.mark.parametrize("answer", [refusal(403, "Forbidden", "no"), refusal(404, "NotFound", "none"), (200, {})])
def test_a_version_that_nobody_tells_is_left_out(
    nicplug: CommandLine, server: PlayedServer, path: str, answer: Answer
) -> None:
    """Whether it runs, and may be looked at, is what other checks say."""
    server.answers[path] = answer
    (found,) = findings(nicplug, "versions")
    assert found["severity"] == "ok"
    assert ("operator" if path == LEASE else "aggregated") not in found["message"]


@pytest.mark.parametrize(("days", "severity"), [(60, "ok"), (7, "warning"), (-1, "problem")])
def test_the_serving_certificate_was_not_looked_at(
    nicplug: CommandLine, server: PlayedServer, days: int, severity: str
) -> None:
    """Only the CA was, which outlives it by years."""
    server.answers[OWN] = secret(days=days)
    authority, served = findings(nicplug, "certificate")
    assert (authority["severity"], authority["message"][:6]) == ("ok", "the CA")
    assert (served["severity"], served["message"][:23]) == (severity, "the serving certificate")
    assert ("has expired at" in served["message"]) is (days < 0)


def test_an_expired_certificate_was_told_as_an_api_that_is_not_available(
    nicplug: CommandLine, server: PlayedServer
) -> None:
    server.answers |= {API_SERVICE: api_service(is_available=False), OWN: secret(days=-1)}
    done = nicplug("doctor")
    assert done.exit_code == 9
    assert [item["severity"] for item in findings(nicplug, "api")] == ["problem"]
    told = findings(nicplug, "certificate")[-1]
    assert told["message"].startswith("the serving certificate of the aggregated API has expired at ")
    assert "Restart nicplug-api" in told["remedy"]


def test_cert_manager_keeps_it_in_another_secret(nicplug: CommandLine, server: PlayedServer) -> None:
    """What nicplug kept before may still be there, and is not served any more."""
    injected = {"cert-manager.io/inject-ca-from": "nicplug-system/nicplug-api"}
    server.answers |= {
        API_SERVICE: api_service(annotations=injected),
        OWN: secret(days=-1),
        OF_CERT_MANAGER: secret(days=60),
    }
    assert [item["severity"] for item in findings(nicplug, "certificate")] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("answer", "severity", "told"),
    [
        (refusal(403, "Forbidden", "secrets is forbidden"), "unknown", "secrets is forbidden"),
        (refusal(404, "NotFound", "none"), "unknown", "there is no Secret nicplug-system/nicplug-api-certificate"),
        ((200, {"metadata": {"name": "s"}, "data": {"tls.crt": encoded(b"x")}}), "problem", "cannot be read"),
        ((200, {"metadata": {"name": "s"}, "data": {}}), "problem", "cannot be read"),
        ((200, {"metadata": {"name": "s"}, "data": {"tls.crt": "?"}}), "problem", "cannot be read"),
    ],
    ids=["denied", "none", "no certificate", "empty", "not base64"],
)
def test_a_secret_that_says_nothing(
    nicplug: CommandLine, server: PlayedServer, answer: Answer, severity: str, told: str
) -> None:
    server.answers[OWN] = answer
    _, served = findings(nicplug, "certificate")
    assert (served["severity"], told in served["message"], bool(served["remedy"])) == (severity, True, True)


MISSING = "there is no ValidatingWebhookConfiguration nicplug-evictions"
ELSEWHERE = (
    "nicplug-evictions points to Service nicplug-system/other:443, the APIService to nicplug-system/nicplug-api:443"
)
OWN_SERVICE = "nicplug-system/nicplug-api"
OTHER_PORT = f"nicplug-evictions points to Service {OWN_SERVICE}:8443, the APIService to {OWN_SERVICE}:443"
STRANGER = "nicplug-evictions has a different CA than the APIService"
MEANS = ": a drain waits for protected guests and migrates none"


@pytest.mark.parametrize(
    ("answer", "severity", "told", "remedy"),
    [
        (webhook(), "ok", "a drain migrates guests", ""),
        (refusal(404, "NotFound", "none"), "warning", MISSING + MEANS, "Apply nicplug's manifests"),
        (webhook(name="other"), "warning", ELSEWHERE + MEANS, "Apply nicplug's manifests"),
        (webhook(port=8443), "warning", OTHER_PORT + MEANS, "Apply nicplug's manifests"),
        (webhook(authority=trustme.CA()), "warning", STRANGER + MEANS, "Wait some seconds for nicplug api"),
        (refusal(403, "Forbidden", "you may not"), "unknown", "you may not", ""),
    ],
    ids=["as it shall be", "none", "another Service", "another port", "another CA", "denied"],
)
def test_a_drain_that_moves_nobody_was_told_by_nothing(
    server: PlayedServer, nicplug: CommandLine, answer: Answer, severity: str, told: str, remedy: str
) -> None:
    """An eviction passes by a webhook that fails, and the budgets answer it."""
    server.answers[WEBHOOK] = answer
    (found,) = findings(nicplug, "evictions")
    assert (found["severity"], found["message"]) == (severity, told)
    assert (found["remedy"] or "").startswith(remedy)


def test_a_drain_was_told_to_move_guests_while_nobody_hears_of_it(server: PlayedServer, nicplug: CommandLine) -> None:
    server.answers[API_SERVICE] = api_service(is_available=False)
    (found,) = findings(nicplug, "evictions")
    assert (found["severity"], found["message"]) == ("warning", "nicplug api does not answer" + MEANS)


API_DEPLOYMENT = "GET /apis/apps/v1/namespaces/nicplug-system/deployments/nicplug-api"
NONE = refusal(404, "NotFound", "none")
LEFT_OUT = "Install it for virtctl and `nicplug add`; patches of the spec work without it."


@pytest.mark.parametrize(
    ("deployment", "severity", "remedy"),
    [
        ((200, {"metadata": {"name": "nicplug-api"}}), "problem", f"{APPLY_MANIFESTS}."),
        (NONE, "warning", LEFT_OUT),
        (refusal(403, "Forbidden", "you may not"), "warning", LEFT_OUT),
    ],
    ids=["deleted", "left out", "denied"],
)
def test_a_registration_that_was_deleted_was_looked_for_in_the_log_of_the_api(
    server: PlayedServer, nicplug: CommandLine, deployment: Answer, severity: str, remedy: str
) -> None:
    """Its pods run on and log nothing: the manifests bring it back."""
    server.answers |= {API_SERVICE: NONE, API_DEPLOYMENT: deployment}
    (found,) = findings(nicplug, "api")
    assert (found["severity"], found["remedy"]) == (severity, remedy)


def test_a_version_that_old_clients_ask_for_was_deleted_unnoticed(server: PlayedServer, nicplug: CommandLine) -> None:
    assert [item["severity"] for item in findings(nicplug, "api")] == ["ok"]
    server.answers[OLDER_API_SERVICE] = NONE
    _, older = findings(nicplug, "api")
    told = "APIService v1alpha3.subresources.kubevirt.io is not registered: old clients fail"
    assert (older["severity"], older["message"], older["remedy"]) == ("warning", told, f"{APPLY_MANIFESTS}.")
