"""How long strings and lists may be that rules look at, by their path in the VMI spec; and `runStrategy` of a VM."""

KUBEVIRTS = {
    "domain.devices.interfaces": 256,
    "networks": 256,
    "volumes": 256,
    "accessCredentials": 256,
}
"""KubeVirt's own: `MaxItems` of its API types, `staging/src/kubevirt.io/api/core/v1`."""
OURS = {
    "utilityVolumes": 256,
    "domain.devices.interfaces[].name": 128,
    "domain.devices.interfaces[].model": 128,
    "domain.devices.interfaces[].macAddress": 128,
    "domain.devices.interfaces[].pciAddress": 128,
    "domain.devices.interfaces[].ports": 256,
    "domain.devices.interfaces[].portRanges": 32,
    "domain.devices.interfaces[].portRanges[].protocol": 16,
    "domain.devices.interfaces[].dhcpOptions.ntpServers": 64,
    "domain.devices.interfaces[].dhcpOptions.ntpServers[]": 64,
    "domain.devices.interfaces[].dhcpOptions.privateOptions": 64,
}
"""These alone refuse more than KubeVirt's admission."""
RUN_STRATEGY = 128
