"""What a launcher pod asks for, by the rules of KubeVirt 1.9's resource renderer."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicplug.plan.vmi.pod_resources import pod_resources

# 240 for processes, 8 for the IO thread, 8 for one vCPU, 32 for video.
_BASE = 288


@dataclass(frozen=True, kw_only=True)
class Case:
    """A domain, and the requests and limits that have to come out."""

    title: str
    domain: dict[str, Any]
    requests: dict[str, Any]
    limits: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.title


def _guest(size: str, **domain: Any) -> dict[str, Any]:
    return {"memory": {"guest": size}, **domain}


def _asks(**resources: Any) -> dict[str, Any]:
    return {"resources": resources}


PINNED = {"cores": 2, "dedicatedCpuPlacement": True}
CASES = [
    # 1Gi / 512 = 2Mi of page tables.
    Case(title="guest memory", domain=_guest("1Gi"), requests={"memory": f"{1024 + 2 + _BASE}Mi", "cpu": "100m"}),
    Case(
        title="three vCPUs share CPUs, each with a table of its own",
        domain=_guest("1Gi", cpu={"cores": 3}),
        requests={"memory": f"{1024 + 2 + _BASE + 16}Mi", "cpu": "300m"},
    ),
    Case(
        title="sockets times cores times threads",
        domain=_guest("1Gi", cpu={"sockets": 2, "cores": 2, "threads": 2}),
        requests={"memory": f"{1024 + 2 + _BASE + 56}Mi", "cpu": "800m"},
    ),
    Case(
        title="whole CPUs are written as such",
        domain=_guest("1Gi", cpu={"cores": 20}),
        requests={"memory": f"{1024 + 2 + _BASE + 152}Mi", "cpu": "2"},
    ),
    Case(
        title="explicit memory wins over the guest's",
        domain=_guest("1Gi", **_asks(requests={"memory": "512Mi"})),
        requests={"memory": f"{512 + 1 + _BASE}Mi", "cpu": "100m"},
    ),
    Case(
        title="explicit CPU wins",
        domain=_guest("1Gi", **_asks(requests={"cpu": "250m"})),
        requests={"memory": f"{1024 + 2 + _BASE}Mi", "cpu": "250m"},
    ),
    Case(
        title="a limit of memory is a request of it",
        domain=_asks(limits={"memory": "1Gi"}),
        requests={"memory": f"{1024 + 2 + _BASE}Mi", "cpu": "100m"},
        limits={"memory": f"{1024 + 2 + _BASE}Mi"},
    ),
    Case(
        title="overhead is not asked for where it is overcommitted",
        domain=_guest("1Gi", **_asks(overcommitGuestOverhead=True)),
        requests={"memory": "1Gi", "cpu": "100m"},
    ),
    Case(
        title="other resources are handed on",
        domain=_guest("1Gi", **_asks(requests={"example.com/gpu": 1}, limits={"example.com/gpu": 1})),
        requests={"memory": f"{1024 + 2 + _BASE}Mi", "cpu": "100m", "example.com/gpu": 1},
        limits={"example.com/gpu": 1},
    ),
    Case(
        title="no graphics, no video memory",
        domain=_guest("1Gi", devices={"autoattachGraphicsDevice": False}),
        requests={"memory": f"{1024 + 2 + _BASE - 32}Mi", "cpu": "100m"},
    ),
    Case(
        title="a passed-through device locks memory",
        domain=_guest("1Gi", devices={"interfaces": [{"name": "fast", "sriov": {}}]}),
        requests={"memory": f"{1024 + 2 + _BASE + 1024}Mi", "cpu": "100m"},
    ),
    Case(
        title="pinned CPUs: requests are limits",
        domain=_guest("1Gi", cpu=PINNED),
        requests={"memory": f"{1024 + 2 + _BASE + 8 + 100}Mi", "cpu": "2"},
        limits={"memory": f"{1024 + 2 + _BASE + 8 + 100}Mi", "cpu": "2"},
    ),
    Case(
        title="a CPU for the emulator of pinned ones",
        domain=_guest("1Gi", cpu={**PINNED, "isolateEmulatorThread": True}),
        requests={"memory": f"{1024 + 2 + _BASE + 8 + 100}Mi", "cpu": "3"},
        limits={"memory": f"{1024 + 2 + _BASE + 8 + 100}Mi", "cpu": "3"},
    ),
    Case(
        title="huge pages hold the guest, ordinary memory the rest",
        domain={"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}},
        requests={"memory": f"{2 + _BASE}Mi", "hugepages-2Mi": "1Gi", "cpu": "100m"},
        limits={"hugepages-2Mi": "1Gi"},
    ),
    Case(title="nothing is asked for", domain={}, requests={"cpu": "100m"}),
    Case(
        title="no quantity: the API server says so",
        domain=_guest("a lot", cpu={"cores": "many"}),
        requests={"memory": "a lot", "cpu": "100m"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_resources(case: Case) -> None:
    found = pod_resources({"domain": case.domain}, cpu_allocation_ratio=10)
    assert found.get("requests", {}) == case.requests
    assert found.get("limits", {}) == case.limits


def test_the_admin_s_ratio() -> None:
    found = pod_resources({"domain": {"cpu": {"cores": 2}}}, cpu_allocation_ratio=1)
    assert found["requests"]["cpu"] == "2"


_MEMBERS = ["memory", "guest", "cpu", "cores", "hugepages", "pageSize", "resources", "requests", "limits", "devices"]
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["1Gi", "2Mi", "500m"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_MEMBERS), inner, max_size=4),
    max_leaves=12,
)


@given(_ANYTHING)
def test_never_raises_for_what_a_user_wrote(domain: Any) -> None:
    assert isinstance(pod_resources({"domain": domain}, cpu_allocation_ratio=10), dict)
