"""Cache of the KubeVirt CRs, and the choice of the effective one, with the values of the HotplugPolicy.

A user who can create a KubeVirt CR in a namespace of their own must not take over the cluster's policy, so only CRs in
one configured namespace have an effect. The others are stored by name, to be reported.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.nodes import ignore_change
from nicplug.cache.policies import HotplugPolicies
from nicplug.cache.store import Store
from nicplug.model.hotplug_policy import CompanionPolicy
from nicplug.model.keys import KubevirtKey
from nicplug.model.kubevirt import KubevirtConfig, governed, parse_kubevirt
from nicplug.model.metadata import mapping, text

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


class Kubevirts:
    """All KubeVirt CRs.

    Args:
        namespace: namespace of the effective CR.

    Attributes:
        policies: the HotplugPolicy, whose values take precedence over those of the effective CR.
        on_policy: called when the HotplugPolicy has changed the effective configuration.
    """

    def __init__(self, *, namespace: str) -> None:
        self.namespace = namespace
        self.store: Store[KubevirtConfig] = Store()
        self._here: set[KubevirtKey] = set()
        self._config: KubevirtConfig | None = None
        self.policies = HotplugPolicies(on_change=self._policy_changed)
        self.on_policy: Callable[[], None] = ignore_change

    def config(self) -> KubevirtConfig | None:
        """Return the effective CR, the oldest in the namespace, so that all replicas agree; with the HotplugPolicy."""
        return self._config

    def companion(self) -> CompanionPolicy:
        """Return what nicplug may do in companion mode."""
        return self._config.companion if self._config is not None else CompanionPolicy()

    def ignored(self) -> tuple[KubevirtConfig, ...]:
        """Return the CRs without effect, sorted by name."""
        counts = self._config.key if self._config is not None else None
        return tuple(sorted((item for item in self.store if item.key != counts), key=lambda item: item.key))

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Store a CR; returns True if the effective configuration has changed."""
        is_foreign = text(mapping(raw.get("metadata")).get("namespace")) != self.namespace
        # Of a CR in another namespace only the name is stored: objects without effect must not fill the memory.
        record = parse_kubevirt({"metadata": raw.get("metadata")} if is_foreign else raw)
        self.store.put(record)
        return self._choose(record.key)

    def remove(self, key: KubevirtKey, *, uid: str) -> bool:
        """Remove a deleted CR; returns True if the effective configuration has changed."""
        self.store.remove(key=key, uid=uid)
        return self._choose(key)

    def _choose(self, key: KubevirtKey) -> bool:
        """Choose among the CRs in the namespace only: users may create thousands elsewhere, and each is an event."""
        if key.namespace != self.namespace:
            return False
        # Also for changes that no other field of the record shows: the generation is that of the last version.
        self._here.add(key)
        return self._choose_again()

    def _choose_again(self) -> bool:
        found = [item for item in map(self.store.get, self._here) if item is not None]
        self._here = {item.key for item in found}
        before, policy = self._config, self.policies.current
        chosen = min(found, key=lambda item: (item.created or _FAR_FUTURE, item.key), default=None)
        self._config = governed(chosen, policy) if chosen is not None and policy is not None else chosen
        return before != self._config

    def _policy_changed(self) -> None:
        if self._choose_again():
            self.on_policy()
