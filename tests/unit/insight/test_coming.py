"""What happens next: nothing that does not, and no two lines that deny each other."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import NOW, later
from tests.unit.plan.nic.path.evidence import evidence

from nicplug.insight.coming import coming
from nicplug.insight.nic_rows import NicRow
from nicplug.insight.outcome import NicForecast, Otherwise, Outcome
from nicplug.insight.waiting import waits_for
from nicplug.model.hotplug_policy import HotplugPolicy, OnFailure, cluster_policy, overridden

TIMEOUT = Otherwise(after=timedelta(seconds=8), outcome=Outcome.BY_MIGRATION, reason="DynamicTimeout", message="m")
IF_LATE = "if nobody has answered: nicplug migrates the VM for it (DynamicTimeout)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A NIC, and the lines."""

    name: str
    row: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = Outcome.IN_PLACE
    evidence: dict[str, Any] | None = None
    reason: str = "R"
    otherwise: Otherwise | None = None
    next_reconcile_at: datetime | None = None
    lines: tuple[tuple[datetime | None, str], ...]

    def __str__(self) -> str:
        return self.name


CASES = (
    Case(
        name="nothing has failed",
        evidence={},
        reason="WaitingForPodInterface",
        otherwise=TIMEOUT,
        lines=(
            (None, "if the controller fails 2 times: nicplug migrates the VM for it (AttachFailed)"),
            (later(8), IF_LATE),
        ),
    ),
    Case(
        name="the second failure migrates",
        row={"next_attempt": later(2)},
        reason="AttachFailed",
        evidence={"failed_attempts": 1, "error": "broken"},
        otherwise=TIMEOUT,
        lines=(
            (later(2), "it is tried again"),
            (None, "if that fails too: nicplug migrates the VM for it (AttachFailed)"),
            (later(8), IF_LATE),
        ),
    ),
    Case(
        name="the second failure holds",
        reason="AttachFailed",
        evidence={"failed_attempts": 1, "error": "broken", "policy": HotplugPolicy(on_failure=OnFailure.HOLD)},
        lines=((None, "if that fails too: it is Failed, and retried with back-off (AttachFailed)"),),
    ),
    Case(name="the pod has it, and the guest has not", evidence={}, reason="WaitingForGuest", lines=()),
    Case(
        name="the API server has refused the write, so the controller has not been asked",
        row={"phase": "Failed", "reason": "HotPlugNetworkInterfaceError"},
        reason="WaitingForPodInterface",
        evidence={},
        otherwise=TIMEOUT,
        lines=((None, "the refused write is retried with back-off, every 30 s at the latest"),),
    ),
    Case(
        name="migrating",
        row={"phase": "Migrating"},
        outcome=Outcome.BY_MIGRATION,
        lines=((None, "it is ready when the migration has ended"),),
    ),
    Case(
        name="blocked, and the VM is looked at again for another NIC",
        row={"phase": "Blocked"},
        outcome=Outcome.STUCK,
        next_reconcile_at=later(8),
        lines=((None, "nothing more is tried until something changes (R)"),),
    ),
    Case(
        name="leaves the VM, and the VM is looked at again for another NIC",
        outcome=Outcome.WITHDRAWN,
        next_reconcile_at=later(8),
        lines=((None, "it leaves the VM, and the guest is not touched (R)"),),
    ),
    Case(
        name="blocked, and tried again by itself",
        row={"phase": "Blocked", "next_attempt": later(8)},
        outcome=Outcome.STUCK,
        next_reconcile_at=later(8),
        lines=((later(8), "it is tried again"),),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_why_predicted_what_did_not_happen(case: Case) -> None:
    nic = NicRow(name="blue", network="n", binding="bridge", **{"phase": "Pending", "reason": "R", **case.row})
    foreseen = NicForecast(
        name="blue",
        operation="Plug",
        network="n",
        binding="bridge",
        outcome=case.outcome,
        path="Dynamic",
        phase=nic.phase,
        reason=case.reason,
        message="m",
        evidence=evidence(**case.evidence) if case.evidence is not None else None,
        otherwise=case.otherwise,
    )
    found = coming(nic, foreseen, case.next_reconcile_at, now=NOW)
    assert tuple((item.at, item.what) for item in found) == case.lines


OWN = {"VirtualMachine default/a": (("nicplug.io/migration", "Never"),)}
ALLOWED = {"VirtualMachine default/a": (("nicplug.io/migration", "Allowed"),)}
WRONG = {"VirtualMachine default/a": (("nicplug.io/migration", "never"),)}
CLUSTER = cluster_policy({"migration": "Never"}, where="KubeVirt CR kubevirt/kubevirt")


@pytest.mark.parametrize(
    ("reason", "phase", "policy", "mover"),
    [
        ("MigrationForbidden", "Blocked", overridden(HotplugPolicy(), OWN), "the VM's owner"),
        ("MigrationForbidden", "Blocked", CLUSTER, "the cluster admin"),
        ("MigrationForbidden", "Blocked", overridden(CLUSTER, ALLOWED), "the cluster admin"),
        ("MigrationForbidden", "Blocked", overridden(CLUSTER, WRONG), "the cluster admin"),
        ("MigrationForbidden", "Blocked", None, "the cluster admin"),
        ("AttachFailed", "Pending", None, "the dynamic networks controller on node n"),
        ("AttachFailed", "Migrating", None, "virt-handler on the source and the target node"),
        ("HotPlugNetworkInterfaceError", "Failed", None, "the cluster admin"),
        ("WaitingForSlot", "Migrating", None, "other migrations, which were first"),
    ],
)
def test_why_named_the_wrong_person(reason: str, phase: str, policy: HotplugPolicy | None, mover: str) -> None:
    assert waits_for(reason, phase=phase, policy=policy, node="n", pod="p") == mover
