"""Operators that die, take over from each other, believe both that they lead, or see no API server."""

from tests.sim.cluster import PODS, VMIS
from tests.stories.migrations import phase
from tests.stories.people import VM, a_stage, guest, migrate, plug
from tests.stories.stage import Stage
from tests.stories.telling import story

NODES = ("node01", "node02")


@story
def killed_between_annotation_and_status() -> Stage:
    """An operator dies after it has asked the pod, and before it has said so

    Its successor sees in the pod what was asked, and goes on: nothing is asked twice.
    """
    stage = a_stage()
    (operator,) = stage.operators
    plug(stage, "blue")
    stage.run_until(operator, lambda: "blue-net" in str(stage.cluster.all(PODS)))
    stage.kill(operator)
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def taken_over_during_a_migration() -> Stage:
    """An operator dies after it has made a target pod, and before it has recorded it

    A pod that nobody has recorded proves nothing. The successor waits for a record, deletes the pod and makes another.
    """
    stage = a_stage(nodes=NODES)
    (operator,) = stage.operators
    migrate(stage)
    stage.run_until(operator, lambda: len(stage.cluster.all(PODS)) == 2)
    stage.kill(operator)
    stage.settle()
    assert phase(stage) == "Succeeded"
    return stage


@story
def taken_over_after_the_hand_off() -> Stage:
    """An operator dies right after the hand-off

    The node agents go on without it; its successor reads from their reports how far they are.
    """
    stage = a_stage(nodes=NODES)
    (operator,) = stage.operators
    migrate(stage)
    stage.settle(until=lambda: phase(stage) == "PreparingTarget")
    stage.kill(operator)
    stage.settle()
    assert phase(stage) == "Succeeded"
    return stage


@story
def two_leaders_ask_one_pod() -> Stage:
    """Two operators believe that they lead, and ask the same pod

    Both have planned the same patch; the second one fails its test, plans again, and has nothing to do.
    """
    stage = a_stage(has_one_leader=False)
    first = stage.operators[0]
    second = stage.add_operator("second")
    stage.settle(1)
    plug(stage, "blue")
    stage.run_until(first, lambda: "blue" in str(stage.cluster.get(VMIS, VM)))
    stage.run_to_next_request(first)
    stage.run_alone(second)
    stage.chapter("Only now does the request of the first arrive.")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def api_server_outage() -> Stage:
    """The API server cannot be reached for a while

    What was asked for meanwhile is seen when the watches are opened again, and served.
    """
    stage = a_stage()
    (operator,) = stage.operators
    stage.cut_off(operator)
    plug(stage, "blue")
    stage.wait(20)
    stage.chapter("The API server answers again; the operator lists everything.")
    stage.reconnect(operator)
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def api_server_outage_within_a_pass() -> Stage:
    """The API server goes away while a NIC is being served

    Each write is tried again with back-off, from what is known then.
    """
    stage = a_stage()
    (operator,) = stage.operators
    plug(stage, "blue")
    stage.settle(0.25)
    stage.cut_off(operator)
    stage.settle(10)
    stage.chapter("The API server answers again.")
    stage.reconnect(operator)
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage
