"""How NICs are hot-plugged: the policy of the cluster admin and of a VM's owner.

The cluster's policy is in the HotplugPolicy `default`, and, where that sets no value, in
`spec.configuration.network.hotplug` of the KubeVirt CR; a VM's owner overrides it with annotations. An invalid value
has no effect and is reported as a problem: nothing is guessed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.metadata import mapping, quoted, text
from nicplug.model.names import ROLLED_BACK_ANNOTATION, TEMPLATE_INTERFACES_ANNOTATION
from nicplug.model.times import format_duration, parse_duration


class DynamicPath(StrEnum):
    """`dynamicPath`: whether a NIC is plugged in place."""

    AUTO = "Auto"
    """In place if the dynamic networks controller can do it; otherwise by migration."""
    ALWAYS = "Always"
    """In place or not at all; migrates only for changes that nothing else can apply (SR-IOV, another network)."""
    NEVER = "Never"
    """By migration only."""


class OnFailure(StrEnum):
    """`onFailure`: what happens when the dynamic path has failed or timed out."""

    MIGRATE = "Migrate"
    HOLD = "Hold"
    """The NIC stays Failed; nicplug retries with back-off."""
    ROLLBACK = "Rollback"
    """nicplug rolls the pod and the VMI back to what works; the VM keeps what its owner wrote."""


class MigrationPolicy(StrEnum):
    """`migration`: whether nicplug may migrate a VM for the sake of a NIC."""

    ALLOWED = "Allowed"
    NEVER = "Never"


class RemovalPolicy(StrEnum):
    """`removalPolicy`: what requests that a NIC of the VM template be unplugged."""

    EXPLICIT = "Explicit"
    """Only `state: absent`, as in KubeVirt."""
    DECLARATIVE = "Declarative"
    """`state: absent`, or deleting the NIC's entry from the template."""


DEFAULT_DYNAMIC_TIMEOUT = timedelta(seconds=10)
SHORTEST_DYNAMIC_TIMEOUT = timedelta(seconds=1)
"""The controller cannot even answer in less."""
LONGEST_DYNAMIC_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotplugPolicy:
    """One policy: the cluster's, with the overrides of the VM's owner.

    Attributes:
        problems: values that are unknown or not allowed and have no effect, as sentences. In a VM's policy, those that
            its owner wrote; the cluster admin's are logged, not reported at every VM.
        origins: where each value that is not the default is set, by the name of the field, for a sentence.
        overridden: the fields that an annotation of the VM or its VMI sets.
        migration_remedy: what allows migrations, as the beginning of a sentence.
    """

    dynamic_path: DynamicPath = DynamicPath.AUTO
    dynamic_timeout: timedelta = DEFAULT_DYNAMIC_TIMEOUT
    on_failure: OnFailure = OnFailure.MIGRATE
    migration: MigrationPolicy = MigrationPolicy.ALLOWED
    removal_policy: RemovalPolicy = RemovalPolicy.EXPLICIT
    problems: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    overridden: frozenset[str] = frozenset()
    migration_remedy: str = "Set migration to Allowed"

    def origin(self, name: str) -> str:
        """Return where a field was set, as in `annotation nicplug.io/migration of VirtualMachine default/a`."""
        return self.origins.get(name, "the default")


@dataclass(frozen=True, slots=True)
class PolicyField:
    """One field of the policy.

    Attributes:
        name: its name in a HotplugPolicy and in the KubeVirt CR.
        annotation: its name on a VM or a VMI.
        read: parses a text; raises ValueError.
        values: the allowed values, for a sentence.
    """

    name: str
    annotation: str
    read: Callable[[str], Any]
    values: str

    @property
    def attribute(self) -> str:
        """Its name in `HotplugPolicy`."""
        return self.annotation.removeprefix(_DOMAIN).replace("-", "_")


def _read_timeout(value: str) -> timedelta:
    timeout = parse_duration(value)
    if not SHORTEST_DYNAMIC_TIMEOUT <= timeout <= LONGEST_DYNAMIC_TIMEOUT:
        raise ValueError("out of bounds")
    return timeout


_BOUNDS = f"{format_duration(SHORTEST_DYNAMIC_TIMEOUT)} to {format_duration(LONGEST_DYNAMIC_TIMEOUT)}"

POLICY_FIELDS = (
    PolicyField("dynamicPath", "nicplug.io/dynamic-path", DynamicPath, "Auto, Always or Never"),
    PolicyField(
        "dynamicTimeout",
        "nicplug.io/dynamic-timeout",
        _read_timeout,
        f"a duration of {_BOUNDS}, such as 10s or 1m30s",
    ),
    PolicyField("onFailure", "nicplug.io/on-failure", OnFailure, "Migrate, Hold or Rollback"),
    PolicyField("migration", "nicplug.io/migration", MigrationPolicy, "Allowed or Never"),
    PolicyField("removalPolicy", "nicplug.io/removal-policy", RemovalPolicy, "Explicit or Declarative"),
)

_DOMAIN = "nicplug.io/"
# Annotations that nicplug itself writes on a VMI.
_KEPT_BY_NICPLUG = frozenset({TEMPLATE_INTERFACES_ANNOTATION, ROLLED_BACK_ANNOTATION})
_KNOWN = {item.annotation for item in POLICY_FIELDS} | _KEPT_BY_NICPLUG
_UNKNOWN_NAMES_KEPT = 3
_LONGEST_NAME = 80

Overrides = tuple[tuple[str, str], ...]
"""The annotations of one object that override the policy: name and value, in the order of `POLICY_FIELDS`.

Some unknown annotations of nicplug's domain follow: a misspelt one would otherwise be ignored silently.
"""


def parse_overrides(annotations: Mapping[str, Any]) -> Overrides:
    """Return the annotations of the policy; the others, some of them long, are not kept."""
    written = ((item.annotation, annotations.get(item.annotation)) for item in POLICY_FIELDS)
    unknown = sorted(name for name in annotations if name.startswith(_DOMAIN) and name not in _KNOWN)
    return (
        *((name, value) for name, value in written if isinstance(value, str)),
        *((name[:_LONGEST_NAME], "") for name in unknown[:_UNKNOWN_NAMES_KEPT]),
    )


def cluster_policy(block: Mapping[str, Any], *, where: str) -> HotplugPolicy:
    """Return the policy of the KubeVirt CR.

    Args:
        block: `spec.configuration.network.hotplug`.
        where: the object, for sentences: `KubeVirt CR kubevirt/kubevirt`.
    """
    path = "spec.configuration.network.hotplug"
    written = [(item, block.get(item.name), f"{path}.{item.name} of {where}") for item in POLICY_FIELDS]
    return _apply(HotplugPolicy(), [(*entry, entry[2]) for entry in written if entry[1] is not None])


POLICY_NAME = "default"
"""Name of the only HotplugPolicy that has an effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionPolicy:
    """What nicplug may do beside KubeVirt, in companion mode.

    Attributes:
        ignore_workload_update_methods: True if it may migrate VMs although `workloadUpdateMethods` of the KubeVirt CR
            does not list LiveMigrate.
        nudge: True if it may change the networks annotation of a launcher pod so that the dynamic networks controller
            tries again.
    """

    ignore_workload_update_methods: bool = False
    nudge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyObject:
    """A HotplugPolicy.

    Attributes:
        written: the fields that it sets, by name in the order of `POLICY_FIELDS`.
        problems: values of `companion` that have no effect, as sentences.
    """

    name: str
    uid: str
    resource_version: int = field(compare=False)
    written: tuple[tuple[str, Any], ...] = ()
    companion: CompanionPolicy = field(default_factory=CompanionPolicy)
    problems: tuple[str, ...] = ()


def parse_policy_object(raw: Mapping[str, Any]) -> PolicyObject:
    """Parse a HotplugPolicy from the API; the values of the policy's fields are checked by `with_object`."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    name = text(metadata.get("name"))
    block, problems = mapping(spec.get("companion")), []
    flags = {"ignoreWorkloadUpdateMethods": False, "nudge": False}
    for flag in flags:
        value = block.get(flag)
        if isinstance(value, bool):
            flags[flag] = value
        elif value is not None:
            origin = f"spec.companion.{flag} of HotplugPolicy {name}"
            problems.append(f"{origin} is {quoted(value)}, and has no effect: write true or false")
    return PolicyObject(
        name=name,
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        written=tuple((item.name, spec[item.name]) for item in POLICY_FIELDS if spec.get(item.name) is not None),
        companion=CompanionPolicy(
            ignore_workload_update_methods=flags["ignoreWorkloadUpdateMethods"], nudge=flags["nudge"]
        ),
        problems=tuple(problems),
    )


def with_object(policy: HotplugPolicy, item: PolicyObject) -> HotplugPolicy:
    """Return the KubeVirt CR's policy with the fields that the HotplugPolicy sets, which take precedence."""
    fields = {field_.name: field_ for field_ in POLICY_FIELDS}
    written = [(fields[name], value, f"spec.{name} of HotplugPolicy {item.name}") for name, value in item.written]
    result = _apply(policy, [(*entry, entry[2]) for entry in written])
    return replace(result, problems=(*result.problems, *item.problems))


def overridden(policy: HotplugPolicy, objects: Mapping[str, Overrides]) -> HotplugPolicy:
    """Return the cluster's policy with the overrides of annotations.

    Args:
        objects: the objects whose annotations count, by kind and name (`VirtualMachine default/a`), the strongest last.
            None overrides `migration: Never` of the cluster.
    """
    fields = {item.annotation: item for item in POLICY_FIELDS}
    result = replace(policy, problems=())
    owners: dict[tuple[str, str], list[str]] = {}
    for source, overrides in objects.items():
        for override in overrides:
            owners.setdefault(override, []).append(source)
    for source, overrides in objects.items():
        where = {override: " and of ".join(reversed(owners[override])) for override in overrides}
        known = [item for item in where if item[0] in fields]
        written = [
            (fields[name], value, f"annotation {name} of {source}", f"annotation {name} of {where[name, value]}")
            for name, value in known
        ]
        result = _apply(result, written)
        valid = {item.name for item, _, origin, _ in written if result.origins.get(item.name) == origin}
        result = replace(result, overridden=result.overridden | valid)
        unknown = tuple(_unknown(item[0], where[item]) for item in where if item[0] not in fields)
        result = replace(result, problems=(*result.problems, *unknown))
    # The same value on a VM and its VMI, mostly a copy, is one mistake.
    result = replace(result, problems=tuple(dict.fromkeys(result.problems)))
    if policy.migration is MigrationPolicy.NEVER and result.migration is not MigrationPolicy.NEVER:
        return _without_leave(result, policy)
    return result


def _unknown(name: str, owners: str) -> str:
    names = [item.annotation.removeprefix(_DOMAIN) for item in POLICY_FIELDS]
    meant = get_close_matches(name.removeprefix(_DOMAIN), names, n=1, cutoff=0.7)
    remedy = f"did you mean {_DOMAIN}{meant[0]}?" if meant else f"known are {', '.join(names)}"
    return f"annotation {quoted(name)} of {owners} is unknown, and has no effect: {remedy}"


def _without_leave(result: HotplugPolicy, cluster: HotplugPolicy) -> HotplugPolicy:
    problem = (
        f"{result.origin('migration')} is {result.migration}, and has no effect: the cluster's is Never "
        f"({cluster.origin('migration')}) and holds for every VM. Take the annotation away, or ask the cluster admin"
    )
    origins = {**result.origins, "migration": cluster.origin("migration")}
    return replace(
        result,
        migration=MigrationPolicy.NEVER,
        origins=origins,
        overridden=result.overridden - {"migration"},
        problems=(*result.problems, problem),
    )


def _apply(policy: HotplugPolicy, written: Iterable[tuple[PolicyField, Any, str, str]]) -> HotplugPolicy:
    """Return the policy with the written values: field, value, where it is set, and all places that set this value."""
    values: dict[str, Any] = {}
    origins, problems = dict(policy.origins), list(policy.problems)
    for item, value, origin, everywhere in written:
        try:
            values[item.attribute] = item.read(value if isinstance(value, str) else "")
            origins[item.name] = origin
        except ValueError:
            problems.append(f"{everywhere} is {quoted(value)}, and has no effect: write {item.values}")
    return replace(policy, **values, origins=origins, problems=tuple(problems))
