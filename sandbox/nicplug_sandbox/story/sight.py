"""What a line of a watch shows of one NIC, of its VM's pods, and of the migration that brings it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nicplug_sandbox.node.networks import hashed_interface
from nicplug_sandbox.object_watch import Line

Rows = Iterable[dict[str, Any]] | None
JOB_LABEL = "kubevirt.io/migrationJobUID"
# In the order of a migration: one that is behind has been reached as well.
PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSight:
    """One NIC of one VM.

    Attributes:
        vmi: name of the VMI, which is that of its VM.
        name: of the interface and of its network in the spec.
    """

    vmi: str
    name: str

    def in_template(self, line: Line) -> dict[str, Any] | None:
        """The interface as the VM's template asks for it."""
        if line.kind != "VirtualMachine" or not self._is_named(line):
            return None
        return self._row(line.object["spec"]["template"]["spec"]["domain"]["devices"].get("interfaces"))

    def is_requested(self, line: Line, member: str) -> bool:
        """`status.interfaceRequests` of the VM has a request for it; `member` is `addInterfaceOptions` or the other."""
        if line.kind != "VirtualMachine" or not self._is_named(line):
            return False
        return self._row(row.get(member) or {} for row in _status(line).get("interfaceRequests") or []) is not None

    def in_spec(self, line: Line) -> dict[str, Any] | None:
        """The interface as the VMI's spec asks for it."""
        return self._row(line.object["spec"]["domain"]["devices"].get("interfaces")) if self.is_vmi(line) else None

    def sources(self, line: Line) -> str:
        """`infoSource` of its row in `status.interfaces`; "" without one."""
        row = self._row(_status(line).get("interfaces")) if self.is_vmi(line) else None
        return str((row or {}).get("infoSource", ""))

    def record(self, line: Line) -> dict[str, Any]:
        """Its record, empty when it has none."""
        rows = _status(line).get("interfaceOperations") if self.is_vmi(line) else None
        return self._row(rows) or {}

    def is_left_in(self, line: Line) -> bool:
        """Its name stands anywhere in the VMI, where a NIC may be named."""
        status = _status(line)
        parts = [line.object["spec"], status.get("interfaces"), status.get("interfaceOperations")]
        return f'"{self.name}"' in json.dumps(parts)

    def in_pod(self, line: Line, annotation: str) -> bool:
        """Whether that annotation of Multus, of a pod of the VMI, names its pod interface."""
        annotations = line.object.get("metadata", {}).get("annotations") or {}
        text = annotations.get(f"k8s.v1.cni.cncf.io/{annotation}", "")
        return self.is_pod(line) and hashed_interface(self.name) in text

    def is_vmi(self, line: Line) -> bool:
        """The line is about its VMI."""
        return line.kind == "VirtualMachineInstance" and self._is_named(line)

    def is_pod(self, line: Line) -> bool:
        """The line is about a launcher pod of its VMI."""
        return line.kind == "Pod" and self.is_pod_name(line.object["metadata"]["name"])

    def is_pod_name(self, name: str) -> bool:
        """A launcher pod of its VMI is named so."""
        return name.startswith(f"virt-launcher-{self.vmi}-")

    def is_target(self, line: Line) -> bool:
        """The line is about a pod to which its VMI is to move."""
        return self.is_pod(line) and JOB_LABEL in (line.object["metadata"].get("labels") or {})

    def has_reached(self, line: Line, phase: str) -> bool:
        """The line is about a migration of its VMI that has come to this phase, or beyond."""
        return self.is_migration(line) and _status(line).get("phase") in PHASES[PHASES.index(phase) :]

    def is_migration(self, line: Line) -> bool:
        """The line is about a migration of its VMI."""
        return line.kind == "VirtualMachineInstanceMigration" and line.object["spec"].get("vmiName") == self.vmi

    def move(self, line: Line) -> dict[str, Any]:
        """`status.migrationState` of its VMI."""
        return _status(line).get("migrationState") or {} if self.is_vmi(line) else {}

    def _row(self, rows: Rows) -> dict[str, Any] | None:
        return next((row for row in rows or [] if row.get("name") == self.name), None)

    def _is_named(self, line: Line) -> bool:
        return bool(line.object["metadata"]["name"] == self.vmi)


def _status(line: Line) -> dict[str, Any]:
    return line.object.get("status") or {}


def reason(line: Line) -> str:
    """Why a migration is where it is: the reason of its condition Progressing, with a colon before."""
    rows = _status(line).get("conditions") or []
    found = next((row.get("reason", "") for row in rows if row.get("type") == "Progressing"), "")
    return f": {found}" if found else ""


def pod_node(line: Line) -> str:
    """The node of a pod; "" before it has one."""
    return str(line.object["spec"].get("nodeName") or "")


def is_pod_running(line: Line) -> bool:
    """The pod's containers run. It is Ready later: a gate of it opens when it has the guest."""
    return bool(_status(line).get("phase") == "Running")
