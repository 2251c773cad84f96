"""The KubeVirt CRs, and the one among them that counts.

Nobody who may create a KubeVirt CR in a namespace of their own may take over the cluster's policy, so only those of
one configured namespace count. The others are kept by name, to be reported.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.store import Store
from nicplug.model.keys import KubevirtKey
from nicplug.model.kubevirt import KubevirtConfig, parse_kubevirt
from nicplug.model.metadata import mapping, text

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


class Kubevirts:
    """All KubeVirt CRs.

    Args:
        namespace: where the one that counts lies.
    """

    def __init__(self, *, namespace: str) -> None:
        self.namespace = namespace
        self.store: Store[KubevirtConfig] = Store()
        self._here: set[KubevirtKey] = set()
        self._config: KubevirtConfig | None = None

    def config(self) -> KubevirtConfig | None:
        """The one that counts: of the namespace, and of several there the oldest, so that all replicas agree."""
        return self._config

    def ignored(self) -> tuple[KubevirtConfig, ...]:
        """Those that have no effect, in the order of their names."""
        counts = self._config.key if self._config is not None else None
        return tuple(sorted((item for item in self.store if item.key != counts), key=lambda item: item.key))

    def put(self, raw: Mapping[str, Any]) -> bool:
        """Take in one; whether what counts has changed."""
        is_foreign = text(mapping(raw.get("metadata")).get("namespace")) != self.namespace
        # Of a foreign one only the name: nobody fills the memory with what has no effect.
        record = parse_kubevirt({"metadata": raw.get("metadata")} if is_foreign else raw)
        self.store.put(record)
        return self._choose(record.key)

    def remove(self, key: KubevirtKey, *, uid: str) -> bool:
        """Take in that one is gone; whether what counts has changed."""
        self.store.remove(key=key, uid=uid)
        return self._choose(key)

    def _choose(self, key: KubevirtKey) -> bool:
        """Look only at those of the namespace: anyone may make thousands elsewhere, and each is an event."""
        if key.namespace != self.namespace:
            return False
        # Also after news that no member of the record tells: the generation of the one that counts is of the last.
        self._here.add(key)
        found = [item for item in map(self.store.get, self._here) if item is not None]
        self._here = {item.key for item in found}
        before = self._config
        self._config = min(found, key=lambda item: (item.created or _FAR_FUTURE, item.key), default=None)
        return before != self._config
