"""Finding the API server and our credentials."""

import stat
import sys
from pathlib import Path

import pytest
from kubernetes.aio.config import ConfigException, incluster_config
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubeconfig import write_kubeconfig

from nicplug.kube import connect as module
from nicplug.kube import credentials
from nicplug.kube.connect import ConfigError, connect
from nicplug.kube.resources import NODES


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that kubelet mounts."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("token-1")
    (directory / "ca.crt").write_text("a certificate")
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", directory)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(directory / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(directory / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return directory


async def test_a_kubeconfig_serves_our_requests_and_kopfs_login(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        path = write_kubeconfig(tmp_path / "config", server=server.url, user={"token": "secret"})
        connection = await connect(kubeconfig=path)
        assert (await connection.api.list(NODES))["items"] == []
        await connection.close()
    login = await connection.credentials()
    assert (login.server, login.scheme, login.token) == (connection.server, "Bearer", "secret")
    assert "secret" not in repr(connection)


async def test_client_certificates_reach_kopf_as_files(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("c")
    (tmp_path / "key").write_text("k")
    user = {"client-certificate": str(tmp_path / "cert"), "client-key": str(tmp_path / "key")}
    path = write_kubeconfig(tmp_path / "config", server="https://127.0.0.1:1", user=user)
    configuration = await credentials.load_kubeconfig(str(path))
    login = module._connection_info(configuration)
    assert (login.certificate_path, login.private_key_path) == (str(tmp_path / "cert"), str(tmp_path / "key"))
    assert login.token is None


async def test_the_environment_names_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_kubeconfig(tmp_path / "config", server="http://127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{path}")
    connection = await connect(kubeconfig=None)
    assert connection.server == "http://127.0.0.1:1"
    await connection.close()


async def test_without_anything_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="--kubeconfig PATH or set KUBECONFIG"):
        await connect(kubeconfig=None)


@pytest.mark.parametrize("content", ["", "- a\n- list", "{", "apiVersion: v1", "current-context: x\ncontexts: 5"])
async def test_a_broken_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ConfigError, match=str(path)):
        await connect(kubeconfig=path)


async def test_in_a_pod_the_service_account_is_used(service_account: Path) -> None:
    configuration = await credentials.load_in_cluster()
    assert configuration.host == "https://10.0.0.1:443"
    assert module._connection_info(configuration).token == "token-1"
    (service_account / "token").write_text("token-2")
    rotated = await credentials.load_in_cluster()
    assert module._connection_info(rotated).token == "token-2"


async def test_a_rotated_token_is_read_again_whatever_the_wall_clock_says(
    service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that went back two hours kept a token for as long, and it expired: a failure drill found it."""
    seconds = 100.0
    configuration = await credentials.load_in_cluster(clock=lambda: seconds)
    (service_account / "token").write_text("token-2\n")

    async def token() -> str:
        return str(await configuration.get_api_key_with_prefix("BearerToken")).split(" ")[1]

    assert await token() == "token-1"
    seconds += 11
    assert await token() == "token-2"
    (service_account / "token").write_text("")
    seconds += 11
    with pytest.raises(ConfigException, match="token is empty"):
        await token()


async def test_an_unusable_service_account_has_a_remedy(service_account: Path) -> None:
    (service_account / "ca.crt").unlink()
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        await connect(kubeconfig=None)


async def test_a_given_kubeconfig_wins_over_the_service_account(service_account: Path, tmp_path: Path) -> None:
    assert (service_account / "token").exists()
    path = write_kubeconfig(tmp_path / "config", server="http://127.0.0.1:1")
    connection = await connect(kubeconfig=path)
    assert connection.server == "http://127.0.0.1:1"
    await connection.close()


async def test_an_expired_plugin_token_is_renewed_before_a_request(tmp_path: Path) -> None:
    """The library knows how, but leaves it to the caller to ask."""
    plugin = tmp_path / "plugin.py"
    counter = tmp_path / "counter"
    plugin.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "n = int(counter.read_text()) + 1 if counter.exists() else 1\n"
        "counter.write_text(str(n))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',\n"
        "  'status': {'token': f'token-{n}', 'expirationTimestamp': '2020-01-01T00:00:00Z'}}))\n"
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    path = write_kubeconfig(tmp_path / "config", server="http://127.0.0.1:1", user=user)
    configuration = await credentials.load_kubeconfig(str(path))
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer token-2"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.1"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
    ],
    ids=["none", "proxy", "excepted", "other scheme"],
)
def test_the_proxy_is_found_once(
    environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert credentials._proxy_of_environment("https://10.0.0.1:443") == expected
