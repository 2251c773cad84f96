"""Executes one action against the API server; the response is handled like a watch event.

The body of a 2xx goes into the caches at once, so that the next plan never acts on a state before our own write.
Decides nothing: guards are in the actions, retries in the worker.
"""

from dataclasses import dataclass
from typing import Protocol

import structlog

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.elided import ELIDED, has_elided
from nicplug.kube.api import Json, KubeApi, Resource
from nicplug.kube.errors import AlreadyExists, Gone, Rejected, Stale
from nicplug.kube.resources import (
    CONTROLLER_REVISIONS,
    INTERFACE_REPORTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import DisruptionBudgetKey, ObjectKey, PodKey, VmiKey, WorkKey
from nicplug.model.metadata import controller_reference, mapping, text
from nicplug.model.names import NODE_NAME_LABEL
from nicplug.model.pod import parse_pod
from nicplug.plan.actions import (
    Action,
    CheckNics,
    ConfirmPod,
    Create,
    Delete,
    FindPod,
    Kind,
    Patch,
    PatchAnnotations,
    PatchInterfaces,
    PatchLabels,
    PatchMigrationState,
    PatchNetworksAnnotation,
    PatchSpec,
)
from nicplug.plan.reasons import Reason
from nicplug.reconcile.large_objects import Expander

log = structlog.get_logger(__name__)

_RESOURCES: dict[Kind, Resource] = {
    Kind.VM: VIRTUAL_MACHINES,
    Kind.VMI: VIRTUAL_MACHINE_INSTANCES,
    Kind.MIGRATION: VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    Kind.POD: PODS,
    Kind.REVISION: CONTROLLER_REVISIONS,
    Kind.BUDGET: POD_DISRUPTION_BUDGETS,
    Kind.REPORT: INTERFACE_REPORTS,
}


class OnDirty(Protocol):
    """Takes keys to reconcile."""

    def __call__(self, keys: list[WorkKey], /, *, by: WorkKey | None = None) -> None:
        """Enqueue the keys; `by` is the key whose pass has changed them by a write."""
        ...


@dataclass(frozen=True, slots=True)
class Executor:
    """Sends actions.

    Attributes:
        on_dirty: called with the keys to reconcile after a response.
        expander: sends writes that contain marks; None if there are never any.
    """

    api: KubeApi
    caches: Caches
    on_dirty: OnDirty
    expander: Expander | None = None

    async def execute(self, action: Action, *, by: WorkKey) -> None:
        """Send one action.

        Raises:
            TurnTaken: a large object must wait for its turn; nothing has been done.
            ApiError: any class of `kube.errors`; the action may be sent again, as all actions are idempotent.
        """
        match action:
            case Create():
                await self._create(action, by)
            case Delete():
                await self._delete(action, by)
            case ConfirmPod():
                await self._confirm_pod(action)
            case FindPod():
                await self._find_pod(action)
            case CheckNics() if self._is_large(action.key):
                await self._check_nics(action)
            case _:
                await self._patch(action, by)
        _log_effect(by, action)

    async def _create(self, action: Create, by: WorkKey) -> None:
        resource = _RESOURCES[action.kind]
        namespace, name, was_read = action.key.namespace, action.key.name, False
        try:
            # A search in the text usually decides.
            if ELIDED in action.body and has_elided(thaw(action.body)):
                answer = await self._expanding().create(action, resource, by=by)
            else:
                answer = await self.api.create(resource, thaw(action.body), namespace=namespace)
        except AlreadyExists as error:
            answer, was_read = await self.api.get(resource, name=name, namespace=namespace), True
            if action.kind is Kind.POD:
                self._find_namesake(action, answer, error)
                return
            owner = controller_reference(mapping(answer.get("metadata")))
            if owner is None or owner.uid != action.owner_uid:
                self._observe(action.kind, answer, was_read=True)
                message = f'{resource.kind} "{action.key}" exists and belongs to somebody else: delete or rename it'
                raise Rejected(message, status=409, reason=Reason.NAME_TAKEN) from error
        if action.kind is Kind.POD:
            self.caches.launchers.note_made(answer, vmi_uid=action.owner_uid, migration_uid=action.made_for)
        self._observe(action.kind, answer, by=by, was_read=was_read)

    def _expanding(self) -> Expander:
        if self.expander is None:
            raise RuntimeError("nothing here can send what has marks for what is too large")
        return self.expander

    def _find_namesake(self, action: Create, answer: Json, error: AlreadyExists) -> None:
        """Store our own pod of that name, which was missed because it lost its label; else another name is needed.

        Raises:
            Stale: the pod is not ours, or its owner is unknown.
        """
        metadata = mapping(answer.get("metadata"))
        owner, uid = controller_reference(metadata), text(metadata.get("uid"))
        if owner is not None and self.caches.launchers.is_owned(answer, vmi_uid=action.owner_uid):
            self.on_dirty(self.caches.launchers.put(parse_pod(answer), lives=True))
            if self.caches.launchers.is_own(uid, vmi=VmiKey(action.key.namespace, owner.name)):
                return
        else:  # the caches hold owned pods, and observe their deletion
            key = PodKey(action.key.namespace, action.key.name)
            self.caches.launchers.made.note_taken(key, needed_by=action.made_for or action.owner_uid)
        message = f'a pod "{action.key}" exists that nicplug has not made'
        raise Stale(message, status=409, reason=error.reason, request=error.request) from error

    async def _delete(self, action: Delete, by: WorkKey) -> None:
        resource = _RESOURCES[action.kind]
        namespace, name = action.key.namespace, action.key.name
        if action.unrecorded_of:  # before the request is sent: the response may get lost
            self.caches.launchers.made.note_discarded(action.uid, vmi_uid=action.unrecorded_of)
        try:
            answer = await self.api.delete(
                resource, name=name, namespace=namespace, uid=action.uid, version=action.version
            )
        except Gone:
            self.on_dirty(self._forget(action))
            return
        # The response is the object if it is a pod or has finalizers, or a Status if it is already deleted.
        if mapping(answer.get("metadata")).get("uid") == action.uid:
            self._observe(action.kind, answer, by=by)

    async def _confirm_pod(self, action: ConfirmPod) -> None:
        """Read the VMI's pods: store one that the watch missed, or record that the VMI has no pod."""
        alive: list[PodKey] = []
        for key in action.keys:
            was_in_sight = self.caches.launchers.store.get(key) is not None
            if not await self._finds_pod(key, action):
                continue
            if not was_in_sight:
                self.on_dirty([action.owner])
                return
            alive.append(key)
        # A pod that was stored is no news; but an event may have removed it since, because it lost its label.
        if all(self.caches.launchers.store.get(key) is not None for key in alive):
            self.on_dirty(self.caches.launchers.confirm_podless(action.owner, uid=action.owner_uid))
        else:
            self.on_dirty([action.owner])

    async def _finds_pod(self, key: PodKey, action: ConfirmPod) -> bool:
        """Report whether the VMI has a pod of that name; stores the pod."""
        if (answer := await self._read_pod(key)) is None:
            return False
        owner = controller_reference(mapping(answer.get("metadata")))
        if owner is None or owner.uid == action.owner_uid:
            self.on_dirty(self.caches.launchers.put(parse_pod(answer), lives=True))
        return owner is not None and owner.uid == action.owner_uid and _is_one_of(action.uids, answer)

    async def _find_pod(self, action: FindPod) -> None:
        """Read the pod: store it, or record that it is gone, also if the pod of that name is not the VMI's."""
        answer = await self._read_pod(action.key)
        if answer is not None and self.caches.launchers.is_owned(answer, vmi_uid=action.owner_uid):
            self.on_dirty([*self.caches.launchers.put(parse_pod(answer), lives=True), action.migration])
            if _is_one_of(action.uids, answer):
                return
        gone = self.caches.launchers.confirm_gone(action.key, migration=action.migration, uid=action.migration_uid)
        self.on_dirty(gone)

    async def _read_pod(self, key: PodKey) -> Json | None:
        """Read a pod; None if there is none, which the caches then know."""
        known = self.caches.launchers.store.get(key)
        try:
            return await self.api.get(PODS, name=key.name, namespace=key.namespace)
        except Gone:
            if known is not None:
                self.on_dirty(self.caches.forget_uid(CachedKind.POD, key=key, uid=known.uid))
            return None

    async def _patch(self, action: Patch, by: WorkKey) -> None:
        resource = _RESOURCES[action.kind]
        namespace, name = action.key.namespace, action.key.name
        operations = list(action.json_patch())
        try:
            if has_elided(operations):
                answer = await self._expanding().patch(action, operations, resource, by=by)
            else:
                answer = await self.api.patch(
                    resource, operations, name=name, namespace=namespace, subresource=action.subresource
                )
        except Gone:
            await self._confirm_gone(action)
            raise
        self._observe(action.kind, answer, by=by)

    def _is_large(self, key: ObjectKey) -> bool:
        vmi = self.caches.vmis.get(VmiKey(key.namespace, key.name))
        return vmi is not None and vmi.stored_bytes > 0

    async def _check_nics(self, action: CheckNics) -> None:
        """Check by a read: for a megabyte, it takes the API server a tenth of the time of a patch."""
        answer = await self._read_again(action)
        self._observe(action.kind, answer)
        if not action.fits(answer):
            raise Stale(f"{_RESOURCES[action.kind].plural} {action.key} has changed since it was looked at", status=409)

    async def _confirm_gone(self, action: Patch) -> None:
        """Forget a deleted object at once; raises Rejected if only the subresource is missing, due to a wrong CRD."""
        resource = _RESOURCES[action.kind]
        try:
            answer = await self._read_again(action)
        except Gone:
            return
        self._observe(action.kind, answer, was_read=True)
        if action.subresource and mapping(answer.get("metadata")).get("uid") == action.uid:
            message = (
                f"{resource.plural}.{resource.group} has no subresource {action.subresource}: kubectl apply -f crds/"
            )
            raise Rejected(message, status=404)

    async def _read_again(self, action: Patch) -> Json:
        """Read the object that a patch is for; forgets a deleted one, and raises Gone."""
        try:
            return await self.api.get(_RESOURCES[action.kind], name=action.key.name, namespace=action.key.namespace)
        except Gone:
            self.on_dirty(self._forget(action))
            raise

    def _observe(self, kind: Kind, answer: Json, *, by: WorkKey | None = None, was_read: bool = False) -> None:
        if kind is Kind.BUDGET:
            self.on_dirty(self.caches.budgets.observe(answer, lives=was_read), by=by)
        else:
            self.on_dirty(self.caches.observe(CachedKind(kind.value), answer), by=by)

    def _forget(self, action: Delete | Patch) -> list[WorkKey]:
        """Remove a deleted object from the caches; returns the keys to reconcile."""
        match action.key:
            case DisruptionBudgetKey() as key:
                return self.caches.budgets.forget(key, uid=action.uid)
            case key:
                return self.caches.forget_uid(CachedKind(action.kind.value), key=key, uid=action.uid)


def _is_one_of(uids: frozenset[str] | None, answer: Json) -> bool:
    return uids is None or text(mapping(answer.get("metadata")).get("uid")) in uids


def _log_effect(key: WorkKey, action: Action) -> None:
    """Log changes to a VM at INFO, reports at DEBUG."""
    match action:
        case Create() | Delete():
            log.info(f"{type(action).__name__.lower()}d", kind=action.kind.value, object=str(action.key), key=str(key))
        case PatchNetworksAnnotation():
            log.info("networks annotation patched", vmi=str(key), pod=str(action.key))
        case PatchInterfaces():
            log.info("interfaces patched", kind=action.kind.value, object=str(action.key))
        case PatchSpec(kind=Kind.VM):
            log.info("run strategy set as requested", vm=str(action.key), wanted=action.wanted)
        case PatchSpec():
            log.info("placement patched", vmi=str(key))
        case ConfirmPod():
            log.info("launcher pod looked for", vmi=str(key), pod=str(action.key))
        case PatchMigrationState():
            log.info(f"migration: {action.step.value}", vmi=str(action.key), migration=str(key))
        case PatchLabels() | PatchAnnotations():
            _log_metadata(key, action)
        case _:
            log.debug("patched", kind=action.kind.value, object=str(action.key), what=type(action).__name__)


def _log_metadata(key: WorkKey, action: PatchLabels | PatchAnnotations) -> None:
    wanted = thaw(action.wanted)
    if isinstance(action, PatchLabels) and action.kind is Kind.POD:
        log.info("labels of the launcher pod restored", vmi=str(key), pod=str(action.key))
    elif NODE_NAME_LABEL in wanted:
        log.info("launcher pod ready", vmi=str(key), node=wanted[NODE_NAME_LABEL])
    else:
        what, names = type(action).__name__, ", ".join(wanted)
        log.debug("patched", kind=action.kind.value, object=str(action.key), what=what, names=names)
