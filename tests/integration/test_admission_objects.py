"""Rules of admission and unusual objects: stored before the rules, the largest ones, disks without a schema."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.admission.networks import CLAIMS
from tests.admission.row import (
    BOTH,
    TOGETHER,
    Json,
    Kind,
    Row,
    as_default,
    claimed,
    machine,
    manifest,
    on_pod,
    secondary,
)
from tests.admission.rules import ROWS
from tests.admission.texts import NO_TEMPLATE
from tests.integration.admission_requests import (
    GATED,
    PLURALS,
    STATUS,
    answer,
    created,
    enforced,
    patched,
    refused,
    spec_path,
)
from tests.integration.kubectl import ROOT
from tests.integration.kubernetes_release import JUDGES_STATUS_BY_CHANGES
from tests.integration.rules import lifted
from tests.integration.user import VM, User

from nicplug_sandbox.controlplane import ControlPlane

EXAMPLES = [*sorted((ROOT / "examples").rglob("*vm*.yaml")), ROOT / "tests" / "golden" / "kubevirt-1.9-vm.yaml"]
GOOD_NIC, GOOD_NETWORK = secondary("good")
# The schema refuses these two without rules already: a map has each key once.
STORABLE = [
    row
    for row in ROWS
    if row.kinds == BOTH and row.policy in ("", TOGETHER) and row.name not in ("nic-twice", "network-twice")
]
STORED = [pytest.param(row, kind, id=f"{row}-{kind}") for row in STORABLE for kind in row.kinds]
NICS = 255
LONG = [f"{'n' * 124}{index:04}" for index in range(NICS)]

CROWDS: dict[str, tuple[tuple[Json | None, Json | None], ...]] = {
    "networks-without-interface": tuple((None, secondary(name)[1]) for name in LONG),
    "interfaces-without-network": tuple((secondary(name)[0], None) for name in LONG),
    "masquerade-on-multus": tuple(secondary(name, bindings="masquerade") for name in LONG),
    "passt-on-multus": tuple(secondary(name, bindings="passtBinding") for name in LONG),
    "absent-on-default-networks": tuple(as_default(name, state="absent") for name in LONG),
    "ports-of-pod-networks": tuple(on_pod(name, ports=[{"port": 0, "name": "A"}] * 4) for name in LONG),
    "no-bindings": tuple(secondary(name, bindings="") for name in LONG),
    "one-boot-order": tuple(secondary(name, bootOrder=1) for name in LONG),
    "claims-of-bridges": tuple(claimed(name, bindings="bridge") for name in LONG),
    "one-claim-not-declared": tuple(claimed(name, claimName="c" * 253, requestName="r" * 253) for name in LONG[:64]),
    "claims-without-names": tuple(claimed(name) for name in LONG),
}


@pytest.fixture(scope="module")
def user(control_plane: ControlPlane) -> Iterator[User]:
    with enforced(control_plane) as admin:
        yield admin


def name_of(row: Row, kind: Kind) -> str:
    return str(manifest(row, kind, {})["metadata"]["name"])


def spec_of(body: Json, kind: Kind) -> Json:
    spec: Json = body["spec"]["template"]["spec"] if kind is Kind.VM else body["spec"]
    return spec


@pytest.fixture(scope="module")
def stored(user: User) -> User:
    """Every refused example, stored before there were rules."""
    with lifted(user.kubeconfig):
        for row in STORABLE:
            for kind in row.kinds:
                user.create(PLURALS[kind], manifest(row, kind, row.refused))
        for crowd, pairs in CROWDS.items():
            for kind in BOTH:
                body = manifest(STORABLE[0], kind, machine(*pairs))
                body["metadata"]["name"] = f"{crowd}-{kind.lower()}"
                user.create(PLURALS[kind], body)
    return user


FINALIZER = {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/kept"]}}
NO_FINALIZER = {"metadata": {"finalizers": None}}


def edit_elsewhere(user: User, kind: Kind, name: str, *, policy: str) -> Json:
    """Labels, finalizers, status, another part of the spec."""
    patched(user, kind, name, FINALIZER)
    patched(user, kind, name, NO_FINALIZER)
    if policy or JUDGES_STATUS_BY_CHANGES:
        patched(user, kind, name, STATUS, status=True)
    else:
        assert answer(user, kind, name, STATUS, status=True)[0] == 422, "docs/support.md says that it is refused"
    return patched(user, kind, name, [{"op": "add", "path": f"{spec_path(kind)}/hostname", "value": "other"}])


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("crowd", CROWDS)
def test_the_status_of_the_worst_stored_object_was_refused(stored: User, crowd: str, kind: Kind) -> None:
    """A rule that costs more than it may is an error, whatever was stored: so it has to be cheap also then."""
    name = f"{crowd}-{kind.lower()}"
    patched(stored, kind, name, STATUS, status=True)
    patched(stored, kind, name, [{"op": "add", "path": f"{spec_path(kind)}/hostname", "value": "other"}])


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_what_was_stored_before_the_rule_could_not_be_edited(stored: User, row: Row, kind: Kind) -> None:
    """Elsewhere, and with another NIC."""
    name, root = name_of(row, kind), spec_path(kind)
    body = edit_elsewhere(stored, kind, name, policy=row.policy)
    assert spec_of(body, kind)["domain"]["devices"] == row.refused["domain"]["devices"]
    good = (GOOD_NIC, GOOD_NETWORK)
    if row in CLAIMS:
        good = claimed("good", claimName=row.refused["resourceClaims"][0]["name"], requestName="good")
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": good[1]},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": good[0]},
    ]
    body = patched(stored, kind, name, more)
    assert spec_of(body, kind)["networks"][:-1] == row.refused["networks"]
    correct = [
        {"op": "replace", "path": f"{root}/networks", "value": row.accepted["networks"]},
        {"op": "replace", "path": f"{root}/domain/devices", "value": row.accepted["domain"]["devices"]},
    ]
    patched(stored, kind, name, correct, dry=True)


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_a_second_violation_passed_beside_a_stored_one(stored: User, row: Row, kind: Kind) -> None:
    """A stored violation excuses none that comes later."""
    name, root = name_of(row, kind), spec_path(kind)
    nic, network = secondary("other", macAddress="no")
    unbound, _ = secondary("other", bindings="")
    add_network = {"op": "add", "path": f"{root}/networks/-", "value": network}
    add_nic = {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": nic}
    for patch, text in (
        ([add_network, add_nic], "has malformed MAC address (no)."),
        ([add_network, {**add_nic, "value": unbound}], "logical other interface must have exactly one binding method"),
        ([add_network], "'other' not found."),
    ):
        assert text in refused(stored, kind, name, patch)


@pytest.mark.parametrize("kind", BOTH)
def test_a_corrected_object_broke_the_rule_again(stored: User, kind: Kind) -> None:
    for row in (row for row in STORABLE if row.name in ("mac", "masquerade")):
        body = manifest(row, kind, row.accepted, suffix="-again")
        stored.create(PLURALS[kind], body)
        again = [
            {"op": "replace", "path": f"{spec_path(kind)}/domain/devices", "value": row.refused["domain"]["devices"]},
            {"op": "replace", "path": f"{spec_path(kind)}/networks", "value": row.refused["networks"]},
        ]
        message = refused(stored, kind, body["metadata"]["name"], again)
        assert row.said(kind) in message


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_was_refused(user: User, path: Path) -> None:
    """The policies take what the CRDs take: the examples, and all fields of KubeVirt's API."""
    for body in yaml.safe_load_all(path.read_text()):
        if body["kind"] not in PLURALS:
            continue
        kind = Kind(body["kind"])
        bodies = [body]
        if kind is Kind.VM:
            instance = {**body, "kind": str(Kind.VMI), "spec": body["spec"]["template"]["spec"]}
            bodies.append({key: value for key, value in instance.items() if key != "status"})
        for item in bodies:
            item["metadata"] = {**item["metadata"], "namespace": user.namespace}
            code, said = user.request("POST", user.path(PLURALS[Kind(item["kind"])]) + "?dryRun=All", item)
            assert code == 201, said


@pytest.mark.parametrize("kind", BOTH)
def test_the_largest_virtual_machine_was_refused(user: User, kind: Kind) -> None:
    """255 NICs with all that is looked at, as many ports as the bound allows, and another NIC later."""
    ports = [{"name": f"port-{index}", "port": 1 + index, "protocol": "TCP"} for index in range(256)]
    pairs = [
        secondary(LONG[index], macAddress=f"02:00:00:00:00:{index:02x}", model="virtio", state="up", bootOrder=index)
        for index in range(1, NICS)
    ]
    body = manifest(ROWS[0], kind, machine(on_pod(ports=ports), *pairs), suffix="-largest")
    kept = user.create(PLURALS[kind], body)
    assert kept["spec"] == body["spec"]
    name, root = kept["metadata"]["name"], spec_path(kind)
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": GOOD_NETWORK},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": GOOD_NIC},
    ]
    patched(user, kind, name, more)
    patched(user, kind, name, STATUS, status=True)


DISKS: dict[str, Any] = {
    "a map": {"a": 1},
    "texts": ["root", "data"],
    "places that are none": [{"bootOrder": {"a": 1}}, {"bootOrder": "1"}, {"bootOrder": {"a": 1}}],
    "too many to look at": [{"name": "d", "bootOrder": 1}] * 600,
    "very many": [{}] * 20_000,
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("title", DISKS)
def test_disks_that_are_none_kept_nics_from_being_changed(user: User, title: str, kind: Kind) -> None:
    """They have no schema: what is no disk has no place in the boot order."""
    body = manifest(ROWS[0], kind, machine(secondary(bootOrder=2), disks=DISKS[title]))
    name = body["metadata"]["name"] = f"disks-{[*DISKS].index(title)}-{kind.lower()}"
    user.create(PLURALS[kind], body)
    absent = [{"op": "add", "path": f"{spec_path(kind)}/domain/devices/interfaces/0/state", "value": "absent"}]
    patched(user, kind, name, absent)


@pytest.mark.parametrize("kind", BOTH)
def test_of_many_disks_the_boot_order_was_not_looked_at(user: User, kind: Kind) -> None:
    disks = [{"name": f"d{index}"} for index in range(300)]
    body = manifest(ROWS[0], kind, machine(secondary(bootOrder=1), disks=[*disks, {"name": "last", "bootOrder": 1}]))
    code, said = user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", body)
    assert code == 422
    assert "domain.devices.interfaces[0].bootOrder already set for a different device." in said["message"]


TWICE, OTHER = {"claimName": "claim-0", "requestName": "r"}, {"claimName": "other", "requestName": "r"}
NOT_DECLARED = "which is not defined in spec.resourceClaims"
ODD_CLAIMS: dict[str, tuple[Json, int, int, str]] = {
    "no text as claim": ({"claimName": 5, "requestName": "r"}, 1, 1, "claimName is required for DRA network"),
    "no text as request": ({"claimName": "c", "requestName": []}, 1, 1, "requestName is required for DRA network"),
    "as many networks as are compared": (TWICE, 64, 1, 'duplicate claimName/requestName combination "claim-0/r"'),
    "one network more": (TWICE, 65, 1, ""),
    "as many claims as are compared": (OTHER, 1, 256, NOT_DECLARED),
    "one claim more": (OTHER, 1, 257, ""),
    "the longest name": ({"claimName": "c" * 253, "requestName": "r"}, 1, 1, NOT_DECLARED),
    "longer than a name": ({"claimName": "c" * 254, "requestName": "r"}, 1, 1, ""),
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("title", ODD_CLAIMS)
def test_claims_of_any_form_and_number_were_an_error_of_the_policy(user: User, title: str, kind: Kind) -> None:
    """They have no schema. Beyond the bounds of the policy they are not compared."""
    claim, networks, declared, refusal = ODD_CLAIMS[title]
    names = [f"n{index}" for index in range(networks)]
    pairs = [({"name": name, "sriov": {}}, {"name": name, "resourceClaim": claim}) for name in names]
    claims = [{"name": f"claim-{index}"} for index in range(declared)]
    body = manifest(ROWS[0], kind, machine(*pairs, resourceClaims=claims), suffix="-claims")
    code, said = user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", body)
    assert (code, refusal in said.get("message", "")) == (422 if refusal else 201, True), said.get("message")


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("crowd", CROWDS)
def test_the_refusal_of_the_worst_object_did_not_say_why(user: User, crowd: str, kind: Kind) -> None:
    """A message that costs more than it may is left out: of many violations, the first one is named."""
    code, said = user.request(
        "POST", user.path(PLURALS[kind]) + "?dryRun=All", manifest(ROWS[0], kind, machine(*CROWDS[crowd]))
    )
    assert code == 422
    assert "failed expression" not in said["message"]


def test_a_virtual_machine_without_a_template_was_accepted(user: User) -> None:
    """With the schema's words: KubeVirt's schema requires it as well."""
    body = {**manifest(ROWS[0], Kind.VM, machine()), "spec": {"runStrategy": "Halted"}}
    code, said = user.request("POST", user.path(VM) + "?dryRun=All", body)
    assert (code, NO_TEMPLATE in said["message"]) == (422, True), said


@pytest.mark.parametrize("kind", BOTH)
def test_disks_shared_a_place_beside_a_stored_one(stored: User, kind: Kind) -> None:
    """What is doubled already may stay; another place may not be doubled."""
    disks = [{"name": name, "bootOrder": 3} for name in ("one", "two")]
    worse = [{"op": "add", "path": f"{spec_path(kind)}/domain/devices/disks", "value": disks}]
    message = refused(stored, kind, f"boot-order-nics-{kind.lower()}", worse)
    assert "domain.devices.disks[1].bootOrder already set for a different device." in message


@pytest.mark.parametrize("kind", BOTH)
def test_several_violations_were_told_one_by_one(user: User, kind: Kind) -> None:
    """As in KubeVirt, one answer has all of them."""
    body = manifest(ROWS[0], kind, machine(secondary(bindings="masquerade"), secondary("green", bindings="")))
    body["metadata"]["name"] = f"several-{kind.lower()}"
    code, said = user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", body)
    root = spec_path(kind)[1:].replace("/", ".")
    assert code == 422
    assert (
        f"{root}.domain.devices.interfaces[0].name: Masquerade interface only implemented with pod network, "
        f"{root}.domain.devices.interfaces[1]: logical green interface must have exactly one binding method or "
        "binding plugin"
    ) in said["message"]


@pytest.mark.parametrize("kind", Kind)
def test_without_a_kubevirt_object_something_was_refused(user: User, kind: Kind) -> None:
    for row in (row for row in GATED if kind in row.kinds):
        code, said = created(user, kind, row)
        assert code == 201, said
