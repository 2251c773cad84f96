"""Labels, annotations and finalizers as KubeVirt and Multus spell them on the wire.

Source: KubeVirt 1.9 `api/core/v1/types.go`; Multus network attachment specification 1.3.
"""

from types import MappingProxyType

LAUNCHER_LABEL = "kubevirt.io"
LAUNCHER_LABEL_VALUE = "virt-launcher"
LAUNCHER_SELECTOR = f"{LAUNCHER_LABEL}={LAUNCHER_LABEL_VALUE}"
CREATED_BY_LABEL = "kubevirt.io/created-by"
MIGRATION_JOB_LABEL = "kubevirt.io/migrationJobUID"
MIGRATION_TARGET_NODE_LABEL = "kubevirt.io/migrationTargetNodeName"
MIGRATION_JOB_NAME_ANNOTATION = "kubevirt.io/migrationJobName"
MIGRATION_TARGET_READY_ANNOTATION = "kubevirt.io/migration-target-ready-timestamp"
# On a migration: the name of its VMI; selects the migrations of a VMI.
MIGRATION_VMI_LABEL = "kubevirt.io/vmi-name"
# On a migration: its creator, unless a user created it.
WORKLOAD_UPDATE_ANNOTATION = "kubevirt.io/workloadUpdateMigration"
WORKLOAD_UPDATE_PREFIX = "kubevirt-workload-update-"
# nicplug's own, on a migration that it created: the NICs that it is for, each with what it changes
# (`plan.nic.path.blame`).
MIGRATION_INTERFACES_ANNOTATION = "nicplug.io/interfaces"
# Prefix of the names of nicplug's migrations beside KubeVirt, whose workload updater deletes those like its own.
COMPANION_PREFIX = "nicplug-"
EVACUATION_ANNOTATION = "kubevirt.io/evacuationMigration"
EVACUATION_PREFIX = "kubevirt-evacuation-"
# On a migration, in seconds: how long its target pod may be unschedulable, or not running.
UNSCHEDULABLE_TIMEOUT_ANNOTATION = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds"
PENDING_TIMEOUT_ANNOTATION = "kubevirt.io/migrationPendingPodTimeoutSeconds"
# On a migration: it skips the back-off.
IGNORE_BACKOFF_ANNOTATION = "kubevirt.io/func-test-ignore-migration-backoff"
# Narrows the watch of PodDisruptionBudgets to nicplug's; proves nothing.
MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "nicplug"
# On everything that the manifests install, and on what operator and API create for themselves: `nicplug uninstall`
# selects both by it.
INSTALLED_LABEL, COMPONENT_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/component"
INSTALLED_SELECTOR = f"{INSTALLED_LABEL}=nicplug"
OPERATOR_LABELS = MappingProxyType({INSTALLED_LABEL: "nicplug", COMPONENT_LABEL: "operator"})
API_LABELS = MappingProxyType({INSTALLED_LABEL: "nicplug", COMPONENT_LABEL: "api"})
# KubeVirt's, on the Deployment of virt-controller, which has the same name.
VIRT_CONTROLLER, VIRT_CONTROLLER_SELECTOR = "virt-controller", "kubevirt.io=virt-controller"
# The page that remedies name.
BESIDE_KUBEVIRT = "docs/beside-kubevirt.md"
OUTDATED_LAUNCHER_LABEL = "kubevirt.io/outdatedLauncherImage"
NODE_NAME_LABEL = "kubevirt.io/nodeName"
# On a node, by KubeVirt's node labeller: its CPU, and the guest CPUs that it supports.
CPU_VENDOR_LABEL = "cpu-vendor.node.kubevirt.io/"
HOST_MODEL_LABEL = "host-model-cpu.node.kubevirt.io/"
HOST_MODEL_FEATURE_LABEL = "host-model-required-features.node.kubevirt.io/"
CPU_FEATURE_LABEL = "cpu-feature.node.kubevirt.io/"
MIGRATION_CPU_MODEL_LABEL = "cpu-model-migration.node.kubevirt.io/"
CPU_OF_GUEST_LABELS = (CPU_FEATURE_LABEL, MIGRATION_CPU_MODEL_LABEL)
# nicplug's own: narrows the watch of ControllerRevisions to those of VMs; proves nothing.
VM_UID_LABEL = "nicplug.io/virtual-machine-uid"
VM_NAME_LABEL = "vm.kubevirt.io/name"
VMI_ID_LABEL = "vmi.kubevirt.io/id"
# nicplug's own, on a launcher pod: a digest of the spec that it was created from, without its networks.
POD_SPEC_ANNOTATION = "nicplug.io/pod-spec"
# nicplug's own, on a launcher pod: the definitions that its networks were attached with at its creation
# (`model.attachments`).
ATTACHED_ANNOTATION = "nicplug.io/network-attachments"
DOMAIN_ANNOTATION = "kubevirt.io/domain"
VM_GENERATION_ANNOTATION = "kubevirt.io/vm-generation"
# nicplug's own, on a VMI: the names of its NICs that come from the VM's template (`model.nic_annotations`).
TEMPLATE_INTERFACES_ANNOTATION = "nicplug.io/template-interfaces"
# nicplug's own, on a VMI: the NICs that were rolled back, and what their owner had written then
# (`model.nic_annotations`).
ROLLED_BACK_ANNOTATION = "nicplug.io/rolled-back-interfaces"
MIGRATION_TRANSPORT_ANNOTATION = "kubevirt.io/migrationTransportUnix"
DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"

UNPAUSED_CONDITION = "kubevirt.io/virtual-machine-unpaused"

VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
MIGRATION_FINALIZER = "kubevirt.io/migrationJobFinalize"
VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"

NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status"
# On a network attachment definition: the extended resource of a device plugin that its pods need.
RESOURCE_NAME_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName"
DEFAULT_NETWORK_ANNOTATION = "v1.multus-cni.io/default-network"
# Two names for the interface whose traffic a service mesh redirects for the guest.
ISTIO_INTERFACE_ANNOTATIONS = ("traffic.sidecar.istio.io/kubevirtInterfaces", "istio.io/reroute-virtual-interfaces")

KUBEVIRT_API_VERSION = "kubevirt.io/v1"
VM_KIND = "VirtualMachine"
VMI_KIND = "VirtualMachineInstance"
MIGRATION_KIND = "VirtualMachineInstanceMigration"

COMPUTE_CONTAINER = "compute"
HOTPLUG_FEATURE_GATE = "HotplugNICs"
