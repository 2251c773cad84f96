"""A cluster on which one thing happens after the other, always in the same order, and is written down.

Everything of `tests.sim` takes part: its API server, its nodes, and the operator's own caches, planners and executor.
What the simulation leaves to chance is fixed here: an operator hears everything at once and ends a pass before it
begins the next one; each step of a node takes a tenth of a second; passes take no time.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tests.sim.cluster import NAMESPACE, REPORTS, VMIS, VMS, Change, Cluster
from tests.sim.companion_world import check_migrations, check_writes
from tests.sim.dynamic_controller import dynamic_controller
from tests.sim.invariants import Invariants
from tests.sim.kubelet import kubelet, scheduler
from tests.sim.migration_agents import source_agent, target_agent
from tests.sim.migration_invariants import MigrationInvariants
from tests.sim.node_agent import node_agent
from tests.sim.node_side import Role, garbage_collector
from tests.sim.operators import Faults, Operator
from tests.sim.virt_controller import VirtController
from tests.stories.changes import birth, changes
from tests.stories.log import StoryLog
from tests.stories.parts import NoChance, StoryCluster, StoryEvents, StoryOperator
from tests.stories.seen import Facts, inventory, news, seen
from tests.stories.wording import decisions, title

from nicplug.kube.errors import ApiError
from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey, WorkKey
from nicplug.model.mode import Mode

NODE_SECONDS = 0.1
"""How long each step of the node side takes."""
ROLES: dict[str, Role] = {
    "scheduler": scheduler,
    "kubelet": kubelet,
    "dynamic networks controller": dynamic_controller,
    "node agent": node_agent,
    "node agent of the source": source_agent,
    "node agent of the target": target_agent,
    "garbage collector": garbage_collector,
}
_CONTROLLERS = {
    VmKey: "VM controller",
    VmiKey: "VMI controller",
    MigrationKey: "migration controller",
    SlotsKey: "migration slots",
    BudgetKey: "disruption budgets",
}
_MOST_STEPS = 20000
# Kinds that are nobody's news.
_UNTOLD = frozenset({"controllerrevisions"})


class Stage:
    """The cluster of a story, its operators and its log.

    Args:
        nodes: their names.
        has_one_leader: what only holds while one operator acts is checked, too.
        mode: in companion mode KubeVirt's virt-controller runs the virtual machines.

    Attributes:
        controller: virt-controller; None in standalone mode.
        operators: all processes.
        roles: who acts on the nodes, by name, in the order of their turns.
    """

    def __init__(
        self, nodes: Sequence[str] = ("node01",), *, has_one_leader: bool = True, mode: Mode = Mode.STANDALONE
    ) -> None:
        self.log = StoryLog()
        self.cluster = StoryCluster(nodes, on_word=self._hear_word)
        self.cluster.on_commit.append(self._note)
        if mode is Mode.STANDALONE:
            self.cluster.on_commit += [Invariants(has_one_leader=has_one_leader), MigrationInvariants()]
        else:
            self.cluster.on_commit += [check_writes, check_migrations]
        self.mode = mode
        self.controller: VirtController | None = None
        self.roles = dict(ROLES)
        self.operators: list[Operator] = []
        self._actor = ""
        self._passes: dict[str, _Pass] = {}
        self._last_seen: dict[WorkKey, Facts] = {}
        self._deaf: set[str] = set()
        self._messages: dict[str, str] = {}

    def add_operator(self, name: str = "operator") -> Operator:
        """One more process."""
        if self.mode is Mode.COMPANION and self.controller is None:
            self.controller = VirtController(self.cluster, Faults(), NoChance())
        made = StoryOperator(name, self.cluster, Faults(), NoChance(), mode=self.mode)
        made.on_pass = lambda key: self._begin_pass(name, key)
        made.events = StoryEvents(lambda text: self._in_pass(name, "event", text))
        made.on_error = lambda key, error, again: self._fail(name, key, error, again)
        made.start()
        self.operators.append(made)
        return made

    def begin(self) -> None:
        """From now on everything is written down."""
        self.log.begin(self.cluster.now)
        for label in ("Given", *([] if self.cluster.all(VMIS) else ["- nothing yet"])):
            self.log.plain(label)
        self._take_stock()
        self.log.plain("")
        keys: list[WorkKey] = [VmKey(NAMESPACE, body["metadata"]["name"]) for body in self.cluster.shown(VMS)]
        keys += [VmiKey(NAMESPACE, body["metadata"]["name"]) for body in self.cluster.shown(VMIS)]
        self._last_seen |= {key: seen(self.cluster, key) for key in keys}

    def _take_stock(self) -> None:
        for line in inventory(self.cluster):
            self.log.plain(line if line.startswith(" ") else f"- {line}")

    def end(self) -> None:
        """Write down how it ended, and have everybody look at everything once more: nobody has anything to write."""
        self.log.plain("")
        self.log.plain("In the end")
        self._take_stock()
        self.log.is_open = False
        before, horizon = self.cluster.version, self._next_due()
        left = 1.0 if horizon is None else min(1.0, (horizon - self.cluster.now).total_seconds() - 0.001)
        for operator in self.operators:
            operator.look_at_everything()
        self.settle(left)
        assert self.cluster.version == before, f"the operator goes on writing: {self.cluster.log[-3:]}"

    def silence(self, *roles: str) -> None:
        """These do nothing from now on."""
        for role in roles:
            self.log.line(self.cluster.now, role, "goes silent")
            del self.roles[role]

    def resume(self, *roles: str) -> None:
        """End what `silence` began."""
        for role in roles:
            self.log.line(self.cluster.now, role, "is back")
        back = {name: ROLES[name] for name in roles}
        self.roles = {name: (self.roles | back)[name] for name in ROLES if name in self.roles or name in back}

    def chapter(self, text: str) -> None:
        """A sentence of the one who tells the story."""
        self.log.heading(text)

    def settle(self, seconds: float = 60.0, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let everybody act for so long, until nobody waits for anything any more, or until that is true."""
        horizon = self.cluster.now + timedelta(seconds=seconds)
        for _ in range(_MOST_STEPS):
            if until():
                return
            if self._operate() or self._control() or self._play(horizon):
                continue
            due = self._next_due()
            if due is None or due > horizon:
                self.cluster.now = max(self.cluster.now, horizon) if due is not None else self.cluster.now
                return
            self.cluster.now = max(due, self.cluster.now)
        raise AssertionError("the story does not come to an end")

    def play(self, role: str, part: Role) -> None:
        """Another one plays this role, until `resume`."""
        self.roles[role] = part

    def run_until(self, operator: Operator, is_reached: Callable[[], bool]) -> None:
        """Let one operator alone go on until that is true; a request stops before it arrives, and before its answer."""
        for _ in range(_MOST_STEPS):
            if is_reached():
                return
            assert operator.hear() or operator.work(), "the operator has nothing to do"
        raise AssertionError("never reached")

    def run_to_next_request(self, operator: Operator) -> None:
        """Let one operator alone go on until its next write is on its way."""
        before = operator.api.writes
        self.run_until(operator, lambda: operator.api.writes > before)

    def run_alone(self, operator: Operator) -> None:
        """Let one operator do everything that it can do now."""
        while operator.hear() or operator.work():
            pass
        self._end_pass(operator.name)

    def cut_off(self, operator: Operator) -> None:
        """Its requests are refused, and it hears nothing."""
        self.log.line(self.cluster.now, operator.name, "cannot reach the API server")
        operator.faults.refused = 1.0
        self._deaf.add(operator.name)

    def reconnect(self, operator: Operator) -> None:
        """It lists everything, and its requests arrive."""
        self.log.line(self.cluster.now, operator.name, "reaches the API server, and lists everything")
        operator.faults.end()
        self._deaf.discard(operator.name)
        operator.relist()
        operator.sweep()

    def wait(self, seconds: float) -> None:
        """Let so much time pass, whether or not anybody has anything to do."""
        end = self.cluster.now + timedelta(seconds=seconds)
        self.settle(seconds)
        self.cluster.now = max(self.cluster.now, end)

    def kill(self, operator: Operator) -> None:
        """End a process where it is, and start another one."""
        self._end_pass(operator.name)
        self.log.line(self.cluster.now, operator.name, "is killed, and starts again")
        operator.start()

    def _operate(self) -> bool:
        """Operators hear everything and do everything that is due; whether there was something."""
        acted = False
        for operator in self.operators:
            is_deaf = operator.name in self._deaf
            while (not is_deaf and operator.hear()) or operator.work():
                acted = True
            self._end_pass(operator.name)
            assert not operator.bugs, operator.bugs
        return acted

    def _control(self) -> bool:
        """virt-controller hears everything and does everything that is due; whether there was something."""
        acted = False
        while self.controller is not None and (self.controller.hear() or self.controller.work()):
            acted = True
        return acted

    def _play(self, horizon: datetime) -> bool:
        """The first who has something to do on the nodes does one step, unless somebody is due before it ends."""
        end = self.cluster.now + timedelta(seconds=NODE_SECONDS)
        due = self._next_due()
        if (due is not None and self.cluster.now < due < end) or end > horizon:
            return False
        self.cluster.now = end
        for name, role in self.roles.items():
            self._actor = name
            if role(self.cluster):
                self._actor = ""
                return True
        self._actor = ""
        self.cluster.now = end - timedelta(seconds=NODE_SECONDS)
        return False

    def _next_due(self) -> datetime | None:
        processes = (*self.operators, *([self.controller] if self.controller is not None else ()))
        return min((due for process in processes if (due := process.next_due())), default=None)

    def _hear_word(self, text: str) -> None:
        """What happens and is no change of an object."""
        if self._actor:
            text = text.removeprefix("node agent: ")
            text = f'reports "{text.removeprefix("event: ")}"' if text.startswith("event: ") else text
            self.log.line(self.cluster.now, self._actor, text)

    def _begin_pass(self, operator: str, key: WorkKey) -> None:
        self._end_pass(operator)
        self._passes[operator] = _Pass(key, seen(self.cluster, key))

    def _in_pass(self, operator: str, word: str, text: str) -> None:
        first, *others = text.split("\n")
        self._passes[operator].rows += [(word, first), *(("", line) for line in others)]

    def _fail(self, operator: str, _key: WorkKey, error: ApiError, again: float) -> None:
        self._in_pass(operator, "error", f"{type(error).__name__}: {error}; next pass in {again:.2f} s")

    def _end_pass(self, operator: str) -> None:
        """Write a pass down, if it did anything."""
        done = self._passes.pop(operator, None)
        if done is None or not done.rows + done.decided:
            return
        name = "" if isinstance(done.key, SlotsKey) else f", {done.key.name}"
        who = f"{_CONTROLLERS[type(done.key)] if self.mode is Mode.STANDALONE else 'nicplug'}{name}"
        if len(self.operators) > 1 or operator != "operator":
            who = f"{operator}: {who}"
        news_of_pass = news(self._last_seen.get(done.key, {}), done.facts)
        self._last_seen[done.key] = done.facts
        self._messages |= done.messages
        rows = [(word, self._without_repetition(text)) for word, text in done.rows]
        self.log.block(self.cluster.now, who, [*(("sees", text) for text in news_of_pass), *done.decided, *rows])

    def _without_repetition(self, text: str) -> str:
        """A sentence that has a record's message within it names the record."""
        for message in sorted(self._messages, key=len, reverse=True) if text.startswith('"') else ():
            text = text.replace(message, self._messages[message])
        return text

    def _note(self, cluster: Cluster) -> None:
        """A change of an object."""
        change = cluster.last
        assert change is not None
        if change.plural in (VMS, VMIS):
            self.log.note_nics(change.after)
        if change.before is None:
            self.log.note_birth(change.plural, change.after)
        if change.by in self._passes:
            self._passes[change.by].note(change, now=cluster.now)
            return
        for text in _told(change, now=cluster.now):
            self.log.line(cluster.now, self._actor or change.by, text)


class _Pass:
    """A pass that is under way.

    Attributes:
        facts: what there was to see when it began.
        decided: records that it has written.
        messages: their messages, and what stands for each where others repeat it.
        rows: what else it has done.
    """

    def __init__(self, key: WorkKey, facts: Facts) -> None:
        self.key = key
        self.facts = facts
        self.decided: list[tuple[str, str]] = []
        self.messages: dict[str, str] = {}
        self.rows: list[tuple[str, str]] = []

    def note(self, change: Change, *, now: datetime) -> None:
        """A request of this pass has taken effect."""
        if change.plural in (VMIS, REPORTS):
            for decision in decisions(change.before, change.after, now=now):
                self.decided += [("decides", decision.text), *(("", text) for text in decision.said)]
                if decision.message:
                    self.messages[decision.message] = f"{{message of {decision.name}}}"
        self.rows += _written(change, now=now)


def _told(change: Change, *, now: datetime) -> list[str]:
    """What somebody did, for a line; nothing when it is nobody's news."""
    name = title(change.plural, change.after)
    if change.before is None:
        said = "; ".join(birth(change.plural, change.after))
        return [f"creates {name}{': ' if said else ''}{said}"]
    if change.type == "DELETED" and "deletionTimestamp" not in (change.before["metadata"]):
        return [f"deletes {name}"]
    if "deletionTimestamp" in change.after["metadata"] and "deletionTimestamp" not in change.before["metadata"]:
        return [f"asks {name} to go"]
    if change.type == "DELETED" and change.before["metadata"].get("deletionTimestamp"):
        return [f"{name} is gone"]
    said = "; ".join(changes(change.plural, change.before, change.after, now=now))
    return [f"{name}: {said}"] if said else []


def _written(change: Change, *, now: datetime) -> list[tuple[str, str]]:
    """The request of an operator; nothing of a record, which has its own rows."""
    if change.plural in _UNTOLD:
        return []
    name = title(change.plural, change.after)
    if change.before is None:
        said = "; ".join(birth(change.plural, change.after))
        return [("creates", f"{name}{': ' if said else ''}{said}")]
    if "deletionTimestamp" in change.after["metadata"] and "deletionTimestamp" not in change.before["metadata"]:
        return [("deletes", name)]
    told = changes(change.plural, change.before, change.after, now=now)
    if change.type == "DELETED":
        told = [*told, "it is gone"]
    return [("writes", f"{name}: {told[0]}"), *(("", text) for text in told[1:])] if told else []
