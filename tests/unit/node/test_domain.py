"""How the guest follows the VMI, and how the status tells of it."""

import pytest
from tests.unit.node import build
from tests.unit.node.build import DEFAULT_ENTRY, domain, entry, interface, nic, pod, row, vmi

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import (
    Domain,
    GuestAgent,
    Hotplug,
    boot,
    is_same,
    live_migratable,
    next_hotplug,
    pod_interface_names,
    rebuilt_rows,
    recovered,
)
from nicplug_sandbox.node.networks import POD_LINKS

BLUE = "pod16477688c0e"
RED = "podb1f51a511f1"
NO_AGENT = GuestAgent()
AGENT = GuestAgent(connected=True)


def sources(rows: list[Json]) -> list[tuple[str, str]]:
    return [(row.get("name", ""), row["infoSource"]) for row in rows]


def test_boot_takes_what_the_pod_has_in_the_order_of_the_spec() -> None:
    guest = boot(
        vmi=vmi(interface("red"), interface("blue")),
        pod=pod(
            entries=[entry("blue", BLUE, mac="02:00:00:00:00:0b", ips=["10.9.0.4"]), entry("red", RED), DEFAULT_ENTRY]
        ),
    )
    assert [nic.name for nic in guest.nics] == ["default", "red", "blue"]
    assert guest.nics[2].mac == "02:00:00:00:00:0b"
    assert guest.nics[2].ips == ("10.9.0.4",)


def test_boot_leaves_out_absent_interfaces_and_missing_links() -> None:
    guest = boot(
        vmi=vmi(interface("red", state="absent"), interface("blue")),
        pod=pod(entries=[DEFAULT_ENTRY, entry("red", RED)]),
    )
    assert [nic.name for nic in guest.nics] == ["default"]


def test_the_mac_of_the_spec_wins() -> None:
    guest = boot(
        vmi=vmi(interface("blue", macAddress="de:ad:00:00:be:af")),
        pod=pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
    )
    assert guest.nics[1].mac == "de:ad:00:00:be:af"


def test_one_ordinal_interface_makes_all_names_ordinal() -> None:
    machine = vmi(interface("red"), interface("blue"))
    hashed = pod_interface_names(vmi=machine, pod=pod(entries=[DEFAULT_ENTRY]))
    assert hashed == {"default": "eth0", "red": RED, "blue": BLUE}
    ordinal = pod_interface_names(vmi=machine, pod=pod(entries=[DEFAULT_ENTRY, entry("red", "net1")]))
    assert ordinal == {"default": "eth0", "red": "net1", "blue": "net2"}


def test_the_row_knows_the_pod_interface_best() -> None:
    machine = vmi(interface("blue"), rows=[row("blue", "multus-status", podInterfaceName="net7")])
    assert pod_interface_names(vmi=machine, pod=pod(entries=[DEFAULT_ENTRY]))["blue"] == "net7"


READY = [row("default", "domain"), row("blue", "multus-status")]


@pytest.mark.parametrize(
    ("machine", "launcher", "guest", "plugged"),
    [
        pytest.param(
            vmi(interface("blue"), rows=READY),
            pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
            domain(),
            ["blue"],
            id="go-ahead in the row, link in the pod",
        ),
        pytest.param(
            vmi(interface("blue"), rows=[row("default", "domain")]),
            pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
            domain(),
            [],
            id="no go-ahead: nothing else counts",
        ),
        pytest.param(
            vmi(interface("blue"), rows=[row("default", "domain"), row("blue", "domain, multus-status")]),
            pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
            domain(nic("blue", BLUE)),
            [],
            id="already in the guest",
        ),
        pytest.param(
            vmi(interface("blue", "sriov"), rows=READY),
            pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
            domain(),
            [],
            id="SR-IOV comes by migration only",
        ),
        pytest.param(
            vmi(interface("blue", state="absent"), rows=READY),
            pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)]),
            domain(),
            [],
            id="absent is never plugged",
        ),
    ],
)
def test_plug(machine: Json, launcher: Json, guest: Domain, plugged: list[str]) -> None:
    hotplug = next_hotplug(vmi=machine, pod=launcher, domain=guest)
    assert [nic.name for nic in hotplug.plug] == plugged
    assert hotplug.failures == ()


@pytest.mark.parametrize(
    "launcher",
    [
        pod(entries=[DEFAULT_ENTRY]),
        pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE)], annotations={POD_LINKS: "eth0"}),
    ],
    ids=["not in network-status", "a phantom: in network-status, not in the pod"],
)
def test_a_go_ahead_without_a_link_fails_by_name(launcher: Json) -> None:
    hotplug = next_hotplug(vmi=vmi(interface("blue"), rows=READY), pod=launcher, domain=domain())
    assert hotplug.plug == ()
    assert hotplug.failures == (
        f'failed to plug network "blue": the pod has no interface "{BLUE}" to connect the guest to',
    )


def test_unplug_takes_hashed_interfaces_only() -> None:
    machine = vmi(interface("blue", state="absent"), interface("old", state="absent"))
    guest = domain(nic("blue", BLUE), nic("old", "net2"))
    assert next_hotplug(vmi=machine, pod=pod(entries=[DEFAULT_ENTRY]), domain=guest) == Hotplug(unplug=("blue",))


@pytest.mark.parametrize(
    ("machine", "guest", "agent", "expected"),
    [
        pytest.param(
            vmi(interface("blue"), rows=[row("default", ""), row("blue", "multus-status")]),
            domain(nic("blue", BLUE)),
            NO_AGENT,
            [("default", "domain"), ("blue", "domain, multus-status")],
            id="plugged",
        ),
        pytest.param(
            vmi(interface("blue"), rows=[row("default", ""), row("blue", "multus-status")]),
            domain(nic("blue", BLUE)),
            AGENT,
            [("default", "domain, guest-agent"), ("blue", "domain, guest-agent, multus-status")],
            id="plugged, with agent",
        ),
        pytest.param(
            vmi(interface("blue"), rows=[row("blue", "multus-status"), row("default", "domain")]),
            domain(),
            NO_AGENT,
            [("default", "domain"), ("blue", "multus-status")],
            id="not plugged yet: kept, the primary first",
        ),
        pytest.param(
            vmi(
                interface("blue", state="absent"), rows=[row("default", "domain"), row("blue", "domain, multus-status")]
            ),
            domain(),
            NO_AGENT,
            [("default", "domain"), ("blue", "multus-status")],
            id="unplugged, the pod still has it",
        ),
        pytest.param(
            vmi(interface("blue", state="absent"), rows=[row("default", "domain"), row("blue", "")]),
            domain(),
            NO_AGENT,
            [("default", "domain")],
            id="neither in the guest nor in the pod: gone",
        ),
        pytest.param(
            vmi(rows=[row("default", "domain"), row("blue", "domain, multus-status")]),
            domain(),
            NO_AGENT,
            [("default", "domain")],
            id="no longer in the spec: gone",
        ),
        pytest.param(
            vmi(rows=[]),
            domain(),
            GuestAgent(connected=True, interfaces=("docker0",)),
            [("default", "domain, guest-agent"), ("", "guest-agent")],
            id="the guest's own interface has no name",
        ),
        pytest.param(
            vmi(rows=[row("default", "domain", podInterfaceName="eth0")]),
            Domain(),
            NO_AGENT,
            [("default", "domain")],
            id="the primary is restored",
        ),
    ],
)
def test_rows(machine: Json, guest: Domain, agent: GuestAgent, expected: list[tuple[str, str]]) -> None:
    assert sources(rebuilt_rows(vmi=machine, domain=guest, agent=agent)) == expected


def test_a_settled_row_in_full() -> None:
    machine = vmi(
        interface("blue", state="down"), rows=[row("default", ""), row("blue", "multus-status", podInterfaceName=BLUE)]
    )
    rows = rebuilt_rows(vmi=machine, domain=domain(nic("blue", BLUE, ips=("10.9.0.4",))), agent=AGENT)
    assert rows[1] == {
        "name": "blue",
        "mac": "02:00:00:00:00:02",
        "infoSource": "domain, guest-agent, multus-status",
        "queueCount": 1,
        "linkState": "down",
        "ipAddress": "10.9.0.4",
        "ipAddresses": ["10.9.0.4"],
        "interfaceName": "eth1",
        "podInterfaceName": BLUE,
    }


def test_sriov_comes_after_the_others_and_has_no_link_state() -> None:
    machine = vmi(interface("fast", "sriov"), interface("blue"))
    rows = rebuilt_rows(vmi=machine, domain=domain(nic("fast", "net1", sriov=True), nic("blue", BLUE)), agent=NO_AGENT)
    assert [row["name"] for row in rows] == ["default", "blue", "fast"]
    assert "linkState" not in rows[2]
    assert "queueCount" not in rows[2]


def test_rebuilding_twice_changes_nothing() -> None:
    machine = vmi(interface("blue"), rows=[row("default", ""), row("blue", "multus-status", podInterfaceName=BLUE)])
    guest = domain(nic("blue", BLUE))
    machine["status"]["interfaces"] = once = rebuilt_rows(vmi=machine, domain=guest, agent=AGENT)
    assert rebuilt_rows(vmi=machine, domain=guest, agent=AGENT) == once


def test_order_alone_is_no_difference() -> None:
    rows = [row("a", "domain"), row("b", "domain"), {"interfaceName": "docker0", "infoSource": "guest-agent"}]
    assert is_same(rows, list(reversed(rows)))
    assert not is_same(rows, [row("a", "domain"), row("b", "domain, multus-status"), rows[2]])


def test_a_restart_finds_the_guest_as_it_was() -> None:
    machine = vmi(interface("blue"), interface("red"))
    launcher = pod(entries=[DEFAULT_ENTRY, entry("blue", BLUE, ips=["10.9.0.4"])])
    before = boot(vmi=machine, pod=launcher)
    machine["status"]["interfaces"] = rebuilt_rows(vmi=machine, domain=before, agent=NO_AGENT)
    assert recovered(vmi=machine, pod=launcher) == before


@pytest.mark.parametrize(
    ("primary", "annotations", "migratable"),
    [
        (build.interface("default", "masquerade"), {}, True),
        (build.interface("default", "bridge"), {}, False),
        (build.interface("default", "bridge"), {"kubevirt.io/allow-pod-bridge-network-live-migration": ""}, True),
        ({"name": "default", "binding": {"name": "plugin"}}, {}, False),
    ],
)
def test_live_migratable(primary: Json, annotations: dict[str, str], migratable: bool) -> None:
    machine = vmi(interface("blue"), annotations=annotations)
    machine["spec"]["domain"]["devices"]["interfaces"][0] = primary
    condition = live_migratable(machine)
    assert condition["status"] == ("True" if migratable else "False")
    assert condition.get("reason", "") == ("" if migratable else "InterfaceNotLiveMigratable")


def test_without_a_pod_network_everything_can_migrate() -> None:
    machine = vmi(interface("blue"))
    machine["spec"]["networks"] = [{"name": "blue", "multus": {"networkName": "blue", "default": True}}]
    assert live_migratable(machine)["status"] == "True"
