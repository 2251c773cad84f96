"""Changes of the KubeVirt CR: its spec, and the version that virt-operator reports in it."""

from tests.integration.user import Json, User


def configure(admin: User, **spec: Json) -> None:
    """Set members of the spec of the KubeVirt CR."""
    admin.change("kubevirts", "kubevirt", lambda body: body["spec"].update(spec))


def be(admin: User, version: str) -> None:
    """Virt-operator has installed another version."""
    admin.merge("kubevirts", "kubevirt", {"status": {"observedKubeVirtVersion": version}}, status=True)


def methods(*names: str) -> Json:
    """What the workload updater may do."""
    return {"workloadUpdateMethods": list(names)}
