"""One schedule: a seed decides who does what when, then the world becomes kind, and everything has to settle."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.sim.cluster import Cluster
from tests.sim.expectations import check_rest, gate_is_on
from tests.sim.invariants import Invariants
from tests.sim.migration_expectations import check_migrations_calm, check_migrations_rest
from tests.sim.migration_invariants import MigrationInvariants
from tests.sim.misfortunes import let_pods_start
from tests.sim.movers import (
    clear_forgeries,
    end_overrides,
    mend_controllers,
    set_limits,
    uncordon_all,
    unmute,
)
from tests.sim.node_side import ROLES, Role
from tests.sim.operators import Faults, Operator
from tests.sim.protection import check_budgets_rest, check_lowering, give_names_back
from tests.sim.scenarios import ANY_LIMITS, DECLARATIVE, LIMITS, MOVES, SCENARIOS
from tests.sim.users import bring_nodes_back, make_networks, make_world, resume_all, toggle_gate

NODES = ("node01", "node02", "node03")
_CHAOS_STEPS = 160
# A migration takes some fifty steps of all its parties.
_CHAOS_STEPS_OF_MOVES = 1200
_SETTLE_STEPS = 20000
# Of the dice: below it, the nodes have their turn, or something rarer happens.
_OF_NODES = 0.34
# Beyond every deadline of a NIC and every back-off that the faults can have caused.
_HORIZON_SECONDS = 400.0
_HORIZON_SECONDS_OF_MOVES = 4000.0
_SILENCE_SECONDS = 120.0
# Enough to try again what was stale, and much less than what a pod may stay that nobody answers for.
_CALM_SECONDS = 1.0


class ScheduleFailed(AssertionError):
    """What went wrong, with the seed to run it again and the log of what happened."""


@dataclass(slots=True)
class Schedule:
    """A run of one scenario.

    Attributes:
        operators: how many act at once; with two, each believes that it leads.
        is_mended: in the end the policy is the default, and the dynamic networks controller is everywhere.
    """

    seed: int
    scenario: str
    operators: int
    cluster: Cluster = field(init=False)
    faults: Faults = field(init=False)
    randomness: random.Random = field(init=False)
    processes: list[Operator] = field(init=False)
    is_mended: bool = field(init=False)
    limits: MigrationInvariants = field(init=False)

    def __post_init__(self) -> None:
        self.randomness = random.Random(f"{self.scenario}/{self.operators}/{self.seed}")
        moves = self.scenario in MOVES
        self.cluster = Cluster(NODES) if moves else Cluster()
        self.limits = MigrationInvariants()
        self.cluster.on_commit += [Invariants(has_one_leader=self.operators == 1), self.limits]
        if self.operators == 1:
            self.cluster.on_commit.append(check_lowering)
        self.is_mended = not moves or self.randomness.random() < 0.5
        self.faults = Faults(
            refused=self.randomness.choice((0.0, 0.1)),
            answer_lost=self.randomness.choice((0.0, 0.1)),
            event_lost=self.randomness.choice((0.0, 0.0, 0.1)),
            event_doubled=self.randomness.choice((0.0, 0.2)),
            event_overtakes=self.randomness.choice((0.0, 0.3)),
        )

    def _seconds_ahead(self) -> float:
        """Of one of the clocks."""
        return self.randomness.choice((0.0, 0.0, 0.0, 60.0, -60.0)) if self.scenario in MOVES else 0.0

    def run(self) -> int:
        """Run it to the end; the number of writes that it cost.

        Raises:
            ScheduleFailed: something does not hold.
        """
        try:
            policy = "Declarative" if self.scenario in DECLARATIVE else "Explicit"
            make_world(self.cluster, removal_policy=policy)
            for machine in self.cluster.machines.values():
                machine.seconds_ahead = self._seconds_ahead()
            if self.scenario in MOVES:
                self.limits.begin_anew()
                set_limits(self.cluster, *map(self.randomness.choice, LIMITS.get(self.scenario, ANY_LIMITS)))
            self.processes = [
                Operator(f"operator-{index}", self.cluster, self.faults, self.randomness, self._seconds_ahead())
                for index in range(self.operators)
            ]
            if self.scenario in MOVES:
                self._settle(seconds=1.0)
            self._chaos()
            everybody = self.processes
            self._become_kind()
            self._settle(seconds=_HORIZON_SECONDS_OF_MOVES if self.scenario in MOVES else _HORIZON_SECONDS)
            check_rest(self.cluster, had_two_leaders=self.operators > 1, is_mended=self.is_mended)
            check_migrations_rest(self.cluster)
            check_budgets_rest(self.cluster)
            self._check_silence()
        except Exception as error:
            log = "\n".join(self.cluster.log)
            again = f"seed {self.seed}, scenario {self.scenario!r}, {self.operators} operators"
            raise ScheduleFailed(f"{error!r}\n{again}; what happened (seconds, who, what):\n{log}") from error
        return sum(process.api.writes for process in everybody)

    def _chaos(self) -> None:
        moves = self.scenario in MOVES
        steps = _CHAOS_STEPS_OF_MOVES if moves else _CHAOS_STEPS
        calm = {self.randomness.randrange(steps), steps - 1} if moves else set()
        for step in range(steps):
            was_unattended = self.cluster.is_unattended
            self._step()
            if was_unattended != self.cluster.is_unattended:
                self._stop_or_start()
            if step in calm and not self.cluster.is_unattended:
                self._calm_down()

    def _stop_or_start(self) -> None:
        """A process that is stopped leaves its passes where they are."""
        for process in self.processes:
            process.start()

    def _calm_down(self) -> None:
        """The nodes stand still, and nothing goes wrong, until the operators have seen and done all that they can."""
        with self.faults.held_off():
            for process in self.processes:
                process.finish()
                process.relist()
                process.look_at_everything()
            self._settle(seconds=_CALM_SECONDS, roles=())
        check_migrations_calm(self.cluster, had_two_leaders=self.operators > 1)

    def _step(self) -> None:
        """One thing happens; a migration needs many, so where VMs move, mishaps are rarer."""
        moves = self.scenario in MOVES
        deed, killed, relisted, waited = (0.02, 0.023, 0.027, 0.07) if moves else (0.06, 0.07, 0.08, 0.14)
        dice = self.randomness.random()
        process = self.randomness.choice(self.processes)
        if dice < deed:
            self.randomness.choice((MOVES | SCENARIOS)[self.scenario])(self.cluster, self.randomness)
        elif self.cluster.is_unattended and not waited <= dice < _OF_NODES:
            self.cluster.pass_time(0.01)
        elif dice < killed:
            self.cluster.say(f"{process.name}: killed and started again")
            process.start()
        elif dice < relisted:
            process.relist()
        elif dice < waited:
            self.cluster.pass_time(self.randomness.uniform(0.0, 0.4))
        elif dice < _OF_NODES:
            self._play(until_done=moves)
        elif dice < 0.64:
            process.hear()
        else:
            process.work()

    def _play(self, *, until_done: bool) -> None:
        """One role of the nodes has its turn, whether or not it has something to do; or the first that has."""
        roles = self.randomness.sample(ROLES, k=len(ROLES) if until_done else 1)
        any(role(self.cluster) for role in roles)

    def _become_kind(self) -> None:
        """From now on everything arrives, though not what was lost; the next relist and sweep find that."""
        self.faults.end()
        self.cluster.say("the world becomes kind")
        was_unattended = self.cluster.is_unattended
        resume_all(self.cluster, self.randomness)
        bring_nodes_back(self.cluster)
        uncordon_all(self.cluster)
        unmute(self.cluster)
        let_pods_start(self.cluster)
        give_names_back(self.cluster)
        if was_unattended:
            self._stop_or_start()
        clear_forgeries(self.cluster)
        if self.is_mended:
            mend_controllers(self.cluster)
            end_overrides(self.cluster)
        make_networks(self.cluster, mends_controllers=self.is_mended)
        while not gate_is_on(self.cluster):
            toggle_gate(self.cluster, self.randomness)
        for process in self.processes:
            process.finish()
        if len({process.seconds_ahead for process in self.processes}) > 1:
            # Whose Lease runs out stops within seconds. Leaders whose clocks differ never agree when to ask again.
            self.processes = [self.randomness.choice(self.processes)]
            self.cluster.say(f"{self.processes[0].name}: leads alone")
        for process in self.processes:
            process.relist()
            process.sweep()

    def _settle(self, *, seconds: float, roles: Sequence[Role] = ROLES) -> None:
        """Let everybody act, for so long or until nobody waits for anything any more."""
        horizon = self.cluster.now + timedelta(seconds=seconds)
        for _ in range(_SETTLE_STEPS):
            moves = [process.hear for process in self.processes] + [process.work for process in self.processes]
            moves += [lambda role=role: role(self.cluster) for role in roles]  # type: ignore[misc]
            self.randomness.shuffle(moves)
            if any(move() for move in moves):
                continue
            due = self._next_due()
            if due is None or due > horizon:
                return
            self.cluster.pass_time(max(0.001, (due - self.cluster.now).total_seconds()))
        raise AssertionError("does not come to rest")

    def _next_due(self) -> datetime | None:
        return min((moment for process in self.processes if (moment := process.next_due())), default=None)

    def _check_silence(self) -> None:
        """At rest a second look, by everybody at everything, sends nothing, as long as nobody's time has come."""
        bugs = [bug for process in self.processes for bug in process.bugs]
        assert not bugs, bugs
        before, due = sum(process.api.writes for process in self.processes), self._next_due()
        for process in self.processes:
            process.look_at_everything()
        left = (due - self.cluster.now).total_seconds() if due is not None else math.inf
        self._settle(seconds=min(_SILENCE_SECONDS, left - 0.001))
        after = sum(process.api.writes for process in self.processes)
        assert after == before, f"{after - before} writes at rest"
