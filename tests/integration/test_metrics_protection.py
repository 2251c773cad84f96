"""Protected metrics of `nicplug api`, a process with the rights of its ServiceAccount, on a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.integration.kubectl import Kubectl
from tests.integration.protected_metrics import COMPONENT, KUSTOMIZE, ROOT, Scraped, certificate, protection
from tests.integration.waiting import until

from nicplug_sandbox.api_process import SERVICE_ACCOUNT, install_api
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.operator_process import ACCOUNT, NAMESPACE, service_account_kubeconfig

SCRAPER = "nicplug-metrics-scraper"


@pytest.fixture(scope="module")
def scraped(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("metrics")
    admin, base = control_plane.kubeconfig, KUSTOMIZE / "base"
    rights = [COMPONENT / "reviewer.yaml", COMPONENT / "reader.yaml"]
    scraper = ROOT / "deploy" / "monitoring-protected" / "scraper.yaml"
    paths = [*(base / f"{name}.yaml" for name in ACCOUNT), *rights, scraper]
    apply_manifests(kubeconfig=admin, paths=paths)
    install_api(kubeconfig=admin)
    account = service_account_kubeconfig(admin=admin, path=folder / "config", name=SERVICE_ACCOUNT)
    authority = certificate(folder)
    variables = {"PYTHONPATH": str(ROOT / "operator"), **protection("NICPLUG_API_", folder)}
    command = [sys.executable, "-m", "nicplug", "api", "--log-format", "json", "--port", "0", "--metrics-port", "0"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--kubeconfig", str(account)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
        )
    try:
        serves = until(lambda: [line for line in log.read_text().splitlines() if '"nicplug api serves"' in line])
        port = json.loads(serves[0])["metrics_port"]
        yield Scraped(port, authority, Kubectl(kubeconfig=admin, namespace=NAMESPACE))
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_scraper_of_the_overlay_gets_them_and_a_stranger_does_not(scraped: Scraped) -> None:
    token = scraped.token(SCRAPER)
    status, text = scraped.get("/metrics", token)
    assert status == 200, text
    assert "nicplug_build_info" in text
    assert 'resource="tokenreviews",verb="create"' in scraped.get("/metrics", token)[1]
    assert scraped.get("/metrics")[0] == 401
    assert scraped.get("/metrics", "made-up")[0] == 401
    assert scraped.get("/metrics", token[:-4] + "AAAA")[0] == 401


def test_an_account_without_the_right_is_named(scraped: Scraped) -> None:
    """Not even nicplug's own may read them."""
    status, text = scraped.get("/metrics", scraped.token(SERVICE_ACCOUNT))
    assert (status, text) == (
        403,
        f'user "system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}" cannot get path "/metrics"',
    )


def test_the_scraper_may_do_nothing_else(scraped: Scraped) -> None:
    """Beyond what every account may."""

    def rights(account: str) -> set[str]:
        listed = scraped.kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{NAMESPACE}:{account}")
        return {" ".join(line.split()) for line in listed.splitlines()}

    assert rights(SCRAPER) - rights("default") == {"[/metrics] [] [get]"}


def test_probes_need_no_token(scraped: Scraped) -> None:
    assert scraped.get("/healthz") == (200, "ok")
    assert scraped.get("/readyz")[0] in (200, 503)
