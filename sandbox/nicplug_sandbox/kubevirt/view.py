"""What a controller may look at: a cache of the API that may lag behind it. Pure."""

from typing import Literal, Protocol

from nicplug_sandbox.kubevirt.objects import Json, name_of, namespace_of
from nicplug_sandbox.kubevirt.settings import ClusterSettings, read_settings
from nicplug_sandbox.kubevirt.writes import Kind

Key = tuple[str, str]
"""Namespace, "" for nodes, and name."""
Queue = Literal["vm", "vmi", "migration", "workload-updater", "evacuation"]


class Cache(Protocol):
    """The objects as the watches have delivered them."""

    def get(self, kind: Kind, key: Key) -> Json | None:
        """One object."""

    def all(self, kind: Kind) -> list[Json]:
        """Every object of a kind."""

    def launchers(self, uid: str) -> list[Json]:
        """The launcher pods that are labelled as of the VMI of that uid."""


def key_of(obj: Json) -> Key:
    """The key of an object."""
    return namespace_of(obj), name_of(obj)


def vmi_key(migration: Json) -> Key:
    """The key of the VMI that a migration is of."""
    return namespace_of(migration), (migration.get("spec") or {}).get("vmiName") or ""


def migrations_of(cache: Cache, vmi: Json) -> list[Json]:
    """The migrations of a VMI."""
    key = key_of(vmi)
    return [item for item in cache.all("VirtualMachineInstanceMigration") if vmi_key(item) == key]


def settings_in(cache: Cache) -> ClusterSettings:
    """What the KubeVirt CR says now."""
    return read_settings(next(iter(cache.all("KubeVirt")), None))
