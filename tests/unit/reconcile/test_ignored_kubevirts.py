"""KubeVirt CRs that have no effect are reported: once, with a remedy, and never without end."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.build import kubevirt

from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.recorder import ObjectReference
from nicplug.model.keys import KubevirtKey
from nicplug.reconcile.kubevirt_status import IgnoredKubevirts

MOVE = "delete it if a tenant made it; if it is the cluster admin's, move its configuration there"


class Reporting:
    """The report, and the events that it made."""

    def __init__(self) -> None:
        self.leads = True
        self.events: list[tuple[str, str]] = []
        self.statuses: list[tuple[str, str]] = []
        self.kubevirts = Kubevirts(namespace="kubevirt")
        self.now = 1000.0
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.report = IgnoredKubevirts(
            kubevirts=self.kubevirts,
            recorder=self,
            may_write=lambda: self.leads,
            write_status=lambda config, why: self.statuses.append((str(config.key), why)),
            later=lambda seconds, call: self.calls.append((self.now + seconds, call)),
            clock=lambda: self.now,
        )

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        assert (regarding.kind, type, reason) == ("KubeVirt", "Warning", "KubeVirtIgnored")
        self.events.append((f"{regarding.namespace}/{regarding.name}", message))

    def put(self, name: str = "kubevirt", *, namespace: str = "kubevirt", created: str = "") -> None:
        body = kubevirt(name=name)
        body["metadata"] |= {"namespace": namespace, "uid": f"{namespace}-{name}"}
        body["metadata"] |= {"creationTimestamp": created} if created else {}
        self.kubevirts.put(body)

    def remove(self, name: str = "kubevirt", *, namespace: str) -> None:
        self.kubevirts.remove(KubevirtKey(namespace, name), uid=f"{namespace}-{name}")

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """What is logged meanwhile."""
        end = self.now + seconds
        with capture_logs() as lines:
            while self.calls and self.calls[0][0] <= end:
                self.now, call = self.calls.pop(0)
                call()
        self.now = end
        return [dict(line) for line in lines]

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
    why = 'nicplug reads the KubeVirt CR of namespace "kubevirt" (setting NICPLUG_KUBEVIRT_NAMESPACE)'
    message = f"This KubeVirt CR has no effect: {why}. To resolve this, {MOVE}."
    assert reporting.events == [("tenant/kubevirt", message)]
    assert reporting.statuses == reporting.events, "its status says the same"


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


def test_thirty_two_throw_away_crs_do_not_keep_the_one_of_an_admin_from_being_reported(reporting: Reporting) -> None:
    """What had been reported was never forgotten, and 32 of them were the end of all reports."""
    lines = []
    for number in range(100):
        reporting.put(f"kv-{number}", namespace="mallory")
        lines += reporting.lines()
        reporting.remove(f"kv-{number}", namespace="mallory")
    lines += reporting.lines()
    assert (len(lines), len(reporting.events)) == (1, 4), "of one namespace in ten minutes"
    reporting.put(namespace="kubevirt-hyperconverged")
    (line,) = reporting.lines()
    assert line["kubevirt"] == reporting.events[-1][0] == "kubevirt-hyperconverged/kubevirt"


def test_one_that_goes_on_to_exist_is_reported_however_many_come_and_go(reporting: Reporting) -> None:
    for number in range(100):
        reporting.put(namespace=f"mallory-{number:03}", created="2030-01-01T00:00:00Z")
    assert len(reporting.lines()) == 32
    reporting.put(namespace="z-admin", created="2029-01-01T00:00:00Z")
    assert reporting.lines() == [], "not beyond the rate"
    assert len(reporting.calls) == 1, "one call later, however often something is held back"
    lines = reporting.wait(60)
    assert (lines[0]["kubevirt"], len(lines)) == ("z-admin/kubevirt", 32), "the oldest first"
    assert len(reporting.wait(200)) == 101 - 64
    assert {name for name, _ in reporting.events} >= {"z-admin/kubevirt", "mallory-099/kubevirt"}
    assert reporting.calls == [], "nothing is held back any more"


def test_an_event_that_is_held_back_comes_later_though_no_line_is_held_back(reporting: Reporting) -> None:
    for number in range(5):
        reporting.put(f"kv-{number}", namespace="tenant")
    assert (len(reporting.lines()), len(reporting.events)) == (1, 4), "one line tells of the namespace"
    assert reporting.wait(660) == []
    assert len(reporting.events) == 5


def test_one_that_is_made_again_is_reported_again_later(reporting: Reporting) -> None:
    reporting.put(namespace="tenant")
    assert len(reporting.lines()) == 1
    reporting.remove(namespace="tenant")
    reporting.lines()
    reporting.put("second", namespace="tenant")
    assert reporting.lines() == []
    assert len(reporting.wait(660)) == 1


def test_what_is_gone_takes_no_memory(reporting: Reporting) -> None:
    for number in range(500):
        reporting.put(namespace=f"mallory-{number}")
        reporting.lines()
        reporting.remove(namespace=f"mallory-{number}")
        reporting.now += 5
    reporting.now += 600
    reporting.lines()
    for reported in (reporting.report._logged, reporting.report._recorded):
        assert not any((reported._names, reported._moments, reported._recent))


def test_a_crowd_that_comes_at_once_is_looked_at_once(reporting: Reporting) -> None:
    """Each event looked at all of them."""
    for number in range(100):
        reporting.put(namespace=f"tenant-{number}")
        reporting.report.report_soon()
    assert len(reporting.calls) == 1
    assert len(reporting.wait(1)) == 32
    reporting.put(namespace="another")
    reporting.report.report_soon()
    assert [when for when, _ in reporting.calls] == [1060.5, 1001.5]
