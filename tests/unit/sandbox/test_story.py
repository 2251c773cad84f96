"""How the demonstration reads watches and the audit log."""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nicplug_sandbox.demo import COUNTED, show_figures
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.object_watch import Line, Lines
from nicplug_sandbox.screen import Screen
from nicplug_sandbox.story.by_migration import NIC
from nicplug_sandbox.story.requests import asked_at, own_seconds, requests
from nicplug_sandbox.story.scene import Scene
from nicplug_sandbox.story.sight import JOB_LABEL, reason
from nicplug_sandbox.story.tell import Figures
from nicplug_sandbox.story.timeline import Moment, Timeline
from nicplug_sandbox.story.writes import operator_writes

OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"


def timeline() -> tuple[Timeline, io.StringIO]:
    """Two moments: asked, then done."""
    output = io.StringIO()
    moments = [
        Moment(what="asked", who="you", is_shown=lambda line: line.object.get("asked", False)),
        Moment(what="done", who="nicplug", is_shown=lambda line: line.object.get("done", False)),
    ]
    return Timeline(Screen(Console(file=output, width=100)), moments), output


def line(at: float, **content: Any) -> Line:
    """A line of a watch."""
    return Line(at=at, type="MODIFIED", object=content)


def test_moments_are_shown_once_and_timed_from_the_first() -> None:
    story, output = timeline()
    assert not story.look(line(10.0))
    assert not story.look(line(10.5, asked=True))
    assert story.next == "done"
    assert not story.look(line(10.6, asked=True))
    assert story.look(line(10.75, asked=True, done=True))
    assert story.seconds("done") == pytest.approx(0.25)
    assert [row.split()[:3] for row in output.getvalue().splitlines()] == [
        ["+0", "ms", "asked"],
        ["+250", "ms", "done"],
    ]


def test_line_of_one_watch_that_is_read_before_the_others_first_is_not_lost() -> None:
    """Found on a busy machine: the pod's line came before the VMI's, and the demo waited for ever."""
    story, output = timeline()
    assert not story.look(line(10.5, done=True))
    assert output.getvalue() == ""
    assert story.look(line(10.6, asked=True))
    assert story.seconds("done") == 0.0
    assert len(output.getvalue().splitlines()) == 2


def test_lines_that_came_late_in_one_batch_made_the_headline_too_small() -> None:
    """`+0 ms` for spec, annotation and network-status, and 17 ms for what takes forty."""
    story, output = timeline()
    story.began = 10.0
    assert not story.look(line(10.030, asked=True))
    assert story.look(line(10.031, asked=True, done=True))
    assert story.seconds("done") == pytest.approx(0.031)
    assert [row.split()[:2] for row in output.getvalue().splitlines()] == [["+30", "ms"], ["+31", "ms"]]


def test_no_moment_is_told_later_than_one_that_it_precedes() -> None:
    story, _ = timeline()
    story.began = 10.0
    story.look(line(10.5, done=True))
    assert story.look(line(10.6, asked=True))
    assert story.seconds("asked") == story.seconds("done") == pytest.approx(0.5)
    assert story.between("asked", "done") == 0.0


def has(name: str, line: Line) -> bool:
    return bool(line.object.get(name))


def test_times_on_the_screen_never_go_back() -> None:
    """The line that shows `placed` is read last: its moment was shown behind that of `copied`, with a smaller time."""
    output = io.StringIO()
    names = ("asked", "placed", "copied", "done")
    moments = [Moment(what=name, who="nicplug", is_shown=partial(has, name)) for name in names]
    story = Timeline(Screen(Console(file=output, width=100)), moments)
    story.look(line(10.0, asked=True))
    story.look(line(10.3, copied=True))
    assert story.next == "placed"
    assert not story.look(line(10.4, done=True))
    assert story.look(line(10.9, placed=True))
    assert [row.split()[:3] for row in output.getvalue().splitlines()] == [
        ["+0", "ms", "asked"],
        ["+300", "ms", "placed"],
        ["+300", "ms", "copied"],
        ["+400", "ms", "done"],
    ]


def test_a_moment_tells_what_only_its_line_knows() -> None:
    output = io.StringIO()
    moments = [Moment(what="it goes to ", who="kube-scheduler", is_shown=lambda _: True, told=lambda _: "node02")]
    assert Timeline(Screen(Console(file=output, width=100)), moments).look(line(1.0))
    assert "it goes to node02" in output.getvalue()


def migration(phase: str, *, vmi: str = "vm-fedora") -> Line:
    """A line about a migration."""
    return line(
        1.0,
        kind="VirtualMachineInstanceMigration",
        spec={"vmiName": vmi},
        status={"phase": phase, "conditions": [{"type": "Progressing", "reason": "Copying"}]},
    )


def test_a_phase_that_no_watch_showed_has_been_reached_all_the_same() -> None:
    assert NIC.has_reached(migration("Running"), "TargetReady")
    assert not NIC.has_reached(migration("Scheduled"), "TargetReady")
    assert not NIC.has_reached(migration("Failed"), "Pending")
    assert not NIC.has_reached(migration("Running", vmi="another"), "Running")
    assert reason(migration("Running")) == ": Copying"


def test_of_two_nics_on_one_network_each_is_told_by_its_pod_interface() -> None:
    text = '[{"name": "new-fancy-net", "interface": "pod9a6a0c3b4d8"}]'  # dyniface1
    metadata = {
        "name": "virt-launcher-vm-fedora-1ca79",
        "labels": {JOB_LABEL: "x"},
        "annotations": {"k8s.v1.cni.cncf.io/networks": text},
    }
    pod = line(1.0, kind="Pod", metadata=metadata)
    assert NIC.is_target(pod)
    assert not NIC.in_pod(pod, "networks")
    metadata["annotations"] = {"k8s.v1.cni.cncf.io/networks": text.replace("pod9a6a0c3b4d8", "podbb925fec032")}
    assert NIC.in_pod(pod, "networks")
    assert not NIC.in_pod(pod, "network-status")


def test_a_request_in_the_status_of_the_vm_is_found_by_what_it_asks_for() -> None:
    asked = [{"removeInterfaceOptions": {"name": "other"}}, {"addInterfaceOptions": {"name": NIC.name}}]
    vm = line(1.0, kind="VirtualMachine", metadata={"name": NIC.vmi}, status={"interfaceRequests": asked})
    assert NIC.is_requested(vm, "addInterfaceOptions")
    assert not NIC.is_requested(vm, "removeInterfaceOptions")
    vm.object["metadata"] = {"name": "another"}
    assert not NIC.is_requested(vm, "addInterfaceOptions")


def test_wait_says_what_did_not_come() -> None:
    lines = Lines()
    lines.put(line(1.0))
    with pytest.raises(SandboxError, match="still not true that the VMI is Running"):
        lines.until(lambda _: False, seconds=0.05, what="the VMI is Running")


def patched(
    agent: str,
    resource: str,
    name: str,
    *,
    received: int,
    answered: int,
    code: int = 200,
    verb: str = "patch",
    user: str = "anybody",
    query: str = "",
) -> str:
    """One line of an audit log; times in milliseconds."""
    kind, _, subresource = resource.partition("/")
    told = {
        "verb": verb,
        "user": {"username": user},
        "userAgent": agent,
        "requestURI": f"/apis/somewhere{query}",
        "objectRef": {"resource": kind, "name": name, **({"subresource": subresource} if subresource else {})},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": f"2026-11-26T18:53:55.{received:03}000Z",
        "stageTimestamp": f"2026-11-26T18:53:55.{answered:03}000Z",
    }
    return json.dumps(told) + "\n"


def in_place(*, without: str = "") -> str:
    """The audit log of a hot-plug in place, with what does not belong to it."""
    pod, vmis = "virt-launcher-vm-fedora-1ca79", "virtualmachineinstances"
    steps = {
        "user": patched("kubectl/v1.33 (linux)", vmis, "vm-fedora", received=100, answered=104),
        "another": patched("nicplug", "pods", "virt-launcher-other-1ca79", received=106, answered=108),
        "refused": patched("nicplug", "pods", pod, received=108, answered=109, code=422),
        "annotation": patched("nicplug", "pods", pod, received=110, answered=114),
        "report": patched("nicplug", f"{vmis}/status", "vm-fedora", received=115, answered=116),
        "network-status": patched("nicplug-sandbox-node", "pods/status", pod, received=120, answered=125),
        "status": patched("nicplug", f"{vmis}/status", "vm-fedora", received=127, answered=132),
        "guest": patched("nicplug-sandbox-node", f"{vmis}/status", "vm-fedora", received=140, answered=145),
    }
    return "".join(step for name, step in steps.items() if name != without)


def test_the_operators_part_is_told_by_the_audit_log(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    before = patched("kubectl", "virtualmachineinstances", "vm-fedora", received=1, answered=2)
    log.write_text(before + in_place())
    found = requests(log, offset=len(before))
    asked = asked_at(found)
    assert asked is not None
    assert asked.microsecond == 100_000
    assert own_seconds(found, nic=NIC) == pytest.approx(0.010 + 0.007)


def test_a_line_that_was_being_written_at_the_mark_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(in_place())
    first = in_place().index("\n") + 1
    assert len(requests(log, offset=first // 2)) == len(requests(log, offset=first)) == 6


def test_a_request_by_virtctl_counts_from_its_arrival_and_the_operators_part_from_the_apis_patch(
    tmp_path: Path,
) -> None:
    vmis, account = "virtualmachineinstances", "system:serviceaccount:nicplug-system:nicplug-api"
    asking = "".join(
        [
            patched("nicplug-cli/0.1.0", vmis, "vm-fedora", received=10, answered=20, query="?dryRun=All"),
            patched("nicplug", vmis, "vm-fedora", received=100, answered=104, user=account),
            patched(
                "nicplug-cli/0.1.0", f"{vmis}/addinterface", "vm-fedora",
                received=90, answered=106, code=202, verb="update",
            ),
        ]
    )  # fmt: skip
    log = tmp_path / "audit.log"
    log.write_text(asking + in_place(without="user"))
    found = requests(log, offset=0)
    asked = asked_at(found)
    assert asked is not None
    assert asked.microsecond == 90_000, "neither the dry run of a plan nor what the API wrote then"
    assert own_seconds(found, nic=NIC) == pytest.approx(0.010 + 0.007)


@pytest.mark.parametrize("step", ["user", "annotation", "network-status", "status"])
def test_a_log_that_lacks_a_request_tells_nothing(tmp_path: Path, step: str) -> None:
    log = tmp_path / "audit.log"
    log.write_text(in_place(without=step))
    assert own_seconds(requests(log, offset=0), nic=NIC) is None


def entry(verb: str, resource: str, *, user: str = OPERATOR, subresource: str = "") -> str:
    """One line of an audit log."""
    target = {"resource": resource, **({"subresource": subresource} if subresource else {})}
    return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": target}) + "\n"


def test_only_the_operators_own_writes_count(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    before = entry("patch", "pods")
    log.write_text(
        before
        + entry("patch", "virtualmachineinstances", subresource="status")
        + entry("patch", "virtualmachineinstances", subresource="status", user="system:node:node01")
        + entry("list", "pods")
        + entry("update", "leases")
        + entry("patch", "pods")
        + '{"verb": "patch", "user": {"usern'  # being written
    )
    assert operator_writes(log, offset=len(before)) == {"virtualmachineinstances/status": 1, "pods": 1}


@pytest.mark.parametrize(
    ("audit_log", "start"),
    [(Path("audit.log"), "the API server received the request"), (None, "a watch showed the first moment")],
)
def test_the_times_of_moments_were_not_explained(audit_log: Path | None, start: str) -> None:
    output = io.StringIO()
    scene = Scene(
        admin=Kubectl(kubeconfig=Path("none"), cache=Path("none")),
        screen=Screen(Console(file=output, width=100)),
        lines=Lines(),
        audit_log=audit_log,
        commands=Path("none"),
        has_api=True,
    )
    scene.explain_moments()
    assert output.getvalue() == f"+ms: from when {start} to when a watch showed the moment\n"


def test_the_figures_at_the_end_were_not_explained() -> None:
    output = io.StringIO()
    figures = Figures(
        plug_seconds=0.076,
        own_seconds=0.024,
        migration_seconds=0.8,
        copy_seconds=0.4,
        unplug_seconds=0.119,
        interfaces={},
        plug_writes={"pods": 1, "events": 2},
        migration_writes={"pods": 3, "events": 2},
    )
    show_figures(figures, screen=Screen(Console(file=output, width=100)))
    shown = output.getvalue()
    assert "76 ms (nicplug: 24 ms)" in shown
    assert shown.endswith(f"{COUNTED}\n")
    assert max(map(len, COUNTED.splitlines())) <= 100
