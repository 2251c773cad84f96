"""KubeVirt CRs that have no effect are reported: once, with a remedy, and never without end."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.build import kubevirt

from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.recorder import ObjectReference
from nicplug.reconcile.ignored_kubevirts import IgnoredKubevirts

MOVE = "move its configuration there, or set NICPLUG_KUBEVIRT_NAMESPACE=tenant for the operator"


class Reporting:
    """The report, and the events that it made."""

    def __init__(self) -> None:
        self.leads = True
        self.events: list[tuple[str, str]] = []
        self.kubevirts = Kubevirts(namespace="kubevirt")
        self.report = IgnoredKubevirts(kubevirts=self.kubevirts, recorder=self, may_write=lambda: self.leads)

    def event(self, regarding: ObjectReference, *, type: str, reason: str, message: str) -> None:
        assert (regarding.kind, type, reason) == ("KubeVirt", "Warning", "KubeVirtIgnored")
        self.events.append((f"{regarding.namespace}/{regarding.name}", message))

    def put(self, name: str = "kubevirt", *, namespace: str = "kubevirt", created: str = "") -> None:
        body = kubevirt(name=name)
        body["metadata"] |= {"namespace": namespace, "uid": f"{namespace}-{name}"}
        body["metadata"] |= {"creationTimestamp": created} if created else {}
        self.kubevirts.put(body)

    def lines(self) -> list[dict[str, Any]]:
        """What a report logs now."""
        with capture_logs() as lines:
            self.report.report()
        return [dict(line) for line in lines]


@pytest.fixture
def reporting() -> Reporting:
    made = Reporting()
    made.put()
    return made


def test_the_one_that_counts_is_not_reported(reporting: Reporting) -> None:
    assert reporting.lines() == []
    assert reporting.events == []


def test_one_in_another_namespace_is_reported_once(reporting: Reporting) -> None:
    reporting.put(namespace="tenant", created="2020-01-01T00:00:00Z")
    (line,) = reporting.lines()
    assert (line["kubevirt"], line["counts"], line["remedy"]) == ("tenant/kubevirt", "kubevirt/kubevirt", MOVE)
    assert reporting.lines() == []
    why = 'nicplug reads the KubeVirt CR of namespace "kubevirt"'
    message = f"This KubeVirt CR has no effect: {why}. To change that, {MOVE}."
    assert reporting.events == [("tenant/kubevirt", message)]


def test_a_younger_one_beside_it_is_reported(reporting: Reporting) -> None:
    reporting.put("second", created="2030-01-01T00:00:00Z")
    (line,) = reporting.lines()
    assert line["why"] == "kubevirt in the same namespace is older and counts"
    assert line["remedy"] == "delete one of the two"


def test_a_standby_logs_and_writes_no_event_until_it_leads(reporting: Reporting) -> None:
    reporting.leads = False
    reporting.put(namespace="tenant")
    assert len(reporting.lines()) == 1
    assert reporting.events == []
    reporting.leads = True
    assert reporting.lines() == []
    assert len(reporting.events) == 1


def test_a_tenant_who_makes_them_without_end_does_not_fill_the_log(reporting: Reporting) -> None:
    for number in range(100):
        reporting.put(f"kv-{number}", namespace="tenant")
        reporting.put(namespace=f"tenant-{number}")
    assert len(reporting.lines()) == 32
    assert len(reporting.events) == 32
