"""One line in the log per change of a watch, however often it is tried."""

import pytest
from structlog.testing import capture_logs

from nicplug.kube.watch_health import Trouble, WatchHealth
from nicplug.kube.watch_session import resource_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Watches:
    """Four watches, each tried every second."""

    RESOURCES = ("kubevirts", "pods", "virtualmachineinstances", "virtualmachines")

    def __init__(self) -> None:
        self.clock = Clock()
        self.restored = 0
        self.health = WatchHealth(clock=self.clock, on_restored=self._count)

    def _count(self) -> None:
        self.restored += 1

    def fail(self, trouble: Trouble, *resources: str, seconds: int) -> list[tuple[str, str]]:
        with capture_logs() as lines:
            for _ in range(seconds):
                for resource in resources or self.RESOURCES:
                    self.health.failed(resource, trouble, f"{resource} says no")
                self.clock.now += 1
        return [(line["log_level"], line["resource"]) for line in lines if line["log_level"] != "debug"]

    def work(self, *resources: str) -> list[str]:
        with capture_logs() as lines:
            for resource in resources or self.RESOURCES:
                self.health.works(resource)
        return [line["resource"] for line in lines]


def test_an_hour_without_an_api_server_is_one_line() -> None:
    watches = Watches()
    assert watches.fail(Trouble.UNREACHABLE, seconds=3600) == [("warning", "kubevirts")]
    assert len(watches.work()) == 1
    assert watches.restored == 4
    assert watches.health.problem() == ""


def test_a_missing_permission_is_named_for_each_resource() -> None:
    watches = Watches()
    assert watches.fail(Trouble.DENIED, "pods", "kubevirts", seconds=60) == [
        ("warning", "pods"),
        ("warning", "kubevirts"),
    ]
    assert watches.health.is_broken("pods")
    assert watches.health.problem() == "pods says no"
    assert watches.work("pods") == ["pods"]
    assert not watches.health.is_broken("pods")
    assert watches.health.is_broken("kubevirts")


def test_what_is_over_in_a_moment_is_not_told() -> None:
    watches = Watches()
    assert watches.fail(Trouble.UNREACHABLE, seconds=2) == []
    assert watches.work() == []
    assert watches.restored == 0


def test_another_trouble_is_told_when_it_lasts() -> None:
    """An API server that comes back denies everything until it has read its roles."""
    watches = Watches()
    watches.fail(Trouble.UNREACHABLE, seconds=10)
    assert watches.fail(Trouble.DENIED, seconds=2) == []
    assert watches.fail(Trouble.DENIED, "pods", seconds=2) == [("warning", "pods")]


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apis/kubevirt.io/v1/virtualmachines", "virtualmachines"),
        ("/api/v1/pods", "pods"),
        ("/apis/kubevirt.io/v1", "/apis/kubevirt.io/v1"),
        ("/api/v1", "/api/v1"),
        ("/apis", "/apis"),
    ],
)
def test_a_collection_is_named_by_its_plural(path: str, resource: str) -> None:
    assert resource_of(path) == resource
