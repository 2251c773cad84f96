"""The kinds that nicplug reads or writes, as API resources; no behavior."""

from nicplug.kube.api import Resource

VIRTUAL_MACHINES = Resource(group="kubevirt.io", version="v1", plural="virtualmachines", kind="VirtualMachine")
VIRTUAL_MACHINE_INSTANCES = Resource(
    group="kubevirt.io", version="v1", plural="virtualmachineinstances", kind="VirtualMachineInstance"
)
VIRTUAL_MACHINE_INSTANCE_MIGRATIONS = Resource(
    group="kubevirt.io",
    version="v1",
    plural="virtualmachineinstancemigrations",
    kind="VirtualMachineInstanceMigration",
)
KUBEVIRTS = Resource(group="kubevirt.io", version="v1", plural="kubevirts", kind="KubeVirt")
INTERFACE_REPORTS = Resource(group="nicplug.io", version="v1alpha1", plural="interfacereports", kind="InterfaceReport")

INTERFACE_REPORTS = Resource(group="nicplug.io", version="v1alpha1", plural="interfacereports", kind="InterfaceReport")

# StatefulSets keep their previous versions in these; KubeVirt keeps the VM spec that a VMI was started from.
CONTROLLER_REVISIONS = Resource(group="apps", version="v1", plural="controllerrevisions", kind="ControllerRevision")

DAEMON_SETS = Resource(group="apps", version="v1", plural="daemonsets", kind="DaemonSet")
DEPLOYMENTS = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")

POD_DISRUPTION_BUDGETS = Resource(
    group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget"
)
PODS = Resource(group="", version="v1", plural="pods", kind="Pod")
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
NODES = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
LEASES = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
# Not the core group's Events: only events.k8s.io has `series`, which one PATCH can update.
EVENTS = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
# Events of the core group can be selected by `involvedObject.kind`, so that only a few are transferred.
CORE_EVENTS = Resource(group="", version="v1", plural="events", kind="Event")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
API_SERVICES = Resource(
    group="apiregistration.k8s.io", version="v1", plural="apiservices", kind="APIService", namespaced=False
)
VALIDATING_WEBHOOK_CONFIGURATIONS = Resource(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="validatingwebhookconfigurations",
    kind="ValidatingWebhookConfiguration",
    namespaced=False,
)
NETWORK_ATTACHMENT_DEFINITIONS = Resource(
    group="k8s.cni.cncf.io",
    version="v1",
    plural="network-attachment-definitions",
    kind="NetworkAttachmentDefinition",
)
