"""What KubeVirt's webhooks say about networks, interfaces, run strategies, migrations and changes of an instance.

`...` stands for names and values, `F` for the path of the VMI spec. Source: KubeVirt 1.9, in `pkg/network/admitter` and
`pkg/virt-api/webhooks/validating-webhook/admitters` (virtual machines, instances, migrations).
"""

import re

from tests.admission.row import Row

NETWORKS = (
    "more than one interface is connected to a pod network in F.interfaces",
    "Multus CNI should only have one default network",
    "Pod network cannot be defined when Multus default network is defined",
    "should have a network type",
    "should have only one network type",
    "CNI delegating plugin must have a networkName",
    'Network with name "..." already exists, every network must have a unique name',
    "F.networks[...].name '...' not found.",
    "mixing Multus and DRA resourceClaim networks in the same VMI is not supported",
    "vmi.spec.networks contains DRA networks but NetworkDevicesWithDRA feature gate is not enabled",
    'DRA network "..." requires an SR-IOV or binding plugin interface',
    "claimName is required for DRA network",
    "requestName is required for DRA network",
    'network references resourceClaim "..." which is not defined in spec.resourceClaims',
    'duplicate claimName/requestName combination "..."',
)
INTERFACES = (
    "logical ... interface state value is unsupported: ...",
    '"..." interface\'s state "..." is not supported for SR-IOV NICs',
    '"..." interface\'s state "absent" is supported only for bridge binding',
    '"..." interface\'s state "absent" is not supported on default networks',
    "logical ... interface must have exactly one binding method or binding plugin",
    "Masquerade interface only implemented with pod network",
    "The requested MAC address is reserved for the in-pod bridge. Please choose another one.",
    "Bridge on pod network configuration is not enabled under kubevirt-config",
    "bridge interface is not enabled in kubevirt-config",
    "PasstBinding feature gate is not enabled",
    "PasstBinding interface only implemented with pod network",
    "Only one interface can be connected to one specific network",
    "F.domain.devices.interfaces[...].name '...' not found.",
    "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)",
    "interface ... uses model ... that is not supported.",
    "interface ... has malformed MAC address (...).",
    "interface ... has too long MAC address (...).",
    "interface ... has malformed PCI address (...).",
    "provided DHCPPrivateOptions are out of range, must be in range 224 to 254",
    "Found Duplicates: you have provided duplicate DHCPPrivateOptions",
    "NTP servers must be a list of valid IPv4 addresses.",
    "Slirp interface support has been discontinued since v1.3",
    "Passt network binding has been discontinued since v1.3",
    "Macvtap network binding has been discontinued since v1.3",
    "... must have a boot order > 0, if supplied",
    "Boot order for F.domain.devices.interfaces[...].bootOrder already set for a different device.",
)
PORTS = (
    "Port field is mandatory.",
    "Port field must be in range 0 < x < 65536.",
    "Unknown protocol, only TCP or UDP allowed",
    "Duplicate name of the port: ...",
    "Invalid name of the port: ...",
    "portRanges is specified on interface but the PortRangesSpec feature gate is not enabled",
    "Cannot define both ports and portRanges on interface",
    "portRanges are only supported on masquerade interfaces",
    "No more than 10 portRanges are allowed",
    "Start must be a valid port number, 0 < x < 65536",
    "End must be a valid port number, 0 < x < 65536",
    "Start must be less than or equal to end",
    "... portRanges [...] and [...] overlap",
)
MACHINES = (
    "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy instead",
    "RunStrategy must be specified",
    "Invalid RunStrategy (...)",
    "Invalid RunStrategy (...), DecentralizedLiveMigration feature gate is not enabled in kubevirt resource",
    "missing virtual machine template.",
    "update of VMI object is restricted",
    "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited",
)
MIGRATIONS = (
    "vmiName is missing",
    "Migration priority queue, only virt-controller is allowed to set priority field",
    'the VMI "..." does not exist',
    "Cannot migrate VMI in finalized state.",
    "Cannot migrate VMI, Reason: ..., Message: ...",
    "in-flight migration detected. Active migration job (...) is currently already in progress for VMI ...",
    "DecentralizedLiveMigration feature gate is not enabled in kubevirt resource",
    "sendTo migrationID ... does not match receive migrationID ...",
    "update of Migration object's spec is restricted",
    "selector label can't be removed from an in-flight migration",
    "selector label can't be modified on an in-flight migration",
)
TEXTS = (*NETWORKS, *INTERFACES, *PORTS, *MACHINES, *MIGRATIONS)

_FAILED = "accepted; the migration is `Failed` within 2 s, with this text"
_MISSING = "a policy reads other objects as its parameters, and those that there are do not say which one is missing"
_ANOTHER_OBJECT = (
    "a policy could read instances and migrations as its parameters only: the API server would watch all of them, and "
    "evaluate it once for each of the namespace"
)
NO_TEMPLATE = "spec.template: Required value"
EXCEPTIONS = {
    "missing virtual machine template.": (
        f"refused with `{NO_TEMPLATE}`",
        "the schema requires the field, as KubeVirt's does, so that its webhook is not asked either; kubectl does not "
        "even send such a machine",
    ),
    "Migration priority queue, only virt-controller is allowed to set priority field": (
        "accepted", "nicplug honours the `priority` of a user's migration",
    ),
    'the VMI "..." does not exist': (_FAILED, _MISSING),
    "Cannot migrate VMI in finalized state.": (_FAILED, _ANOTHER_OBJECT),
    "Cannot migrate VMI, Reason: ..., Message: ...": (_FAILED, _ANOTHER_OBJECT),
    "in-flight migration detected. Active migration job (...) is currently already in progress for VMI ...": (
        _FAILED, _ANOTHER_OBJECT,
    ),
    "sendTo migrationID ... does not match receive migrationID ...": (
        "accepted; the migration is `Failed` with `MigrationNotSupported`",
        "no migration of nicplug's goes to, or comes from, another cluster or namespace",
    ),
}  # fmt: skip
"""Texts without a rule: what happens instead, and why."""


def says(row: Row, text: str) -> bool:
    """Whether the row is an example of the text."""
    pattern = re.escape(text.replace("F.", "{F}.")).replace(re.escape("..."), ".+")
    return bool(re.fullmatch(pattern, row.text))
