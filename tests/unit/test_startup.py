"""What nicplug refuses to run beside, and what does not keep it from starting."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from nicplug.kube.api import KubeApi, Resource, ServerApi
from nicplug.kube.errors import ApiError, Denied, Gone, Unavailable
from nicplug.model.mode import Mode
from nicplug.startup import RivalError, refuse_other_servers, refuse_rivals, wait_for_api, warn_of_old_kubernetes
from nicplug_sandbox.yaml_documents import read_documents

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}


class Played:
    """An API server with some objects, or one error for all."""

    def __init__(self, answers: Mapping[str, Any] | ApiError) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def _answer(self, key: str) -> Any:
        self.asked.append(key)
        if isinstance(self._answers, ApiError):
            raise self._answers
        if key not in self._answers:
            raise Gone(f"no {key}", status=404)
        return self._answers[key]

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Any:
        return self._answer(name)

    async def list(self, resource: Resource, *, field_selector: str, label_selector: str | None = None) -> Any:
        return self._answer(label_selector or field_selector)


def played(answers: Mapping[str, Any] | ApiError) -> KubeApi:
    return cast(KubeApi, Played(answers))


def leases(name: str, *namespaces: str) -> dict[str, Any]:
    spec = {"holderIdentity": "somebody", "renewTime": "2026-12-01T11:59:50.000000Z"}
    return {"items": [{"metadata": {"name": name, "namespace": space}, "spec": spec} for space in namespaces]}


def definition(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "status": ESTABLISHED}


def test_it_does_not_start_beside_virt_controller() -> None:
    api = played(
        {
            "metadata.name=virt-controller": leases("virt-controller", "kubevirt"),
            "metadata.name=nicplug-operator": leases("nicplug-operator"),
        }
    )
    with pytest.raises(RivalError, match="virt-controller works in namespace kubevirt") as caught:
        asyncio.run(refuse_rivals(api, mode=Mode.STANDALONE, namespace="nicplug-system", now=NOW))
    assert "docs/install.md" in caught.value.remedy


def test_of_two_installations_the_later_one_does_not_start() -> None:
    api = played(
        {
            "metadata.name=virt-controller": leases("virt-controller"),
            "metadata.name=nicplug-operator": leases("nicplug-operator", "nicplug-system", "elsewhere"),
        }
    )
    with pytest.raises(RivalError, match="another nicplug works in namespace elsewhere"):
        asyncio.run(refuse_rivals(api, mode=Mode.STANDALONE, namespace="nicplug-system", now=NOW))


def test_without_the_right_to_look_it_starts() -> None:
    """An upgraded operator with the roles of the version before."""
    api = played(Denied("may not list leases", status=403))
    asyncio.run(refuse_rivals(api, mode=Mode.STANDALONE, namespace="nicplug-system", now=NOW))


def test_it_started_beside_virt_controller_when_the_api_server_was_busy() -> None:
    found = {
        "metadata.name=virt-controller": leases("virt-controller", "kubevirt"),
        "metadata.name=nicplug-operator": leases("nicplug-operator"),
    }

    class Busy(Played):
        async def list(self, resource: Resource, *, field_selector: str, label_selector: str | None = None) -> Any:
            if not self.asked:
                self.asked.append(field_selector)
                raise Unavailable("no answer", status=0)
            return await super().list(resource, field_selector=field_selector, label_selector=label_selector)

    with pytest.raises(RivalError, match="virt-controller works in namespace kubevirt"):
        asyncio.run(
            refuse_rivals(cast(KubeApi, Busy(found)), mode=Mode.STANDALONE, namespace="nicplug-system", now=NOW)
        )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"gitVersion": "v1.30.9"}, ["v1.30.9"]),
        ({"gitVersion": "v1.37.2"}, []),
        (Denied("may not get /version", status=403), []),
        (Unavailable("no answer"), []),
    ],
    ids=["too old", "new", "not told", "away"],
)
def test_a_kubernetes_that_cannot_take_the_crds_is_named(answer: dict[str, str] | ApiError, said: list[str]) -> None:
    class Versioned:
        async def version(self) -> dict[str, str]:
            if isinstance(answer, ApiError):
                raise answer
            return answer

    with structlog.testing.capture_logs() as lines:
        asyncio.run(warn_of_old_kubernetes(cast(ServerApi, Versioned())))
    assert [line["version"] for line in lines] == said
    assert all("1.31 or newer" in line["remedy"] for line in lines)


def test_it_does_not_start_on_kubevirts_crds() -> None:
    theirs = {"app.kubernetes.io/managed-by": "virt-operator"}
    api = played({"virtualmachines.kubevirt.io": definition("virtualmachines.kubevirt.io", **theirs)})
    with pytest.raises(RivalError, match=r"CRD virtualmachines\.kubevirt\.io is KubeVirt's own"):
        asyncio.run(asyncio.wait_for(wait_for_api(api), timeout=5))


@pytest.mark.parametrize(
    ("plural", "member", "lost"),
    [
        ("virtualmachines", "interfaceRequests", "what virtctl addinterface asks for"),
        ("virtualmachineinstances", "launcherPods", "which pods are a guest's"),
        ("virtualmachineinstancemigrations", "targetPod", "which pod a guest moves to"),
        ("virtualmachineinstances", "", ""),
    ],
)
def test_it_waits_for_crds_that_are_as_new_as_itself(plural: str, member: str, lost: str) -> None:
    """It would write what an older CRD drops, and do so again and again."""
    found = {}
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = read_documents(path.read_text())[0] | {"status": ESTABLISHED}
        status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        if crd["spec"]["names"]["plural"] == plural:
            status.pop(member, None)
        found[crd["metadata"]["name"]] = crd
    with structlog.testing.capture_logs() as lines, contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(wait_for_api(played(found)), timeout=0.2))
    problem = f"CRD {plural}.kubevirt.io is older than this nicplug, and drops {lost}: kubectl apply -f crds/"
    assert [line["problem"] for line in lines] == ([problem] if lost else [])


@pytest.mark.parametrize(
    ("service", "is_refused"),
    [
        ({"namespace": "nicplug-system", "name": "nicplug-api"}, False),
        ({"namespace": "kubevirt", "name": "virt-api"}, True),
        ({"namespace": "elsewhere", "name": "nicplug-api"}, True),
    ],
)
def test_the_api_leaves_the_registration_of_another_server_alone(service: dict[str, str], is_refused: bool) -> None:
    name = "v1.subresources.kubevirt.io"
    work = refuse_other_servers(
        played({name: {"spec": {"service": service}}}), names=[name], namespace="nicplug-system", service="nicplug-api"
    )
    if not is_refused:
        asyncio.run(work)
        return
    with pytest.raises(RivalError, match=f"{name} belongs to Service {service['namespace']}/{service['name']}"):
        asyncio.run(work)


@pytest.mark.parametrize("answers", [{}, Denied("may not", status=403)], ids=["not registered", "no right to look"])
def test_the_api_starts_without_a_registration(answers: Any) -> None:
    asyncio.run(refuse_other_servers(played(answers), names=["v1.x"], namespace="n", service="s"))
