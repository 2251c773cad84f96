"""What a VM's template asks for, and `vmRolloutStrategy: Stage` keeps there until a restart: told for each NIC.

Only of the template: what somebody asks of the VMI itself is no change of the VM, and goes its way.
"""

from nicplug.model.networks import Interface, first_by_name
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.findings import Finding, Situation
from nicplug.plan.nic.rolled_back import is_taken_back
from nicplug.plan.reasons import Reason


def plug_is_staged(situation: Situation) -> Finding | None:
    """A NIC that the template alone has."""
    if not keeps_from_vmi(situation) or _of_vmi(situation) is not None:
        return None
    return staged(situation, OperationType.PLUG, "the NIC")


def unplug_is_staged(situation: Situation) -> Finding | None:
    """A NIC that the VMI does not let go."""
    mine = _of_vmi(situation)
    if not keeps_from_vmi(situation) or mine is None or mine.is_absent:
        return None
    return staged(situation, OperationType.UNPLUG, "the NIC to go")


def keeps_from_vmi(situation: Situation) -> bool:
    """What the template says about the NIC does not reach the VMI; nor does what was taken back, for another reason."""
    view = situation.view
    if view.config is None or not view.config.stages_changes:
        return False
    return not (view.keeps_rollbacks and is_taken_back(situation.interface.name, vm=view.vm, vmi=view.vmi))


def staged(situation: Situation, operation: OperationType, wish: str) -> Finding:
    """The finding.

    Args:
        wish: what the template asks for.
    """
    config = situation.view.config
    where = f"KubeVirt CR {config.key}" if config is not None else "the KubeVirt CR"
    return Finding(
        operation=operation,
        path=OperationPath.RESTART,
        phase=OperationPhase.BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        message=f"the VM's template asks for {wish}, and spec.configuration.vmRolloutStrategy of {where} is Stage",
        remedy="Restart the VM, or set it to LiveUpdate",
    )


def _of_vmi(situation: Situation) -> Interface | None:
    return first_by_name(situation.view.vmi.interfaces).get(situation.interface.name)
