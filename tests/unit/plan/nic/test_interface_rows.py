"""Rows of `status.interfaces` from a pod's network-status (KubeVirt 1.9's table)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.build import (
    POD_INTERFACES,
    Json,
    Nic,
    a_pod,
    a_vmi,
    absent,
    element,
    network_status,
    nic,
    pod,
    primary,
    primary_row,
    row,
    vmi,
)

from nicplug.plan.nic.observed import plan_rows


@dataclass(frozen=True, kw_only=True)
class Case:
    """`wanted` None: the rows as they are."""

    title: str
    nics: Sequence[Nic] = field(default_factory=lambda: (primary(), nic("blue")))
    rows: Sequence[Json] = ()
    attached: Sequence[str] = ()
    wanted: Sequence[Json] | None = None

    def __str__(self) -> str:
        return self.title


SETTLED = row("blue", "domain", "guest-agent", "multus-status")
GUEST_MADE = {"interfaceName": "docker0", "infoSource": "guest-agent", "ipAddress": "172.17.0.1"}

CASES = (
    # The four rows of the table: is it in network-status, is it in the status.
    Case(
        title="attached, no row: the go-ahead for the node agent",
        rows=[primary_row()],
        attached=["blue"],
        wanted=[primary_row(), row("blue", "multus-status")],
    ),
    Case(
        title="attached, row without the token: appended at the end",
        rows=[primary_row(), row("blue", "domain", "guest-agent")],
        attached=["blue"],
        wanted=[primary_row(), row("blue", "domain", "guest-agent", "multus-status")],
    ),
    Case(title="attached, row with the token: nothing", rows=[primary_row(), SETTLED], attached=["blue"]),
    Case(
        title="not attached, row with the token: taken away",
        rows=[primary_row(), SETTLED],
        wanted=[primary_row(), row("blue", "domain", "guest-agent")],
    ),
    Case(
        title="not attached, only the token: the member goes with its last token",
        rows=[primary_row(), row("blue", "multus-status")],
        wanted=[primary_row(), {"name": "blue", "podInterfaceName": "pod16477688c0e"}],
    ),
    Case(title="not attached, no row: none", rows=[primary_row()]),
    # The primary and the rest.
    Case(
        title="the primary gets its pod interface, its infoSource is not ours",
        nics=[primary()],
        rows=[{"name": "default", "infoSource": "domain, guest-agent", "mac": "02:00:00:00:00:09"}],
        wanted=[
            {
                "name": "default",
                "infoSource": "domain, guest-agent",
                "mac": "02:00:00:00:00:09",
                "podInterfaceName": "eth0",
            }
        ],
    ),
    Case(
        title="a primary without a row gets one, first",
        nics=[nic("blue"), primary()],
        rows=[SETTLED],
        attached=["blue"],
        wanted=[{"name": "default", "podInterfaceName": "eth0"}, SETTLED],
    ),
    Case(
        title="no primary in the spec: no row for one",
        nics=[nic("blue")],
        attached=["blue"],
        wanted=[row("blue", "multus-status")],
    ),
    Case(title="another order is not a change", rows=[SETTLED, primary_row()], attached=["blue"]),
    Case(
        title="rows that the guest made stay, at the end",
        rows=[primary_row(), GUEST_MADE],
        attached=["blue"],
        wanted=[primary_row(), row("blue", "multus-status"), GUEST_MADE],
    ),
    Case(
        title="two rows that the guest made are two",
        rows=[primary_row(), GUEST_MADE, GUEST_MADE],
        attached=["blue"],
        wanted=[primary_row(), row("blue", "multus-status"), GUEST_MADE, GUEST_MADE],
    ),
    Case(
        title="an absent NIC keeps the token until the pod has let go",
        nics=[primary(), absent("blue")],
        rows=[primary_row(), row("blue", "multus-status")],
        attached=["blue"],
    ),
    Case(
        title="an interface of somebody else's is not ours",
        attached=["mon0", "podb1f51a511f1"],
        rows=[primary_row()],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows(case: Case) -> None:
    rows = plan_rows(vmi=a_vmi(vmi(*case.nics, rows=list(case.rows))), pod=a_pod(pod(attached=case.attached)))
    assert rows == list(case.rows if case.wanted is None else case.wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_need_no_second_look(case: Case) -> None:
    launcher = a_pod(pod(attached=case.attached))
    rows = plan_rows(vmi=a_vmi(vmi(*case.nics, rows=list(case.rows))), pod=launcher)
    assert plan_rows(vmi=a_vmi(vmi(*case.nics, rows=rows)), pod=launcher) == rows


def test_the_primary_interface_is_the_default_entry_of_network_status() -> None:
    launcher = a_pod(pod(status_text=network_status(default="ens5")))
    rows = plan_rows(vmi=a_vmi(vmi(rows=[primary_row()])), pod=launcher)
    assert rows == [{"name": "default", "infoSource": "domain", "podInterfaceName": "ens5"}]


@pytest.mark.parametrize("text", ["{", "7", "", '{"interface": "eth0"}'], ids=["cut", "number", "missing", "object"])
def test_a_network_status_that_tells_nothing_changes_nothing(text: str) -> None:
    """KubeVirt takes multus-status away; the node agent would see a NIC that nobody vouches for."""
    rows = [primary_row(), SETTLED]
    assert plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=rows)), pod=a_pod(pod(status_text=text))) == rows


def test_a_pod_that_counts_its_interfaces_does_so_while_network_status_is_silent() -> None:
    rows = [primary_row(), row("blue", "domain", "multus-status", pod_interface="net1")]
    assert plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=rows)), pod=a_pod(pod(status_text="{"))) == rows


def test_at_most_ten_rows_that_the_guest_made_are_kept() -> None:
    made = [{"interfaceName": f"veth{number}", "infoSource": "guest-agent"} for number in range(30)]
    rows = plan_rows(vmi=a_vmi(vmi(rows=[primary_row(), *made])), pod=a_pod(pod()))
    assert rows == [primary_row(), *made[:10]]


def test_of_two_rows_of_a_name_one_stays() -> None:
    twice = [SETTLED, SETTLED, row("old", "domain", pod_interface=""), row("old", pod_interface="")]
    raw = vmi(primary(), nic("blue"), rows=[primary_row(), *twice])
    rows = plan_rows(vmi=a_vmi(raw), pod=a_pod(pod(attached=["blue"])))
    assert [item["name"] for item in rows] == ["default", "blue", "old"]


def test_a_row_of_a_network_of_another_kind_is_left_as_it_is() -> None:
    other = ({"name": "gpu", "bridge": {}}, {"name": "gpu", "resourceClaim": {"claimName": "x"}})
    rows = [primary_row(), {"name": "gpu", "infoSource": "domain", "mac": "02:00:00:00:00:07"}]
    assert plan_rows(vmi=a_vmi(vmi(primary(), other, rows=rows)), pod=a_pod(pod(attached=["blue"]))) == rows


def test_a_network_status_of_256_kib_is_read_and_its_strangers_are_not_taken_over() -> None:
    strangers = [{"name": "ops/x" + "y" * 200, "interface": f"x{number}"} for number in range(1100)]
    text = json.dumps([*strangers[:900], *json.loads(network_status(POD_INTERFACES["blue"])), *strangers[900:]])
    assert len(text) > 256 * 1024
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=a_pod(pod(status_text=text)))
    assert rows == [primary_row(), row("blue", "multus-status")]


STRANGER = json.dumps([{"name": "nowhere/other", "interface": POD_INTERFACES["blue"]}])


def test_an_interface_of_another_network_that_nobody_asked_for_is_given_to_no_guest() -> None:
    """Its row was the node agent's go-ahead: the NIC was Ready, on a network that nobody had asked for."""
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=a_pod(pod(status_text=STRANGER)))
    assert rows == [primary_row()]


def test_a_nic_that_is_in_the_guest_keeps_its_row_whatever_network_it_is_said_to_be_of() -> None:
    rows = [primary_row(), SETTLED]
    assert plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=rows)), pod=a_pod(pod(status_text=STRANGER))) == rows


FOREIGN_NET1 = json.dumps(
    [{"name": "cluster", "interface": "eth0", "default": True}, {"name": "ops/mesh", "interface": "net1"}]
)
OLD_NET1 = json.dumps(
    [{"name": "cluster", "interface": "eth0", "default": True}, {"name": "default/blue-net", "interface": "net1"}]
)
OLD_SCHEME = '[{"interface":"net1","name":"blue-net","namespace":"default"}]'


@pytest.mark.parametrize(
    ("networks", "status"),
    [
        pytest.param("ops/mesh", FOREIGN_NET1, id="an element without a name, which Multus called net1"),
        pytest.param("ops/mesh@net1", FOREIGN_NET1, id="an element that asks for net1"),
        pytest.param(None, FOREIGN_NET1, id="nobody asks for it"),
        pytest.param("blue-net", OLD_NET1, id="without a name, of the same network"),
    ],
)
def test_the_net1_of_a_webhook_is_given_to_no_guest(networks: str | None, status: str) -> None:
    """The pod counted as one of the old scheme, and the guest was plugged into the webhook's network."""
    launcher = a_pod(pod(networks=networks, status_text=status))
    assert plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=launcher) == [primary_row()]


def test_the_net1_of_a_pod_of_the_old_scheme_is_its_first_nic() -> None:
    launcher = a_pod(pod(networks=OLD_SCHEME, status_text=OLD_NET1))
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=launcher)
    assert rows == [primary_row(), row("blue", "multus-status", pod_interface="net1")]


def test_a_pod_that_nicplug_has_made_never_names_its_interfaces_by_number() -> None:
    raw = pod(networks=OLD_SCHEME, status_text=OLD_NET1)
    raw["metadata"]["annotations"]["nicplug.io/pod-spec"] = "0123456789abcdef"
    assert plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=a_pod(raw)) == [primary_row()]


def test_in_a_pod_of_the_old_scheme_the_net2_of_somebody_else_is_given_to_no_guest() -> None:
    theirs = {"name": "mesh", "namespace": "ops", "interface": "net2"}
    status = [*json.loads(OLD_NET1), {"name": "ops/mesh", "interface": "net2"}]
    launcher = a_pod(pod(networks=[*json.loads(OLD_SCHEME), theirs], status_text=json.dumps(status)))
    first = row("blue", "domain", "multus-status", pod_interface="net1")
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), nic("red"), rows=[primary_row(), first])), pod=launcher)
    assert rows == [primary_row(), first]


def test_a_go_ahead_for_a_foreign_net1_that_was_given_before_is_taken_back() -> None:
    launcher = a_pod(pod(networks="ops/mesh", status_text=FOREIGN_NET1))
    before = [primary_row(), row("blue", "multus-status", pod_interface="net1")]
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=before)), pod=launcher)
    assert "multus-status" not in json.dumps(rows)


@pytest.mark.parametrize(
    ("networks", "is_given"),
    [
        pytest.param([element("blue")], True, id="asked for"),
        pytest.param([element("blue", attachment="other")], False, id="another network is asked for"),
        pytest.param(None, False, id="nobody asks for it"),
    ],
)
def test_an_entry_that_names_no_network_counts_only_for_what_nicplug_asked_for(
    networks: list[Json] | None, is_given: bool
) -> None:
    status = json.dumps([{"interface": POD_INTERFACES["blue"]}])
    launcher = a_pod(pod(networks=networks, status_text=status))
    rows = plan_rows(vmi=a_vmi(vmi(primary(), nic("blue"), rows=[primary_row()])), pod=launcher)
    assert ("multus-status" in json.dumps(rows[1:])) is is_given
