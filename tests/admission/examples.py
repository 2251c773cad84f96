"""The shapes of KubeVirt's example manifests of virtual machines: what kinds of fields they use together.

One line for each example that differs in shape, by its name in KubeVirt's `examples/`; values are our own. `DISKS` and
`VOLUMES` have the kinds that they use. Left out: those that admission refuses today (slirp, macvtap, genie), those of
other kinds (presets, pools, replica sets, instance types), and `resourceClaimTemplates`, which is newer than 1.9.
"""

from typing import Any

from tests.admission.row import Json, Kind, on_pod, secondary

DISKS: dict[str, Json] = {
    "virtio": {"disk": {"bus": "virtio"}},
    "sata": {"disk": {"bus": "sata"}},
    "scsi": {"disk": {"bus": "scsi", "rotationRate": 1}},
    "plain": {"disk": {}},
    "cdrom": {"cdrom": {"bus": "sata"}, "bootOrder": 2},
    "first": {"disk": {"bus": "virtio"}, "bootOrder": 1},
}
VOLUMES: dict[str, Json] = {
    "container": {"containerDisk": {"image": "registry.example/guest:1"}},
    "cloud-init": {"cloudInitNoCloud": {"userData": "#!/bin/sh\n\necho hello\n", "networkData": "version: 2\n"}},
    "empty": {"emptyDisk": {"capacity": "2Gi"}},
    "claim": {"persistentVolumeClaim": {"claimName": "disk"}},
    "data": {"dataVolume": {"name": "disk"}},
    "host": {"hostDisk": {"capacity": "1Gi", "path": "/var/data/disk.img", "type": "DiskOrCreate"}},
}
CLOCK: Json = {
    "utc": {},
    "timer": {
        "hpet": {"present": False},
        "hyperv": {},
        "pit": {"tickPolicy": "delay"},
        "rtc": {"tickPolicy": "catchup"},
    },
}
HYPERV: Json = {"acpi": {}, "apic": {}, "hyperv": {"relaxed": {}, "vapic": {}, "spinlocks": {"spinlocks": 8191}}}
FIRMWARE: Json = {"uuid": "00000000-0000-4000-8000-000000000001"}
TOPOLOGY: Json = {"cores": 1, "sockets": 1, "threads": 1}
PINNED: Json = {"cores": 2, "dedicatedCpuPlacement": True}
MEMORY: Json = {"resources": {"requests": {"memory": "1Gi"}}}
GUEST: Json = {"memory": {"guest": "128Mi"}, "resources": {}}
MASQUERADE, MULTUS = on_pod(), secondary()
PORTS: Json = {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
HOOK = {"hooks.kubevirt.io/hookSidecars": '[{"image": "registry.example/hook:1"}]'}


def example(
    disks: str = "",
    *nics: tuple[Json, Json],
    domain: Json = MEMORY,
    devices: Json | None = None,
    vm: Json | None = None,
    metadata: Json | None = None,
    **spec: Any,
) -> tuple[Kind, Json, Json]:
    """Kind, metadata of the instance, and spec.

    Args:
        disks: `kind:volume` of each.
        vm: members of the spec of a VirtualMachine; None: it is an instance.
    """
    pairs = [pair.split(":") for pair in disks.split()]
    made: Json = {"disks": [{"name": f"d{at}", **DISKS[disk]} for at, (disk, _) in enumerate(pairs)]} if pairs else {}
    made |= {"interfaces": [nic for nic, _ in nics]} if nics else {}
    body: Json = {
        "domain": {**domain, "devices": {**made, **(devices or {})}},
        "terminationGracePeriodSeconds": 0,
        **spec,
    }
    body |= {"networks": [network for _, network in nics]} if nics else {}
    volumes = [{"name": f"d{at}", **VOLUMES[volume]} for at, (_, volume) in enumerate(pairs)]
    body |= {"volumes": [*volumes, *body.get("volumes", ())]} if volumes else {}
    if vm is None:
        return Kind.VMI, metadata or {}, body
    template = {"metadata": {"labels": {"kubevirt.io/vm": "a"}, **(metadata or {})}, "spec": body}
    return Kind.VM, {}, {"runStrategy": "Halted", **vm, "template": template}


BASE, WITH_EMPTY = "virtio:container virtio:cloud-init", "virtio:container virtio:cloud-init virtio:empty"
HALTED: Json = {}
TYPED: Json = {
    "instancetype": {"kind": "VirtualMachineInstancetype", "name": "clarge"},
    "preference": {"kind": "VirtualMachinePreference", "name": "windows"},
}
CLUSTER_TYPED: Json = {"instancetype": {"kind": "VirtualMachineClusterInstancetype", "name": "cluster-csmall"}}
DATA_VOLUME: Json = {
    "metadata": {"name": "disk", "creationTimestamp": None},
    "spec": {
        "pvc": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block", "resources": {"requests": {"storage": "2Gi"}}},
        "source": {"registry": {"url": "docker://registry.example/guest:1"}},
    },
}
EXAMPLES: dict[str, tuple[Kind, Json, Json]] = {
    "vm-alpine-datavolume": example("virtio:data", vm={"dataVolumeTemplates": [DATA_VOLUME]}),
    "vm-alpine-multipvc": example("virtio:claim virtio:claim", domain=GUEST, vm=HALTED),
    "vm-cirros": example(BASE, vm=HALTED),
    "vm-cirros-clarge-windows": example("plain:container plain:cloud-init", domain={"resources": {}}, vm=TYPED),
    "vm-cirros-cluster-csmall": example(BASE, domain={}, vm=CLUSTER_TYPED),
    "vm-cirros-sata": example(
        domain={**GUEST, "cpu": TOPOLOGY}, volumes=[{"name": "d", **VOLUMES["container"]}], vm=HALTED
    ),
    "vm-cirros-with-sidecar-hook-configmap": example(BASE, vm=HALTED, metadata={"annotations": HOOK}),
    "vm-priorityclass": example(BASE, vm=HALTED, priorityClassName="non-preemptible"),
    "vm-template-fedora": example(
        BASE,
        on_pod(model="virtio"),
        domain={**MEMORY, "cpu": {"cores": 4}},
        devices={"networkInterfaceMultiqueue": True, "rng": {}},
        vm=HALTED,
    ),
    "vm-template-windows2012r2": example(
        "sata:claim virtio:claim",
        on_pod(model="e1000"),
        domain={**MEMORY, "clock": CLOCK, "features": HYPERV, "firmware": FIRMWARE},
        vm=HALTED,
    ),
    "vm-win2k19": example("cdrom:claim first:data", MULTUS, vm=HALTED),
    "vm_multus_with_nad": example(BASE, MASQUERADE, MULTUS, devices={"rng": {}}, vm={"runStrategy": "Always"}),
    "vmi-alpine-efi": example(
        "virtio:container",
        domain={**GUEST, "cpu": TOPOLOGY, "firmware": {"bootloader": {"efi": {"secureBoot": False}}}},
    ),
    "vmi-arm": example(WITH_EMPTY, architecture="arm64"),
    "vmi-block-pvc": example("virtio:claim", domain={**MEMORY, "machine": {"type": ""}}),
    "vmi-dra-pgpu": example(
        BASE,
        devices={"gpus": [{"name": "gpu", "claimName": "gpu-claim", "requestName": "gpu"}]},
        resourceClaims=[{"name": "gpu-claim", "resourceClaimTemplateName": "gpu-template"}],
    ),
    "vmi-ephemeral": example("virtio:container", domain=GUEST),
    "vmi-fedora": example(BASE, domain={**MEMORY, "chassis": {"asset": "123456"}}, devices={"rng": {}}),
    "vmi-fedora-dedicated": example(BASE, domain={**MEMORY, "cpu": PINNED}, nodeSelector={"something": "something"}),
    "vmi-fedora-isolated": example(BASE, domain={**MEMORY, "cpu": {**PINNED, "isolateEmulatorThread": True}}),
    "vmi-file-memory-backing": example(
        domain={**MEMORY, "memory": {"fileBacked": {"volumeName": "d"}}}, volumes=[{"name": "d", **VOLUMES["claim"]}]
    ),
    "vmi-gpu": example(BASE, devices={"gpus": [{"name": "gpu1", "deviceName": "example.com/gpu"}]}),
    "vmi-host-disk": example("virtio:host", domain=GUEST),
    "vmi-kernel-boot": example(
        domain={
            **MEMORY,
            "firmware": {
                "kernelBoot": {
                    "kernelArgs": "console=ttyS0",
                    "container": {
                        "image": "registry.example/kernel:1",
                        "kernelPath": "/boot/k",
                        "initrdPath": "/boot/i",
                    },
                }
            },
        }
    ),
    "vmi-masquerade": example(BASE, on_pod(**PORTS), devices={"rng": {}}),
    "vmi-migratable": example("virtio:container", MASQUERADE, evictionStrategy="LiveMigrate"),
    "vmi-multus-multiple-net": example(BASE, on_pod(bindings="bridge"), secondary("ptp")),
    "vmi-multus-ptp": example(BASE, secondary("ptp"), domain={**MEMORY, "machine": {"type": ""}}),
    "vmi-nocloud": example(WITH_EMPTY),
    "vmi-pvc": example("virtio:claim", domain={**GUEST, "cpu": TOPOLOGY}),
    "vmi-qat": example(BASE, devices={"hostDevices": [{"name": "qat1", "deviceName": "example.com/qat"}]}),
    "vmi-secureboot": example(
        "virtio:container",
        domain={
            **MEMORY,
            "features": {"acpi": {}, "smm": {"enabled": True}},
            "firmware": {"bootloader": {"efi": {"secureBoot": True}}},
        },
    ),
    "vmi-sriov": example(BASE, MASQUERADE, secondary("fast", bindings="sriov")),
    "vmi-ssd-emulation": example("scsi:claim", domain={"memory": {"guest": "1Gi"}, "resources": {}}),
    "vmi-usb": example(BASE, devices={"hostDevices": [{"name": "stick", "deviceName": "kubevirt.io/storage"}]}),
    "vmi-vsock": example(WITH_EMPTY, devices={"autoattachVSOCK": True}),
    "vmi-windows": example(
        "sata:claim", on_pod(model="e1000"), domain={**MEMORY, "clock": CLOCK, "features": HYPERV, "firmware": FIRMWARE}
    ),
    "vmi-with-sidecar-hook": example(BASE, metadata={"annotations": HOOK}),
}


def manifest_of(name: str) -> Json:
    """The object of an example."""
    kind, metadata, spec = EXAMPLES[name]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": str(kind),
        "metadata": {**metadata, "name": name.replace("_", "-"), "labels": {"special": name}},
        "spec": spec,
    }
