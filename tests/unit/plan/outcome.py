"""What a plan writes, in the words of a test."""

from tests.build import Json

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Completion, Plan


def status_of(plan: Plan) -> Json:
    """The members of the status that the plan writes; empty when it writes none."""
    patches = [action for action in plan.actions if isinstance(action, PatchStatus)]
    return {member: value for patch in patches for member, value in thaw(patch.wanted).items()}


def completions(plan: Plan) -> list[Completion]:
    """The operations on NICs that the plan brings to their good end."""
    return [item for item in plan.measures if isinstance(item, Completion)]
