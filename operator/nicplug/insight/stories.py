"""Reads the events for the stories of a VM's NICs, and composes these."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.insight.companion import gatherer_of
from nicplug.insight.evidence import Evidence, Unknown
from nicplug.insight.forecast import forecast
from nicplug.insight.held_requests import held_requests
from nicplug.insight.nics import describe
from nicplug.insight.outdated import outdated_of
from nicplug.insight.requested_nics import with_requests
from nicplug.insight.story import Story, compose_story
from nicplug.insight.who_does_what import VIRT_CONTROLLER, kubevirts_part, nicplugs_part
from nicplug.kube.api import KubeApi
from nicplug.kube.errors import Denied
from nicplug.kube.resources import CORE_EVENTS
from nicplug.model.keys import VmiKey
from nicplug.model.metadata import objects
from nicplug.model.mode import Mode
from nicplug.plan.reasons import Reason

_MOST_EVENTS = 500
_MOST_OBJECTS = 20


class NoSuchNic(LookupError):
    """The VM has no NIC of that name.

    Attributes:
        known: the names of its NICs, as a text.
    """

    def __init__(self, message: str, *, known: str) -> None:
        super().__init__(message)
        self.known = known


async def read_stories(api: KubeApi, evidence: Evidence, name: str, *, now: datetime) -> list[Story]:
    """Return the story of one NIC; without a name, that of each NIC that is not ready.

    Raises:
        NoSuchNic: the VM has none of that name.
        ApiError: events cannot be read, for another reason than a missing permission.
    """
    vmi, target = evidence.parsed_vmi, evidence.target
    described = describe(namespace=target.namespace, name=target.name, vm=evidence.parsed_vm, vmi=vmi, now=now)
    nics = with_requests(described.nics, evidence.parsed_vm, held_by=held_requests(evidence))
    chosen = [nic for nic in nics if (nic.name == name if name else not nic.is_ready)]
    if name and not chosen:
        known = ", ".join(nic.name for nic in described.nics) or "none"
        raise NoSuchNic(f'VM {target.name} has no NIC "{name}"', known=known)
    migrations = evidence.caches.migrations_of(VmiKey(target.namespace, target.name))
    pods = evidence.caches.launchers.of(vmi) if vmi is not None else ()
    # Newest migrations first: the events of old ones matter least, and the number of objects is limited.
    names = [target.name, *(pod.key.name for pod in pods), *(item.key.name for item in reversed(migrations))]
    events = await _events(api, evidence, list(dict.fromkeys(names))[:_MOST_OBJECTS])
    records = vmi.status.records(now=now) if vmi is not None else {}
    outdated = outdated_of(evidence, now=now)
    foreseen = forecast(evidence, changed=None, now=now)
    forecasts = foreseen.by_name
    on_node = [pod.key.name for pod in pods if vmi is not None and pod.node_name == vmi.node_name]
    if not on_node and described.start_problem is not None:
        on_node = [pod.key.name for pod in pods]
    stories = [
        compose_story(
            nic=nic,
            record=records.get(nic.name),
            vmi=vmi,
            pod=on_node[0] if on_node else "",
            migrations=migrations,
            events=events,
            forecast=forecasts.get(nic.name),
            next_reconcile_at=foreseen.again_at,
            restart=described.restart_of(nic),
            policy=foreseen.policy,
            problem=described.start_problem,
            outdated=outdated.get(nic.name),
            now=now,
        )
        for nic in chosen
    ]
    return [_with_parts(story, evidence, now=now) for story in stories] if evidence.mode is Mode.COMPANION else stories


def _with_parts(story: Story, evidence: Evidence, *, now: datetime) -> Story:
    """Add who does what beside KubeVirt; until there is a record, the next move is virt-controller's."""
    key = VmiKey(evidence.target.namespace, evidence.target.name)
    view = gatherer_of(evidence).vmi_view(key)
    if view is None:
        return story
    migrations, nic = evidence.caches.migrations_of(key), story.nic
    kubevirt = kubevirts_part(nic, view, migrations=migrations, now=now)
    is_next = bool(kubevirt) and (not nic.reason or nic.reason == Reason.VIRT_CONTROLLER_SILENT)
    return replace(
        story,
        waits_for=VIRT_CONTROLLER if is_next else story.waits_for,
        kubevirt=kubevirt,
        nicplug=nicplugs_part(nic, view, migrations=migrations, now=now),
    )


async def _events(api: KubeApi, evidence: Evidence, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the events about the VM, its VMI, pods and migrations; none without permission to read them."""
    asking = [
        api.list(
            CORE_EVENTS,
            namespace=evidence.target.namespace,
            field_selector=f"involvedObject.name={name}",
            limit=_MOST_EVENTS,
        )
        for name in names
    ]
    try:
        pages = await asyncio.gather(*asking)
    except Denied as error:
        remedy = "the story has no events; the record has what matters"
        evidence.unknown.append(Unknown(kind="events", why=str(error), remedy=remedy, is_denied=True))
        return []
    return [event for page in pages for event in objects(page.get("items"))]
