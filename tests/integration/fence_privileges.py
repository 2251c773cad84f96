"""What a pod has that nicplug never makes, and what others may add to a launcher pod, for `test_fences`."""

from typing import Any

from tests.integration.user import Json

NO_MEMBER = "is not created: no launcher pod of nicplug has"
NO_ACCOUNT = 'is not created: a launcher pod of nicplug has no ServiceAccount but "default", and not its token'
NO_VOLUME = "is not created: a launcher pod of nicplug has no volumes but"
ONE_COMPUTE = 'is not created: a launcher pod of nicplug has one container "compute"'
NO_SECRET = "is not created: no container of a launcher pod has a Secret in its environment"
NO_PRIVILEGES = "is not created: a launcher pod of nicplug has no privileged container"

_COMPUTE = {"name": "compute", "image": "launcher"}


def _compute(**members: Any) -> Json:
    return {"containers": [{**_COMPUTE, **members}]}


def _beside(**members: Any) -> Json:
    return {"containers": [_COMPUTE, {"name": "side", "image": "x", **members}]}


def _first(**members: Any) -> Json:
    return {"initContainers": [{"name": "first", "image": "x", **members}]}


def _volume(**source: Any) -> Json:
    return {"volumes": [{"name": "v", **source}]}


def _projected(**source: Any) -> Json:
    return _volume(projected={"sources": [source]})


def _secret_variable() -> Json:
    return {"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}


def _sources(count: int) -> list[Json]:
    return [{"configMap": {"name": f"c{number}"}} for number in range(count)]


def _mounts(count: int) -> list[Json]:
    return [{"name": "v", "mountPath": f"/v{number}"} for number in range(count)]


def _ports(count: int) -> list[Json]:
    return [{"containerPort": number} for number in range(1, count + 1)]


def _maps(count: int) -> list[Json]:
    return [{"configMapRef": {"name": f"c{number}"}} for number in range(count)]


def _variables(count: int) -> list[Json]:
    return [{"name": f"V{number}", "value": ""} for number in range(count)]


def _containers(count: int) -> list[Json]:
    return [{"name": f"c{number}", "image": "x"} for number in range(count)]


_CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
_MOUNTED = [{"name": "v", "mountPath": "/v"}]
_MESH_TOKENS: list[Json] = [
    {"serviceAccountToken": {"path": path, "audience": audience}}
    for path, audience in (("t", "istio-ca"), ("u", "identity.l5d.io"))
]
_LABELS: Json = {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}


def _secure(part: str, **members: Any) -> Json:
    of_container = {"compute": _compute, "beside": _beside, "first": _first}.get(part)
    return of_container(securityContext=members) if of_container else {"securityContext": members}


_ESCAPES: dict[str, Json] = {
    "privileges": {"privileged": True},
    "capabilities": {"capabilities": {"add": ["SYS_ADMIN"]}},
}
_LAXER: dict[str, Json] = {
    "no seccomp": {"seccompProfile": {"type": "Unconfined"}},
    "no AppArmor": {"appArmorProfile": {"type": "Unconfined"}},
    "another SELinux type": {"seLinuxOptions": {"type": "spc_t"}},
    "a Windows account": {"windowsOptions": {"runAsUserName": "NT AUTHORITY\\SYSTEM"}},
}
PRIVILEGES: dict[str, tuple[str, Json]] = {
    # -- members of the spec that nicplug does not make
    "the node's network": (NO_MEMBER, {"hostNetwork": True}),
    "the node's processes": (NO_MEMBER, {"hostPID": True}),
    "the node's IPC": (NO_MEMBER, {"hostIPC": True}),
    "the node's users": (NO_MEMBER, {"hostUsers": True}),
    "no users of the node": (NO_MEMBER, {"hostUsers": False}),
    "a node": (NO_MEMBER, {"nodeName": "node01"}),
    "the processes of its neighbours": (NO_MEMBER, {"shareProcessNamespace": True}),
    "names in its hosts file": (NO_MEMBER, {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["registry"]}]}),
    "a claim of a device": (NO_MEMBER, {"resourceClaims": [{"name": "c", "resourceClaimName": "of-others"}]}),
    # -- the account
    "another account": (NO_ACCOUNT, {"serviceAccountName": "builder"}),
    "another account by its old name": (NO_ACCOUNT, {"serviceAccount": "builder"}),
    "the account's token": (NO_ACCOUNT, {"automountServiceAccountToken": True}),
    "the account's token by default": (NO_ACCOUNT, {"automountServiceAccountToken": None}),
    # -- volumes
    "the node's files": (NO_VOLUME, _volume(hostPath={"path": "/"})),
    "a Secret": (NO_VOLUME, _volume(secret={"secretName": "s"})),
    "a projected Secret": (NO_VOLUME, _projected(secret={"name": "s"})),
    "a projected token": (NO_VOLUME, _projected(serviceAccountToken={"path": "t"})),
    "a projected token of the API server": (
        NO_VOLUME,
        _projected(serviceAccountToken={"path": "t", "audience": "https://kubernetes.default.svc.cluster.local"}),
    ),
    "very many sources": (NO_VOLUME, _volume(projected={"sources": _sources(101)})),
    "a disk": (NO_VOLUME, _volume(persistentVolumeClaim={"claimName": "of-others"})),
    "a disk of its own": (NO_VOLUME, _volume(ephemeral={"volumeClaimTemplate": _CLAIM})),
    "a driver's volume": (NO_VOLUME, _volume(csi={"driver": "secrets-store.csi.k8s.io"})),
    "a share": (NO_VOLUME, _volume(nfs={"server": "10.0.0.1", "path": "/"})),
    "a disk by network": (NO_VOLUME, _volume(iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.x:y", "lun": 0})),
    "very many volumes": (NO_VOLUME, {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(101)]}),
    # -- compute
    "no compute": (ONE_COMPUTE, {"containers": [{"name": "other", "image": "launcher"}]}),
    "compute at first only": (
        ONE_COMPUTE, {"containers": [{"name": "other", "image": "launcher"}], "initContainers": [_COMPUTE]},
    ),
    "a command": (ONE_COMPUTE, _compute(command=["sh"])),
    "a port": (ONE_COMPUTE, _compute(ports=[{"containerPort": 22}])),
    "a token of the mesh in compute": (
        ONE_COMPUTE, {**_projected(**_MESH_TOKENS[0]), **_compute(volumeMounts=_MOUNTED)},
    ),
    "very many mounts": (ONE_COMPUTE, {**_volume(emptyDir={}), **_compute(volumeMounts=_mounts(101))}),
    # -- every container
    "a Secret's key in compute": (NO_SECRET, _compute(**_secret_variable())),
    "a Secret's key beside": (NO_SECRET, _beside(**_secret_variable())),
    "a Secret's key at first": (NO_SECRET, _first(**_secret_variable())),
    "a whole Secret beside": (NO_SECRET, _beside(envFrom=[{"secretRef": {"name": "s"}}])),
    "a whole Secret at first": (NO_SECRET, _first(envFrom=[{"secretRef": {"name": "s"}}])),
    "the node's port": (NO_SECRET, _beside(ports=[{"containerPort": 22, "hostPort": 22}])),
    "very many variables": (NO_SECRET, _compute(env=_variables(301))),
    "very many ports": (NO_SECRET, _beside(ports=_ports(101))),
    "very many maps": (NO_SECRET, _beside(envFrom=_maps(101))),
    "very many containers": (NO_SECRET, {"containers": [_COMPUTE, *_containers(20)]}),
    # -- security contexts
    **{
        f"{title} of {part}": (NO_PRIVILEGES, _secure(part, **members))
        for part in ("compute", "beside", "first")
        for title, members in _ESCAPES.items()
    },
    **{
        f"{title} of {part}": (NO_PRIVILEGES, _secure(part, **members))
        for part in ("the pod", "compute", "beside")
        for title, members in _LAXER.items()
    },
    "a sysctl": (NO_PRIVILEGES, _secure("the pod", sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}])),
}  # fmt: skip

# What admission and the webhooks of others add to a launcher pod within nicplug's request.
ADDED: dict[str, Json] = {
    "secrets of the account for images": {"imagePullSecrets": [{"name": "registry"}]},
    "a gate of a queue": {"schedulingGates": [{"name": "example.com/queue"}]},
    "what a security policy demands": {
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 107, "runAsGroup": 107, "supplementalGroups": [107],
            "fsGroup": 107, "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
            "seLinuxOptions": {"level": "s0:c26,c5"},
        },
        **_compute(securityContext={
            "allowPrivilegeEscalation": False, "privileged": False, "capabilities": {"drop": ["ALL"]},
        }),
    },
    "a CA's certificates in compute": {
        **_volume(configMap={"name": "ca"}),
        **_compute(volumeMounts=_MOUNTED, env=[{"name": "SSL_CERT_DIR", "value": "/v"}]),
    },
    "a sidecar of a mesh": {
        **_beside(
            volumeMounts=_MOUNTED, ports=[{"containerPort": 15090}], command=["proxy"],
            env=[{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            securityContext={"readOnlyRootFilesystem": True, "runAsUser": 1337, "capabilities": {"drop": ["ALL"]}},
        ),
        **_first(restartPolicy="Always", envFrom=[{"configMapRef": {"name": "mesh"}}]),
        "volumes": [
            {"name": "v", "projected": {"sources": [*_MESH_TOKENS, {"configMap": {"name": "ca"}}, _LABELS]}},
            {"name": "socket", "emptyDir": {}},
            {"name": "info", **_LABELS},
        ],
    },
    "as much as there may be": {
        "containers": [
            {**_COMPUTE, "volumeMounts": _mounts(100), "env": _variables(300)},
            {"name": "side", "image": "x", "ports": _ports(100), "envFrom": _maps(100)},
            *_containers(18),
        ],
        "volumes": [
            {"name": "v", "emptyDir": {}},
            {"name": "p", "projected": {"sources": _sources(100)}},
            *({"name": f"v{number}", "emptyDir": {}} for number in range(98)),
        ],
    },
}  # fmt: skip
