"""The namespaces whose DaemonSets and ConfigMaps count as written by the cluster admin.

A name, an image or labels prove nothing: anyone may choose them. A namespace does prove something if no tenant may
create objects in it. The cluster admin defines which namespaces those are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nicplug.model.metadata import quoted

TRUSTED_NAMESPACES_FIELD = "spec.configuration.network.hotplug.trustedNamespaces"

DEFAULT_TRUSTED_NAMESPACES = (
    # The manifests of Multus and of the dynamic networks controller, k3s, RKE2, Harvester and Talos.
    "kube-system",
    # Cluster Network Addons Operator; alone, and with the HyperConverged operator upstream and in OpenShift.
    "cluster-network-addons",
    "kubevirt-hyperconverged",
    "openshift-cnv",
    # OpenShift's own Multus.
    "openshift-multus",
)

MOST_TRUSTED = 32
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REMEDY = f"write a list of at most {MOST_TRUSTED} names of namespaces, such as [kube-system]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedNamespaces:
    """`trustedNamespaces` of the policy.

    Attributes:
        names: in the order in which they are written.
        is_default: True if the field is not set.
        problems: values that have no effect, as sentences.
    """

    names: tuple[str, ...] = DEFAULT_TRUSTED_NAMESPACES
    is_default: bool = True
    problems: tuple[str, ...] = ()


def parse_trusted_namespaces(value: Any, *, where: str) -> TrustedNamespaces:
    """Parse the field; absent means the default, a list means exactly its names, even if it is empty.

    An invalid name has no effect, and does not restore the default: the admin meant to choose.

    Args:
        where: the object, for sentences: `KubeVirt CR kubevirt/kubevirt`.
    """
    if value is None:
        return TrustedNamespaces()
    origin = f"{TRUSTED_NAMESPACES_FIELD} of {where}"
    if not isinstance(value, list):
        problem = f"{origin} is {quoted(value)}, and has no effect: {_REMEDY}"
        return TrustedNamespaces(problems=(problem,))
    names, problems = parse_names(value, most=MOST_TRUSTED, origin=origin, remedy=_REMEDY)
    return TrustedNamespaces(names=names, is_default=False, problems=problems)


def parse_names(
    value: Sequence[Any], *, most: int, origin: str, remedy: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of namespaces in a list, and a sentence for each entry that has no effect."""
    listed = value[:most]
    wrong = [item for item in listed if not _is_name(item)]
    problems = [f"{origin} lists {quoted(item)}, which has no effect: {remedy}" for item in wrong]
    if len(value) > most:
        problems.append(f"{origin} lists {len(value)} names, of which only the first {most} count: {remedy}")
    return tuple(dict.fromkeys(item for item in listed if _is_name(item))), tuple(problems)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
