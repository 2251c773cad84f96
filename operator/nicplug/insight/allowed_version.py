"""Reads beside which newer KubeVirt the operator may act: its own setting, which the leader publishes on its Lease."""

from nicplug.insight.evidence import Evidence, Unknown
from nicplug.kube.api import KubeApi
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import LEASES
from nicplug.model.kubevirt_versions import remedy_for
from nicplug.model.metadata import mapping, text
from nicplug.model.rivals import NICPLUG_LEASE
from nicplug.model.versions import ALLOWED_KUBEVIRT_ANNOTATION


async def read_allowed_version(api: KubeApi, found: Evidence) -> None:
    """Complete the evidence; reads nothing beside a KubeVirt that the setting does not concern.

    The Lease rather than the Deployment: it has the value of the process that works, wherever that runs and however it
    was configured.

    Raises:
        ApiError: the Lease cannot be read; a missing permission or Lease is part of the result instead.
    """
    config, target = found.caches.config(), found.target
    found.allowed_version = target.allowed_version
    if config is None or not remedy_for(config.observed_version):
        return
    try:
        lease = await api.get(LEASES, name=NICPLUG_LEASE, namespace=target.operator_namespace)
    except Gone:
        return
    except Denied as error:
        if not target.allowed_version:
            found.unknown.append(
                Unknown(
                    kind=LEASES.plural,
                    why=str(error),
                    remedy=(
                        f"nicplug may have been allowed to act beside KubeVirt {config.observed_version}; if so, give "
                        "--allow-kubevirt-version as the operator has it"
                    ),
                    is_denied=True,
                    namespace=target.operator_namespace,
                )
            )
        return
    annotations = mapping(mapping(lease.get("metadata")).get("annotations"))
    if ALLOWED_KUBEVIRT_ANNOTATION in annotations:
        found.allowed_version = text(annotations[ALLOWED_KUBEVIRT_ANNOTATION])
