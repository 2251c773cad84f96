"""VMs, VMIs, pods and KubeVirt CRs: what of them is read, and how."""

import pytest
from tests.build import Json, a_config, a_pod, a_vm, a_vmi, kubevirt, nic, pod, primary, vm, vmi

from nicplug.model.networks import Binding, parse_interface, parse_network
from nicplug.model.vm import RunStrategy


@pytest.mark.parametrize(
    ("members", "strategy"),
    [
        ({"run_strategy": "Always"}, RunStrategy.ALWAYS),
        ({"run_strategy": "Halted"}, RunStrategy.HALTED),
        ({"run_strategy": "Once"}, RunStrategy.ONCE),
        ({"run_strategy": None, "running": True}, RunStrategy.ALWAYS),
        ({"run_strategy": None, "running": False}, RunStrategy.HALTED),
        ({"run_strategy": None}, RunStrategy.HALTED),
        ({"run_strategy": "Always", "running": True}, RunStrategy.CONFLICTING),
        ({"run_strategy": "Halted", "running": False}, RunStrategy.CONFLICTING),
        ({"run_strategy": "Sometimes"}, RunStrategy.UNKNOWN),
        ({"run_strategy": "(unknown)"}, RunStrategy.UNKNOWN),
        ({"run_strategy": 7}, RunStrategy.UNKNOWN),
        ({"run_strategy": ["Always"]}, RunStrategy.UNKNOWN),
    ],
)
def test_run_strategy(members: Json, strategy: RunStrategy) -> None:
    assert a_vm(vm(**members)).run_strategy is strategy


def _containers(*rows: tuple[str, bool, str]) -> list[Json]:
    return [{"name": name, "ready": ready, "state": {state: {}}} for name, ready, state in rows]


@pytest.mark.parametrize(
    ("containers", "ready"),
    [
        ([("compute", True, "running")], True),
        ([("compute", False, "running")], True),
        ([("compute", True, "waiting")], False),
        ([("compute", True, "running"), ("istio-proxy", False, "running")], True),
        ([("compute", True, "running"), ("istio-proxy", True, "terminated")], False),
        ([("compute", True, "running"), ("sidecar", False, "running")], False),
        ([("compute", True, "running"), ("sidecar", True, "running")], True),
        ([("sidecar", True, "running")], False),
        ([], False),
    ],
)
def test_kubevirts_is_pod_ready(containers: list[tuple[str, bool, str]], ready: bool) -> None:
    """The compute container need only run: its readiness is the guest's."""
    raw = pod()
    raw["status"]["containerStatuses"] = _containers(*containers)
    assert a_pod(raw).is_ready is ready


@pytest.mark.parametrize(
    ("state", "last_state", "why"),
    [
        ({"running": {}}, {}, ""),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, ""),
        ({"waiting": {"reason": "PodInitializing"}}, {}, ""),
        ({"waiting": {"reason": "CreateContainerError"}}, {}, "CreateContainerError"),
        ({"terminated": {"exitCode": 0}}, {}, "ended with exit code 0"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"exitCode": 2}}, "ended with exit code 2"),
        ({"running": {}}, {"terminated": {"exitCode": 2}}, "ended with exit code 2"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {}, "CrashLoopBackOff"),
        ({"terminated": {"exitCode": "x"}}, {}, "ended"),
        ({"waiting": {"reason": 7}}, {}, ""),
        ("nonsense", ["nonsense"], ""),
    ],
)
def test_what_a_container_that_is_not_ready_waits_for(state: object, last_state: object, why: str) -> None:
    """In words that do not change from try to try."""
    raw = pod()
    raw["status"]["containerStatuses"].append(
        {"name": "logger", "ready": False, "state": state, "lastState": last_state}
    )
    assert a_pod(raw).unready == (("logger", why),)


@pytest.mark.parametrize(
    ("raw", "unready"),
    [
        (pod(), ()),
        (pod(ready=False), ("compute",)),
        (pod(status={"containerStatuses": []}), ("compute",)),
        (pod(phase="Pending", ready=False), ()),
        (pod(phase="Failed", ready=False), ()),
    ],
    ids=["ready", "compute waits", "nothing is told", "still starts", "has ended"],
)
def test_which_containers_of_a_pod_that_runs_are_not_ready(raw: Json, unready: tuple[str, ...]) -> None:
    assert tuple(name for name, _ in a_pod(raw).unready) == unready


def test_a_pod_that_goes_or_does_not_run_is_not_ready() -> None:
    assert not a_pod(pod(deleting=True)).is_ready
    assert not a_pod(pod(phase="Pending")).is_ready


def test_the_owner_is_the_controller_alone() -> None:
    raw = pod()
    raw["metadata"]["ownerReferences"][0]["controller"] = False
    assert a_pod(raw).owner is None
    raw["metadata"]["ownerReferences"] += pod(owner_uid="theirs")["metadata"]["ownerReferences"]
    owner = a_pod(raw).owner
    assert owner is not None
    assert owner.uid == "theirs"


@pytest.mark.parametrize(
    ("raw", "enabled"),
    [
        (kubevirt(), True),
        (kubevirt("Other", "HotplugNICs"), True),
        (kubevirt("Other"), False),
        (kubevirt("hotplugnics"), False),
        (kubevirt("HotplugNICs", disabled=["HotplugNICs"]), False),
        ({"metadata": {}}, False),
        ({"spec": {"configuration": {"developerConfiguration": {"featureGates": "HotplugNICs"}}}}, False),
    ],
)
def test_the_gate_has_to_be_listed(raw: Json, enabled: bool) -> None:
    assert a_config(raw).hotplug_enabled is enabled


@pytest.mark.parametrize(
    ("raw", "binding"),
    [
        ({"bridge": {}}, Binding.BRIDGE),
        ({"masquerade": {}}, Binding.MASQUERADE),
        ({"sriov": {}}, Binding.SRIOV),
        ({"passtBinding": {}}, Binding.PASST),
        ({"binding": {"name": "x"}}, Binding.PLUGIN),
        ({"slirp": {}}, Binding.SLIRP),
        ({"macvtap": {}}, Binding.MACVTAP),
        ({"passt": {}}, Binding.OLD_PASST),
        ({"telepathy": {}}, Binding.UNKNOWN),
        ({"bridge": None}, Binding.UNKNOWN),
        ({}, Binding.UNKNOWN),
    ],
)
def test_bindings(raw: Json, binding: Binding) -> None:
    assert parse_interface({"name": "a", **raw}).binding is binding


def test_a_state_is_written_without_touching_the_rest() -> None:
    interface = parse_interface({"name": "a", "bridge": {}, "model": "virtio", "state": "down"})
    assert "absent" in interface.with_state("absent").raw
    assert interface.with_state("").raw == parse_interface({"name": "a", "bridge": {}, "model": "virtio"}).raw
    assert interface.with_state("down") == interface


@pytest.mark.parametrize(
    ("raw", "secondary", "primary_"),
    [
        ({"pod": {}}, False, True),
        ({"multus": {"networkName": "x"}}, True, False),
        ({"multus": {"networkName": "x", "default": True}}, False, True),
        ({"multus": {}}, False, False),
        ({"resourceClaim": {"claimName": "x"}}, False, False),
        ({}, False, False),
    ],
)
def test_networks(raw: Json, secondary: bool, primary_: bool) -> None:
    network = parse_network({"name": "a", **raw})
    assert (network.is_secondary, network.is_primary) == (secondary, primary_)


def test_records_differ_by_what_they_say_not_by_their_version() -> None:
    assert a_vmi(vmi(version=1)) == a_vmi(vmi(version=2))
    assert a_vmi(vmi()) != a_vmi(vmi(primary(), nic("blue")))
    assert hash(a_pod(pod(version=1))) == hash(a_pod(pod(version=2)))
