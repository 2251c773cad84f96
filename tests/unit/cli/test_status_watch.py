"""`nicplug status -w`: the table, then each change as it comes, until Ctrl-C."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.apiserver import FakeApiServer
from tests.unit.cli.following import BLOCKED, NAME, READY, Following, record

from nicplug.cli import output
from nicplug.cli import status as module

MOMENT = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  ")


class Watching(Following):
    """`nicplug status`."""

    command = "status"


class CtrlC:
    """Presses it when something has been printed so often."""

    def __init__(self, print_: Any, *, after: int, counts: re.Pattern[str] | None = None) -> None:
        self._print, self._left, self._counts = print_, after, counts

    def __call__(self, first: Any, second: Any, *more: Any, **options: Any) -> None:
        self._print(first, second, *more, **options)
        if self._counts is None or self._counts.match(second):
            self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


async def test_each_change_is_a_line_until_ctrl_c(
    cluster: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "line", CtrlC(output.line, after=2, counts=MOMENT))
    watching = await Watching(cluster, tmp_path, NAME, "--watch").until_watching()
    record(cluster, BLOCKED)
    record(cluster, READY, rows=("default", "blue"))
    done = await watching.end()
    assert (done.exit_code, done.stderr) == (130, "")
    table, moments = done.stdout.splitlines()[:4], done.stdout.splitlines()[-2:]
    assert table[0] == f"VirtualMachineInstance default/{NAME}: Running on node01"
    assert table[3].split()[:2] == ["blue", "blue-net"]
    assert [MOMENT.sub("", told) for told in moments] == [
        "blue  Plug Blocked  FeatureGateDisabled: off",
        "blue  Plug Dynamic Ready  Attached",
    ]
    async with asyncio.timeout(30):
        while cluster.open_watches:  # noqa: ASYNC110 - the server notices the end a moment later
            await asyncio.sleep(0.01)


async def test_what_changes_nothing_of_a_nic_is_no_line(
    cluster: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "line", CtrlC(output.line, after=2, counts=MOMENT))
    watching = await Watching(cluster, tmp_path, NAME, "-w").until_watching()
    record(cluster, BLOCKED)
    cluster.modify("virtualmachineinstances", NAME, lambda body: body["metadata"].update(labels={"a": "b"}))
    record(cluster, READY, rows=("default", "blue"))
    done = await watching.end()
    told = [MOMENT.sub("", line) for line in done.stdout.splitlines() if MOMENT.match(line)]
    assert told == ["blue  Plug Blocked  FeatureGateDisabled: off", "blue  Plug Dynamic Ready  Attached"]


async def test_programs_get_a_document_for_each_change(
    cluster: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write", CtrlC(output.write, after=2))
    watching = await Watching(cluster, tmp_path, NAME, "-w", "-o", "json").until_watching()
    record(cluster, READY, rows=("default", "blue"))
    done = await watching.end()
    assert done.exit_code == 130
    documents = [json.loads(part) for part in done.stdout.replace("}\n{", "}\0{").split("\0")]
    phases = [[nic["phase"] for nic in document["nics"]] for document in documents]
    assert phases == [["Ready", "Pending"], ["Ready", "Ready"]]


async def test_watching_needs_the_name_of_a_vm(cluster: FakeApiServer, tmp_path: Path) -> None:
    done = await Watching(cluster, tmp_path, "-w").end()
    assert done.exit_code == 2
    assert "--watch needs the name of a VM." in done.stderr
