"""The demonstration's scenario on a cluster that is not ours: kind, where Docker runs.

API server, scheduler and controllers are kind's; the nodes that run virtual machines are simulated. So this proves the
operator, its CRDs and its rights on a stock cluster.
"""

import pytest
from tests.e2e.conftest import Kind

from nicplug_sandbox import demo
from nicplug_sandbox.screen import screen


@pytest.mark.timeout(900)
def test_running_vms_get_nics_on_kind(kind: Kind) -> None:
    shown = screen()
    with demo.set_up(screen=shown, existing=kind.kubeconfig) as stage:
        figures = stage.play(shown)
    plugged = "domain, multus-status"
    assert figures.sources("vmi-fedora") == {"defaultnetwork": "domain", "dyniface1": plugged}
    assert figures.sources("vm-fedora") == {"defaultnetwork": "domain", "dyniface2": plugged}
