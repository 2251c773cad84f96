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
    "unknown[].why": "why",
    "unknown[].remedy": "what to do, and what it means until then",
}
_SOURCE = {
    "evidenceFrom": "`kubeconfig`: read with your rights; `api`: by `nicplug api`, without what is not the VM's",
}
_NIC = {
    "name": "of the NIC",
    "network": "network attachment definition, with its namespace where that is another; `pod`; or empty",
    "binding": "`bridge`, `masquerade`, `sriov`, ...",
    "operation": "`Plug`, `Unplug`, `ChangeNetwork`, `SetLink`; null for a NIC without a record",
    "path": "`Dynamic`, `Migration`, `Restart`; null where none is taken",
    "phase": "`Pending`, `InPod`, `Migrating`, `InGuest`, `Ready`, `Blocked`, `Failed`",
    "reason": "one of docs/reasons.md; null where there is none",
    "message": "the reason in a sentence",
    "remedy": "what a person can do; null when nothing is to be done",
    "nextAttempt": "when it is tried again by itself; null when only a change helps, or nothing failed",
    "lastError": "what the node side last said",
    "since": "when the phase last changed",
    "attempts": "how often the pod was asked",
    "migration": "name of the migration that brings it",
    "pciSlot": "`used`, `reserved`, or null",
    "pciAddress": "that the spec asks for",
    "macAddress": "that the guest has",
    "ipAddress": "that the guest agent reports",
}
_PHASE = "of the VMI, or `Paused`; without a VMI `Stopped`, or `Pending` while no operator has seen a VM that is to run"
_BUDGET = {
    "total": "slots for NICs, for certain",
    "used": "by NICs in the guest",
    "reserved": "for NICs on their way",
    "free": "left for certain",
    "possible": "that the guest may have beyond `total` and that no NIC waits for: a NIC that needs one is tried",
}


def _under(prefix: str, members: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{member}": meaning for member, meaning in members.items()}


SCHEMAS: Mapping[str, Mapping[str, str]] = {
    "NicStatus": {
        "target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one that belongs to none",
        **_TARGET,
        "phase": _PHASE,
        "node": "that runs it",
        "interfacesReady": "status of the condition `InterfacesReady`",
        **_under("nics[]", _NIC),
        **_under("pciBudget", _BUDGET),
        "inFlight.requests[]": "requests that are recorded and not worked off, as sentences",
        "inFlight.requestsWaitFor": "what keeps requests for NICs from being carried out, in a sentence; null when "
        "an operator does so",
        "inFlight.migrations[]": "migrations that have not ended, as sentences",
        "eviction": "message of the instance's condition `EvictionRequested`; null when no drain waits for it",
        "failure": "why the last request could not be carried out",
        "startProblem": "what keeps the VM from starting, in the words of the scheduler, the kubelet or the API server",
        "outdatedAttachments": "message of the instance's condition `OutdatedNetworkAttachments`; null when it does "
        "not have it",
        "policyProblem": "what the VM's annotations say about hot-plug without effect, in a sentence",
        "restartRequired": "message of the VM's condition `RestartRequired`; null when it does not have it",
        "lostAtRestart[]": "NICs of the running guest that the template does not have: the next restart removes them",
        "note": "why this status may be old",
    },
    "NicStatusList": {
        "items[].target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one that belongs to none",
        "items[].target.namespace": "namespace of the VM",
        "items[].target.name": "name of the VM",
        "items[].phase": _PHASE,
        "items[].node": "that runs it",
        "items[].nicsReady": "how many of its NICs are ready",
        "items[].nicsTotal": "how many NICs it has",
        "items[].reason": "what keeps the VM from starting; else of the first NIC that is not ready, one that is "
        "`Blocked` or `Failed` before others; else "
        "`Failure`, `Requested`, `InvalidHotplugPolicy`, "
        "`RestartRequired`, or null",
        "items[].message": "the reason in a sentence",
        "items[].remedy": "what a person can do about it; null when nothing is known",
        "note": "why nothing happens: no operator works",
    },
    "Plan": {
        "target.kind": "`VirtualMachine`, or `VirtualMachineInstance` for one that belongs to none",
        **_TARGET,
        "arrives": "all that the change concerns happens automatically",
        "node": "that runs the VM",
        "nics[].name": "of the NIC",
        "nics[].operation": "`Plug`, `Unplug`, `ChangeNetwork`, `SetLink`; `Change` for what has no record",
        "nics[].affected": "the change names or concerns it; others are already requested",
        "nics[].sideEffect": "nobody asked for it: it follows from the change, and `arrives` does not depend on it",
        "nics[].network": "network attachment definition",
        "nics[].binding": "as in the spec",
        "nics[].outcome": "`Ready`, `InPlace`, `ByMigration`, `AtStart`, `NeedsRestart`, `Stuck`, `Withdrawn`",
        "nics[].path": "as the record will have it",
        "nics[].phase": "the same",
        "nics[].reason": "the same; `RestartRequired` for what the template says and the running guest does not follow",
        "nics[].message": "the same",
        "nics[].remedy": "the same; null when nothing is to be done",
        "nics[].evidence.node": "of the VM",
        "nics[].evidence.pod": "its launcher pod",
        "nics[].evidence.controller.state": "`ready`, `not ready`, `not on the node`, `not deployed`, `unknown`",
        "nics[].evidence.controller.daemonSet": "of the dynamic networks controller; null if `evidenceFrom` is `api`",
        "nics[].evidence.controller.message": "why it is not ready",
        "nics[].evidence.controller.since": "when it stopped being ready",
        "nics[].evidence.liveMigratable.possible": "the VM can be migrated",
        "nics[].evidence.liveMigratable.message": "why not",
        "nics[].evidence.candidates.known": "nodes could be read",
        "nics[].evidence.candidates.fitting": "nodes that the VM could move to",
        "nics[].evidence.candidates.total": "all nodes",
        "nics[].evidence.candidates.nodes[]": "names of those that fit, ten at most; none if `evidenceFrom` is `api`",
        "nics[].evidence.candidates.message": "the count, and what is against the others",
        "nics[].evidence.attempts": "how often the pod was asked",
        "nics[].evidence.failedAttempts": "how often the controller reported a failure",
        "nics[].evidence.failedMigrations": "how often a migration for it has failed",
        "nics[].evidence.lastError": "what was last said about a failure",
        "nics[].otherwise.afterSeconds": "when, if the controller has not answered until then",
        "nics[].otherwise.outcome": "what happens then",
        "nics[].otherwise.reason": "the same",
        "nics[].otherwise.message": "the same",
        "nics[].otherwise.remedy": "the same",
        **_under("pciSlots.before", _BUDGET),
        **_under("pciSlots.after", _BUDGET),
        "migration": "name of the migration that would be made",
        "migrationSlots.taken": "slots of the cluster that are taken; null if `evidenceFrom` is `api`",
        "migrationSlots.perCluster": "slots of the cluster",
        "policy[].name": "of a field of the policy, with `nadPolicy`, `sharedNamespaces` and `requireNadAccess`",
        "policy[].value": "its value for this VM",
        "policy[].origin": "where it stands",
        "policyProblems[]": "what is wrong with the policy, as sentences",
        "restartFields[]": "fields beside NICs that wait for a restart of the VM; if `evidenceFrom` is `api`, without "
        "those that the manifest changes",
        "refusals[]": "what is refused, as sentences",
        "note": "why nothing of that happens now: no operator works; null also when nothing would happen",
        **_SOURCE,
        **_UNKNOWN,
    },
    "NicStory": {
        **_TARGET,
        **_under("nic", _NIC),
        "meaning": "of the reason",
        "waitsFor": "who has the next move",
        "since": "since when",
        "todo": "what a person can do: the remedy of the record, else of its reason",
        "restart": "what a restart of the VM has to do with the NIC; null when nothing",
        "outdated": "that the network has changed, or is no longer allowed, since the guest got the NIC; null when not",
        "next[].at": "when something will happen; null when nobody can say",
        "next[].what": "what",
        "moments[].at": "when something happened",
        "moments[].source": "the object that says so",
        "moments[].what": "what",
        "note": "why nothing of that happens now: no operator works",
        **_SOURCE,
        **_UNKNOWN,
    },
    "NicStoryList": {
        "items[]": "always empty: `why` was not asked about one NIC, and every NIC is ready",
        "note": "no operator works; null when one does",
    },
    "MigrationQueue": {
        "slots.perCluster": "slots of the cluster",
        "slots.taken": "those that are taken; null when that must not be read",
        "limits.parallelMigrationsPerCluster": "of the KubeVirt CR",
        "limits.parallelOutboundMigrationsPerNode": "the same",
        "limits.parallelInboundMigrationsPerNode": "the same",
        "migrations[].namespace": "of the migration",
        "migrations[].name": "the same",
        "migrations[].vm": "that it moves",
        "migrations[].phase": "as in its status",
        "migrations[].reason": "of its condition `Progressing`",
        "migrations[].message": "what it waits for, with who is in front; or how it ended",
        "migrations[].sourceNode": "from where",
        "migrations[].targetNode": "the node that it moves to",
        "migrations[].created": "when it was made",
        "migrations[].hasSlot": "the ledger has a slot for it",
        "migrations[].position": "among those that wait for a slot, from 1",
        "unknown[]": "what could not be read, as sentences",
        "note": "why no migration begins or goes on: no operator works",
    },
    "Version": {
        "clientVersion.gitVersion": "of this command",
        "serverVersion.gitVersion": "of the aggregated API: the KubeVirt release whose requests it takes, and "
        "nicplug's version behind `+nicplug.`; null when it does not answer",
        "serverProblem": "why it does not",
        "kubernetesVersion.gitVersion": "of the API server",
    },
    "Diagnosis": {
        "healthy": "no finding is a problem",
        "findings[].check": "its name, which stays",
        "findings[].severity": "`ok`, `warning`, `problem`, `unknown`",
        "findings[].message": "what was found",
        "findings[].remedy": "what to do; null where nothing is to be done",
    },
}
