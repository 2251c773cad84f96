"""Every reason that a NIC record, a condition or an event of nicplug may give."""

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase on the wire. Each has a docstring: what it means, and after a blank line what to do (`make docs`)."""

    ATTACHED = "Attached"
    """The NIC is in the guest.

    Nothing to do.
    """
    ALL_INTERFACES_READY = "AllInterfacesReady"
    """Every NIC that the spec asks for is in the guest.

    Nothing to do.
    """
    GUEST_NOT_RUNNING = "GuestNotRunning"
    """The guest is not running, so it has no NICs yet.

    Start the VM, or find out why it does not start.
    """
    WAITING_FOR_LAUNCHER_POD = "WaitingForLauncherPod"
    """The launcher pod is not ready; its networks annotation is patched when it is.

    Wait, or look at the pod.
    """
    WAITING_FOR_POD_INTERFACE = "WaitingForPodInterface"
    """The pod was asked for the interface; the dynamic networks controller has not attached it yet.

    If it lasts: does the controller run on that node? nicplug retries by itself, see `AttachFailed`.
    """
    WAITING_FOR_GUEST = "WaitingForGuest"
    """The pod has the interface; the node agent has not plugged it into the guest yet.

    If it lasts: look at virt-handler on that node.
    """
    WAITING_FOR_GUEST_RELEASE = "WaitingForGuestRelease"
    """The NIC is to go; the guest still holds it.

    A guest that boots or is halted answers later.
    """
    WAITING_FOR_POD_RELEASE = "WaitingForPodRelease"
    """The guest has let the NIC go; the pod interface is being detached.

    As for `WaitingForPodInterface`.
    """
    FEATURE_GATE_DISABLED = "FeatureGateDisabled"
    """The KubeVirt CR does not list the feature gate `HotplugNICs`.

    Add the line that the record's `remedy` names, or ask the admin to. A restart, or a migration that you make, brings
    the NIC all the same: a new pod has every NIC of the spec.
    """
    KUBEVIRT_CR_MISSING = "KubevirtCRMissing"
    """There is no KubeVirt CR in the namespace that nicplug reads it from, so no feature gate is listed.

    Create one: `examples/kubevirt.yaml`. One in another namespace has no effect (setting `NICPLUG_KUBEVIRT_NAMESPACE`).
    """
    BINDING_NEEDS_RESTART = "BindingNeedsRestart"
    """Only bridge (and, by migration, SR-IOV) NICs can follow a running VM.

    Use `bridge: {}`, or restart the VM.
    """
    BINDING_NEEDS_MIGRATION = "BindingNeedsMigration"
    """An SR-IOV NIC is attached when the VM next moves to another pod.

    nicplug migrates the VM, unless the message says what is in the way; a restart brings it too.
    """
    NO_PCI_SLOT = "NoPciSlot"
    """The guest has no PCI slot left for the NIC. It was born with its slots, and a migration brings no others.

    Unplug a NIC; this one is then plugged automatically. Or restart the VM, which starts with all its NICs and with
    free slots. `status.pciBudget` counts them, and the message names the NICs that have them. Annotation
    `kubevirt.io/pci-interface-slot-count` in the VM's template asks for more at the next start.
    """
    NETWORK_NEEDS_RESTART = "NetworkNeedsRestart"
    """The network is the primary one, or not Multus's; it is attached when the VM starts.

    Restart the VM, or use a `multus` network.
    """
    NETWORK_CHANGE_NEEDS_RESTART = "NetworkChangeNeedsRestart"
    """The spec names another network than the one the NIC in the guest is on.

    Write `state: absent`, wait until it is gone, and plug it again; or restart the VM.
    """
    NETWORK_CHANGE_NEEDS_MIGRATION = "NetworkChangeNeedsMigration"
    """The spec names another network than the pod has; the NIC gets there when the VM next moves to another pod.

    Mostly the spec was changed; or somebody wrote another network into the pod's annotation under the NIC's name, which
    puts the guest there: the message has both networks. nicplug migrates the VM, unless the message says what is in the
    way. Without a migration: write `state: absent`, wait until it is gone, and plug it again; or restart the VM.
    """
    WAITING_FOR_LINK = "WaitingForLink"
    """The NIC's link is to be set up or down; the node agent has not done it yet.

    If it lasts: look at virt-handler on that node.
    """
    LINK_SET = "LinkSet"
    """The NIC's link is as the spec asks for.

    Nothing to do.
    """
    LINK_STATE_NOT_SUPPORTED = "LinkStateNotSupported"
    """The link of an SR-IOV NIC cannot be set: the guest drives the device itself.

    Take `state: down` away, or restart the VM without the NIC: it cannot be unplugged.
    """
    UNPLUG_NEEDS_RESTART = "UnplugNeedsRestart"
    """Only a bridge NIC of a secondary network can be taken out of a running VM.

    Delete its entries from the template, where it has them, and restart the VM.
    """
    ENTRY_DELETED = "EntryDeleted"
    """The NIC's entries were deleted from the spec while the guest has it, so nobody asks the guest to let it go.

    Write them back with `state: absent`, into the VM's template if there is a VM: they go by themselves when the NIC
    has left. Or restart the VM. What the template still has without `absent` comes back by itself, and is not reported.
    """
    ROLLOUT_STRATEGY_STAGE = "RolloutStrategyStage"
    """A change of a NIC in the VM's template waits for a restart: `vmRolloutStrategy` of the KubeVirt CR is `Stage`.

    Restart the VM: it starts as its template says. Or ask the cluster admin for `LiveUpdate`, or to leave the field
    out: then it flows at once. What is asked of the VMI itself flows anyway.
    """
    NO_NETWORK = "NetworkMissing"
    """The interface names no network of the spec.

    Add a network of the same name.
    """
    INVALID_NAME = "InvalidName"
    """The NIC's name is outside KubeVirt's character set or too long.

    Rename it.
    """
    INVALID_MAC_ADDRESS = "InvalidMacAddress"
    """The MAC address is malformed or not unicast.

    Correct it, or leave it out.
    """
    DUPLICATE_MAC_ADDRESS = "DuplicateMacAddress"
    """The NIC is in the guest, and another NIC of the VM has the same MAC address.

    Change one of the two if their networks are connected: a switch takes them for one. KubeVirt accepts both.
    """
    DUPLICATE_NAME = "DuplicateName"
    """Two interfaces of the spec have the same name; the first is served.

    Rename or remove one.
    """
    NO_INTERFACE = "InterfaceMissing"
    """The network has no interface of its name.

    Add an interface of that name, or remove the network. While the guest still has the NIC, removing the network does
    not take it out: add the interface with `state: absent`, and both entries go when the NIC has left.
    """
    INVALID_INTERFACE = "InvalidInterface"
    """The interface has two bindings, masquerade on a Multus network, or a value that KubeVirt does not know.

    Correct what the message names, or leave it out.
    """
    NOT_ADMITTED = "NotAdmitted"
    """KubeVirt's admission refuses the NIC as it is written: it was stored before there was a rule, or before the
    KubeVirt CR forbade it. A guest that runs goes on, and does not start again with it.

    Do what `remedy` says before the VM is restarted: a second pod network has to go, a bridge on the pod network to
    become masquerade where `permitBridgeInterfaceOnPodNetwork` is false. In `InterfacesReady` with status True, every
    NIC is in the guest all the same.
    """
    INVALID_STATE = "InvalidState"
    """The interface's `state` is none that KubeVirt knows; it counts as up.

    Write `up`, `down` or `absent`, or leave it out.
    """
    INVALID_ATTACHMENT_REFERENCE = "InvalidAttachmentReference"
    """The reference is not `<name>` or `<namespace>/<name>` of a network attachment definition.

    Correct `networkName`.
    """
    NETWORK_NOT_ALLOWED = "NetworkNotAllowed"
    """The cluster's policy does not let the VM use networks of that namespace, whether they exist or not.

    Use a network attachment definition of the VM's own namespace, or of one that the message lists. Or ask the cluster
    admin, whose `nadPolicy` and `sharedNamespaces` decide (or Multus's own configuration). A NIC that the guest has
    already stays, and the VM is not migrated with it. A VM starts without the NIC, and gets it when it may; one that
    cannot get it later does not start.
    """
    ATTACHMENT_DEFINITION_CHANGED = "NetworkAttachmentDefinitionChanged"
    """A network attachment definition was changed or created again since a NIC of the guest was attached by it.

    Nothing is done by itself: the NIC goes on as it was attached. Migrate or restart the VM, whose new pod takes the
    definition as it is now; or unplug the NIC and plug it again.
    """
    ATTACHMENT_DEFINITION_MISSING = "NetworkAttachmentDefinitionMissing"
    """The network attachment definition does not exist; the NIC follows when it is created.

    Create it in the namespace that the message names, or correct `networkName`. A VM that starts meanwhile starts
    without the NIC, and gets it later.
    """
    ATTACHMENT_DEFINITION_INVALID = "NetworkAttachmentDefinitionInvalid"
    """The network attachment definition's `spec.config` is not a JSON object.

    Correct it; the NIC is then plugged automatically.
    """
    MULTUS_NOT_INSTALLED = "MultusNotInstalled"
    """The CRD of network attachment definitions is not installed, so no secondary network can be attached.

    Ask the cluster admin to install Multus; it is noticed within seconds.
    """
    ATTACH_FAILED = "AttachFailed"
    """The dynamic networks controller did not attach the NIC. The pod is asked once more; if that fails too, the VM is
    migrated, or the NIC held or rolled back, as `onFailure` says.

    Correct what the message quotes: a change of the network or of the VM is tried at once. Of the network attachment
    definition its `spec.config`, its annotation `k8s.v1.cni.cncf.io/resourceName` and its uid count. A NIC that is
    held, or whose VM cannot be migrated, is Failed and retried with back-off: after 2, 8, 30 and 120 seconds, then
    every 10 minutes (`nextAttemptTime`). Other NICs do not wait for it.
    """
    POD_INTERFACE_LOST = "PodInterfaceLost"
    """The guest has the NIC, and its launcher pod has lost the interface behind it, so nothing may pass.

    Somebody edited the pod's networks annotation, something took the interface away, or only its status was lost (a
    fault of the dynamic networks controller). The pod is asked for it again. If it does not come back, or nothing
    passes, the VM needs a new pod: migrate or restart it.
    """
    POD_INTERFACE_RESTORED = "PodInterfaceRestored"
    """The launcher pod had lost the interface behind the NIC, and its network-status lists it again.

    Does anything pass? If not, migrate or restart the VM: its guest is not connected to the new interface, or the
    controller took it back together with one that failed.
    """
    DETACH_FAILED = "DetachFailed"
    """The dynamic networks controller did not detach the NIC. The pod is asked once more; if that fails too, the VM is
    migrated, or the NIC held, as `onFailure` says.

    As for `AttachFailed`. The guest does not have the NIC any more. A record under the name of a pod interface
    (`pod` and 11 hex digits) is of one that no NIC of the VM has: the VM is not migrated for it, it ends with the pod.
    """
    NO_DYNAMIC_CONTROLLER = "NoDynamicController"
    """No dynamic networks controller runs on the VM's node, or in the cluster, so nobody attaches NICs there in place.

    The VM is migrated, unless the message says what is in the way. To have NICs in place: deploy the controller, on
    that node too. One under another name and image is named in `spec.configuration.network.hotplug.dynamicController`.
    """
    DYNAMIC_CONTROLLER_NOT_READY = "DynamicControllerNotReady"
    """The dynamic networks controller on the VM's node is not ready.

    It is given five seconds to come back, then the VM is migrated, as far as the policy allows. If it lasts: look at
    its pod, which the message's DaemonSet makes.
    """
    DYNAMIC_TIMEOUT = "DynamicTimeout"
    """The dynamic networks controller has not answered within `dynamicTimeout` (10 s unless set).

    The VM is migrated, or the NIC held or rolled back, as `onFailure` says. Look at the log of the controller on that
    node, and at the events of the pod.
    """
    DYNAMIC_PATH_NEVER = "DynamicPathNever"
    """The policy `dynamicPath` is `Never`, so NICs come and go by migration alone.

    Nothing to do; or set it to `Auto` where the message says it stands.
    """
    INVALID_HOTPLUG_POLICY = "InvalidHotplugPolicy"
    """An annotation that overrides the policy for hot-plug is unknown, not understood, or not allowed.

    It has no effect: what it would override holds. Correct what the message names, or take it away.
    """
    NOT_LIVE_MIGRATABLE = "NotLiveMigratable"
    """The NIC cannot come in place, and the VM cannot be migrated: its condition `LiveMigratable` is not True.

    Restart the VM: it starts with the NIC, unless its network fails (`lastError`). Or fix what the message quotes from
    the condition.
    """
    NO_CANDIDATE_NODE = "NoCandidateNode"
    """The NIC cannot come in place, and no other node can take the VM.

    The message counts the nodes by what is wrong with them: uncordon one, label it, let it offer the device; change
    the VM's own nodeSelector, affinity or tolerations. It is noticed at once. A restart brings the NIC only if a node
    can take the VM, as the record's `remedy` says; otherwise the VM would not start.
    """
    EVACUATION_BLOCKED = "EvacuationBlocked"
    """A node is being drained, and a guest on it that must not be ended cannot leave it.

    The message says what it waits for. Make a node available, or shut the VM down; it is noticed at once.
    """
    MIGRATION_FORBIDDEN = "MigrationForbidden"
    """The NIC cannot come in place, and the policy `migration` is `Never`.

    Set it to `Allowed` where the message says it stands (the cluster's `Never` holds for every VM), or restart the VM.
    With a `lastError` do not: its network fails, and the new pod may not start. Mend that first.
    """
    WORKLOAD_UPDATE_FORBIDS = "WorkloadUpdateForbids"
    """The NIC cannot come in place, and the KubeVirt CR lists workload update methods without `LiveMigrate`.

    Add `LiveMigrate` to `spec.workloadUpdateStrategy.workloadUpdateMethods`, remove the list, or restart the VM, with a
    `lastError` not before that is fixed.
    """
    MIGRATION_FAILED = "MigrationFailed"
    """A migration for the NIC has failed; the VM is as it was.

    Tried again after 20, 40, 80 and 160 seconds; after five failures, or one that a retry does not fix, the record is
    Failed until the NIC, the VM's spec or what failed changes. NICs that were to come together are then tried one by
    one. Blocked where it was not this NIC's network that failed, but that of one which comes with every target pod.
    The message quotes the last failure; `kubectl get vmim` has all.
    """
    MIGRATING = "Migrating"
    """The VM is being migrated, and the NIC comes or goes with it.

    Wait, or look at the migration that the record names: `kubectl get vmim`.
    """
    AFTER_MIGRATION = "AfterMigration"
    """The VM is being migrated to a pod that was made before this was asked for: it is served right after that.

    The migration is with the node agents, or its target pod has been replaced five times for NICs already. Before that,
    the running pod is asked at once, and the target pod is replaced by one that has the NIC.

    Nothing to do.
    """
    FOREIGN_MIGRATION = "ForeignMigration"
    """A migration of the VM is in a phase that nicplug does not carry on, and a VM has one migration at a time.

    Of a migration between clusters, or written by hand. If no other controller goes on with it, delete it
    (`kubectl delete vmim NAME`): the VM is migrated then.
    """
    ROLLED_BACK = "RolledBack"
    """The NIC could not be brought about, and was taken back, as the policy `onFailure: Rollback` says.

    The VM's template keeps what its owner wrote. Correct what the message names, then change the NIC's entry, take it
    out and add it again, or set another `onFailure`: it is then retried.
    """
    MIGRATION_SUCCEEDED = "MigrationSucceeded"
    """The VM runs on the target node.

    Nothing to do.
    """
    WAITING_FOR_SLOT = "WaitingForSlot"
    """The migration waits for its turn: as many as the limits allow are under way.

    Wait; the message says who goes first.
    """
    NO_SLOT_IN_TIME = "NoSlotInTime"
    """The target pod was ready for 15 minutes (annotation `kubevirt.io/migrationPendingPodTimeoutSeconds`), and its
    node took in no migration more: `parallelInboundMigrationsPerNode`. It was deleted, as it kept others from
    migrating, and the VM stays where it is.

    Raise the limit if it is 0, or wait. A migration that nicplug made is made again by itself, and this one does not
    count as a failure of a NIC.
    """
    SLOT_LEDGER_REFUSED = "SlotLedgerRefused"
    """The list of migrations under way cannot be read or written, so that none may begin: the limits could be exceeded.

    Apply nicplug's manifests again (`helm upgrade`, or `kubectl apply -k` of your overlay); the message has the API
    server's words. It is tried again within 30 seconds. Deleting ConfigMap `nicplug-migration-slots` is always safe: it
    is recreated.
    """
    MIGRATION_BACKOFF = "MigrationBackoff"
    """Earlier migrations of the VM have failed, so this one, which no person has made, waits: 20 s, doubling.

    Look at the failed ones (`kubectl get vmim`). The message has the time of the next try. To go at once, migrate the
    VM yourself.
    """
    MIGRATION_RATE_LIMITED = "MigrationRateLimited"
    """nicplug has migrated the VM more than three times within ten minutes, so this one, which no person has made,
    begins a minute after the last.

    Wait; the message has the time. Ask for several NICs by one change, so that one migration brings all of them. To go
    at once, migrate the VM yourself.
    """
    CREATING_TARGET_POD = "CreatingTargetPod"
    """Nothing is in the way of the migration, and its target pod is being made.

    Wait.
    """
    TARGET_POD_REPLACED = "TargetPodReplaced"
    """The VM's NICs changed after the target pod was made: it is deleted, and another one is made with all of them.

    The migration keeps its slot. A target pod that could go on is replaced five times at most; NICs that are asked for
    later wait for the end of the migration (`AfterMigration`).

    Wait.
    """
    WAITING_FOR_TARGET_POD = "WaitingForTargetPod"
    """The target pod exists and is not ready yet, or Multus has still to report an interface of it.

    If it lasts: look at the pod's events. After 15 minutes the migration fails, and the VM stays where it is.
    """
    TARGET_POD_CONTAINERS_NOT_READY = "TargetPodContainersNotReady"
    """The target pod runs, and the containers that the message names are not ready: mostly a sidecar that somebody
    injects and that has ended. The VM cannot move there.

    Look at the log of that container. After 15 minutes the migration fails (annotation
    `kubevirt.io/migrationPendingPodTimeoutSeconds`), and the VM stays where it is.
    """
    TARGET_POD_UNSCHEDULABLE = "TargetPodUnschedulable"
    """The scheduler finds no node for the target pod; the message has its words.

    Make room on a node other than the VM's, or delete the migration. After 5 minutes it fails (annotation
    `kubevirt.io/migrationUnschedulablePodTimeoutSeconds`), and the VM stays where it is.
    """
    TARGET_POD_NOT_READY = "TargetPodNotReady"
    """The target pod had a node and was not ready in time; it was deleted, and the VM stays where it is. The time is 15
    minutes (annotation `kubevirt.io/migrationPendingPodTimeoutSeconds`), and after `TargetPodSandboxFailed` 5 minutes
    (annotation `kubevirt.io/migrationUnschedulablePodTimeoutSeconds`).

    A network of the VM that cannot be attached on that node, or a container beside the VM's that is not ready: the
    message and the pod's events tell. nicplug does not try that again until the NIC, the VM's spec or the network
    changes.
    """
    TARGET_POD_LATE = "TargetPodLate"
    """The target pod did not run within 15 minutes (annotation `kubevirt.io/migrationPendingPodTimeoutSeconds`), after
    `TargetPodSandboxFailed` 5 minutes, for something that is not a network of the VM: an image that could not be
    pulled, a node that was not ready or slow, its container runtime, the cluster's own network, a second launcher pod.
    It was deleted, and the VM stays where it is.

    Look at what the message quotes. A migration that nicplug made is retried with back-off, five times
    in all.
    """
    TARGET_POD_SANDBOX_FAILED = "TargetPodSandboxFailed"
    """The node cannot make the sandbox of the target pod, mostly for one of its networks; the kubelet is quoted.

    Correct what it names; it is tried again by itself. After 5 minutes the migration fails (annotation
    `kubevirt.io/migrationUnschedulablePodTimeoutSeconds`), and the VM stays where it is.
    """
    TARGET_POD_LOST = "TargetPodLost"
    """The target pod ended or was deleted before the VM had arrived; the VM stays where it is.

    Who deleted it, or did its node fail? Then migrate again.
    """
    REJECTED_BY_QUOTA = "RejectedByResourceQuota"
    """A resource quota leaves no room for the target pod: a VM that moves needs its resources twice for a while.

    Raise the quota that the message names, or free some of it; the pod is asked for again by itself.
    """
    SEVERAL_LAUNCHER_PODS = "SeveralLauncherPods"
    """The VM does not have exactly one launcher pod, so no second one is made for it.

    Usually the pod of an earlier migration is still ending. If it lasts: look at the pods that the message names.
    """
    PREPARING_TARGET = "PreparingTarget"
    """The node agent of the target prepares the pod for the VM.

    If it lasts: look at virt-handler on that node. Without an answer the migration fails after 5 minutes.
    """
    WAITING_FOR_SOURCE = "WaitingForSource"
    """The target is ready, and the node agent of the source has still to begin the copy.

    If it lasts: look at virt-handler on that node. Without an answer the migration fails after 5 minutes.
    """
    COPYING = "Copying"
    """The memory of the VM is copied; the VM goes on running where it was.

    Wait, or delete the migration to cancel it.
    """
    FINISHING_MIGRATION = "FinishingMigration"
    """The VM runs on the target node already; the node agent there has still to finish.

    Wait.
    """
    NODE_LOST = "NodeLost"
    """A node of a migration that the node agents have is not ready, or not in the cluster any more: nobody can say
    whether the VM runs there, so the migration is not ended. Deleted, it is cancelled if the source's node is there.

    Bring the node back: it goes on by itself. Or, when you know that it is off, delete the Node, or by force the pod
    that the message names: with the target's pod the migration fails, and the VM stays where it is; with the source's
    the VM has arrived, or fails within two minutes and starts anew as its run strategy says.
    """
    CANCELING = "Canceling"
    """The migration was deleted, and the node agents have still to stop it.

    Wait; if it lasts, look at virt-handler on the node that the message names.
    """
    MIGRATION_CANCELED = "MigrationCanceled"
    """The migration was deleted before it had succeeded; the VM stays where it is.

    Nothing to do.
    """
    MIGRATION_IN_FLIGHT = "MigrationInFlight"
    """Another migration of the VM is under way; there is one at a time.

    Wait for the one that the message names, or delete it; then migrate again.
    """
    MIGRATION_STATE_LOST = "MigrationStateLost"
    """Somebody changed the VMI's `status.migrationState` while the migration went on, so it was given up.

    Only nicplug and the node agents write it: find who else does.
    """
    MIGRATION_NOT_SUPPORTED = "MigrationNotSupported"
    """The migration goes to, or comes from, another cluster or namespace.

    Leave `sendTo` and `receive` out.
    """
    VMI_NAME_MISSING = "VmiNameMissing"
    """The migration does not say which VMI is to move.

    Make another migration, with `spec.vmiName`: a spec cannot be changed.
    """
    VMI_MISSING = "VmiMissing"
    """The VMI that the migration names does not exist, or is a later one than the one it was made for.

    Start the VM, then migrate it.
    """
    VMI_FINAL = "VmiFinal"
    """The guest has ended, so there is nothing to move.

    Start the VM again.
    """
    VMI_NOT_RUNNING = "VmiNotRunning"
    """The VMI is not running yet, or is being deleted; the migration waits until it is.

    Start the VM, or find out why it does not start.
    """
    NETWORK_STATUS_UNREADABLE = "NetworkStatusUnreadable"
    """The pod's network-status cannot be read, so nobody can tell whether the NIC is attached.

    Multus writes it; if it stays broken, restart the VM. What was known before stays in the status.
    """
    POD_INTERFACE_NAME_TAKEN = "PodInterfaceNameTaken"
    """The pod has an interface of the NIC's pod interface name that belongs to another network.

    Remove what the message names from the pod, or restart the VM.
    """
    ANNOTATION_CONTESTED = "AnnotationContested"
    """Somebody else asks the pod for another network under the pod interface name of a NIC that has not come yet.

    Find who writes the annotation of launcher pods, and stop it; nicplug does not write over it. A NIC that the guest
    has is then on that other network, and reported as `ChangeNetwork`: see `NetworkChangeNeedsMigration`.
    """
    ANNOTATION_TOO_LARGE = "AnnotationTooLarge"
    """The pod's networks annotation has no room for the NIC.

    Use fewer NICs: some hundreds fit.
    """
    ANNOTATION_UNREADABLE = "AnnotationUnreadable"
    """The pod's networks annotation was edited into something that is not a list of networks.

    Make it again what it was: a JSON list of networks, or their names (`<namespace>/<name>@<interface>`) with commas
    between them. Or migrate or restart the VM, whose new pod gets a new annotation. Do not empty it: that detaches
    every NIC.
    """
    ORDINAL_INTERFACE_NAMES = "OrdinalInterfaceNames"
    """The pod uses interface names of an early KubeVirt; its NICs can only be removed by a restart.

    Restart the VM.
    """
    RUN_STRATEGY_NOT_SUPPORTED = "RunStrategyNotSupported"
    """The run strategy WaitAsReceiver is not carried out: VMs are not received from other clusters.

    Use another run strategy.
    """
    INVALID_STATE_CHANGE_REQUEST = "InvalidStateChangeRequest"
    """A request in `status.stateChangeRequests` of a VM says nothing that could be done; it has been dropped.

    Write action `Start`, or action `Stop` with the uid of the VMI, as KubeVirt's subresources do.
    """
    NAME_TAKEN = "NameTaken"
    """An object of that name exists and belongs to somebody else.

    Rename or delete one of the two. An instance that no other object controls is not somebody else's: its VM adopts it.
    """
    FOREIGN_POD = "ForeignPod"
    """A pod that nicplug has not made has the name of the pod that the virtual machine or its migration would be given.

    Nothing has to be done for the virtual machine: it gets a pod of another name. Find out who makes pods under such
    names: nothing but nicplug should, and the fences of the base deployment keep others from it. Delete the pod.
    """
    FAILED_CREATE = "FailedCreate"
    """The API server refused to create an object, or the VM's run strategy says nothing that could be done.

    The message has its words: a quota, an admission policy, missing rights; or says which field of the spec to
    correct.
    """
    FAILED_DELETE = "FailedDelete"
    """The API server refused to delete an object.

    The message has its words: missing rights, an admission policy.
    """
    FAILED_CHANGE_ABORTION = "FailedChangeAbortion"
    """The API server refused to delete a migration that no NIC needs any more.

    The message has its words. Has the operator's ClusterRole the verb `delete` for virtualmachineinstancemigrations?
    Until then the VM may be migrated for nothing.
    """
    FAILED_UPDATE = "FailedUpdateError"
    """The API server refused to change the VM or its VMI.

    The message has its words.
    """
    FAILED_POD_PATCH = "FailedPodPatch"
    """The API server refused to change the launcher pod.

    The message has its words. Has the operator's ClusterRole `pods/status`?
    """
    FAILED_GUARANTEE = "FailedGuaranteePodResources"
    """The VM pins its CPUs, and the launcher pod has no guaranteed resources.

    A LimitRange or an admission plugin changes the pod's requests: make requests and limits equal, or do not pin.
    """
    ERR_IMAGE_PULL = "ErrImagePull"
    """An image of the launcher pod cannot be pulled.

    The message has the kubelet's words: is the name right, does the node reach the registry?
    """
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    """An image of the launcher pod cannot be pulled; the kubelet retries with back-off.

    As `ErrImagePull`.
    """
    POD_SANDBOX_FAILED = "FailedCreatePodSandBox"
    """The node cannot make the sandbox of the VM's first launcher pod, mostly for one of its networks.

    The message has the kubelet's words. Correct what they name, the network's configuration, its plugin or its bridge
    on that node; the kubelet tries again by itself. Or take the NIC out of the VM, and restart it.
    """
    LAUNCHER_POD_LOST = "LauncherPodLost"
    """Somebody or something has taken the launcher pod away from a running VM.

    `status.reason` has the cause when it is known: an eviction, a lost node, a crash. Whether the VM is started
    again is up to its run strategy: `Always` does, `RerunOnFailure` after phase Failed.
    """
    FAILED_HAND_OVER = "FailedHandOver"
    """The API server refused to tell the node agents of a migration whose target pod is ready.

    The message has its words. Has the operator's ClusterRole `virtualmachineinstances/status`?
    """
    FAILED_ABORT = "FailedAbortMigration"
    """The API server refused to tell the node agents that a migration is over.

    As for `FailedHandOver`.
    """
    HOTPLUG_ERROR = "HotPlugNetworkInterfaceError"
    """The API server refused to change the networks of a running VMI (KubeVirt's name for it). Or, in the condition
    `Failure` of a VM: a request of `virtctl addinterface` or `removeinterface` could not be carried out, and has ended.

    The message has the API server's words, or says what is in the way. Correct that, and make the request again. The
    condition goes when the VM's template changes or a later request is carried out.
    """
