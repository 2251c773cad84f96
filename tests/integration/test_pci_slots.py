"""The PCI slots of a guest on a real API server: counted, given out, refused, and given back."""

import pytest
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import plug, unplug, vm

# 64 MiB and no virtio disks: with its first NIC the guest surely has 4 slots for NICs, and at most 8.
PLUGGED = [f"nic{number}" for number in range(1, 8)]


def budget(user: User) -> Json:
    status = (user.get(VMI, "a") or {}).get("status") or {}
    return dict(status.get("pciBudget") or {})


@pytest.mark.usefixtures("unharmed")
def test_a_nic_too_many_is_told_and_follows_when_another_one_leaves(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    until(lambda: budget(user) == {"total": 4, "used": 1, "reserved": 0, "free": 3})
    user.change(VM, "a", plug(*PLUGGED))
    for name in PLUGGED:
        user.until_ready("a", name)
    # Four were certain; the guest has proved to have eight.
    until(lambda: budget(user) == {"total": 8, "used": 8, "reserved": 0, "free": 0})
    user.change(VM, "a", plug("late"))
    until(lambda: user.record("a", "late").get("reason") == "NoPciSlot")
    record = user.record("a", "late")
    assert (record["path"], record["phase"]) == ("Restart", "Blocked")
    assert record["message"].startswith("the guest has at most 8 PCI slots for NICs, 8 taken")
    assert len(user.pod_of("a")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"].split('"name"')) == 8
    user.change(VM, "a", unplug("nic3"))
    user.until_ready("a", "late")
    assert budget(user)["used"] == 8
