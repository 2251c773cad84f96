"""What Multus enforces between namespaces when it makes a pod, as the ConfigMap of its daemon says.

Source: Multus 4 (thick plugin) `daemon-config.json` of ConfigMap `multus-daemon-config`; its documentation of
`namespaceIsolation`. The ConfigMap counts in trusted namespaces alone: anyone may give another one that name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import mapping, text

MULTUS_CONFIG_MAP = "multus-daemon-config"
MULTUS_CONFIG_FILE = "daemon-config.json"

_DEFAULT_GLOBAL_NAMESPACES = "default"
_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusIsolation:
    """What Multus enforces.

    Attributes:
        is_on: a pod may use the NADs of its own namespace and of those that are global; off: all.
        global_namespaces: only where it is on.
    """

    is_on: bool
    global_namespaces: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusConfig:
    """One ConfigMap.

    Attributes:
        problem: why it tells nothing; "" when it does.
    """

    key: ObjectKey
    isolation: MultusIsolation | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultusFindings:
    """What all ConfigMaps together say.

    Attributes:
        isolation: None when they do not say it.
        problem: why not, for a sentence.
        origin: who says it, for a sentence.
    """

    isolation: MultusIsolation | None = None
    problem: str = "the configuration of Multus has not been read yet"
    origin: str = ""


def parse_multus_config(raw: Mapping[str, Any]) -> MultusConfig:
    """Read the ConfigMap."""
    metadata = mapping(raw.get("metadata"))
    key = ObjectKey(text(metadata.get("namespace")), text(metadata.get("name")))
    try:
        return MultusConfig(key=key, isolation=_isolation(mapping(raw.get("data")).get(MULTUS_CONFIG_FILE)))
    except (ValueError, RecursionError) as error:
        return MultusConfig(key=key, isolation=None, problem=f"ConfigMap {key} cannot be read ({str(error)[:120]})")


def _isolation(file: Any) -> MultusIsolation:
    """As Multus reads it: absent is off, and with it on and no list, `default` is global.

    Raises:
        ValueError: Multus would not take it, or it cannot be told what Multus makes of it.
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
    """A member as Go's `encoding/json` finds it: whatever the case of its name.

    Raises:
        ValueError: it is written in several ways that disagree.
    """
    found = [value for key, value in config.items() if key.casefold() == name.casefold()]
    if any(value != found[0] for value in found):
        raise ValueError(f"{name} is written in several ways that disagree")
    return found[0] if found else None


def findings_of(configs: Mapping[str, MultusConfig | None], *, unreadable: frozenset[str]) -> MultusFindings:
    """What the ConfigMaps of the trusted namespaces say together.

    Args:
        configs: by namespace, of those that have been looked at; None: there is none.
        unreadable: namespaces that must not be read.
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
    """Whether nothing that has been read since contradicts a conclusion.

    Args:
        drawn_from: what the conclusion was drawn from, by namespace.
        read: what the namespaces that are trusted now say, as far as they have been read.
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
    told = [f"does not exist in trusted namespaces {', '.join(looked_at)}"] if looked_at else []
    told += [f"must not be read in {', '.join(denied)}"] if denied else []
    return f"ConfigMap {MULTUS_CONFIG_MAP} {' and '.join(told)}"
