"""The lines of the page that started the project, typed as they stand there: by `virtctl` of the sandbox's bin."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nics

from nicplug_sandbox.api_process import add_api, stop_api
from nicplug_sandbox.operator_process import ROOT
from nicplug_sandbox.shims import BIN

ADD_TO_VMI = "virtctl addinterface vmi-fedora --network-attachment-definition-name new-fancy-net --name dyniface1"
ADD_TO_VM = (
    "virtctl addinterface vm-fedora --network-attachment-definition-name new-fancy-net --name dyniface1 --persist"
)
# The page calls the VirtualMachine by the name of its instance.
ADD_TO_VM_OF_THE_PAGE = (
    "virtctl addinterface vmi-fedora --network-attachment-definition-name new-fancy-net --name dyniface1 --persist"
)
LOOK = 'kubectl get vmi vmi-fedora -ojsonpath="{ @.status.interfaces }"'
GATE_OFF = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
BOTH = ["defaultnetwork", "dyniface1"]


class Shell:
    """A shell with the sandbox's bin on its PATH, in a namespace."""

    def __init__(self, sandbox: Sandbox, user: User) -> None:
        content = yaml.safe_load(sandbox.admin.read_text())
        for context in content["contexts"]:
            context["context"]["namespace"] = user.namespace
        config = sandbox.admin.with_name(f"{user.namespace}.kubeconfig")
        config.write_text(yaml.safe_dump(content))
        path = f"{sandbox.directory / BIN}{os.pathsep}{os.environ['PATH']}"
        self._variables = {**os.environ, "KUBECONFIG": str(config), "PATH": path}

    def run(self, line: str) -> "subprocess.CompletedProcess[str]":
        """The finished process, whatever its exit code."""
        return subprocess.run(
            line, shell=True, cwd=ROOT, env=self._variables, capture_output=True, text=True, timeout=60, check=False
        )

    def __call__(self, line: str) -> str:
        """The output of a line that must succeed."""
        done = self.run(line)
        assert (done.returncode, done.stderr) == (0, ""), f"{line}: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def _api(sandbox: Sandbox) -> Iterator[None]:
    started = add_api(directory=sandbox.directory, admin=sandbox.admin)
    yield
    stop_api(started)


@pytest.fixture
def shell(sandbox: Sandbox, user: User, _api: None) -> Shell:
    """With the page's network."""
    typed = Shell(sandbox, user)
    typed("kubectl apply -f examples/network-attachment-definition.yaml")
    return typed


def _uid(user: User) -> str:
    found: Json = user.get(VMI, "vm-fedora") or {"metadata": {"uid": ""}}
    return str(found["metadata"]["uid"])


@pytest.mark.usefixtures("unharmed")
def test_a_running_vmi_gets_the_nic(shell: Shell, user: User) -> None:
    shell("kubectl apply -f examples/vmi-fedora.yaml")
    user.until_running("vmi-fedora")
    assert shell(ADD_TO_VMI) == "", "virtctl says nothing"
    user.until_ready("vmi-fedora", "dyniface1")
    rows = json.loads(shell(LOOK))
    assert [row["name"] for row in rows] == BOTH
    assert rows[1]["infoSource"] == "domain, multus-status"


@pytest.mark.usefixtures("unharmed")
def test_a_running_vm_keeps_the_nic_after_a_restart(shell: Shell, user: User) -> None:
    shell("kubectl apply -f examples/vm-fedora.yaml")
    user.until_running("vm-fedora")
    assert shell(ADD_TO_VM) == ""
    user.until_ready("vm-fedora", "dyniface1")
    assert nics(user.get(VM, "vm-fedora")) == BOTH
    first = _uid(user)
    shell("virtctl restart vm-fedora")
    until(lambda: _uid(user) not in ("", first))
    user.until_running("vm-fedora")
    assert user.row("vm-fedora", "dyniface1")["infoSource"] == "domain, multus-status"


@pytest.mark.usefixtures("unharmed")
def test_the_page_s_own_line_for_a_vm(shell: Shell, user: User) -> None:
    shell("sed 's/vm-fedora/vmi-fedora/' examples/vm-fedora.yaml | kubectl apply -f -")
    user.until_running("vmi-fedora")
    assert shell(ADD_TO_VM_OF_THE_PAGE) == ""
    user.until_ready("vmi-fedora", "dyniface1")
    assert nics(user.get(VM, "vmi-fedora")) == BOTH
    rows = json.loads(shell(LOOK))
    assert [(row["name"], row["infoSource"]) for row in rows][1:] == [("dyniface1", "domain, multus-status")]


@pytest.mark.usefixtures("unharmed")
def test_a_stopped_vm_gets_the_nic_into_its_template_alone(shell: Shell, user: User) -> None:
    shell("sed 's/runStrategy: Always/runStrategy: Halted/' examples/vm-fedora.yaml | kubectl apply -f -")
    assert shell(ADD_TO_VM) == ""
    until(lambda: nics(user.get(VM, "vm-fedora")) == BOTH)
    assert user.get(VMI, "vm-fedora") is None


@pytest.mark.usefixtures("unharmed")
def test_without_the_gate_it_is_refused_in_kubevirts_words(
    shell: Shell, user: User, set_gates: Callable[..., None]
) -> None:
    shell("kubectl apply -f examples/vmi-fedora.yaml")
    user.until_running("vmi-fedora")
    set_gates("Other")
    until(lambda: shell.run(ADD_TO_VMI.replace("dyniface1", "early")).returncode)  # the API follows the object
    done = shell.run(ADD_TO_VMI)
    refused, remedy = done.stderr.splitlines()
    assert (done.returncode, done.stdout, refused) == (1, "", GATE_OFF)
    assert "a cluster admin lists it in spec.configuration" in remedy
    assert "dyniface1" not in nics(user.get(VMI, "vmi-fedora"))
