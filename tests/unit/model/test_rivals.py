"""Which controllers nicplug must not run beside, and whose a CRD is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nicplug.model.rivals import is_kubevirts_own, rivals

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
HOURS_AGO = NOW - timedelta(hours=3)


def lease(name: str, namespace: str, *, at: datetime | None = NOW, holder: str = "pod-1") -> dict[str, Any]:
    renewed = at and at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"holderIdentity": holder, "renewTime": renewed},
    }


@pytest.mark.parametrize(
    ("found", "reported"),
    [
        (lease("virt-controller", "kubevirt"), "KubeVirt's virt-controller works in namespace kubevirt (pod-1)"),
        (
            lease("virt-controller", "openshift-cnv"),
            "KubeVirt's virt-controller works in namespace openshift-cnv (pod-1)",
        ),
        (lease("nicplug-operator", "elsewhere"), "another nicplug works in namespace elsewhere (pod-1)"),
    ],
)
def test_it_works(found: dict[str, Any], reported: str) -> None:
    (rival,) = rivals([found], namespace="nicplug-system", now=NOW)
    assert str(rival) == reported
    assert rival.remedy


@pytest.mark.parametrize(
    "found",
    [
        lease("nicplug-operator", "nicplug-system"),
        lease("virt-controller", "kubevirt", at=HOURS_AGO),
        lease("virt-controller", "kubevirt", at=None),
        lease("nicplug-operator", "elsewhere", holder=""),
        lease("kube-scheduler", "kube-system"),
        {"metadata": None, "spec": "nonsense"},
        {},
    ],
    ids=["our own replica", "ended long ago", "never renewed", "released", "somebody else's", "nonsense", "empty"],
)
def test_it_is_no_rival(found: dict[str, Any]) -> None:
    assert rivals([found], namespace="nicplug-system", now=NOW) == []


@pytest.mark.parametrize(
    ("labels", "is_theirs"),
    [
        ({"app.kubernetes.io/managed-by": "virt-operator", "kubevirt.io": ""}, True),
        ({"operator.kubevirt.io": ""}, True),
        ({"app.kubernetes.io/name": "nicplug"}, False),
        ({"app.kubernetes.io/name": "nicplug", "kubevirt.io": ""}, False),
        ({}, False),
        (None, False),
    ],
    ids=["of virt-operator", "KubeVirt's own CR", "nicplug's", "replaced by nicplug's", "of nicplug 0.1", "none"],
)
def test_whose_a_definition_is(labels: dict[str, str] | None, is_theirs: bool) -> None:
    assert is_kubevirts_own({"metadata": {"labels": labels}}) is is_theirs
