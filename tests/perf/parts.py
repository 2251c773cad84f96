"""What a hot-plug by `addinterface` is made of, beside one by a patch of the spec, by the API server's own clock.

`before` a write is the time from the answer of the one before it to its arrival: the delivery of a watch line,
thinking, sending. Before the first write of `addinterface` stands all that `nicplug api` does until then: the way
through the aggregation layer, the access review, the reading of VM and instance, the decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.perf.audit import Write
from tests.perf.results import percentile

ASKED = "/addinterface"
# In the order in which they come; what is asked of an instance needs no template.
WRITES: Mapping[str, str] = {
    "template": "virtualmachines",
    "instance": "virtualmachineinstances",
    "annotation of the pod": "pods",
}
OF_TARGET: Mapping[str, tuple[str, ...]] = {"VM": tuple(WRITES), "VMI": tuple(WRITES)[1:]}

Parts = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    name: str
    began: float
    ended: float


def parts(writes: Sequence[Write], *, vm: str, target: str) -> Parts | None:
    """Milliseconds of each part of one hot-plug, in their order; None when a write is missing.

    Args:
        writes: of everybody since before it was asked for.
        target: `VM` or `VMI`, whichever was patched or asked.
    """
    own = sorted((write for write in writes if _is_of(write, vm)), key=lambda write: write.received)
    call = next((write for write in own if write.resource.endswith(ASKED)), None)
    found = list(_moments(own, names=OF_TARGET[target]))
    if not found or found[-1].name != tuple(WRITES)[-1]:
        return None
    asked = found[0].began if call is None else call.received.timestamp()
    start = _Moment(name="", began=asked, ended=asked)
    told: Parts = {}
    for before, write in pairwise([start, *found]):
        told[f"before: {write.name}"] = (write.began - before.ended) * 1000
        told[write.name] = (write.ended - write.began) * 1000
    return told


def _moments(writes: Sequence[Write], *, names: Sequence[str]) -> Iterator[_Moment]:
    rest = iter([write for write in writes if write.verb == "patch" and not write.is_rejected])
    for name in names:
        found = next((write for write in rest if write.resource == WRITES[name]), None)
        if found is None:
            return
        yield _Moment(name=name, began=found.received.timestamp(), ended=found.answered.timestamp())


def _is_of(write: Write, vm: str) -> bool:
    return write.name == vm or write.name.startswith(f"virt-launcher-{vm}-")


def medians(found: Sequence[Parts | None]) -> Parts:
    """The median of each part, over the hot-plugs of which every write was found."""
    whole = [one for one in found if one is not None]
    return {name: round(percentile([one[name] for one in whole], 50), 1) for name in (whole[0] if whole else ())}


def rows() -> Iterator[str]:
    """The names of all parts, in their order."""
    for name in WRITES:
        yield f"before: {name}"
        yield name
