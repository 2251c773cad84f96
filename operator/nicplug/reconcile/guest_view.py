"""The view of a VMI beside KubeVirt, by the settings that hold where virt-controller acts."""

from dataclasses import replace

from nicplug.model.kubevirt_versions import why_only_report
from nicplug.model.pod_record import PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.virt_controller import effective_config, effective_policy
from nicplug.plan.views import VmiView
from nicplug.reconcile.gather import Gatherer


def guest_view(
    gatherer: Gatherer, vmi: VirtualMachineInstance, *, allowed_version: str, ignores_methods: bool
) -> VmiView:
    """Return the view of a VMI by the rules that hold beside KubeVirt.

    Args:
        vmi: with the records of its report.
        allowed_version: the minor version of KubeVirt, newer than nicplug knows, beside which it may act; "" for none.
        ignores_methods: nicplug may migrate although KubeVirt's CR does not list LiveMigrate.
    """
    # virt-controller lists the pods that it made by uid; labels and names prove nothing.
    pods = [pod for pod in gatherer.caches.launchers.of(vmi) if pod.uid in vmi.active_pods]
    records = tuple(PodRecord(key=pod.key, uid=pod.uid, migration_uid=pod.migration_uid) for pod in pods)
    view = gatherer.view_of(replace(vmi, launcher_pods=records))
    version = view.config.version if view.config is not None else ""
    return replace(
        view,
        config=effective_config(view.config, ignores_methods=ignores_methods),
        policy=effective_policy(view.policy, report_only=why_only_report(version, allowed=allowed_version)),
    )
