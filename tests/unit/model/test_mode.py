"""Which mode fits which cluster."""

from dataclasses import dataclass

import pytest

from nicplug.model.mode import Mode, Owner, Refusal, VirtController, decide_mode

RUNS = VirtController(found="Deployment kubevirt/virt-controller")
NONE = VirtController()
UNREAD = VirtController(unread="Deployments")
UNKNOWN = VirtController(unread="Deployments and Leases", is_unknown=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked for and found, and what follows: a mode, nothing yet, or a part of the refusal."""

    wanted: Mode | None = None
    owner: Owner
    controller: VirtController = NONE
    decision: Mode | str | None


@pytest.mark.parametrize(
    "case",
    [
        Case(owner=Owner.NOBODY, decision=None),
        Case(owner=Owner.NICPLUG, decision=Mode.STANDALONE),
        Case(owner=Owner.KUBEVIRT, controller=RUNS, decision=Mode.COMPANION),
        Case(owner=Owner.KUBEVIRT, controller=UNKNOWN, decision=Mode.COMPANION),
        Case(owner=Owner.KUBEVIRT, controller=NONE, decision="KubeVirt's own, but no virt-controller was found"),
        Case(owner=Owner.KUBEVIRT, controller=UNREAD, decision="was found (Deployments cannot be listed)"),
        Case(wanted=Mode.STANDALONE, owner=Owner.NOBODY, decision=Mode.STANDALONE),
        Case(wanted=Mode.STANDALONE, owner=Owner.NICPLUG, decision=Mode.STANDALONE),
        Case(wanted=Mode.STANDALONE, owner=Owner.KUBEVIRT, controller=RUNS, decision="KubeVirt's own"),
        Case(wanted=Mode.COMPANION, owner=Owner.KUBEVIRT, controller=RUNS, decision=Mode.COMPANION),
        Case(wanted=Mode.COMPANION, owner=Owner.KUBEVIRT, controller=NONE, decision="no virt-controller was found"),
        Case(wanted=Mode.COMPANION, owner=Owner.NICPLUG, decision="is nicplug's"),
        Case(wanted=Mode.COMPANION, owner=Owner.NOBODY, decision="is not installed"),
    ],
    ids=str,
)
def test_the_mode_fits_the_cluster_or_the_refusal_says_why(case: Case) -> None:
    decision = decide_mode(wanted=case.wanted, owner=case.owner, controller=case.controller)
    if isinstance(decision, Refusal):
        assert isinstance(case.decision, str)
        assert case.decision in decision.message
        assert "docs/beside-kubevirt.md" in decision.remedy
    else:
        assert decision is case.decision
