"""Optional watches of the kinds that nicplug follows if it can: selectors, and the remedy if they cannot be read."""

from typing import Any

from nicplug.cache.dynamic_controllers import NamespaceDaemonSets
from nicplug.cache.optional_watch import OptionalWatch, Sink
from nicplug.kube.api import WatchingApi
from nicplug.kube.resources import (
    CONFIG_MAPS,
    CORE_EVENTS,
    DAEMON_SETS,
    HOTPLUG_POLICIES,
    NETWORK_ATTACHMENT_DEFINITIONS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
)
from nicplug.model.dynamic_controller import DaemonSet
from nicplug.model.hotplug_policy import POLICY_NAME
from nicplug.model.nad_policy import MULTUS_CONFIG_MAP
from nicplug.model.names import MANAGED_BY, MANAGED_BY_LABEL
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, FAILED_SANDBOX

_RIGHT = "right to list and watch"


def watch_attachments(api: WatchingApi, *, sink: Sink[Any]) -> OptionalWatch:
    """Watch all network attachment definitions."""
    return OptionalWatch(
        api=api,
        resource=NETWORK_ATTACHMENT_DEFINITIONS,
        sink=sink,
        not_served="install Multus and its CRD; it is noticed without a restart",
        missing_right=f"{_RIGHT} network-attachment-definitions; until then every network counts as existing",
    )


def watch_pod_failures(api: WatchingApi, *, sink: Sink[Any]) -> tuple[OptionalWatch, ...]:
    """Watch failure events of the dynamic networks controller and of kubelets, selected by the server."""
    return tuple(
        OptionalWatch(
            api=api,
            resource=CORE_EVENTS,
            sink=sink,
            not_served="this API server serves no events; records quote none",
            missing_right=f"{_RIGHT} events; until then nobody quotes why a NIC or a launcher pod fails",
            field_selector=f"involvedObject.kind=Pod,reason={reason}",
        )
        for reason in (FAILED_ADDING, FAILED_REMOVING, FAILED_SANDBOX)
    )


def watch_policy(api: WatchingApi, *, sink: Sink[Any]) -> OptionalWatch:
    """Watch the HotplugPolicy that has an effect, by name."""
    doubt = "until then the KubeVirt CR alone has the policy"
    return OptionalWatch(
        api=api,
        resource=HOTPLUG_POLICIES,
        sink=sink,
        not_served=f"kubectl apply -f crds/nicplug.io/; {doubt}",
        missing_right=f"{_RIGHT} hotplugpolicies; {doubt}",
        field_selector=f"metadata.name={POLICY_NAME}",
    )


def watch_nodes(api: WatchingApi, *, sink: Sink[Any]) -> OptionalWatch:
    """Watch all nodes."""
    return OptionalWatch(
        api=api,
        resource=NODES,
        sink=sink,
        not_served="this API server serves no nodes; where a VM could move to is left to the scheduler",
        missing_right=f"{_RIGHT} nodes; until then a migration that no node can take is found out by trying",
    )


def watch_budgets(api: WatchingApi, *, sink: Sink[Any]) -> OptionalWatch:
    """Watch the PodDisruptionBudgets that nicplug has created, selected by the server."""
    doubt = "until then a drain ends guests, whatever their evictionStrategy"
    return OptionalWatch(
        api=api,
        resource=POD_DISRUPTION_BUDGETS,
        sink=sink,
        not_served=f"this API server serves no PodDisruptionBudgets; {doubt}",
        missing_right=f"{_RIGHT} poddisruptionbudgets; {doubt}",
        label_selector=f"{MANAGED_BY_LABEL}={MANAGED_BY}",
    )


_DOUBT = "until then a dynamic networks controller counts as running, and is given dynamicTimeout to answer"


def watch_daemon_sets(api: WatchingApi, *, sink: NamespaceDaemonSets) -> OptionalWatch:
    """Watch the DaemonSets of one trusted namespace, to find the dynamic networks controller."""
    return OptionalWatch(
        api=api,
        resource=DAEMON_SETS,
        sink=sink,
        not_served=f"this API server serves no DaemonSets; {_DOUBT}",
        missing_right=f"{_RIGHT} daemonsets in namespace {sink.namespace}; {_DOUBT}",
        namespace=sink.namespace,
    )


def watch_controller_pods(api: WatchingApi, *, sink: Sink[Any], daemon_set: DaemonSet) -> OptionalWatch:
    """Watch the pods of one dynamic networks controller, selected by the server."""
    return OptionalWatch(
        api=api,
        resource=PODS,
        sink=sink,
        not_served=f"this API server serves no pods; {_DOUBT}",
        missing_right=f"{_RIGHT} pods in namespace {daemon_set.key.namespace}; {_DOUBT}",
        namespace=daemon_set.key.namespace,
        label_selector=daemon_set.selector,
    )


def watch_multus_config(api: WatchingApi, *, sink: Sink[Any], namespace: str) -> OptionalWatch:
    """Watch the ConfigMap of Multus's daemon in one namespace, by name: the permission covers only that name."""
    doubt = "until then nadPolicy Multus counts as SameNamespace"
    return OptionalWatch(
        api=api,
        resource=CONFIG_MAPS,
        sink=sink,
        not_served=f"this API server serves no ConfigMaps; {doubt}",
        missing_right=f"{_RIGHT} ConfigMap {namespace}/{MULTUS_CONFIG_MAP}; {doubt}",
        namespace=namespace,
        field_selector=f"metadata.name={MULTUS_CONFIG_MAP}",
    )
