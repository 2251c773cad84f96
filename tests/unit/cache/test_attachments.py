"""What is known of network attachment definitions, and who is told."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.build import NAMESPACE, NOW, POD_NAME, VM_UID, a_vmi, kubevirt, later, migration, nic, pod, primary, vm, vmi
from tests.fakes.listing import relist

from nicplug.cache.attachments import Attachments
from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.optional_watch import Absence
from nicplug.model.attachments import Knowledge, referenced_keys
from nicplug.model.keys import AttachmentKey, MigrationKey, VmiKey
from nicplug.plan.views import PlanSettings
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory

KEY = AttachmentKey("default", "blue-net")


def nad(name: str = "blue-net", *, config: Any = "{}", version: int = 10, uid: str = "u1") -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"config": config}}


class Heard:
    def __init__(self) -> None:
        self.reported: list[Any] = []
        self.now = NOW
        self.store = Attachments(clock=lambda: self.now, on_change=self._hear)

    def _hear(self, keys: Iterable[AttachmentKey] | None) -> None:
        self.reported.append(None if keys is None else list(keys))


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_before_the_first_list_nothing_is_missing(heard: Heard) -> None:
    assert not heard.store.known([KEY]).is_missing(KEY)


def test_after_it_what_it_lacks_is_missing(heard: Heard) -> None:
    relist(heard.store, [nad("other")])
    assert heard.store.known([KEY]).is_missing(KEY)
    assert heard.reported == [None]


@pytest.mark.parametrize(
    ("absence", "knowledge"), [(Absence.NOT_SERVED, Knowledge.NOT_INSTALLED), (Absence.DENIED, Knowledge.UNKNOWN)]
)
def test_a_kind_that_cannot_be_read_leaves_nothing_missing(
    heard: Heard, absence: Absence, knowledge: Knowledge
) -> None:
    relist(heard.store, [])
    heard.store.lose(absence)
    heard.store.lose(absence)
    assert heard.store.known([KEY]).knowledge is knowledge
    assert not heard.store.known([KEY]).is_missing(KEY)
    assert heard.reported == [None, None], "told once"


def test_a_name_of_sixty_thousand_characters_is_not_kept(heard: Heard) -> None:
    """A thousand of them would take 64 MB for as long as they exist; no plugin and no pod can name them."""
    huge = nad(config='{"name": "%s"}' % ("n" * 60_000))
    huge["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "d" * 60_000}
    relist(heard.store, [huge])
    (kept,) = heard.store.known([KEY]).definitions.values()
    assert (len(kept.network_name), len(kept.device)) == (254, 318), "still longer than what is valid"


def test_one_that_comes_and_goes_is_reported(heard: Heard) -> None:
    relist(heard.store, [])
    heard.store.change("ADDED", nad(version=11))
    heard.store.change("DELETED", nad(version=12))
    assert heard.reported == [None, [KEY], [KEY]]
    assert heard.store.known([KEY]).is_missing(KEY)


def test_noise_is_not_reported(heard: Heard) -> None:
    relist(heard.store, [nad()])
    heard.store.change("MODIFIED", nad(version=11))
    relist(heard.store, [nad(version=11)])
    assert heard.reported == [None]


def test_another_configuration_has_its_time_and_the_first_look_has_none(heard: Heard) -> None:
    relist(heard.store, [nad()])
    assert heard.store.known([KEY]).definitions[KEY].changed_at is None
    heard.now = later(5)
    heard.store.change("MODIFIED", nad(config='{"type": "bridge"}', version=11))
    heard.now = later(9)
    heard.store.change("MODIFIED", nad(config='{"type": "bridge"}', version=12))
    assert heard.store.known([KEY]).definitions[KEY].changed_at == later(5)


def test_another_device_is_another_definition(heard: Heard) -> None:
    """The annotation `k8s.v1.cni.cncf.io/resourceName`: a pod with the network asks for something else."""
    relist(heard.store, [nad()])
    heard.now = later(5)
    corrected = nad(version=11)
    corrected["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    heard.store.change("MODIFIED", corrected)
    assert heard.store.known([KEY]).definitions[KEY].changed_at == later(5)


def test_other_annotations_and_labels_of_a_definition_are_no_change_of_it(heard: Heard) -> None:
    relist(heard.store, [nad()])
    heard.now = later(5)
    touched = nad(version=11)
    touched["metadata"] |= {"annotations": {"example.com/touched": "now"}, "labels": {"touched": "now"}}
    heard.store.change("MODIFIED", touched)
    assert heard.reported == [None]
    assert heard.store.known([KEY]).definitions[KEY].changed_at is None


def test_the_end_of_a_namesake_that_was_replaced_is_no_end(heard: Heard) -> None:
    relist(heard.store, [nad(version=20, uid="u2")])
    heard.store.change("DELETED", nad(version=15, uid="u1"))
    assert not heard.store.known([KEY]).is_missing(KEY)


def test_a_list_tells_of_what_has_gone(heard: Heard) -> None:
    relist(heard.store, [nad(), nad("red-net")])
    relist(heard.store, [nad("red-net")])
    assert heard.reported == [None, [KEY]]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("", ""),
        (None, ""),
        ('{"type": "bridge"}', ""),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
    ],
    ids=["empty: on the node", "null", "whole", "cut", "a list", "bottomless"],
)
def test_configuration(heard: Heard, config: Any, problem: str) -> None:
    relist(heard.store, [nad(config=config)])
    found = heard.store.known([KEY]).definitions[KEY].problem
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_those_who_refer_are_found_until_they_no_longer_do() -> None:
    caches = Caches(clock=lambda: NOW)
    key = VmiKey("default", "vmi-fedora")
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"nadPolicy": "Any"}))
    caches.observe(CachedKind.VMI, vmi(primary(), nic("blue"), nic("red", attachment="ops/lan")))
    assert caches.referring([KEY]) == [key]
    assert caches.referring([AttachmentKey("ops", "lan")]) == [key]
    assert caches.referring(None) == [key]
    caches.observe(CachedKind.VMI, vmi(primary(), nic("red", attachment="ops/lan"), version=11, generation=2))
    assert caches.referring([KEY]) == []
    caches.forget(CachedKind.VMI, vmi(primary(), version=12))
    assert caches.referring(None) == []


def test_a_nad_that_only_a_template_names_wakes_the_vmi() -> None:
    """Its owner created or corrected it, and nobody looked again until something else happened to the VM."""
    caches, key = Caches(clock=lambda: NOW), VmiKey("default", "vmi-fedora")
    new, old = AttachmentKey("default", "new"), AttachmentKey("default", "old")
    caches.observe(CachedKind.VM, vm(primary(), nic("blue", attachment="new")))
    assert caches.referring([new]) == [], "a VM that does not run is born with what is known then"
    caches.observe(CachedKind.VMI, vmi(primary(), nic("blue", attachment="old"), owner_uid=VM_UID))
    assert caches.referring([new]) == [key]
    assert caches.referring([old]) == [key]
    assert caches.referring(None) == [key]


def test_what_template_and_vmi_name_is_found_until_neither_does() -> None:
    caches, key = Caches(clock=lambda: NOW), VmiKey("default", "vmi-fedora")
    caches.observe(CachedKind.VM, vm(primary(), nic("blue"), version=5))
    caches.observe(CachedKind.VMI, vmi(primary(), nic("blue"), owner_uid=VM_UID, version=10))
    caches.observe(CachedKind.VM, vm(primary(), version=11, generation=2))
    assert caches.referring([KEY]) == [key], "the VMI still names it"
    caches.observe(CachedKind.VMI, vmi(primary(), owner_uid=VM_UID, version=12, generation=2))
    assert caches.referring([KEY]) == []
    caches.observe(CachedKind.VM, vm(primary(), nic("blue"), version=13, generation=3))
    assert caches.referring([KEY]) == [key], "the template names it again"
    caches.forget(CachedKind.VM, vm(primary(), version=14))
    assert caches.referring([KEY]) == []


def test_a_nad_of_a_namespace_that_the_vm_may_not_use_wakes_nobody_by_a_template() -> None:
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.VM, vm(primary(), nic("red", attachment="ops/lan")))
    caches.observe(CachedKind.VMI, vmi(primary(), owner_uid=VM_UID))
    assert caches.referring([AttachmentKey("ops", "lan")]) == []


def test_the_pod_network_refers_to_nothing() -> None:
    assert referenced_keys(a_vmi(vmi(primary(), nic("blue"))).networks, namespace="default") == {KEY}


def test_a_network_that_only_the_template_names_yet_is_looked_for_too() -> None:
    """The VMI is looked at before its VM: its NICs were told as having no network, for a moment."""
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.VM, vm(primary(), nic("blue")))
    caches.observe(CachedKind.VMI, vmi(primary(), owner_uid=VM_UID))
    relist(caches.attachments, [nad()])
    view = Gatherer(caches, Memory(clock=lambda: NOW), PlanSettings()).vmi_view(VmiKey("default", "vmi-fedora"))
    assert view is not None
    assert not view.attachments.is_missing(KEY)


MESSAGE = "pod [default/p]: failed adding interface pod16477688c0e to network: blue-net"


def event(
    *, uid: str, reason: str = "FailedAddingInterface", message: str | None = MESSAGE, **more: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "e", "namespace": NAMESPACE},
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": POD_NAME, "uid": uid},
        "lastTimestamp": "2026-01-02T03:00:00Z",
        **more,
    }


class TestPodFailures:
    """The newest per interface of pods that are ours."""

    caches: Caches
    reported: list[str]

    @pytest.fixture(autouse=True)
    def _caches(self) -> None:
        self.reported = []
        self.caches = Caches(clock=lambda: NOW)
        self.caches.pod_failures.on_change = self.reported.append
        self.caches.observe(CachedKind.POD, pod(uid="mine"))

    def test_a_failure_is_quoted_by_interface(self) -> None:
        self.caches.pod_failures.change("ADDED", event(uid="mine"))
        failure = self.caches.pod_failures.of("mine")["pod16477688c0e"]
        assert failure.message == MESSAGE
        assert failure.heard_at == NOW
        assert self.reported == ["mine"]
        assert self.caches.launchers.vmi_of("mine") == [VmiKey("default", "vmi-fedora")]

    @pytest.mark.parametrize(
        "times",
        [
            {"lastTimestamp": "2026-01-02T03:00:00Z"},
            {"lastTimestamp": None, "eventTime": "2026-01-02T03:00:00.000000Z"},
            {
                "lastTimestamp": None,
                "eventTime": "2026-01-02T02:00:00.000000Z",
                "series": {"count": 2, "lastObservedTime": "2026-01-02T03:00:00.000000Z"},
            },
        ],
        ids=["last time", "the only time", "last time of a series"],
    )
    def test_after_a_restart_an_old_failure_is_as_old_as_its_event(self, times: dict[str, Any]) -> None:
        """As of now, it would be held against what has been asked for since."""
        relist(self.caches.pod_failures, [event(uid="mine", **times)])
        heard_at = self.caches.pod_failures.of("mine")["pod16477688c0e"].heard_at
        assert heard_at == datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)

    def test_one_that_was_there_before_has_the_time_of_the_event(self) -> None:
        relist(self.caches.pod_failures, [event(uid="mine"), event(uid="mine", lastTimestamp="2027-01-01T00:00:00Z")])
        assert self.caches.pod_failures.of("mine")["pod16477688c0e"].heard_at == NOW, "never in the future"

    def test_an_old_event_of_a_list_does_not_take_the_place_of_what_was_heard(self) -> None:
        other = MESSAGE + " again"
        self.caches.pod_failures.change("ADDED", event(uid="mine", message=other))
        relist(self.caches.pod_failures, [event(uid="mine", lastTimestamp="2026-01-02T03:00:00Z")])
        failure = self.caches.pod_failures.of("mine")["pod16477688c0e"]
        assert (failure.message, failure.heard_at, self.reported) == (other, NOW, ["mine"])

    @pytest.mark.parametrize(
        "body",
        [
            event(uid="somebody's"),
            event(uid=""),
            event(uid="mine", reason="AddedInterface"),
            event(uid="mine", message="failed"),
            event(uid="mine", message=None, involvedObject=None),
            {"message": 7, "reason": None},
        ],
        ids=["another pod", "no uid", "a success", "no interface", "about nothing", "not an event"],
    )
    def test_the_rest_is_dropped(self, body: dict[str, Any]) -> None:
        self.caches.pod_failures.change("ADDED", body)
        assert not self.caches.pod_failures.of("mine")
        assert not self.caches.pod_failures.of("somebody's")
        assert self.reported == []

    @pytest.mark.parametrize(
        ("metadata", "about"),
        [
            ({"namespace": "evil"}, {"namespace": "evil", "name": "x"}),
            ({"namespace": "evil"}, {"namespace": "evil"}),
            ({"namespace": "evil"}, {}),
            ({}, {"namespace": "evil"}),
            ({}, {"name": "x"}),
            ({}, {"uid": "somebody's"}),
            ({"namespace": ""}, {"namespace": ""}),
            ({"namespace": None}, {"namespace": None}),
        ],
        ids=[
            "another pod's, elsewhere",
            "a pod of that name elsewhere",
            "written elsewhere",
            "about a pod elsewhere",
            "another name",
            "another uid",
            "no namespace",
            "null",
        ],
    )
    def test_an_event_forged_in_another_namespace_says_nothing_of_our_pod(
        self, metadata: dict[str, Any], about: dict[str, Any]
    ) -> None:
        """With the victim's uid alone it migrated the VM, and its words were in the VM's status."""
        forged = event(uid="mine")
        forged["metadata"] |= metadata
        forged["involvedObject"] |= about
        self.caches.pod_failures.change("ADDED", forged)
        relist(self.caches.pod_failures, [forged])
        assert not self.caches.pod_failures.of("mine")
        assert self.reported == []

    def test_a_pod_that_took_the_name_of_ours_says_nothing_of_it(self) -> None:
        self.caches.observe(CachedKind.POD, pod(uid="next", version=99))
        self.caches.pod_failures.change("ADDED", event(uid="mine"))
        assert not self.caches.pod_failures.of("mine")
        self.caches.pod_failures.change("ADDED", event(uid="next"))
        assert self.caches.pod_failures.of("next")

    def test_text_is_bounded_and_printable(self) -> None:
        message = "pod [a/b]: failed adding interface pod16477688c0e to network: \x1b[31m\u202e" + "x" * 5000
        self.caches.pod_failures.change("ADDED", event(uid="mine", message=message))
        quoted = self.caches.pod_failures.of("mine")["pod16477688c0e"].message
        assert len(quoted) == 256
        assert quoted.isprintable()

    def test_memory_is_bounded_per_pod(self) -> None:
        for number in range(200):
            message = f"pod [a/b]: failed adding interface pod{number:011x} to network: n"
            self.caches.pod_failures.change("ADDED", event(uid="mine", message=message))
            self.caches.pod_failures.clock = lambda number=number: later(number)  # type: ignore[misc]
        assert len(self.caches.pod_failures.of("mine")) <= 64

    def test_why_a_pod_cannot_start_is_apart_from_its_interfaces(self) -> None:
        words = (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
            '"3f1a": plugin type="multus-shim" name="multus-cni-network" failed (add): CNI request failed with '
            'status 400: ContainerID:"0123456789abcdef0123" '
            'Netns:"/run/netns/cni-01234567-89ab-cdef-0123-456789abcdef" '
            "plugin type=bridge failed (add): no such bridge: br9"
        )
        self.caches.pod_failures.change("ADDED", event(uid="mine", reason="FailedCreatePodSandBox", message=words))
        assert not self.caches.pod_failures.of("mine")
        failure = self.caches.pod_failures.to_start("mine")
        assert failure is not None
        assert failure.message == (
            'CNI request failed with status 400: ContainerID:"..." Netns:"/run/netns/cni-..." '
            "plugin type=bridge failed (add): no such bridge: br9"
        )
        assert self.reported == ["mine"]

    @pytest.mark.parametrize(
        ("words", "network"),
        [
            pytest.param(
                '[default/virt-launcher-a/0c1f:blue-br]: error adding container to network "blue-br": no bridge',
                "blue-br",
                id="Multus, a plugin that fails",
            ),
            pytest.param(
                "cannot find a network-attachment-definition (blue-net) in namespace (default): not found",
                "default/blue-net",
                id="Multus, no such definition",
            ),
            pytest.param(
                "error adding pod to network default/blue-net: plugin failed", "default/blue-net", id="the simulator"
            ),
            pytest.param("plugin type=bridge failed (add): no such bridge: br9", "", id="nobody is named"),
            pytest.param("failed to get sandbox image: i/o timeout", "", id="no network's fault"),
        ],
    )
    def test_the_network_that_a_pod_cannot_start_for(self, words: str, network: str) -> None:
        # The ids before it may be longer than what is quoted.
        message = f'plugin type="multus-shim" name="multus-cni-network" failed (add): {"x" * 600} {words}'
        self.caches.pod_failures.change("ADDED", event(uid="mine", reason="FailedCreatePodSandBox", message=message))
        failure = self.caches.pod_failures.to_start("mine")
        assert failure is not None
        assert failure.network == network
        assert len(failure.message) <= 256

    def test_a_migration_hears_of_it_too(self) -> None:
        self.caches.observe(CachedKind.MIGRATION, migration("Scheduling"))
        assert self.caches.launchers.vmi_of("mine") == [
            VmiKey("default", "vmi-fedora"),
            MigrationKey("default", "migration-job"),
        ]

    def test_they_go_with_the_pod_and_stay_through_its_changes(self) -> None:
        self.caches.pod_failures.change("ADDED", event(uid="mine"))
        self.caches.observe(CachedKind.POD, pod(uid="mine", phase="Succeeded", version=11))
        assert self.caches.pod_failures.of("mine")
        self.caches.forget(CachedKind.POD, pod(uid="mine", version=12))
        assert not self.caches.pod_failures.of("mine")
        assert self.caches.launchers.vmi_of("mine") == []
