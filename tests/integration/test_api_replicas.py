"""Two replicas of the API, and requests for one VM that come by both of them at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, User
from tests.integration.virtctl import Virtctl, add
from tests.integration.waiting import until
from tests.manifests import nics, vm

from nicplug_sandbox import controlplane, processes
from nicplug_sandbox.api_process import add_api, is_available, start_api, stop_api

REGISTRATION = "/apis/apiregistration.k8s.io/v1/apiservices/{}.subresources.kubevirt.io"
VERSIONS = ("v1", "v1alpha3")


@pytest.fixture(scope="module")
def both(sandbox: Sandbox) -> Iterator[None]:
    """The API server hands v1 on to one replica and v1alpha3 on to the other, as a Service does it with connections."""
    first = add_api(directory=sandbox.directory, admin=sandbox.admin)
    account = sandbox.directory / "api.kubeconfig"
    second = start_api(directory=sandbox.directory, kubeconfig=account, admin=sandbox.admin, name="api-2")
    try:
        admin = sandbox.user("default")
        admin.request(
            "PATCH",
            REGISTRATION.format("v1"),
            {"spec": {"service": {"port": first.port}}},
            content_type="application/merge-patch+json",
        )
        until(lambda: is_available(sandbox.admin))
        yield
        for api in (first, second):
            assert "Traceback" not in api.log.read_text()
            assert '"code": 500' not in api.log.read_text()
            assert "subresource_requests_total{" in api.get("/metrics")[1], "a replica served nothing"
    finally:
        stop_api(second)
        processes.end([first.process], grace_seconds=8)


@pytest.mark.usefixtures("both", "unharmed")
def test_requests_for_one_vm_by_two_replicas_have_one_effect_each(sandbox: Sandbox, user: User) -> None:
    user.create(VM, vm("a", strategy="Halted"))
    server = controlplane.status(directory=sandbox.directory).server
    virtctl = Virtctl(sandbox.directory, server, user.namespace)
    names = [(version, f"{version}-{number}") for number in range(40) for version in VERSIONS]

    def ask(name: tuple[str, str]) -> int:
        return virtctl.put("virtualmachines/a/addinterface", add("lan", name[1]), version=name[0]).code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, names)) == {202}
    wanted = sorted(["main", *(name for _, name in names)])
    until(lambda: sorted(nics(user.get(VM, "a"))) == wanted)
    until(lambda: not ((user.get(VM, "a") or {}).get("status") or {}).get("interfaceRequests"))
