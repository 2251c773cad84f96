"""A cluster run by the stand-in of virt-controller, with two companions that each believe they lead."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from tests.build import kubevirt, nic, primary
from tests.build import vm as a_vm
from tests.sim.cluster import EVENTS, KUBEVIRTS, MIGRATIONS, PODS, REPORTS, VMIS, VMS, Cluster, Json
from tests.sim.dynamic_controller import deploy_controllers, stop_controller
from tests.sim.movers import break_network, cordon, fail_copy, mend_controllers, toggle_controller, uncordon_all, unmute
from tests.sim.node_agent import state_of
from tests.sim.node_side import ROLES
from tests.sim.operators import Faults, Operator
from tests.sim.users import NAMES, break_controller, make_networks, make_nodes, toggle_network
from tests.sim.virt_controller import VirtController, evict

from nicplug.kube.errors import ApiError
from nicplug.model.mode import Mode
from nicplug.plan.reasons import Reason

MACHINES = ("vm-a", "vm-b", "vm-c")
COMPANION = "operator"
_DEPLOYED = {"phase": "Deployed", "observedDeploymentID": "1", "targetDeploymentID": "1"}
# All that nicplug reads; the newest counts most.
_VERSIONS = ("v1.4.0", "v1.5.0", "v1.6.0", "v1.7.0", "v1.8.0", *["v1.9.0"] * 5)
_ENDED = ("Succeeded", "Failed")
_CHAOS_STEPS = 4000
_SETTLE_STEPS = 40000
# Beyond every back-off of nicplug's, the updater's timer, and the timeouts of target pods.
_HORIZON_SECONDS = 4000.0
_SILENCE_SECONDS = 60.0
# Requests of a user's in a world without faults, each of which has so long to be carried out.
_ROUNDS = 3
_ROUND_SECONDS = 30.0
# Of a record that explains why a NIC does not come: it waits for a person. Others wait for somebody who will act.
_EXPLAINED = ("Blocked", "Failed")
_PROGRESS = frozenset(
    {
        Reason.WAITING_FOR_SLOT,
        Reason.EVACUATION_FIRST,
        Reason.MIGRATION_BACKOFF,
        Reason.MIGRATION_RATE_LIMITED,
        Reason.MIGRATION_LEFT_PENDING,
        Reason.MIGRATING,
        Reason.UPDATERS_TURN,
        Reason.VIRT_CONTROLLER_SILENT,
    }
)
# Until then nicplug may take its migration back.
_BEFORE_HAND_OFF = (None, "", "Pending", "Scheduling", "Scheduled")


def is_own(migration: Json) -> bool:
    """Whether nicplug made it."""
    return str(migration["metadata"]["name"]).startswith("nicplug-")


def unfinished(cluster: Cluster, vmi: str) -> list[Json]:
    """The migrations of a VMI that have not ended."""
    jobs = [job for job in cluster.shown(MIGRATIONS) if job["spec"].get("vmiName") == vmi]
    return [job for job in jobs if (job.get("status") or {}).get("phase") not in _ENDED]


def is_withdrawable(cluster: Cluster, job: Json) -> bool:
    """Whether nicplug made it, and the node agents do not have it yet."""
    phase = (job.get("status") or {}).get("phase")
    if not is_own(job) or "deletionTimestamp" in job["metadata"] or phase not in _BEFORE_HAND_OFF:
        return False
    vmi = cluster.get(VMIS, job["spec"]["vmiName"])
    return vmi is not None and state_of(vmi).get("migrationUid") != job["metadata"]["uid"]


def check_writes(cluster: Cluster) -> None:
    """A companion writes nothing but its own migrations and reports."""
    last = cluster.last
    if last is None or not last.by.startswith(COMPANION):
        return
    assert last.plural in (REPORTS, EVENTS, MIGRATIONS), f"{last.by} wrote {last.plural}"
    if last.plural == MIGRATIONS:
        assert is_own(last.after), f"{last.by} wrote somebody else's migration"
        is_deletion = "deletionTimestamp" in last.after["metadata"]
        assert last.type == "ADDED" or is_deletion, f"{last.by} changed a migration"


def check_migrations(cluster: Cluster) -> None:
    """Never two active migrations of nicplug's for one VMI; none that carries the updater's mark or a priority."""
    last = cluster.last
    if last is None or last.plural != MIGRATIONS or last.type != "ADDED" or not is_own(last.after):
        return
    own = [job for job in unfinished(cluster, last.after["spec"]["vmiName"]) if is_own(job)]
    assert len(own) == 1, f"{len(own)} active migrations of nicplug's for {last.after['spec']['vmiName']}"
    assert "priority" not in last.after["spec"]
    assert "kubevirt.io/workloadUpdateMigration" not in last.after["metadata"]["annotations"]


@dataclass(slots=True)
class CompanionSchedule:
    """One schedule; a seed decides who does what when."""

    seed: int
    cluster: Cluster = field(init=False)
    faults: Faults = field(init=False)
    randomness: random.Random = field(init=False)
    controller: VirtController = field(init=False)
    companions: list[Operator] = field(init=False)
    own_migrations: int = 0
    _is_kind: bool = False

    def __post_init__(self) -> None:
        self.randomness = random.Random(f"companion/{self.seed}")
        self.cluster = Cluster(("node01", "node02", "node03"))
        self.cluster.is_kubevirts = True
        self.cluster.on_commit += [check_writes, check_migrations, self._count]
        make_nodes(self.cluster)
        deploy_controllers(self.cluster)
        make_networks(self.cluster)
        for node, machine in self.cluster.machines.items():
            if self.randomness.random() < 0.75:
                machine.has_controller = False
                stop_controller(self.cluster, node)
        self._make_kubevirt()
        for name in MACHINES:
            body = {"metadata": {"name": name}, "spec": a_vm(primary(), nic("red"))["spec"]}
            self.cluster.create(VMS, body, by="user")
        self.faults = Faults(
            refused=self.randomness.choice((0.0, 0.1)),
            answer_lost=self.randomness.choice((0.0, 0.1)),
            event_lost=self.randomness.choice((0.0, 0.0, 0.1)),
            event_doubled=self.randomness.choice((0.0, 0.2)),
            event_overtakes=self.randomness.choice((0.0, 0.3)),
        )
        self.controller = VirtController(self.cluster, self.faults, self.randomness)
        self.companions = [
            Operator(f"{COMPANION}-{index}", self.cluster, self.faults, self.randomness, mode=Mode.COMPANION)
            for index in range(2)
        ]

    def _count(self, cluster: Cluster) -> None:
        last = cluster.last
        if last is not None and last.plural == MIGRATIONS and last.type == "ADDED":
            self.own_migrations += is_own(last.after)

    def _make_kubevirt(self) -> None:
        methods = self.randomness.choice((["LiveMigrate"], ["LiveMigrate"], ["LiveMigrate", "Evict"], []))
        migrations = {
            "parallelMigrationsPerCluster": self.randomness.choice((1, 2, 5)),
            "parallelOutboundMigrationsPerNode": self.randomness.choice((1, 2)),
        }
        spec = {
            "configuration": {"migrations": migrations},
            "workloadUpdateStrategy": {"workloadUpdateMethods": methods},
        }
        # Drawn apart, so that a seed means the same schedule for each version.
        version = random.Random(f"version/{self.seed}").choice(_VERSIONS)
        status = {**_DEPLOYED, "observedKubeVirtVersion": version}
        body = {**kubevirt(), "metadata": {"name": "kubevirt"}, "spec": spec, "status": status}
        self.cluster.create(KUBEVIRTS, body, by="admin")

    def run(self) -> int:
        """Run it; the number of writes that it cost the companions.

        Raises:
            AssertionError: something does not hold; with the log.
        """
        try:
            self._settle(seconds=2.0)
            for _ in range(_CHAOS_STEPS):
                self._step()
            everybody = [*self.companions]
            self._become_kind()
            for _ in range(_ROUNDS):
                self._request()
                self._settle(seconds=_ROUND_SECONDS)
            self._mend()
            self._settle(seconds=_HORIZON_SECONDS)
            self._check_rest()
            self._check_silence()
        except Exception as error:
            log = "\n".join(self.cluster.log)
            raise AssertionError(f"{error!r}\nseed {self.seed}; what happened:\n{log}") from error
        return sum(process.api.writes for process in everybody)

    def _step(self) -> None:
        dice = self.randomness.random()
        process = self.randomness.choice(self.companions)
        if dice < 0.012:
            self._deed()
        elif dice < 0.014:
            self.cluster.say(f"{process.name}: killed and started again")
            process.start()
        elif dice < 0.016:
            self.cluster.say("virt-controller: killed and started again")
            self.controller.start()
        elif dice < 0.018:
            process.relist()
        elif dice < 0.06:
            self.cluster.pass_time(self.randomness.uniform(0.0, 0.8))
        elif dice < 0.3:
            any(role(self.cluster) for role in self.randomness.sample(ROLES, k=len(ROLES)))
        elif dice < 0.6:
            self.controller.work() if self.randomness.random() < 0.5 else self.controller.hear()
        elif dice < 0.8:
            process.hear()
        else:
            process.work()

    def _deed(self) -> None:
        deeds: list[Callable[[], object]] = [
            *[self._plug] * 4,
            self._unplug,
            self._migrate,
            self._cancel,
            self._evict,
            self._delete,
            self._spoil_report,
            *(
                lambda deed=deed: deed(self.cluster, self.randomness)
                for deed in (toggle_controller, break_controller, break_network, toggle_network, cordon, fail_copy)
            ),
        ]
        try:
            self.randomness.choice(deeds)()
        except ApiError as error:
            self.cluster.say(f"user: refused: {error}")

    def _request(self) -> None:
        """A NIC that comes or goes for every VM, and now and then another migration or a drain at the same time."""
        for machine in MACHINES:
            name = self.randomness.choice(NAMES)
            self._plug(machine, name) if name not in self._wanted(machine) else self._unplug(machine, name)
        if self.randomness.random() < 0.5:
            with contextlib.suppress(ApiError):
                self.randomness.choice((self._migrate, self._evict))()

    def _change(self, edit: Callable[[list[Json], list[Json]], object], name: str = "") -> None:
        name = name or self.randomness.choice(MACHINES)
        body = self.cluster.get(VMS, name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return
        spec = body["spec"]["template"]["spec"]
        edit(spec["domain"]["devices"]["interfaces"], spec["networks"])
        self.cluster.replace(VMS, name, body, by="user")

    def _plug(self, machine: str = "", name: str = "") -> None:
        interface, network = nic(name or self.randomness.choice(NAMES))

        def add(interfaces: list[Json], networks: list[Json]) -> None:
            present = next((item for item in interfaces if item["name"] == interface["name"]), None)
            if present is not None:
                present.pop("state", None)
                return
            interfaces.append(interface)
            networks.append(network)

        self._change(add, machine)

    def _unplug(self, machine: str = "", name: str = "") -> None:
        def mark(interfaces: list[Json], _: list[Json]) -> None:
            if found := [item for item in interfaces if "bridge" in item and name in ("", item["name"])]:
                self.randomness.choice(found)["state"] = "absent"

        self._change(mark, machine)

    def _migrate(self) -> None:
        body = {
            "metadata": {"name": f"job-{self.cluster.version}"},
            "spec": {"vmiName": self.randomness.choice(MACHINES)},
        }
        self.cluster.create(MIGRATIONS, body, by="user")

    def _cancel(self) -> None:
        if found := self.cluster.all(MIGRATIONS):
            self.cluster.delete(MIGRATIONS, self.randomness.choice(found)["metadata"]["name"], by="user")

    def _evict(self) -> None:
        if pods := [pod for pod in self.cluster.all(PODS) if pod["status"]["phase"] == "Running"]:
            evict(self.cluster, self.randomness.choice(pods)["metadata"]["name"], by="drain")

    def _delete(self) -> None:
        name = self.randomness.choice(MACHINES)
        if self.cluster.get(VMIS, name) is not None:
            self.cluster.delete(VMIS, name, by="user")

    def _spoil_report(self) -> None:
        if not (reports := self.cluster.all(REPORTS)):
            return
        report = self.randomness.choice(reports)
        name = report["metadata"]["name"]
        if self.randomness.random() < 0.5:
            self.cluster.delete(REPORTS, name, by="user")
        else:
            status = {**(report.get("status") or {}), "interfaceOperations": [], "ready": "9/9"}
            self.cluster.replace(REPORTS, name, {**report, "status": status}, by="user", subresource="status")

    def _become_kind(self) -> None:
        self.faults.end()
        self.cluster.say("the world becomes kind")
        uncordon_all(self.cluster)
        unmute(self.cluster)
        make_networks(self.cluster)
        for process in self.companions:
            process.finish()
        self.companions = [self.randomness.choice(self.companions)]
        self.controller.look_at_everything()
        for process in self.companions:
            process.relist()
            process.sweep()
            process.look_at_everything()
        self._is_kind = True

    def _mend(self) -> None:
        self.cluster.say("every controller works")
        uncordon_all(self.cluster)
        mend_controllers(self.cluster)
        self._settle(seconds=_ROUND_SECONDS)
        # As every ten minutes: a controller that comes wakes only the VMs that wait for it, not one whose pod has an
        # interface too many.
        for process in self.companions:
            process.look_at_everything()

    def _settle(self, *, seconds: float) -> None:
        horizon = self.cluster.now + timedelta(seconds=seconds)
        for _ in range(_SETTLE_STEPS):
            moves: list[Callable[[], bool]] = [self.controller.hear, self.controller.work]
            moves += [process.hear for process in self.companions] + [process.work for process in self.companions]
            moves += [lambda role=role: role(self.cluster) for role in ROLES]  # type: ignore[misc]
            self.randomness.shuffle(moves)
            if any(move() for move in moves):
                continue
            if self._is_kind:
                self._check_own_migrations()
            due = self._next_due()
            if due is None or due > horizon:
                return
            self.cluster.pass_time(max(0.001, (due - self.cluster.now).total_seconds()))
        raise AssertionError("does not come to rest")

    def _next_due(self) -> datetime | None:
        moments = [self.controller.next_due(), *(process.next_due() for process in self.companions)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _check_own_migrations(self) -> None:
        """None that can be taken back goes on beside another's or for nobody, once everybody has reacted."""
        for job in filter(partial(is_withdrawable, self.cluster), self.cluster.shown(MIGRATIONS)):
            name, vmi = job["spec"]["vmiName"], self.cluster.get(VMIS, job["spec"]["vmiName"])
            others = [item["metadata"]["name"] for item in unfinished(self.cluster, name) if not is_own(item)]
            assert not others, f"{job['metadata']['name']} goes on beside {others}"
            if vmi is not None and self.cluster.get(VMS, name) is not None:
                wanted = self._wanted(name)
                is_needed = self._shown_in_guest(vmi) != wanted or _attached(vmi) != wanted
                assert is_needed, f"{job['metadata']['name']} goes on, and {name} has its NICs"

    def _check_rest(self) -> None:
        """Every NIC is in its guest, or the report says why not; no migration of nicplug's goes on."""
        left = [job["metadata"]["name"] for job in self.cluster.all(MIGRATIONS) if is_own(job) and _goes_on(job)]
        assert not left, f"migrations that nobody needs: {left}"
        for name in MACHINES:
            vmi, report = self.cluster.get(VMIS, name), self.cluster.get(REPORTS, name)
            if vmi is None or vmi["status"].get("phase") != "Running":
                continue
            guest, wanted = self._shown_in_guest(vmi), self._wanted(name)
            if report is None:
                assert not guest | wanted, f"{name} has no report"
                continue
            rows = {row["name"]: row for row in report["status"].get("interfaceOperations") or ()}
            unexplained = {nic for nic in guest ^ wanted if not _explains(rows.get(nic, {}))}
            assert not unexplained, f"{name}: {unexplained} not explained by {rows}"
            ready = next(row for row in report["status"]["conditions"] if row["type"] == "InterfacesReady")
            assert ready["status"] != "True" or guest == wanted, f"{name}: {ready}, {guest}, {wanted}"
            assert ready["status"] == "True" or rows.keys() - {None}, f"{name}: {ready} without a record"

    def _shown_in_guest(self, vmi: Json) -> set[str]:
        """The NICs in the guest that spec or status shows: KubeVirt forgets one that is unplugged as it arrives."""
        guest = set(self.cluster.guests.get(vmi["metadata"]["uid"], ())) & set(NAMES)
        interfaces = vmi["spec"]["domain"]["devices"]["interfaces"]
        return guest & {item["name"] for item in (*interfaces, *vmi["status"].get("interfaces", ()))}

    def _wanted(self, name: str) -> set[str]:
        body = self.cluster.get(VMS, name)
        assert body is not None
        interfaces = body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
        return {item["name"] for item in interfaces if item["name"] in NAMES and item.get("state") != "absent"}

    def _check_silence(self) -> None:
        """At rest a second look at everything sends nothing."""
        bugs = [bug for process in self.companions for bug in process.bugs]
        assert not bugs, bugs
        before, due = sum(process.api.writes for process in self.companions), self._next_due()
        for process in self.companions:
            process.look_at_everything()
        left = (due - self.cluster.now).total_seconds() if due is not None else _SILENCE_SECONDS
        self._settle(seconds=min(_SILENCE_SECONDS, max(0.0, left - 0.001)))
        after = sum(process.api.writes for process in self.companions)
        assert after == before, f"{after - before} writes at rest"


def _attached(vmi: Json) -> set[str]:
    """The NICs that the pod has, as virt-controller sees it."""
    rows = vmi["status"].get("interfaces", ())
    return {row["name"] for row in rows if "multus-status" in row.get("infoSource", "")} & set(NAMES)


def _explains(row: Json) -> bool:
    return row.get("phase") in _EXPLAINED and row.get("reason") not in _PROGRESS


def _goes_on(job: Json) -> bool:
    return (job.get("status") or {}).get("phase") not in _ENDED
