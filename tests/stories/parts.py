"""Cluster and operator of a story: those of the simulation, with nothing left to chance."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.sim.cluster import MIGRATIONS, PODS, VMIS, VMS, Cluster
from tests.sim.operators import Events, Operator
from tests.stories.wording import SHORT_KINDS

from nicplug.kube.recorder import ObjectReference
from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey, WorkKey

_ORDER = (VmKey, VmiKey, MigrationKey, SlotsKey, BudgetKey)
_KINDS_IN_UIDS = {VMS: "vm", VMIS: "vmi", MIGRATIONS: "vmim"}


class NoChance(random.Random):
    """Always decides the same: the first of several, in the order of the controllers; full back-off, less nothing."""

    def random(self) -> float:
        return 0.999

    def choice(self, seq: Any) -> Any:
        return min(seq, key=_rank) if all(isinstance(item, _ORDER) for item in seq) else seq[0]

    def randrange(self, *_: Any, **__: Any) -> int:
        return 0


def _rank(key: WorkKey) -> tuple[int, str]:
    return _ORDER.index(type(key)), str(key)


class StoryCluster(Cluster):
    """A cluster whose names and nodes do not depend on how many requests there were."""

    def __init__(self, nodes: Sequence[str], *, on_word: Callable[[str], None]) -> None:
        super().__init__(nodes)
        self._on_word = on_word
        self._births: dict[tuple[str, str], int] = {}

    def uid_of(self, plural: str, name: str) -> str:
        """The uid tells which of that name it is."""
        self._births[plural, name] = self._births.get((plural, name), 0) + 1
        return f"{_KINDS_IN_UIDS.get(plural, plural[:-1])}-{name}-{self._births[plural, name]}"

    def choose_node(self, fitting: Sequence[str]) -> str:
        """The node with the fewest pods, the first of several."""
        pods = [pod["spec"].get("nodeName") for pod in self.shown(PODS)]
        return min(fitting, key=lambda node: (pods.count(node), node))

    def say(self, text: str) -> None:
        """The story itself reports changes of objects."""
        super().say(text)
        if "(resourceVersion " not in text:
            self._on_word(text)


class StoryEvents(Events):
    """Events for people, told in the pass that records them."""

    def __init__(self, on_event: Callable[[str], None]) -> None:
        super().__init__()
        self._on_event = on_event

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        super().event(regarding, type=type, reason=reason, message=message, is_urgent=is_urgent)
        kind = SHORT_KINDS.get(regarding.kind, regarding.kind)
        self._on_event(f'{type} {reason} on {kind} {regarding.name}\n"{message}"')


class StoryOperator(Operator):
    """An operator that says which pass it is in."""

    on_pass: Callable[[WorkKey], None]

    async def _pass(self, key: WorkKey) -> None:
        self.on_pass(key)
        await super()._pass(key)
