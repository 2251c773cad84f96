"""The pod that a VMI moves to: its launcher pod, rendered anew from the present spec, on another node.

Source: KubeVirt 1.9 `migration.go` (`createTargetPod`), `services/template.go` (`RenderMigrationManifest`).
"""

from collections.abc import Mapping
from typing import Any

from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.names import (
    CREATED_BY_LABEL,
    MIGRATION_JOB_LABEL,
    MIGRATION_JOB_NAME_ANNOTATION,
)
from nicplug.model.networks_annotation import Element
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Create, Kind
from nicplug.plan.migration.facts import gather_facts
from nicplug.plan.migration.given_up import nics_not_brought, with_networks_that_work
from nicplug.plan.migration.placement import target_selector
from nicplug.plan.migration.target_networks import as_it_moves, unusable_networks
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.launcher_pod import create_launcher_pod, free_pod_key
from nicplug.plan.vmi.own_pods import next_target_key, taken_names
from nicplug.plan.vmi.pod_networks import elements_at_birth

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def create_target_pod(view: MigrationView, vmi: VirtualMachineInstance) -> Create:
    """The POST of the target pod; its name follows from the uids of VMI and migration."""
    migration = view.migration
    vmi, left_out = _with_its_networks(view, vmi)
    launcher = create_launcher_pod(
        vmi=vmi,
        settings=view.settings,
        config=view.config,
        attachments=view.attachments,
        left_out=left_out,
    )
    first = next_target_key(vmi, view.migrations, migration_uid=migration.uid)
    key = free_pod_key(vmi, first, migration_uid=migration.uid, taken=taken_names(view), salt=view.settings.name_salt)
    body: dict[str, Any] = thaw(launcher.body)
    metadata, spec = body["metadata"], body["spec"]
    metadata["name"] = key.name
    metadata["labels"][MIGRATION_JOB_LABEL] = migration.uid
    metadata["annotations"][MIGRATION_JOB_NAME_ANNOTATION] = migration.key.name
    spec["affinity"] = _away_from_source(mapping(spec.get("affinity")), vmi_uid=vmi.uid)
    if selector := target_selector(view, vmi):
        spec["nodeSelector"] = selector
    return Create(kind=Kind.POD, key=key, owner_uid=launcher.owner_uid, body=freeze(body), made_for=migration.uid)


def elements_to_ask_for(view: MigrationView, vmi: VirtualMachineInstance) -> Mapping[str, Element]:
    """What a target pod that is made now asks Multus for, by pod interface."""
    vmi, left_out = _with_its_networks(view, vmi)
    return {text(item.get("interface")): item for item in elements_at_birth(vmi, config=view.config, left_out=left_out)}


def _with_its_networks(
    view: MigrationView, vmi: VirtualMachineInstance
) -> tuple[VirtualMachineInstance, frozenset[str]]:
    """The VMI as it moves, and the networks that the pod is made without."""
    vmi = with_networks_that_work(vmi, view.migration, source=gather_facts(view).source)
    left_out = nics_not_brought(view, vmi) | unusable_networks(vmi, known=view.attachments).keys()
    return as_it_moves(vmi), left_out


def _away_from_source(affinity: Mapping[str, Any], *, vmi_uid: str) -> dict[str, Any]:
    """Never on the node of another pod of the VMI: beside what its owner asks for."""
    term = {
        "labelSelector": {"matchLabels": {CREATED_BY_LABEL: vmi_uid}},
        "topologyKey": "kubernetes.io/hostname",
    }
    apart = mapping(affinity.get("podAntiAffinity"))
    return {**affinity, "podAntiAffinity": {**apart, _REQUIRED: [*sequence(apart.get(_REQUIRED)), term]}}
