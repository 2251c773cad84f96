"""Bad input in VMs and VMIs on a real API server: refused, or told in the record; corrected, it heals without help.

Every kind of bad input has a test by its name:

- names outside KubeVirt's character set, empty, of 129 characters: here, `test_a_bad_nic...`;
  unicode: `test_hotplug_faults.test_bad_input_is_told...[name]`
- an element that would take `eth0`, elements of others, an annotation or a network-status that was edited by hand,
  is no JSON, is huge or lies, a pod of another owner, clocks a minute apart: `test_bad_annotations`
- two NICs of one name: `test_crds.test_a_nic_name_may_occur_once`
- interface without network and the reverse, a network of no kind: here, `test_a_bad_nic...`
- NAD missing, with broken JSON, deleted while attached: `test_hotplug_faults.test_a_network_that...`;
  in another namespace: here, `test_a_bad_nic...`
- MAC malformed or multicast: here, `test_a_bad_nic...`; doubled: `test_a_nic_with_the_address_of_another_was_blocked`
- a template of 300 NICs, lists that are none: here, `test_what_the_schema_refuses...`
- objects without status, with unknown fields, with nulls: here, `test_nulls...`, `test_a_status...`;
  too deep: `test_bad_worlds.test_an_object_too_deep...`
- a VMI with the name of another VM's: `test_hotplug.test_a_vm_leaves_a_vmi_of_its_name_alone`
- VMI names of 63 and more characters, with dots: `test_pod_life.test_long_and_dotted_names_run`
- templates whose metadata the API server refuses, or that pass for a launcher's: here, `test_a_template...`
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from tests.integration.conftest import Lift, Sandbox, a_user
from tests.integration.user import NAD, VM, VMI, Json, Refused, User
from tests.integration.waiting import until
from tests.manifests import nad, network, nic, nics, plug, vm, vmi

from nicplug.model.networks_annotation import hashed_interface_name

pytestmark = pytest.mark.usefixtures("unharmed")
NETWORKS = "k8s.v1.cni.cncf.io/networks"
MAC = "02:00:00:00:00:77"
"""Of the good NIC of every VM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A NIC that must not reach the pod.

    Attributes:
        says: what the message has to name.
        members: of the interface; None: there is none.
        kind: members of the network; None: there is none.
    """

    title: str
    reason: str
    says: str
    name: str = "blue"
    members: Json | None = field(default_factory=lambda: {"bridge": {}})
    kind: Json | None = field(default_factory=lambda: {"multus": {"networkName": "lan"}})

    def add(self, body: Json) -> None:
        """The edit; together with a NIC that is as it should be."""
        interfaces, networks = body["spec"]["domain"]["devices"]["interfaces"], body["spec"]["networks"]
        interfaces.append(nic("good") | {"macAddress": MAC})
        networks.append(network("good"))
        interfaces += [{"name": self.name, **self.members}] if self.members is not None else []
        networks += [{"name": self.name, **self.kind}] if self.kind is not None else []

    def correct(self, body: Json) -> None:
        """The edit that makes it a NIC."""
        devices, spec = body["spec"]["domain"]["devices"], body["spec"]
        devices["interfaces"] = [item for item in devices["interfaces"] if item["name"] != self.name] + [nic("blue")]
        spec["networks"] = [item for item in spec["networks"] if item["name"] != self.name] + [network("blue")]

    def __str__(self) -> str:
        return self.title


def mac(address: str) -> Json:
    """An interface of that address."""
    return {"bridge": {}, "macAddress": address}


def to(attachment: str) -> Json:
    """A network of that reference."""
    return {"multus": {"networkName": attachment}}


CASES = (
    Case(title="name with a dot", name="a.b", reason="InvalidName", says='name "a.b"'),
    Case(title="name of 129 characters", name="x" * 129, reason="InvalidName", says="1 to 128 letters"),
    Case(title="no name", name="", reason="InvalidName", says='name ""'),
    Case(title="interface without network", kind=None, reason="NetworkMissing", says='no network named "blue"'),
    Case(title="network without interface", members=None, reason="InterfaceMissing", says='no interface named "blue"'),
    Case(title="network of no kind", kind={}, reason="InvalidAttachmentReference", says="multus.networkName"),
    Case(title="network of nulls", kind={"pod": None}, reason="InvalidAttachmentReference", says='"blue"'),
    Case(
        title="second pod network",
        kind={"pod": {}},
        reason="NotAdmitted",
        says="more than one interface is connected to a pod network",
    ),
    Case(title="empty reference", kind=to(""), reason="InvalidAttachmentReference", says="multus.networkName"),
    Case(title="reference with a blank", kind=to("l an"), reason="InvalidAttachmentReference", says='"l an"'),
    Case(title="reference in capitals", kind=to("LAN"), reason="InvalidAttachmentReference", says='"LAN"'),
    Case(
        title="NAD in another namespace only",
        kind=to("elsewhere"),
        reason="NetworkAttachmentDefinitionMissing",
        says="/elsewhere does not exist",
    ),
    Case(title="MAC malformed", members=mac("02:00:00:00:00:0g"), reason="InvalidMacAddress", says="six bytes"),
    Case(title="MAC of 20 bytes", members=mac(":".join(["02"] * 20)), reason="InvalidMacAddress", says="six bytes"),
    Case(title="MAC multicast", members=mac("01:00:5e:00:00:01"), reason="InvalidMacAddress", says="unicast"),
    Case(title="two bindings", members={"bridge": {}, "sriov": {}}, reason="InvalidInterface", says="(bridge, sriov)"),
    Case(title="no such model", members={"bridge": {}, "model": "x"}, reason="InvalidInterface", says='model "x"'),
    Case(title="no address", members={"bridge": {}, "pciAddress": "x"}, reason="InvalidInterface", says="pciAddress"),
    Case(title="negative index", members={"bridge": {}, "acpiIndex": -4}, reason="InvalidInterface", says="acpiIndex"),
    Case(title="no binding", members={}, reason="BindingNeedsRestart", says="interface without a binding"),
)


@pytest.fixture(scope="module")
def spoiled(sandbox: Sandbox, before_rules: Lift) -> Iterator[User]:
    """A running VMI for each case, with its bad NIC, stored before it would have been refused; all start together."""
    somebody, other = a_user(sandbox), a_user(sandbox)
    other.create(NAD, nad("elsewhere"))
    names = {case: f"c{index}" for index, case in enumerate(map(str, CASES))}
    for name in names.values():
        somebody.create(VMI, vmi(name))
    for name in names.values():
        somebody.until_running(name)
    with before_rules():
        for case in CASES:
            somebody.change(VMI, names[str(case)], case.add)
    yield somebody
    for name in names.values():
        somebody.delete(VMI, name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_bad_nic_is_told_served_beside_and_heals_when_it_is_corrected(case: Case, spoiled: User) -> None:
    vmi_name = f"c{CASES.index(case)}"
    until(lambda: spoiled.record(vmi_name, case.name).get("phase") == "Blocked")
    record = spoiled.record(vmi_name, case.name)
    assert record["reason"] == case.reason
    assert case.says in f"{record['message']}. {record['remedy']}"
    until(lambda: spoiled.condition(vmi_name, "InterfacesReady").get("reason") == case.reason)
    spoiled.until_ready(vmi_name, "good")
    assert hashed_interface_name(case.name) not in (spoiled.annotation(vmi_name) or "")
    kept = vmi(vmi_name)
    case.add(kept)
    stored = (spoiled.get(VMI, vmi_name) or {})["spec"]
    assert without_nulls(stored["networks"]) == without_nulls(kept["spec"]["networks"])
    assert stored["domain"]["devices"]["interfaces"] == kept["spec"]["domain"]["devices"]["interfaces"]
    spoiled.change(VMI, vmi_name, case.correct)
    spoiled.until_ready(vmi_name, "blue")
    until(lambda: spoiled.condition(vmi_name, "InterfacesReady").get("status") == "True")


def without_nulls(rows: list[Json]) -> list[Json]:
    """The API server drops a null where the schema knows the member."""
    return [{member: value for member, value in row.items() if value is not None} for row in rows]


def devices(body: Json) -> Json:
    """Where a VM's NICs are."""
    found: Json = body["spec"]["template"]["spec"]["domain"]["devices"]
    return found


REFUSED: dict[str, tuple[Callable[[Json], Any], str]] = {
    "300 NICs": (plug(*(f"n{index}" for index in range(300))), "domain.devices.interfaces: Too many: 301"),
    "interfaces as object": (lambda body: devices(body).update(interfaces={}), "domain.devices.interfaces"),
    "null interface": (lambda body: devices(body)["interfaces"].append(None), "interfaces[1]"),
    "interface without name": (lambda body: devices(body)["interfaces"].append({"bridge": {}}), "interfaces[1].name"),
    "MAC as number": (lambda body: devices(body)["interfaces"][0].update(macAddress=2), "interfaces[0].macAddress"),
    "no networkName": (
        lambda body: body["spec"]["template"]["spec"]["networks"].append({"name": "x", "multus": {}}),
        "networks[1].multus.networkName",
    ),
    "template as list": (lambda body: body["spec"].update(template=[]), "spec.template"),
    "no template": (lambda body: body["spec"].pop("template"), "spec.template"),
    "annotations as list": (
        lambda body: body["spec"]["template"]["metadata"].update(annotations=["x"]),
        "spec.template.metadata.annotations",
    ),
}


def test_what_the_schema_refuses_is_refused_by_field_and_the_vm_goes_on(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    for title, (change, says) in REFUSED.items():
        with pytest.raises(Refused) as refused:
            user.change(VM, "a", change)
        assert ": 422 " in str(refused.value), title
        assert says in str(refused.value), title
    user.change(VM, "a", plug("good"))
    user.until_ready("a", "good")


def test_nulls_and_unknown_members_are_as_if_they_were_absent(user: User) -> None:
    """Unknown ones are kept, but those of a NIC: there the API server refuses or drops what nobody understands."""
    nulls = {"macAddress": None, "state": None, "ports": None, "bootOrder": None, "later": {"x": [None]}}
    body = vm("a")
    devices(body)["interfaces"].append({**nic("blue"), **nulls})
    body["spec"]["template"]["spec"] |= {"networks": [*body["spec"]["template"]["spec"]["networks"], network("blue")]}
    body["spec"]["template"]["metadata"] = None
    body["spec"]["template"]["spec"] |= {"nodeSelector": None, "tolerations": None}
    body["spec"]["template"]["spec"]["domain"]["later"] = {"y": None}
    user.create(VM, body)
    user.until_running("a")
    user.change(VM, "a", plug("good"))
    user.until_ready("a", "good")
    template = (user.get(VM, "a") or {})["spec"]["template"]["spec"]
    assert template["domain"]["later"] == {"y": None}
    assert "later" not in template["domain"]["devices"]["interfaces"][1]
    assert nics(user.get(VMI, "a")) == ["main", "blue", "good"]


STATUSES: dict[str, Json] = {
    "empty": {},
    "nulls": {"phase": None, "interfaces": None, "conditions": None, "interfaceOperations": None, "later": [None]},
    "rows without names": {"phase": "Running", "interfaces": [{"name": None}, {"infoSource": "guest-agent"}]},
    "a phase alone": {"phase": "Running"},
}


@pytest.mark.parametrize("title", STATUSES)
def test_a_status_that_lost_its_members_is_made_whole_and_the_vmi_is_served(user: User, title: str) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", lambda body: body.update(status=STATUSES[title]), status=True)
    user.change(VMI, "a", plug("good"))
    user.until_ready("a", "good")
    user.until_running("a")


def test_a_nic_with_the_address_of_another_was_left_out_or_blocked(user: User) -> None:
    """KubeVirt accepts it: from the start or plugged, the guest has both, and the record of the later one tells."""

    def with_address(name: str, address: str) -> Callable[[Json], None]:
        def change(body: Json) -> None:
            plug(name)(body)
            body["spec"]["domain"]["devices"]["interfaces"][-1]["macAddress"] = address

        return change

    body = vmi("a")
    with_address("blue", "02:00:00:00:00:aa")(body)
    with_address("red", "0200.0000.00AA")(body)
    user.create(VMI, body)
    user.until_running("a")
    until(lambda: user.record("a", "red").get("reason") == "DuplicateMacAddress")
    assert 'NIC "blue"' in user.record("a", "red")["message"]
    user.change(VMI, "a", with_address("green", "02-00-00-00-00-aa"))
    until(lambda: user.record("a", "green").get("reason") == "DuplicateMacAddress")
    assert "domain" in user.row("a", "green")["infoSource"]
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")


def test_an_unknown_state_counts_as_up_and_is_told(user: User, before_rules: Lift) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue"))
    with before_rules():
        user.change(VMI, "a", lambda body: body["spec"]["domain"]["devices"]["interfaces"][1].update(state="gone"))
    until(lambda: user.record("a", "blue").get("reason") == "InvalidState")
    assert user.record("a", "blue")["remedy"].startswith("Write up, down or absent")
    assert user.row("a", "blue")["infoSource"] == "domain, multus-status"
    user.change(VMI, "a", lambda body: body["spec"]["domain"]["devices"]["interfaces"][1].pop("state"))
    user.until_ready("a", "blue")


def has_no_failure(user: User, name: str) -> bool:
    """The VM is what its spec says."""
    return not user.condition(name, "Failure", plural=VM)


BAD_METADATA: dict[str, tuple[Json, str]] = {
    "label of a blank": ({"labels": {"a b": "c d"}}, "metadata.labels"),
    "label too long": ({"labels": {"a": "x" * 64}}, "metadata.labels"),
    "annotation of two slashes": ({"annotations": {"a/b/c": "x"}}, "metadata.annotations"),
}


def test_a_template_whose_metadata_is_refused_is_told_and_starts_when_it_is_corrected(user: User) -> None:
    names = {title: f"m{index}" for index, title in enumerate(BAD_METADATA)}
    for title, (metadata, _) in BAD_METADATA.items():
        body = vm(names[title])
        body["spec"]["template"]["metadata"] = metadata
        user.create(VM, body)
    for title, (_, says) in BAD_METADATA.items():
        row = until(partial(user.condition, names[title], "Failure", plural=VM))
        assert (row["status"], row["reason"]) == ("True", "FailedCreate"), title
        assert says in row["message"]
        user.merge(VM, names[title], {"spec": {"template": {"metadata": {"labels": None, "annotations": None}}}})
    for name in names.values():
        user.until_running(name)
        until(partial(has_no_failure, user, name))


def test_a_template_that_passes_for_a_launcher_or_asks_for_networks_gets_neither(user: User) -> None:
    body = vm("a")
    body["spec"]["template"]["metadata"] = {
        "name": "other",
        "namespace": "default",
        "finalizers": ["example.com/x"],
        "labels": {
            "kubevirt.io": "virt-launcher",
            "kubevirt.io/created-by": str(uuid.uuid4()),
            **{f"l{index}": "v" * 63 for index in range(300)},
        },
        "annotations": {NETWORKS: "lan", "v1.multus-cni.io/default-network": "lan", "huge": "y" * 100_000},
    }
    user.create(VM, body)
    user.until_running("a")
    pod, instance = user.pod_of("a"), user.get(VMI, "a") or {}
    assert pod["metadata"]["labels"]["kubevirt.io/created-by"] == instance["metadata"]["uid"]
    assert not {NETWORKS, "v1.multus-cni.io/default-network"} & pod["metadata"]["annotations"].keys()
    assert "example.com/x" not in instance["metadata"]["finalizers"]
    user.change(VM, "a", plug("good"))
    user.until_ready("a", "good")
