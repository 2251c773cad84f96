"""The cluster roles for people beside those of KubeVirt 1.9, verb by verb; what differs is named here.

Source: KubeVirt 1.9 `pkg/virt-operator/resource/generate/rbac/cluster.go`, of which the rules about kinds and
subresources that nicplug does not serve are left out (`NOT_SERVED`).
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

USERS = Path(__file__).resolve().parents[2] / "deploy" / "kustomize" / "base" / "users"
SUBRESOURCES = "subresources.kubevirt.io"
VMS, VMIS, MIGRATIONS = (f"kubevirt.io/virtualmachine{what}" for what in ("s", "instances", "instancemigrations"))
KUBEVIRTS = "kubevirt.io/kubevirts"

READ = "get list watch"
EDIT = "get delete create update patch list watch"
ALL = f"{EDIT} deletecollection"
POWER = {f"{SUBRESOURCES}/virtualmachines/{verb}": "update" for verb in ("start", "stop", "restart")}
OF_KUBEVIRT: dict[str, dict[str, str]] = {
    "default": {KUBEVIRTS: "get list", f"{SUBRESOURCES}/version": "get list"},
    "view": {KUBEVIRTS: "get list", VMS: READ, VMIS: READ, MIGRATIONS: READ},
    "edit": {KUBEVIRTS: "get list", VMS: EDIT, VMIS: EDIT, MIGRATIONS: READ, **POWER},
    # No kubevirts: whoever is an admin of a namespace has them by `default`.
    "admin": {VMS: ALL, VMIS: ALL, MIGRATIONS: READ, **POWER},
    "migrate": {f"{SUBRESOURCES}/virtualmachines/migrate": "update", MIGRATIONS: ALL},
}

BOTH = ("virtualmachines", "virtualmachineinstances")
QUESTIONS = {
    **{f"{SUBRESOURCES}/{plural}/nicplan": "update" for plural in BOTH},
    **{f"{SUBRESOURCES}/{plural}/nicstory": "get" for plural in BOTH},
}
# KubeVirt 1.0 grants them, 1.9 has none of them.
INTERFACES = {
    f"{SUBRESOURCES}/{plural}/{verb}": "update" for plural in BOTH for verb in ("addinterface", "removeinterface")
}
POLICY = {"nicplug.io/hotplugpolicies": "get list"}
OURS_ALONE: dict[str, dict[str, str]] = {
    "default": POLICY,
    "view": {**QUESTIONS, **POLICY},
    "edit": {**QUESTIONS, **INTERFACES, **POLICY},
    # The last: launcher pods of the namespace may run as its accounts.
    "admin": {**QUESTIONS, **INTERFACES, "nicplug.io/launcheraccounts": "use"},
}
# In KubeVirt's roles, and nowhere in ours: nobody serves them here.
NOT_SERVED = [
    "guestfs",
    "virtualmachineinstances/console",
    "virtualmachines/expand-spec",
    "virtualmachines/addvolume",
    "virtualmachineinstancepresets",
    "virtualmachineinstancereplicasets",
    "virtualmachinepools",
    "migrationpolicies",
]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((USERS / f"{name}.yaml").read_text()))


def rights(name: str) -> dict[str, set[str]]:
    """Verbs by group and resource."""
    found: dict[str, set[str]] = {}
    for rule in documents(name)[0]["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault(f"{group}/{resource}", set()).update(rule["verbs"])
    return found


@pytest.mark.parametrize("name", OF_KUBEVIRT)
def test_the_verbs_are_those_of_kubevirt_and_the_differences_are_named(name: str) -> None:
    """Only `edit` and `admin` had kubevirts, which no RoleBinding reaches: it is a kind of another namespace."""
    wanted = {**OF_KUBEVIRT[name], **OURS_ALONE.get(name, {})}
    assert rights(name) == {resource: set(verbs.split()) for resource, verbs in wanted.items()}


def test_whoever_has_signed_in_may_read_the_policy() -> None:
    _, binding = documents("default")
    assert binding["kind"] == "ClusterRoleBinding"
    assert binding["roleRef"]["name"] == "kubevirt.io:default"
    (subject,) = binding["subjects"]
    assert (subject["kind"], subject["name"]) == ("Group", "system:authenticated")


@pytest.mark.parametrize("resource", NOT_SERVED)
def test_no_right_is_given_to_what_nobody_serves(resource: str) -> None:
    granted = {key.partition("/")[2] for name in OF_KUBEVIRT for key in rights(name)}
    assert resource not in granted
