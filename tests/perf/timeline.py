"""Where the time of a hot-plug goes, step by step, by the API server's own clock.

Every step is a write. Its `served` time is the API server's: from the request's arrival to its answer. The
`reaction` before it is the time from the answer of the step before to the arrival of this one: delivery of the
watch line, thinking, sending. So the operator's part can be told from the API server's and the node side's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.perf.audit import Write

USER, OPERATOR, NODE = "nicplug-bench", "nicplug", "nicplug-sandbox-node"  # user agents


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One write of a hot-plug on the dynamic path."""

    name: str
    user_agent: str
    resource: str


STEPS: tuple[Step, ...] = (
    Step(name="user: VM template", user_agent=USER, resource="virtualmachines"),
    Step(name="operator: VMI spec", user_agent=OPERATOR, resource="virtualmachineinstances"),
    Step(name="operator: pod annotation", user_agent=OPERATOR, resource="pods"),
    Step(name="node: network-status", user_agent=NODE, resource="pods/status"),
    Step(name="operator: status.interfaces", user_agent=OPERATOR, resource="virtualmachineinstances/status"),
    Step(name="node: NIC in the guest", user_agent=NODE, resource="virtualmachineinstances/status"),
    Step(name="operator: record Ready", user_agent=OPERATOR, resource="virtualmachineinstances/status"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One step of one hot-plug, in seconds; `reaction` is negative when it overtook the answer before."""

    step: str
    reaction: float
    served: float


def timelines(writes: Sequence[Write], *, vm: str) -> list[tuple[Timing, ...]]:
    """The steps of every hot-plug of `vm` among these writes of all users.

    One whose writes do not come in the order of `STEPS` is left out: a repeated write is another story.
    """
    own = [write for write in writes if _is_of(write, vm) and write.verb == "patch" and not write.is_rejected]
    own.sort(key=lambda write: write.received)
    starts = [index for index, write in enumerate(own) if _matches(write, STEPS[0])]
    pieces = [own[start:end] for start, end in zip(starts, [*starts[1:], len(own)], strict=True)]
    found = (tuple(_timings(piece)) for piece in pieces)
    return [timings for timings in found if len(timings) == len(STEPS)]


def _timings(writes: Sequence[Write]) -> Iterator[Timing]:
    rest, before = iter(writes), None
    for step in STEPS:
        found = next((write for write in rest if _matches(write, step)), None)
        if found is None:
            return
        served = (found.answered - found.received).total_seconds()
        reaction = (found.received - before).total_seconds() if before else 0.0
        yield Timing(step=step.name, reaction=reaction, served=served)
        before = found.answered


def _is_of(write: Write, vm: str) -> bool:
    return write.name == vm or write.name.startswith(f"virt-launcher-{vm}-")


def _matches(write: Write, step: Step) -> bool:
    return (write.user_agent, write.resource) == (step.user_agent, step.resource)
