"""The annotations that a launcher pod is born with, row by row as KubeVirt 1.9 writes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from tests.build import (
    NOW,
    POD_INTERFACES,
    Json,
    Nic,
    a_config,
    a_vmi,
    absent,
    kubevirt,
    later,
    nic,
    primary,
    vmi,
    vmi_view,
)

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create, PatchStatus
from nicplug.plan.vmi.new_pod_networks import network_annotations, refuse_unregistered_plugin
from nicplug.plan.vmi.plan_vmi import plan_vmi

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT = "v1.multus-cni.io/default-network"
ISTIO = {
    "traffic.sidecar.istio.io/kubevirtInterfaces": "k6t-eth0",
    "istio.io/reroute-virtual-interfaces": "k6t-eth0",
}
MAC = "de:ad:00:00:be:af"
BLUE, RED = POD_INTERFACES["blue"], POD_INTERFACES["red"]
PLUGINS = kubevirt(
    binding={
        "passt": {"networkAttachmentDefinition": "kube-system/passt-nad"},
        "local": {"networkAttachmentDefinition": "local-nad"},
        "bare": {"sidecarImage": "registry/bare"},
        "broken": None,
    }
)


def plugin(item: Nic, name: str) -> Nic:
    return {"name": item[0]["name"], "binding": {"name": name}}, item[1]


def default_network(name: str = "lan", attachment: str = "ops/lan", *, state: str = "") -> Nic:
    interface = {"name": name, "bridge": {}} | ({"state": state} if state else {})
    return interface, {"name": name, "multus": {"networkName": attachment, "default": True}}


def text(*elements: str) -> dict[str, str]:
    return {NETWORKS: f"[{','.join(elements)}]"}


def own(name: str, *, namespace: str = "default", attachment: str | None = None, mac: str = "") -> str:
    written = f'"mac":"{mac}",' if mac else ""
    return (
        f'{{"name":"{attachment or name + "-net"}","namespace":"{namespace}",{written}'
        f'"interface":"{POD_INTERFACES[name]}"}}'
    )


def extra(name: str, *, namespace: str, attachment: str) -> str:
    interface = "bind" + POD_INTERFACES[name][3:]
    arguments = f'"cni-args":{{"logicNetworkName":"{name}"}}'
    return f'{{"name":"{attachment}","namespace":"{namespace}","interface":"{interface}",{arguments}}}'


@dataclass(frozen=True, kw_only=True)
class Case:
    """NICs of the VMI, and all its network annotations."""

    title: str
    nics: Sequence[Nic]
    wanted: Mapping[str, str] = field(default_factory=dict)
    backwards: bool = False

    def __str__(self) -> str:
        return self.title


CASES = (
    Case(
        title="the example of the reference",
        nics=[nic("red", attachment="some-net", mac=MAC)],
        wanted=text(f'{{"name":"some-net","namespace":"default","mac":"{MAC}","interface":"podb1f51a511f1"}}'),
    ),
    Case(
        title="key order: name, namespace, mac, interface",
        nics=[nic("blue", mac=MAC)],
        wanted=text(own("blue", mac=MAC)),
    ),
    Case(title="no MAC is no member", nics=[nic("blue")], wanted=text(own("blue"))),
    Case(
        title="a reference with a slash is split at the first",
        nics=[nic("blue", attachment="ops/lan")],
        wanted=text(own("blue", namespace="ops", attachment="lan")),
    ),
    Case(title="in the order of the interfaces", nics=[nic("red"), nic("blue")], wanted=text(own("red"), own("blue"))),
    Case(
        title="in the order of the interfaces, whatever that of the networks",
        nics=[nic("red"), nic("blue")],
        backwards=True,
        wanted=text(own("red"), own("blue")),
    ),
    Case(title="no element: no annotation", nics=[primary(binding="bridge")]),
    Case(title="no NIC at all: no annotation", nics=[primary("x", binding="bridge", state="absent")]),
    Case(
        title="absent interfaces and their networks are left out",
        nics=[absent("blue"), nic("red")],
        wanted=text(own("red")),
    ),
    Case(title="SR-IOV is there from the start", nics=[nic("blue", binding="sriov")], wanted=text(own("blue"))),
    Case(title="the default network of Multus", nics=[default_network()], wanted={DEFAULT: "ops/lan"}),
    Case(
        title="the default network of Multus without a namespace: of the VM's own, not of Multus's",
        nics=[default_network(attachment="lan"), nic("blue")],
        wanted={DEFAULT: "default/lan", **text(own("blue"))},
    ),
    Case(title="an absent default network is left out", nics=[default_network(state="absent")]),
    Case(title="masquerade", nics=[primary()], wanted=ISTIO),
    Case(title="masquerade and others", nics=[primary(), nic("blue")], wanted={**ISTIO, **text(own("blue"))}),
    Case(title="an absent masquerade interface is left out", nics=[primary(state="absent")]),
    Case(title="bridge on the pod network", nics=[primary(binding="bridge"), nic("blue")], wanted=text(own("blue"))),
    Case(title="the passt core binding", nics=[primary(binding="passtBinding")]),
    Case(
        title="a plugin on the pod network: only the extra element",
        nics=[plugin(primary("red"), "passt")],
        wanted=text(extra("red", namespace="kube-system", attachment="passt-nad")),
    ),
    Case(
        title="a plugin on the default network of Multus: only the extra element",
        nics=[plugin(default_network("red"), "passt")],
        wanted={DEFAULT: "ops/lan", **text(extra("red", namespace="kube-system", attachment="passt-nad"))},
    ),
    Case(
        title="a plugin on a secondary network: right behind the network's own element",
        nics=[plugin(nic("blue"), "passt"), nic("red")],
        wanted=text(own("blue"), extra("blue", namespace="kube-system", attachment="passt-nad"), own("red")),
    ),
    Case(
        title="a plugin's reference without a namespace is of the VMI's",
        nics=[plugin(nic("blue"), "local")],
        wanted=text(own("blue"), extra("blue", namespace="default", attachment="local-nad")),
    ),
    Case(
        title="a plugin without a definition of its own", nics=[plugin(nic("blue"), "bare")], wanted=text(own("blue"))
    ),
    Case(title="a plugin that is registered as null", nics=[plugin(nic("blue"), "broken")], wanted=text(own("blue"))),
    Case(title="an interface without a network", nics=[({"name": "blue", "bridge": {}}, nic("red")[1])]),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_annotations_at_birth(case: Case) -> None:
    raw = vmi(*case.nics, phase="")
    if case.backwards:
        raw["spec"]["networks"].reverse()
    assert network_annotations(vmi=a_vmi(raw), config=a_config(PLUGINS)) == dict(case.wanted)


def test_every_element_has_an_interface_name_that_is_not_ordinal() -> None:
    """Multus would name one without it `net1`, and the controller serves nothing behind it."""
    nics = [plugin(primary("green"), "passt"), plugin(nic("blue"), "local"), nic("red")]
    annotations = network_annotations(vmi=a_vmi(vmi(*nics, phase="")), config=a_config(PLUGINS))
    names = [element["interface"] for element in json.loads(annotations[NETWORKS])]
    assert [name[:4] for name in names] == ["bind", "pod1", "bind", "podb"]
    assert all(len(name) <= 15 for name in names), "the kernel's limit"
    assert len(set(names)) == len(names)


UNKNOWN = plugin(nic("blue"), "vdpa")
UNKNOWN_TEXT = "unable to find the network binding plugin 'vdpa' in Kubevirt configuration"


@pytest.mark.parametrize(
    ("title", "nics", "config", "refused"),
    [
        ("registered", [plugin(nic("blue"), "passt")], PLUGINS, False),
        ("not registered", [primary(), UNKNOWN], PLUGINS, True),
        ("not registered, no KubeVirt object", [primary(), UNKNOWN], None, True),
        ("not registered, but absent", [primary(), ({**UNKNOWN[0], "state": "absent"}, UNKNOWN[1])], PLUGINS, False),
        ("registrations that are no object", [primary(), UNKNOWN], kubevirt(binding=["vdpa"]), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unregistered_plugin(title: str, nics: Sequence[Nic], config: Json | None, refused: bool) -> None:
    record = a_vmi(vmi(*nics, phase=""))
    refusal = refuse_unregistered_plugin(vmi=record, config=a_config(config) if config else None)
    assert (refusal is not None) is refused, title
    if refusal is not None:
        assert (refusal.reason, refusal.message) == ("FailedCreate", UNKNOWN_TEXT)


def test_an_unregistered_plugin_is_reported_on_the_vmi_once_and_makes_no_pod() -> None:
    raw = vmi(primary(), UNKNOWN, phase="Pending")
    plan = plan_vmi(vmi_view(raw, config=PLUGINS, report_pending_since=later(-9)), now=NOW)
    (patch,) = plan.actions
    assert isinstance(patch, PatchStatus)
    rows = {row["type"]: row for row in thaw(patch.wanted)["conditions"]}
    assert (rows["Synchronized"]["reason"], rows["Synchronized"]["message"]) == ("FailedCreate", UNKNOWN_TEXT)
    assert [(event.reason, event.message) for event in plan.announcements] == [
        ("FailedCreate", f"Error creating pod: {UNKNOWN_TEXT}")
    ]
    raw["status"] |= thaw(patch.wanted)
    assert plan_vmi(vmi_view(raw, config=PLUGINS, report_pending_since=later(-9)), now=NOW).is_empty


def test_the_pod_is_made_when_the_plugin_is_registered() -> None:
    raw = vmi(primary(), UNKNOWN, phase="Pending")
    (action,) = plan_vmi(vmi_view(raw, config=kubevirt(binding={"vdpa": {}})), now=NOW).actions
    assert isinstance(action, Create)
