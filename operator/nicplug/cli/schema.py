"""The members of `-o json` and `-o yaml` by kind. They are stable: later versions add members and remove none.

A test compares this list with the documents; `make docs` writes it into docs/cli.md.
"""

from collections.abc import Mapping

_TARGET = {
    "target.namespace": "namespace of the VM",
    "target.name": "name of the VM",
}
_UNKNOWN = {
    "unknown[].what": "what could not be read",
    "unknown[].why": "why it could not be read",
    "unknown[].remedy": "what to do, and what the gap means until then",
}
_SOURCE = {
    "evidenceFrom": "`kubeconfig`: read with your permissions; `api`: read by `nicplug api`, only the VM's data",
}
_NIC = {
    "name": "name of the NIC",
    "network": "network attachment definition, with its namespace if that is not the VM's; `pod`; or empty",
    "binding": "`bridge`, `masquerade`, `sriov`, ...",
    "operation": "`Plug`, `Unplug`, `ChangeNetwork`, `SetLink`; null for a NIC without a record",
    "path": "`Dynamic`, `Migration`, `Restart`; null if none is chosen",
    "phase": "`Pending`, `InPod`, `Migrating`, `InGuest`, `Ready`, `Blocked`, `Failed`",
    "reason": "one of docs/reasons.md; null if there is none",
    "message": "the reason in a sentence",
    "remedy": "what you can do; null if nothing is needed",
    "nextAttempt": "when nicplug retries; null if only a change helps, or nothing has failed",
    "lastError": "last error of the node side",
    "since": "when the phase last changed",
    "attempts": "number of times the NIC was requested from its pod",
    "migration": "name of the migration that plugs or unplugs it",
    "pciSlot": "`used`, `reserved`, or null",
    "pciAddress": "PCI address that the spec requests",
    "macAddress": "MAC address in the guest",
    "ipAddress": "IP address that the guest agent reports",
}
_PHASE = "phase of the VMI, or `Paused`; without a VMI `Stopped`, or `Pending` if it waits for an operator to start it"
_BUDGET = {
    "total": "guaranteed slots for NICs",
    "used": "slots used by NICs in the guest",
    "reserved": "slots reserved for NICs that are being plugged",
    "free": "guaranteed slots left",
    "possible": "slots beyond `total` that the guest may have and no NIC waits for; nicplug tries a NIC that needs one",
}


def _under(prefix: str, members: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{member}": meaning for member, meaning in members.items()}


SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "NicStatus": {
        "target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one without a VM",
        **_TARGET,
        "phase": _PHASE,
        "node": "node that runs it",
        "interfacesReady": "status of the condition `InterfacesReady`",
        **_under("nics[]", _NIC),
        **_under("pciBudget", _BUDGET),
        "inFlight.requests[]": "recorded requests that have not been processed, as sentences",
        "inFlight.requestsWaitFor": "why requests for NICs are not processed, in a sentence; null if an operator "
        "processes them",
        "inFlight.migrations[]": "unfinished migrations, as sentences",
        "eviction": "message of the instance's condition `EvictionRequested`; null if no drain waits for it",
        "failure": "why the last request failed",
        "startProblem": "why the VM cannot start, as the scheduler, the kubelet or the API server reports it",
        "outdatedAttachments": "message of the instance's condition `OutdatedNetworkAttachments`; null if it does "
        "not have it",
        "policyProblem": "which hot-plug annotations of the VM are invalid and have no effect, in a sentence",
        "restartRequired": "message of the VM's condition `RestartRequired`; null if it does not have it",
        "lostAtRestart[]": "NICs of the running guest that are not in the template: the next restart removes them",
        "note": "why this status may be outdated",
    },
    "NicStatusList": {
        "items[].target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one without a VM",
        "items[].target.namespace": "namespace of the VM",
        "items[].target.name": "name of the VM",
        "items[].phase": _PHASE,
        "items[].node": "node that runs it",
        "items[].nicsReady": "how many of its NICs are ready",
        "items[].nicsTotal": "how many NICs it has",
        "items[].reason": "why the VM cannot start; else the reason of the first NIC that is not ready, preferring "
        "one that is `Blocked` or `Failed`; else "
        "`Failure`, `Requested`, `InvalidHotplugPolicy`, "
        "`RestartRequired`, or null",
        "items[].message": "the reason in a sentence",
        "items[].remedy": "what you can do; null if nothing is known",
        "note": "why nothing happens: no operator is working",
    },
    "Plan": {
        "target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one without a VM",
        **_TARGET,
        "arrives": "true if everything in the change happens automatically",
        "node": "node that runs the VM",
        "nics[].name": "name of the NIC",
        "nics[].operation": "`Plug`, `Unplug`, `ChangeNetwork`, `SetLink`; `Change` for a change without a record",
        "nics[].affected": "true if the change affects it; false if it was already requested",
        "nics[].sideEffect": "true for a consequence that was not requested; `arrives` does not depend on it",
        "nics[].network": "network attachment definition",
        "nics[].binding": "as in the spec",
        "nics[].outcome": "`Ready`, `InPlace`, `ByMigration`, `AtStart`, `NeedsRestart`, `Stuck`, `Withdrawn`",
        "nics[].path": "path in the future record",
        "nics[].phase": "phase in the future record",
        "nics[].reason": "reason in the future record; `RestartRequired` if the guest does not follow the template",
        "nics[].message": "message in the future record",
        "nics[].remedy": "remedy in the future record; null if nothing is needed",
        "nics[].evidence.node": "node of the VM",
        "nics[].evidence.pod": "launcher pod of the VM",
        "nics[].evidence.controller.state": "`ready`, `not ready`, `not on the node`, `not deployed`, `unknown`",
        "nics[].evidence.controller.daemonSet": "its DaemonSet; null if `evidenceFrom` is `api`",
        "nics[].evidence.controller.message": "why it is not ready",
        "nics[].evidence.controller.since": "when it stopped being ready",
        "nics[].evidence.liveMigratable.possible": "true if the VM can be migrated",
        "nics[].evidence.liveMigratable.message": "why it cannot be migrated",
        "nics[].evidence.candidates.known": "true if nodes could be read",
        "nics[].evidence.candidates.fitting": "number of nodes that the VM could migrate to",
        "nics[].evidence.candidates.total": "number of all nodes",
        "nics[].evidence.candidates.nodes[]": "names of fitting nodes, ten at most; empty if `evidenceFrom` is `api`",
        "nics[].evidence.candidates.message": "the count, and why the other nodes do not fit",
        "nics[].evidence.attempts": "number of times the NIC was requested from its pod",
        "nics[].evidence.failedAttempts": "number of failures that the controller reported",
        "nics[].evidence.failedMigrations": "number of failed migrations for it",
        "nics[].evidence.lastError": "last reported error",
        "nics[].otherwise.afterSeconds": "seconds until the alternative, if the controller has not answered by then",
        "nics[].otherwise.outcome": "outcome of the alternative",
        "nics[].otherwise.reason": "reason of the alternative",
        "nics[].otherwise.message": "message of the alternative",
        "nics[].otherwise.remedy": "remedy of the alternative",
        **_under("pciSlots.before", _BUDGET),
        **_under("pciSlots.after", _BUDGET),
        "migration": "name of the migration that would be created",
        "migrationSlots.taken": "migration slots in use; null if `evidenceFrom` is `api`",
        "migrationSlots.perCluster": "migration slots of the cluster",
        "policy[].name": "field of the policy; includes `nadPolicy`, `sharedNamespaces` and `requireNadAccess`",
        "policy[].value": "its value for this VM",
        "policy[].origin": "where the value is set",
        "policyProblems[]": "invalid values in the policy, as sentences",
        "restartFields[]": "fields other than NICs that need a restart of the VM; if `evidenceFrom` is `api`, without "
        "those that the manifest changes",
        "refusals[]": "changes that are refused, as sentences",
        "note": "why none of this happens now: no operator is working; also null if nothing would happen",
        **_SOURCE,
        **_UNKNOWN,
    },
    "NicStory": {
        **_TARGET,
        **_under("nic", _NIC),
        "meaning": "what the reason means",
        "waitsFor": "who or what must act next",
        "since": "since when it waits",
        "todo": "what you can do: the remedy of the record, else that of its reason",
        "restart": "how a restart of the VM affects the NIC; null if it does not",
        "outdated": "how the network has changed since the NIC was plugged, or that it is no longer allowed; or null",
        "kubevirtDoes": "beside KubeVirt, what virt-controller does about the NIC; null for nothing",
        "nicplugDoes": "beside KubeVirt, what nicplug does about the NIC; null for nothing",
        "next[].at": "when something will happen; null if unknown",
        "next[].what": "what will happen",
        "moments[].at": "when something happened",
        "moments[].source": "the object that records it",
        "moments[].what": "what happened",
        "note": "why none of this happens now: no operator is working",
        **_SOURCE,
        **_UNKNOWN,
    },
    "NicStoryList": {
        "items[]": "always empty: `why` was called without a NIC, and every NIC is ready",
        "note": "no operator is working; null if one is",
    },
    "MigrationQueue": {
        "slots.perCluster": "migration slots of the cluster",
        "slots.taken": "migration slots in use; null without permission to read them",
        "limits.parallelMigrationsPerCluster": "limit in the KubeVirt CR for the cluster",
        "limits.parallelOutboundMigrationsPerNode": "limit in the KubeVirt CR for migrations away from a node",
        "limits.parallelInboundMigrationsPerNode": "limit in the KubeVirt CR for migrations to a node",
        "migrations[].namespace": "namespace of the migration",
        "migrations[].name": "name of the migration; null for one that waits for a slot before nicplug creates it",
        "migrations[].vm": "VM that it migrates",
        "migrations[].phase": "phase in its status",
        "migrations[].reason": "reason of its condition `Progressing`",
        "migrations[].message": "what it waits for, including the migrations ahead of it; or how it ended",
        "migrations[].sourceNode": "node that it migrates from",
        "migrations[].targetNode": "node that it migrates to",
        "migrations[].created": "creation time",
        "migrations[].hasSlot": "true if it has a slot in the ledger; beside KubeVirt, if it has a target pod",
        "migrations[].position": "position among the migrations that wait for a slot, from 1",
        "unknown[]": "what could not be read, as sentences",
        "note": "why no migration starts or continues: no operator is working",
    },
    "Version": {
        "clientVersion.gitVersion": "version of this command",
        "serverVersion.gitVersion": "version of the aggregated API: the KubeVirt release whose requests it accepts, "
        "and nicplug's version after `+nicplug.`; null if it does not answer",
        "serverProblem": "why the aggregated API does not answer",
        "kubernetesVersion.gitVersion": "version of the API server",
    },
    "Diagnosis": {
        "healthy": "true if no finding is a problem",
        "findings[].check": "stable name of the check",
        "findings[].severity": "`ok`, `warning`, `problem`, `unknown`",
        "findings[].message": "what was found",
        "findings[].remedy": "what to do; null if nothing is needed",
    },
}
