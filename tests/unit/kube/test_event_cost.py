"""What the largest events cost, in what is passed over: no object makes others wait, whatever its kind and shape."""

import json
from typing import Any

import pytest
from tests.api.objects import failure_event
from tests.build import Json, migration, nad, pod, primary, revision, vm, vmi
from tests.large import DEEP_SHAPES, LARGEST, SHAPES, text_of
from tests.unit.kube.elided import go, put

from nicplug import elided
from nicplug.kube import deep_json, elision, folding
from nicplug.kube.object_text import ObjectText, contents

TEMPLATE = ("spec", "template", "spec")


def an_event() -> Json:
    """As anyone may write one about any pod of his own."""
    return {**failure_event(pod(), "podb1f51a511f1"), "apiVersion": "v1", "kind": "Event"}


OBJECTS: dict[str, tuple[str, Json, tuple[str, ...]]] = {
    "domain of a VM": ("virtualmachines", vm(primary()), (*TEMPLATE, "domain", "x")),
    "devices of a VM": ("virtualmachines", vm(primary()), (*TEMPLATE, "domain", "devices", "x")),
    "template of a VM": ("virtualmachines", vm(primary()), ("spec", "template", "x")),
    "devices of a VMI": ("virtualmachineinstances", vmi(primary()), ("spec", "domain", "devices", "x")),
    "status of a VMI": ("virtualmachineinstances", vmi(primary()), ("status", "migrationState", "x")),
    "devices of a revision": (
        "controllerrevisions",
        revision(vm(primary())),
        ("data", *TEMPLATE, "domain", "devices", "x"),
    ),
    "labels of a template in a revision": (
        "controllerrevisions",
        revision(vm(primary())),
        ("data", "spec", "template", "metadata", "labels", "x"),
    ),
    "spec of a migration": ("virtualmachineinstancemigrations", migration("m"), ("spec", "x")),
    "labels of a pod": ("pods", pod(), ("metadata", "labels")),
    "spec of a pod": ("pods", pod(), ("spec", "x")),
    "containers of a pod": ("pods", pod(), ("spec", "containers")),
    "status of a pod": ("pods", pod(), ("status", "x")),
    "conditions of a pod": ("pods", pod(), ("status", "conditions")),
    "config of a definition": ("network-attachment-definitions", nad("lan"), ("spec", "config")),
    "spec of a definition": ("network-attachment-definitions", nad("lan"), ("spec", "x")),
    "message of an event": ("events", an_event(), ("message",)),
    "subject of an event": ("events", an_event(), ("involvedObject", "x")),
    "rest of an event": ("events", an_event(), ("related",)),
    "managed fields of an event": ("events", an_event(), ("metadata", "managedFields")),
}
# Of these as many entries are read as an ordinary object may have.
LISTS, MOST_OF_A_LIST = {("spec", "containers"), ("status", "conditions")}, 100_000


class Passed:
    """How many bytes parsers have passed over, and how many blocks were looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes, self.blocks = 0, 0
        for name in ("_object", "_list", "_any"):
            monkeypatch.setattr(elision, name, self._counted(getattr(elision, name)))
        monkeypatch.setattr(folding, "_DECODERS", tuple(map(self._counted, folding._DECODERS)))
        bits = deep_json._Blocks._bits

        def counted(blocks: deep_json._Blocks, start: int, in_string: bool) -> tuple[bytes, bool]:
            self.blocks += 1
            return bits(blocks, start, in_string)

        monkeypatch.setattr(deep_json._Blocks, "_bits", counted)

    def _counted(self, decode: Any) -> Any:
        def counted(text: Any) -> Any:
            self.bytes += len(text)
            return decode(text)

        return counted


@pytest.mark.parametrize("shape", [*SHAPES, *DEEP_SHAPES])
@pytest.mark.parametrize("name", OBJECTS)
def test_a_large_event_is_passed_over_a_few_times_however_deep_its_place_is(
    name: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took 335 ms where one value was too deep, and others swung to and fro around a depth of 200."""
    resource, raw, place = OBJECTS[name]
    copied = put(raw, place, "LARGE")
    line = b'{"type":"MODIFIED","object":' + go(copied).replace(b'"LARGE"', text_of(shape, LARGEST).encode()) + b"}"
    passed = Passed(monkeypatch)
    assert len(ObjectText(resource).slim_line(line)) < (MOST_OF_A_LIST if place in LISTS else 10_000)
    # What no parser bears is cut to so little that the rest of it costs nothing either. In the metadata
    # `managedFields` are looked for as well.
    most = 0.1 if shape in {"deep", "swinging", "deep beside towers"} else 5.2 if place[0] == "metadata" else 4.2
    assert passed.bytes < most * LARGEST
    assert passed.blocks < 3.2 * LARGEST / deep_json._BLOCK + 10


def test_a_vm_that_is_read_tightly_is_not_split_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = vm(primary())
    spec = raw["spec"]["template"]["spec"]
    for member in ("affinity", "nodeSelector"):
        spec[member] = {"a": "x" * 30_000}
    for member in ("cpu", "memory", "firmware"):
        spec["domain"][member] = {"a": "x" * 30_000}
    spec["domain"]["devices"]["x"] = "LARGE"
    line = b'{"type":"MODIFIED","object":' + go(raw).replace(b'"LARGE"', text_of("towers", LARGEST).encode()) + b"}"
    passed = Passed(monkeypatch)
    assert len(ObjectText("virtualmachines").slim_line(line)) < 20_000
    assert passed.bytes < 5 * len(line)


def test_a_revision_that_says_its_spec_twice_is_not_split_place_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = put(revision(vm(primary())), ("data", *TEMPLATE, "domain", "devices", "x"), "LARGE")
    text = go(raw).replace(b'"template":', b'"template":0,"template":')
    passed = Passed(monkeypatch)
    read = ObjectText("controllerrevisions").read(text.replace(b'"LARGE"', text_of("towers", LARGEST).encode()))
    assert read["metadata"] == raw["metadata"]
    assert passed.bytes < 4.2 * LARGEST


ENTRIES = [{f"x{number}": 1 for number in range(300)} for _ in range(300)]


@pytest.mark.parametrize(
    "place",
    [
        ("spec", "template", "spec", "domain", "devices", "interfaces"),
        ("spec", "template", "spec", "networks"),
        ("status", "conditions"),
    ],
    ids=".".join,
)
def test_not_each_member_of_hundreds_of_entries_gets_a_mark(
    place: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 entries with 580 members each took 600 ms, and 840 ms in a revision."""
    marks = 0
    make = elided.text_mark

    def counted(text: bytes) -> str:
        nonlocal marks
        marks += 1
        return make(text)

    monkeypatch.setattr(elision, "text_mark", counted)
    text = go(put(vm(primary()), place, ENTRIES))
    read, found = contents(text, resource="virtualmachines")
    assert marks < 3_000
    assert json.loads(elision.fill(read, found)) == json.loads(text)


def test_lists_of_a_status_that_are_full_have_a_bound_together() -> None:
    """Of five lists with 300 entries of 900 bytes all 1.3 MB were kept, and took 200 ms an event."""
    raw = vm(primary())
    entries = [{f"x{number}": 1 for number in range(90)} for _ in range(300)]
    lists = ("conditions", "interfaces", "interfaceOperations", "stateChangeRequests", "containerStatuses")
    raw["status"] = dict.fromkeys(lists, entries)
    read, found = contents(go(raw), resource="virtualmachines")
    assert len(go(read["status"])) < 384 * 1024
    assert read["status"]["conditions"][0] == entries[0]
    assert json.loads(elision.fill(read, found)) == raw


def test_not_each_of_a_thousand_members_gets_a_mark_at_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten places with 1,000 members each took 160 ms, and 290 ms in a revision."""
    marks = 0
    make = elided.text_mark

    def counted(text: bytes) -> str:
        nonlocal marks
        marks += 1
        return make(text)

    monkeypatch.setattr(elision, "text_mark", counted)
    raw = vm(primary())
    crowd = {f"x{number}": "y" * 60 for number in range(1_000)}
    raw["spec"]["template"]["spec"]["domain"] |= dict.fromkeys(("cpu", "memory", "firmware", "resources"), crowd)
    raw["spec"]["template"]["spec"]["affinity"] = dict.fromkeys(("nodeAffinity", "podAffinity"), crowd)
    ObjectText("virtualmachines").read(go(raw))
    assert marks < 100
