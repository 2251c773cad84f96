"""Which namespaces' network attachment definitions (NADs) a VM may use: nicplug's policy, and what Multus enforces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nicplug.model.keys import AttachmentKey, ObjectKey
from nicplug.model.metadata import mapping, quoted, text
from nicplug.model.trusted_namespaces import parse_names

# What Multus enforces between namespaces when it sets up a pod, according to the ConfigMap of its daemon.
#
# Source: Multus 4 (thick plugin) `daemon-config.json` of ConfigMap `multus-daemon-config`; its documentation of
# `namespaceIsolation`. Only a ConfigMap in a trusted namespace counts: anyone may create one of that name elsewhere.

MULTUS_CONFIG_MAP = "multus-daemon-config"
MULTUS_CONFIG_FILE = "daemon-config.json"

_DEFAULT_GLOBAL_NAMESPACES = "default"
_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusIsolation:
    """What Multus enforces.

    Attributes:
        is_on: True if a pod may use only the NADs of its own namespace and of the global ones; otherwise it may use
            all.
        global_namespaces: empty unless isolation is on.
    """

    is_on: bool
    global_namespaces: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusConfig:
    """One ConfigMap.

    Attributes:
        problem: why it cannot be used; "" if it can.
    """

    key: ObjectKey
    isolation: MultusIsolation | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusFindings:
    """What all ConfigMaps together say.

    Attributes:
        isolation: None if they do not say it.
        problem: why not, for a sentence.
        origin: the source of the isolation, for a sentence.
    """

    isolation: MultusIsolation | None = None
    problem: str = "the configuration of Multus has not been read yet"
    origin: str = ""


def parse_multus_config(raw: Mapping[str, Any]) -> MultusConfig:
    """Parse the ConfigMap."""
    metadata = mapping(raw.get("metadata"))
    key = ObjectKey(text(metadata.get("namespace")), text(metadata.get("name")))
    try:
        return MultusConfig(key=key, isolation=_isolation(mapping(raw.get("data")).get(MULTUS_CONFIG_FILE)))
    except (ValueError, RecursionError) as error:
        return MultusConfig(key=key, isolation=None, problem=f"ConfigMap {key} cannot be read ({str(error)[:120]})")


def _isolation(file: Any) -> MultusIsolation:
    """Return the isolation as Multus reads it: absent is off; if it is on without a list, `default` is global.

    Raises:
        ValueError: Multus would reject it, or its effect on Multus is unclear.
    """
    if not isinstance(file, str):
        raise ValueError(f"data has no {MULTUS_CONFIG_FILE}")
    if len(file) > _LARGEST_FILE:
        raise ValueError(f"{MULTUS_CONFIG_FILE} is larger than {_LARGEST_FILE // 1024} KiB")
    config = json.loads(file)
    if not isinstance(config, dict):
        raise ValueError(f"{MULTUS_CONFIG_FILE} is not a JSON object")
    is_on, names = _member(config, "namespaceIsolation"), _member(config, "globalNamespaces")
    if is_on is not None and not isinstance(is_on, bool):
        raise ValueError("namespaceIsolation is not true or false")
    if names is not None and not isinstance(names, str):
        raise ValueError("globalNamespaces is not a text")
    if not is_on:
        return MultusIsolation(is_on=False)
    listed = (name.strip() for name in (names or _DEFAULT_GLOBAL_NAMESPACES).split(","))
    return MultusIsolation(is_on=True, global_namespaces=frozenset(name for name in listed if name))


def _member(config: Mapping[str, Any], name: str) -> Any:
    """Return a member as Go's `encoding/json` finds it: in any case.

    Raises:
        ValueError: several spellings disagree.
    """
    found = [value for key, value in config.items() if key.casefold() == name.casefold()]
    if any(value != found[0] for value in found):
        raise ValueError(f"{name} is written in several ways that disagree")
    return found[0] if found else None


def findings_of(configs: Mapping[str, MultusConfig | None], *, unreadable: frozenset[str]) -> MultusFindings:
    """Return what the ConfigMaps of the trusted namespaces say together.

    Args:
        configs: by namespace, those that have been read; None: the namespace has none.
        unreadable: namespaces in which nicplug has no permission to read it.
    """
    found = [config for _, config in sorted(configs.items()) if config is not None]
    if broken := next((config for config in found if config.isolation is None), None):
        return MultusFindings(problem=broken.problem)
    if not found:
        return MultusFindings(problem=_nothing_found(configs, unreadable))
    names = " and ".join(str(config.key) for config in found)
    origin = f"ConfigMap {names}" if len(found) == 1 else f"ConfigMaps {names}"
    if len({config.isolation for config in found}) > 1:
        return MultusFindings(problem=f"{origin} disagree")
    return MultusFindings(isolation=found[0].isolation, origin=origin, problem="")


def is_upheld(
    findings: MultusFindings, *, drawn_from: Mapping[str, MultusConfig | None], read: Mapping[str, MultusConfig | None]
) -> bool:
    """Report whether everything that has been read since agrees with a conclusion.

    Args:
        drawn_from: what the conclusion was drawn from, by namespace.
        read: the ConfigMaps of the namespaces that are trusted now, as far as they have been read.
    """
    return all(
        config == drawn_from[namespace]
        if namespace in drawn_from
        else config is None or config.isolation == findings.isolation
        for namespace, config in read.items()
    )


def _nothing_found(configs: Mapping[str, MultusConfig | None], unreadable: frozenset[str]) -> str:
    looked_at, denied = sorted(configs.keys() - unreadable), sorted(unreadable)
    if not looked_at and not denied:
        return f"no namespace is trusted, and so no ConfigMap {MULTUS_CONFIG_MAP} counts"
    shown = [f"does not exist in trusted namespaces {', '.join(looked_at)}"] if looked_at else []
    shown += [f"must not be read in {', '.join(denied)}"] if denied else []
    return f"ConfigMap {MULTUS_CONFIG_MAP} {' and '.join(shown)}"


# The cluster admin sets `nadPolicy` and `sharedNamespaces` in the KubeVirt CR. No annotation overrides them: the owner
# of a VM cannot grant it a network.

_PATH = "spec.configuration.network.hotplug"
_MOST_NAMES = 64
_NAMES_LISTED = 8
_NAMES_REMEDY = f"write a list of at most {_MOST_NAMES} names of namespaces, such as [default]"


class NadPolicy(StrEnum):
    """`nadPolicy`: which namespaces' NADs a VM may use besides those of its own."""

    MULTUS = "Multus"
    """Those that Multus itself allows when it sets up a pod."""
    SAME_NAMESPACE = "SameNamespace"
    """Those of `sharedNamespaces`."""
    ANY = "Any"


DEFAULT_NAD_POLICY = NadPolicy.MULTUS
DEFAULT_SHARED_NAMESPACES = ("default",)
_DEFAULT_ORIGIN = "the default"


@dataclass(frozen=True, slots=True, kw_only=True)
class NadRules:
    """What the cluster admin wrote.

    Attributes:
        policy: an unknown value counts as SameNamespace: a typo grants nothing.
        shared: namespaces whose NADs every VM may use, under SameNamespace.
        origin: where the policy is set, for a sentence.
        shared_origin: where `sharedNamespaces` is set.
        requester_must_read: True if a client that requests a NIC by `addinterface` needs permission to get its NAD.
        access_origin: where `requireNadAccess` is set.
        problems: invalid values, as sentences.
    """

    policy: NadPolicy = DEFAULT_NAD_POLICY
    shared: tuple[str, ...] = DEFAULT_SHARED_NAMESPACES
    origin: str = _DEFAULT_ORIGIN
    shared_origin: str = _DEFAULT_ORIGIN
    requester_must_read: bool = False
    access_origin: str = _DEFAULT_ORIGIN
    problems: tuple[str, ...] = ()

    @property
    def is_default(self) -> bool:
        """True if `nadPolicy` is not set, and `sharedNamespaces` is the default."""
        return self.origin == _DEFAULT_ORIGIN and self.shared == DEFAULT_SHARED_NAMESPACES


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentAccess:
    """The namespaces whose NADs the VMs of the cluster may use.

    Attributes:
        shared: those that every VM may use besides its own; None: all.
        rule: what determines that, for a sentence.
    """

    shared: frozenset[str] | None = frozenset(DEFAULT_SHARED_NAMESPACES)
    rule: str = "nadPolicy SameNamespace"

    def allows(self, key: AttachmentKey, *, namespace: str) -> bool:
        """Report whether a VM of `namespace` may use this NAD; never checks whether it exists."""
        return self.shared is None or key.namespace == namespace or key.namespace in self.shared

    def refusal(self, key: AttachmentKey, *, namespace: str) -> str:
        """Return why not, in a sentence that is equal for existing and missing NADs."""
        allowed = sorted({namespace, *(self.shared or ())}, key=lambda name: (name != namespace, name))
        shown = [*allowed[:_NAMES_LISTED], *(["..."] if len(allowed) > _NAMES_LISTED else [])]
        return (
            f"namespace {namespace} may not use network attachment definitions of namespace {key.namespace}, such as "
            f"{key}: {self.rule} allows those of {', '.join(shown)}"
        )


def parse_nad_rules(block: Mapping[str, Any], *, where: str) -> NadRules:
    """Parse the three fields.

    Args:
        block: `spec.configuration.network.hotplug`.
        where: the object, for sentences: `KubeVirt CR kubevirt/kubevirt`.
    """
    names = ("nadPolicy", "sharedNamespaces", "requireNadAccess")
    written = [block.get(name) for name in names]
    origins = [f"{_PATH}.{name} of {where}" for name in names]
    policy, problems = _policy(written[0], origin=origins[0])
    shared, more = _shared(written[1], origin=origins[1])
    must_read, wrong = _must_read(written[2], origin=origins[2])
    shown = [_DEFAULT_ORIGIN if value is None else name for value, name in zip(written, origins, strict=True)]
    unused = () if more else _unused(policy, shared, policy_origin=shown[0], origin=origins[1])
    return NadRules(
        policy=policy,
        shared=shared,
        origin=shown[0],
        shared_origin=shown[1],
        requester_must_read=must_read,
        access_origin=shown[2],
        problems=(*problems, *more, *unused, *wrong),
    )


def _must_read(value: Any, *, origin: str) -> tuple[bool, tuple[str, ...]]:
    if value is None or isinstance(value, bool):
        return value is True, ()
    return True, (f"{origin} is {quoted(value)}, and counts as true: write true or false",)


def _policy(value: Any, *, origin: str) -> tuple[NadPolicy, tuple[str, ...]]:
    if value is None:
        return DEFAULT_NAD_POLICY, ()
    try:
        return NadPolicy(value if isinstance(value, str) else ""), ()
    except ValueError:
        problem = f"{origin} is {quoted(value)}, and counts as SameNamespace: write Multus, SameNamespace or Any"
        return NadPolicy.SAME_NAMESPACE, (problem,)


def _shared(value: Any, *, origin: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if value is None:
        return DEFAULT_SHARED_NAMESPACES, ()
    if not isinstance(value, list):
        return (), (f"{origin} is {quoted(value)}, so no namespace is shared: {_NAMES_REMEDY}",)
    return parse_names(value, most=_MOST_NAMES, origin=origin, remedy=_NAMES_REMEDY)


def _unused(policy: NadPolicy, shared: tuple[str, ...], *, policy_origin: str, origin: str) -> tuple[str, ...]:
    """Return why `sharedNamespaces` has no effect, as a sentence; the default needs none."""
    if policy is NadPolicy.SAME_NAMESPACE or shared == DEFAULT_SHARED_NAMESPACES:
        return ()
    unless = " unless Multus's configuration cannot be read" if policy is NadPolicy.MULTUS else ""
    return (
        f"{origin} has no effect under nadPolicy {policy} ({policy_origin}){unless}: "
        "set nadPolicy to SameNamespace, or remove sharedNamespaces",
    )


def attachment_access(rules: NadRules, multus: MultusFindings) -> AttachmentAccess:
    """Combine the admin's rules with what is known about Multus."""
    match rules.policy:
        case NadPolicy.ANY:
            return AttachmentAccess(shared=None, rule=f"nadPolicy Any ({rules.origin})")
        case NadPolicy.SAME_NAMESPACE:
            return AttachmentAccess(shared=frozenset(rules.shared), rule=f"nadPolicy SameNamespace ({rules.origin})")
        case NadPolicy.MULTUS:
            return _as_multus(rules, multus)


def _as_multus(rules: NadRules, multus: MultusFindings) -> AttachmentAccess:
    isolation = multus.isolation
    if isolation is None:
        rule = f"nadPolicy Multus ({rules.origin}), which counts as SameNamespace, as {multus.problem},"
        return AttachmentAccess(shared=frozenset(rules.shared), rule=rule)
    rule = f"nadPolicy Multus ({rules.origin}), with the isolation of {multus.origin},"
    shared = isolation.global_namespaces if isolation.is_on else None
    return AttachmentAccess(shared=shared, rule=rule)
