"""Each bound of a place by itself: what it is above is not read, and what is within it is read as it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.build import Json, nic, pod, vm, vmi

from nicplug.elided import ELIDED, ELIDED_ENTRIES, ELIDED_MEMBERS, MANY_MEMBERS, STORED_BYTES, has_elided
from nicplug.kube import elision
from nicplug.kube.object_text import ObjectText
from nicplug.kube.places import ANNOTATIONS, LABELS

KIB = 1024
EMOJI = "\U0001f600"
MOST_NICS = 256
INTERFACES, NETWORKS = ("domain", "devices", "interfaces"), ("networks",)


def go(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def read(raw: Json) -> Any:
    return ObjectText("virtualmachineinstances").read(go(raw))


def texts(names: Any, size: int) -> Json:
    return {str(name): "x" * size for name in names}


def rows(count: int, size: int) -> list[Json]:
    return [{"type": f"t{number}", "message": "x" * size} for number in range(count)]


def at(spec: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        spec = spec[name]
    return spec


def crowd(path: tuple[str, ...], *, first: Json, count: int = MOST_NICS) -> Any:
    """The first entry of a list that is larger than it may be to be read as it is."""
    nics = [nic(f"n{number}") for number in range(count)]
    spec = vmi(*nics)
    at(spec["spec"], path)[0] |= first
    at(spec["spec"], path)[1]["x"] = "x" * 70 * KIB
    return at(read(spec)["spec"], path)[0]


def annotated(raw: Json, annotations: Json) -> Json:
    raw["metadata"]["annotations"] = annotations
    return raw


def template(**members: Any) -> Json:
    raw = vm()
    raw["spec"]["template"]["metadata"] = members
    return raw


def with_spec(**members: Any) -> Json:
    raw = vmi()
    raw["spec"] |= members
    return raw


def with_status(**members: Any) -> Json:
    raw = vmi()
    raw["status"] = members
    return raw


LISTS = ("conditions", "interfaces", "interfaceOperations", "stateChangeRequests", "containerStatuses")
TOO_LARGE: dict[str, tuple[Callable[[], Json], int]] = {
    "one annotation": (lambda: annotated(pod(), {"k8s.v1.cni.cncf.io/networks": "x" * 500 * KIB}), 8),
    "one annotation of nicplug's": (lambda: annotated(pod(), {"nicplug.io/interfaces": "x" * 100 * KIB}), 8),
    "the metadata of a template": (
        lambda: template(
            **texts(range(7), 3900), labels=texts(sorted(LABELS)[:8], 3900),
            annotations=texts(sorted(ANNOTATIONS)[:8], 3900),
        ), 66,
    ),
    "a spec": (
        lambda: with_spec(**texts(range(7), 3900), affinity=texts(range(7), 3900), nodeSelector=texts(range(7), 3900)),
        66,
    ),
    "a status": (lambda: with_status(**{name: rows(60, 3900) for name in LISTS}), 300),
    "terms of an affinity": (
        lambda: with_spec(
            affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": rows(40, 2000)}}
        ), 30,
    ),
    "members of an object of no shape": (lambda: {**pod(), **texts(range(60), 3000)}, 40),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_above_its_budget_was_read(name: str) -> None:
    make, most = TOO_LARGE[name]
    raw = make()
    assert len(go(raw)) > most * KIB
    assert len(go(read(raw))) <= most * KIB


def test_a_status_of_many_nics_is_read_as_it_is() -> None:
    """nicplug must find what it has written."""
    raw = with_status(conditions=rows(3, 200), interfaceOperations=rows(60, 2 * KIB), interfaces=rows(250, 100))
    assert read(raw) == raw | {STORED_BYTES: len(go(raw))}


def test_many_nics_crowd_out_nothing_else() -> None:
    raw = with_spec(volumes=["x" * 20_000])
    raw["spec"]["domain"]["devices"]["interfaces"] = [{"name": f"n{n}", "x": "x" * 200} for n in range(MOST_NICS)]
    assert read(raw) == raw | {STORED_BYTES: len(go(raw))}
    raw["spec"]["networks"] = [{"name": f"n{n}", "x": "x" * 200} for n in range(MOST_NICS)]
    assert read(raw) == raw | {STORED_BYTES: len(go(raw))}


MEMBERS = [
    *((INTERFACES, name, "x" * 150) for name in ("name", "state", "macAddress", "model", "pciAddress", "acpiIndex")),
    *((INTERFACES, name, {"x": "x" * 150}) for name in ("bridge", "sriov", "binding")),
    (NETWORKS, "name", "x" * 150),
    (NETWORKS, "multus", {"networkName": "x" * 410}),
    *((NETWORKS, name, {"x": "x" * 150}) for name in ("pod", "resourceClaim")),
]


@pytest.mark.parametrize(
    ("path", "member", "value"), MEMBERS, ids=[f"{name} of {path[-1]}" for path, name, _ in MEMBERS]
)
def test_a_member_of_a_nic_is_read_beyond_what_is_valid(path: tuple[str, ...], member: str, value: Any) -> None:
    """Though all of the NIC would not be too much."""
    entry = crowd(path, first={member: value, "y": "y" * 600})
    assert value not in entry.values()
    assert has_elided(entry)


@pytest.mark.parametrize(
    ("path", "first"),
    [
        (INTERFACES, {name: {"x": "x" * 80} for name in ("bridge", "masquerade", "sriov", "slirp", "passt")}),
        (
            NETWORKS,
            {"multus": {"networkName": "x" * 370}, **{name: {"x": "x" * 80} for name in ("pod", "resourceClaim")}},
        ),
        (NETWORKS, {"name": "x" * 150, "y": "y" * 400}),
    ],
    ids=["interface", "network", "network without a valid name"],
)
def test_a_nic_that_says_more_than_any_valid_one_has_nothing_but_its_name(path: tuple[str, ...], first: Json) -> None:
    assert crowd(path, first=first).keys() <= {"name", ELIDED}


@pytest.mark.parametrize("filling", [0, 400])
def test_a_nic_of_a_crowd_keeps_a_letter_that_widens_its_record(filling: int) -> None:
    assert crowd(INTERFACES, first={"model": EMOJI, "x": "x" * filling}).keys() == {"name", ELIDED}


def test_what_looks_like_a_mark_in_a_nic_of_a_crowd_is_elided_itself() -> None:
    assert crowd(INTERFACES, first={"bridge": {ELIDED: "0/0"}})["bridge"] != {ELIDED: "0/0"}


def test_interfaces_of_wide_letters_count_by_their_memory() -> None:
    raw = vmi(*(nic(f"n{number}") for number in range(MOST_NICS)))
    for item in raw["spec"]["domain"]["devices"]["interfaces"]:
        item["x"] = EMOJI * 20
    interfaces = read(raw)["spec"]["domain"]["devices"]["interfaces"]
    assert go(interfaces).isascii()
    assert [item["name"] for item in interfaces] == [f"n{number}" for number in range(MOST_NICS)]


def test_nothing_wide_is_left_in_a_spec_that_is_large_and_wide() -> None:
    """One letter anywhere takes four times the memory of all of it."""
    raw = vmi(nic("a"), nic("b"))
    raw["spec"]["domain"]["devices"]["interfaces"][1]["x"] = EMOJI
    raw["spec"]["domain"] |= {"memory": {"x": EMOJI}, "cpu": texts(range(7), 3900)}
    raw["spec"] |= {"nodeSelector": texts(range(7), 3900), **texts(range(7), 3900), "hostname": EMOJI}
    assert go(read(raw)["spec"]).isascii()


def test_very_many_small_members_become_as_many_objects() -> None:
    raw = with_spec(nodeSelector=texts(range(MANY_MEMBERS + 1), 1), volumes=["x" * 20_000], x="x" * 10_000)
    assert read(raw)["spec"]["nodeSelector"].keys() == {ELIDED_MEMBERS}


def test_entries_beyond_those_of_any_valid_list_are_read() -> None:
    raw = vmi()
    raw["spec"]["networks"] = [{"name": f"n{number}"} for number in range(4_000)]
    *known, rest = read(raw)["spec"]["networks"]
    assert len(known) == 300
    assert rest.keys() == {ELIDED_ENTRIES}


def test_a_small_object_of_very_many_brackets_was_parsed_as_it_is() -> None:
    assert elision.is_small(go({"x": json.loads("[" * 90 + "]" * 90)}))
    assert not elision.is_small(go({"x": json.loads("[" * 200 + "]" * 200)}))
