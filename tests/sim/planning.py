"""One operator, a calm cluster, and somebody who asks what will happen: `nicplug plan` beside what the operator does.

The question is asked by the very code of the command, through an API that shows the cluster with the selectors that it
asks for. No faults: the races are `schedule`'s.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.sim.cluster import CONTROLLER_PODS, DAEMON_SETS, EVENTS, NAMESPACE, PODS, VMIS, Cluster, Json
from tests.sim.node_side import ROLES, Role
from tests.sim.operators import Faults, Operator

from nicplug.insight.evidence import Evidence, Target, networks_in
from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import NicForecast, VmForecast
from nicplug.insight.reading import read_evidence
from nicplug.kube.api import Resource
from nicplug.kube.errors import Denied, Gone
from nicplug.model.networks import Network

_STEPS = 4000


@dataclass(slots=True)
class QuestionApi:
    """What a person who asks may read.

    Attributes:
        denied: plurals that must not be read.
    """

    cluster: Cluster
    denied: frozenset[str] = frozenset()

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        found = self.cluster.get(resource.plural, name)
        if found is None or found["metadata"].get("namespace", namespace) != namespace:
            raise Gone(f'{resource.plural} "{name}" not found', status=404)
        return found

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        **_: Any,
    ) -> Json:
        """Read a collection, in one page."""
        if resource.plural in self.denied:
            raise Denied(f"{resource.plural} cannot be read", status=403)
        items = [item for item in self._of(resource.plural, namespace) if _is_labelled(item, label_selector)]
        items = [item for item in items if _is_selected(item, field_selector)]
        return {"metadata": {"resourceVersion": str(self.cluster.version)}, "items": items}

    def _of(self, plural: str, namespace: str | None) -> Sequence[Json]:
        if plural == EVENTS:
            return [body for kind, _, body in self.cluster.history if kind == EVENTS]
        is_controllers = plural == PODS and namespace not in (None, NAMESPACE)
        found = self.cluster.all(CONTROLLER_PODS if is_controllers else plural)
        return [item for item in found if namespace in (None, item["metadata"].get("namespace", namespace))]


def _is_labelled(item: Json, selector: str | None) -> bool:
    labels = item["metadata"].get("labels") or {}
    pairs = [part.partition("=")[::2] for part in (selector or "").split(",") if part]
    return all(labels.get(name) == value for name, value in pairs)


def _is_selected(item: Json, selector: str | None) -> bool:
    for part in filter(None, (selector or "").split(",")):
        path, _, wanted = part.partition("=")
        value: Any = item
        for member in path.split("."):
            value = value.get(member) if isinstance(value, dict) else None
        if value != wanted:
            return False
    return True


@dataclass(slots=True)
class Stage:
    """A cluster with an operator, on which one thing at a time happens.

    Attributes:
        blind: plurals that neither the operator nor who asks may read.
        roles: who acts on the nodes.
        spoil: done before each step.
    """

    cluster: Cluster
    seed: int = 1
    blind: frozenset[str] = frozenset()
    roles: Sequence[Role] = ROLES
    spoil: Callable[["Stage"], object] = lambda _: None
    operator: Operator = field(init=False)
    _randomness: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._randomness = random.Random(self.seed)
        self.operator = Operator("operator", self.cluster, Faults(), self._randomness)

    def step(self, roles: Sequence[Role] | None = None) -> bool:
        """One thing happens; False when nobody has anything to do now."""
        self.spoil(self)
        roles = self.roles if roles is None else roles
        moves: list[Callable[[], bool]] = [self.operator.hear, self.operator.work]
        moves += [lambda role=role: role(self.cluster) for role in roles]  # type: ignore[misc]
        self._randomness.shuffle(moves)
        return any(move() for move in moves)

    def settle(self, *, seconds: float, roles: Sequence[Role] | None = None) -> None:
        """Let everybody act, for so long or until nobody waits for anything any more."""
        horizon = self.cluster.now + timedelta(seconds=seconds)
        for _ in range(_STEPS):
            if self.step(roles):
                continue
            due = self.operator.next_due()
            if due is None or due > horizon:
                self.cluster.now = max(self.cluster.now, horizon)
                return
            self.cluster.pass_time(max(0.001, (due - self.cluster.now).total_seconds()))
        raise AssertionError("does not come to rest")

    def let_operator_finish(self) -> None:
        """Everything that the operator can do now, and its reports; the nodes stand still."""
        self.operator.finish()
        self.operator.look_at_everything()
        self.settle(seconds=0.5, roles=())
        assert not self.operator.bugs, self.operator.bugs

    async def plan(self, name: str, changed: Json | None = None) -> VmForecast:
        """What the command would say now."""
        evidence = await self.evidence(name, networks_in(changed) if changed is not None else ())
        return forecast(evidence, changed=changed, now=self.cluster.now)

    async def evidence(self, name: str, networks: Iterable[Network] = ()) -> Evidence:
        """What the command would read now."""
        api = QuestionApi(self.cluster, self.blind)
        target = Target(namespace=NAMESPACE, name=name, operator_namespace=NAMESPACE)
        clock = lambda: self.cluster.now  # noqa: E731
        return await read_evidence(api, target=target, clock=clock, networks=networks)  # type: ignore[arg-type]

    def blind_operator(self) -> None:
        """It must not read DaemonSets, and never could."""
        from nicplug.cache.optional_watch import Absence

        if DAEMON_SETS in self.blind:
            for item in self.operator._caches.controllers.namespaces().values():
                item.lose(Absence.DENIED)

    def change(self, plural: str, name: str, edit: Callable[[Json], object]) -> Json:
        """The object as a user would write it; not stored yet."""
        found = self.cluster.get(plural, name)
        assert found is not None, f"there is no {plural} {name}"
        edit(found)
        return found

    def store(self, plural: str, name: str, body: Json) -> None:
        """The user writes it."""
        self.cluster.replace(plural, name, body, by="user")

    def record(self, name: str, nic: str) -> Json | None:
        """The record of a NIC, as the operator has written it."""
        vmi = self.cluster.get(VMIS, name) or {}
        rows = (vmi.get("status") or {}).get("interfaceOperations") or []
        return next((row for row in rows if row["name"] == nic), None)

    def has_nic(self, name: str, nic: str) -> bool:
        """The guest has it."""
        vmi = self.cluster.get(VMIS, name) or {"metadata": {"uid": ""}}
        return nic in self.cluster.guests.get(vmi["metadata"]["uid"], [])


def devices_of(body: Json) -> tuple[list[Json], list[Json]]:
    """The lists of a VM's template, or of a VMI."""
    spec = body["spec"]["template"]["spec"] if "template" in body["spec"] else body["spec"]
    return spec["domain"]["devices"].setdefault("interfaces", []), spec.setdefault("networks", [])


def nic_of(told: VmForecast, name: str) -> NicForecast | None:
    """The forecast of one NIC."""
    return next((item for item in told.nics if item.name == name), None)
