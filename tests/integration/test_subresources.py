"""virtctl's requests of both versions through a real kube-apiserver to nicplug api and the operator: what happens."""

import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.virtctl import GROUP, Answered, Virtctl, add, read_request, remove
from tests.integration.waiting import until
from tests.manifests import nics, vm, vmi

from nicplug import __version__
from nicplug_sandbox import controlplane
from nicplug_sandbox.api_process import ApiProcess, add_api, is_available, stop_api

GATE_OFF = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Iterator[ApiProcess]:
    """nicplug api as its ServiceAccount, registered."""
    started = add_api(directory=sandbox.directory, admin=sandbox.admin)
    yield started
    log = started.log.read_text()
    stop_api(started)
    assert "Traceback" not in log
    assert '"code": 500' not in log


@pytest.fixture
def virtctl(sandbox: Sandbox, api: ApiProcess, user: User) -> Virtctl:
    """The namespace's owner at a command line."""
    status = controlplane.status(directory=sandbox.directory)
    return Virtctl(sandbox.directory, status.server, user.namespace)


def _accepted(virtctl: Virtctl, tail: str, body: bytes = b"{}", **options: str) -> None:
    answer = virtctl.put(tail, body, **options)
    assert (answer.code, answer.body) == (202, b"")


def _uid(user: User, name: str) -> str:
    found = user.get(VMI, name)
    return str(found["metadata"]["uid"]) if found else ""


def _status(user: User, name: str) -> Json:
    status: Json = (user.get(VM, name) or {}).get("status") or {}
    return status


def _phases(user: User) -> list[str]:
    return [str((item.get("status") or {}).get("phase")) for item in user.items(MIGRATION)]


@pytest.mark.usefixtures("unharmed")
class TestOutcomes:
    """What the page that started the project promises."""

    def test_a_bare_vmi(self, virtctl: Virtctl, user: User) -> None:
        user.create(VMI, vmi("a"))
        user.until_running("a")
        _accepted(virtctl, "virtualmachineinstances/a/addinterface", add("lan", "blue"))
        user.until_ready("a", "blue")
        _accepted(virtctl, "virtualmachineinstances/a/removeinterface", remove("blue"))
        until(lambda: nics(user.get(VMI, "a")) == ["main"] and not user.row("a", "blue"))

    def test_a_running_vm_without_persist_loses_it_at_the_restart(self, virtctl: Virtctl, user: User) -> None:
        """1.0.0-rc.0 without `--persist`: the instance alone."""
        user.create(VM, vm("a"))
        user.until_running("a")
        _accepted(virtctl, "virtualmachineinstances/a/addinterface", add("lan", "blue"))
        user.until_ready("a", "blue")
        assert nics(user.get(VM, "a")) == ["main"]
        first = _uid(user, "a")
        _accepted(virtctl, "virtualmachines/a/restart")
        until(lambda: _uid(user, "a") not in ("", first))
        user.until_running("a")
        assert nics(user.get(VMI, "a")) == ["main"]

    @pytest.mark.parametrize("version", ["v1", "v1alpha3"])
    def test_a_running_vm_with_persist_keeps_it(self, virtctl: Virtctl, user: User, version: str) -> None:
        """1.0.0-rc.0 with `--persist`, and 1.0.0, which has no such flag and sends the same."""
        user.create(VM, vm("a"))
        user.until_running("a")
        _accepted(virtctl, "virtualmachines/a/addinterface", add("lan", "blue"), version=version)
        user.until_ready("a", "blue")
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"] and not _status(user, "a").get("interfaceRequests"))
        first = _uid(user, "a")
        _accepted(virtctl, "virtualmachines/a/restart", version=version)
        until(lambda: _uid(user, "a") not in ("", first))
        user.until_running("a")
        assert user.row("a", "blue")["infoSource"] == "domain, multus-status"
        _accepted(virtctl, "virtualmachines/a/removeinterface", remove("blue"), version=version)
        until(lambda: nics(user.get(VM, "a")) == ["main"] and nics(user.get(VMI, "a")) == ["main"])

    def test_a_stopped_vm_changes_its_template_alone(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        _accepted(virtctl, "virtualmachines/a/addinterface", add("lan", "blue"))
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"] and not _status(user, "a").get("interfaceRequests"))
        assert user.get(VMI, "a") is None
        _accepted(virtctl, "virtualmachines/a/removeinterface", remove("blue"))
        until(lambda: nics(user.get(VM, "a")) == ["main"])

    def test_a_stopped_vm_without_persist_is_404_and_its_template_stays(self, virtctl: Virtctl, user: User) -> None:
        """1.0.0-rc.0 without `--persist` asks for the instance, which there is none of."""
        user.create(VM, vm("a", "blue", strategy="Halted"))
        for tail, body in (("addinterface", add("lan", "red")), ("removeinterface", remove("blue"))):
            answer = virtctl.put(f"virtualmachineinstances/a/{tail}", body)
            assert (answer.code, answer.message) == (404, 'virtualmachineinstance.kubevirt.io "a" not found')
        assert nics(user.get(VM, "a")) == ["main", "blue"]
        assert not _status(user, "a").get("interfaceRequests")

    @pytest.mark.parametrize("kind", [VM, VMI])
    def test_an_sriov_nic_that_never_attached(self, virtctl: Virtctl, user: User, kind: str) -> None:
        """`state: absent` on such a NIC is refused by the API server, in template and instance."""
        user.create(kind, vm("a") if kind == VM else vmi("a"))
        user.until_running("a")

        def plug_fast(raw: Json) -> None:
            raw["metadata"].setdefault("annotations", {})["nicplug.io/migration"] = "Never"
            spec = raw["spec"]["template"]["spec"] if kind == VM else raw["spec"]
            spec["domain"]["devices"]["interfaces"].append({"name": "fast", "sriov": {}})
            spec["networks"].append({"name": "fast", "multus": {"networkName": "lan"}})

        user.change(kind, "a", plug_fast)
        until(lambda: user.record("a", "fast").get("reason") == "MigrationForbidden")
        _accepted(virtctl, f"{kind}/a/removeinterface", remove("fast"))
        until(lambda: nics(user.get(VMI, "a")) == ["main"] and not user.record("a", "fast"))
        if kind == VM:
            until(lambda: nics(user.get(VM, "a")) == ["main"] and not _status(user, "a").get("interfaceRequests"))
            assert not user.condition("a", "Failure", plural=VM)

    def test_the_gate_is_off(self, virtctl: Virtctl, user: User, set_gates: Callable[..., None]) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        set_gates("Other")

        def refused() -> bool:
            answer = virtctl.put("virtualmachines/a/addinterface", add("lan", "blue"))
            return (answer.code, answer.status.get("message") if answer.body else "") == (400, GATE_OFF)

        until(refused)
        answer = virtctl.put("virtualmachines/a/removeinterface", remove("blue"))
        assert answer.status == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": GATE_OFF,
            "reason": "BadRequest",
            "code": 400,
        }
        assert nics(user.get(VM, "a")) == ["main"]

    def test_what_is_missing(self, virtctl: Virtctl, user: User) -> None:
        user.create(VMI, vmi("bare"))
        answer = virtctl.put("virtualmachines/bare/addinterface", add("lan", "blue"))
        assert (answer.code, answer.message) == (404, 'virtualmachine.kubevirt.io "bare" not found')
        answer = virtctl.put("virtualmachineinstances/none/addinterface", add("lan", "blue"))
        assert (answer.code, answer.message) == (404, 'virtualmachineinstance.kubevirt.io "none" not found')

    def test_two_requests_that_conflict(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", "blue", strategy="Halted"))
        answer = virtctl.put("virtualmachines/a/addinterface", add("other", "blue"))
        assert (answer.code, answer.status["reason"]) == (409, "Conflict")
        assert "is on network attachment definition" in answer.message


@pytest.mark.usefixtures("unharmed")
class TestPower:
    def test_start_stop_restart(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        _accepted(virtctl, "virtualmachines/a/start")
        until(lambda: user.phase("a") == "Running")
        answer = virtctl.put("virtualmachines/a/start")
        text = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "a": VM is already running'
        assert (answer.code, answer.message) == (409, text)
        first = _uid(user, "a")
        _accepted(virtctl, "virtualmachines/a/restart")
        until(lambda: _uid(user, "a") not in ("", first) and user.phase("a") == "Running")
        _accepted(virtctl, "virtualmachines/a/stop")
        user.until_gone(VMI, "a")
        assert (user.get(VM, "a") or {})["spec"]["runStrategy"] == "Halted"
        answer = virtctl.put("virtualmachines/a/stop")
        assert (answer.code, answer.message.rpartition(": ")[2]) == (409, "VM is not running")

    def test_start_paused(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        _accepted(virtctl, "virtualmachines/a/start", b'{"paused":true}')
        found = until(lambda: user.get(VMI, "a")) or {}
        assert found["spec"]["startStrategy"] == "Paused"

    def test_stop_by_force(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", strategy="Manual", terminationGracePeriodSeconds=600))
        _accepted(virtctl, "virtualmachines/a/start")
        until(lambda: user.phase("a") == "Running")
        _accepted(virtctl, "virtualmachines/a/stop", b'{"gracePeriod":0}')
        user.until_gone(VMI, "a")
        assert (user.get(VM, "a") or {})["spec"]["runStrategy"] == "Manual"

    def test_migrate(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a"))
        user.until_running("a")
        node = (user.get(VMI, "a") or {})["status"]["nodeName"]
        _accepted(virtctl, "virtualmachines/a/migrate")
        until(lambda: _phases(user) == ["Succeeded"])
        assert (user.get(VMI, "a") or {})["status"]["nodeName"] != node
        # The next one is another one.
        _accepted(virtctl, "virtualmachines/a/migrate")
        until(lambda: _phases(user) == ["Succeeded"] * 2)


@pytest.mark.usefixtures("unharmed")
def test_every_request_of_virtctl_in_the_older_version(virtctl: Virtctl, user: User) -> None:
    """v1alpha3, as older clients ask."""

    def put(tail: str, body: bytes = b"{}") -> None:
        _accepted(virtctl, tail, body, version="v1alpha3")

    user.create(VM, vm("a", strategy="Halted"))
    put("virtualmachines/a/start")
    user.until_running("a")
    put("virtualmachineinstances/a/addinterface", add("lan", "red"))
    user.until_ready("a", "red")
    put("virtualmachineinstances/a/removeinterface", remove("red"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"] and not user.row("a", "red"))
    put("virtualmachines/a/addinterface", add("lan", "blue"))
    user.until_ready("a", "blue")
    until(lambda: nics(user.get(VM, "a")) == ["main", "blue"] and not _status(user, "a").get("interfaceRequests"))
    put("virtualmachines/a/removeinterface", remove("blue"))
    until(lambda: nics(user.get(VM, "a")) == nics(user.get(VMI, "a")) == ["main"] and not user.row("a", "blue"))
    put("virtualmachines/a/migrate")
    until(lambda: _phases(user) == ["Succeeded"])
    first = _uid(user, "a")
    put("virtualmachines/a/restart")
    until(lambda: _uid(user, "a") not in ("", first) and user.phase("a") == "Running")
    put("virtualmachines/a/stop", b'{"gracePeriod":0}')
    user.until_gone(VMI, "a")
    put("virtualmachines/a/start", b'{"paused":true}')
    assert (until(lambda: user.get(VMI, "a")) or {})["spec"]["startStrategy"] == "Paused"
    put("virtualmachines/a/stop")
    user.until_gone(VMI, "a")


@pytest.mark.usefixtures("unharmed")
class TestRights:
    """By the roles that a namespace's users have, and those of people for nicplug."""

    @pytest.fixture
    def as_(self, virtctl: Virtctl, user: User) -> Callable[[str, str], Virtctl]:
        def bind(who: str, role: str) -> Virtctl:
            body = {
                "metadata": {"name": f"{who}-{role.replace(':', '-')}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}],
            }
            user.create("rolebindings", body)
            return Virtctl(virtctl.directory, virtctl.server, user.namespace, acts_as=who)

        user.create(VM, vm("a", strategy="Halted"))
        return bind

    @pytest.mark.parametrize("role", ["edit", "admin"])
    def test_an_editor_may(self, as_: Callable[[str, str], Virtctl], user: User, role: str) -> None:
        editor = as_(f"{role}-{user.namespace}", role)
        until(lambda: editor.put("virtualmachines/a/addinterface", add("lan", "blue")).code == 202)
        # A removal beside an addition that is pending is refused.
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"] and not _status(user, "a").get("interfaceRequests"))
        _accepted(editor, "virtualmachines/a/removeinterface", remove("blue"))
        _accepted(editor, "virtualmachines/a/start")
        until(lambda: user.phase("a") == "Running")
        _accepted(editor, "virtualmachineinstances/a/addinterface", add("lan", "red"))

    def test_a_viewer_may_not(self, as_: Callable[[str, str], Virtctl], user: User) -> None:
        viewer = as_(f"viewer-{user.namespace}", "view")
        until(lambda: User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as=viewer.acts_as).get(VM, "a"))
        for tail in ("addinterface", "removeinterface", "start", "stop", "restart", "migrate"):
            answer = viewer.put(f"virtualmachines/a/{tail}", remove("blue"))
            assert (answer.code, answer.status["reason"]) == (403, "Forbidden")
        assert nics(user.get(VM, "a")) == ["main"]

    def test_an_editor_migrates_with_a_role_of_its_own_only(
        self, as_: Callable[[str, str], Virtctl], user: User
    ) -> None:
        who = f"mover-{user.namespace}"
        editor = as_(who, "edit")
        until(lambda: editor.put("virtualmachines/a/start").code == 202)
        user.until_running("a")
        assert editor.put("virtualmachines/a/migrate").code == 403
        as_(who, "kubevirt.io:migrate")
        until(lambda: editor.put("virtualmachines/a/migrate").code == 202)

    def test_the_network_must_be_somebody_s_to_read_where_the_admin_demands_it(
        self, as_: Callable[[str, str], Virtctl], user: User, set_policy: Callable[..., None]
    ) -> None:
        who = f"reader-{user.namespace}"
        editor = as_(who, "edit")
        set_policy(requireNadAccess=True)
        until(lambda: editor.put("virtualmachines/a/addinterface", add("lan", "blue")).code == 403)
        answer = editor.put("virtualmachines/a/addinterface", add("none", "blue"))
        assert answer.code == 403, "whether or not it exists"
        rule = {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["get"]}
        user.create("roles", {"metadata": {"name": "lan"}, "rules": [{**rule, "resourceNames": ["lan"]}]})
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lan"}
        user.create("rolebindings", {"metadata": {"name": "lan"}, "roleRef": role, "subjects": [subject]})
        until(lambda: editor.put("virtualmachines/a/addinterface", add("lan", "blue")).code == 202)

    def test_anybody_may_ask_for_the_version(self, as_: Callable[[str, str], Virtctl], user: User) -> None:
        somebody = User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as="somebody")
        code, body = somebody.request("GET", f"/apis/{GROUP}/v1/version")
        assert code == 200, body


DOUBLED = b'{"name":"red","name":"blue","networkAttachmentDefinitionName":"lan"}'
UNREADABLE = "cannot unmarshal Request body to struct, error: "


@pytest.mark.usefixtures("unharmed")
class TestBadInput:
    @pytest.fixture
    def stopped(self, virtctl: Virtctl, user: User) -> Virtctl:
        user.create(VM, vm("a", strategy="Halted"))
        return virtctl

    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            (b"", 400, "AddInterfaceOptions requires `networkAttachmentDefinitionName` to be set"),
            (b'{"networkAttachmentDefinitionName":"lan"}', 400, "AddInterfaceOptions requires `name` to be set"),
            (b"{", 400, UNREADABLE),
            (b"\x00\x01", 400, UNREADABLE),
            (b"[1]", 400, f"{UNREADABLE}json: cannot unmarshal array into Go value of type v1.AddInterfaceOptions"),
            (b'{"name":7}', 400, f"{UNREADABLE}json: cannot unmarshal number into Go struct field"),
            (b"x" * 70_000, 413, "Request entity too large"),
            (add("a/b/c", "blue"), 422, 'VirtualMachine.kubevirt.io "a" is invalid'),
            (add("lan", "no name"), 422, 'VirtualMachine.kubevirt.io "a" is invalid'),
            (add("lan", "x" * 300), 422, 'VirtualMachine.kubevirt.io "a" is invalid'),
            (add("lan", "eth0\\u0000"), 422, 'VirtualMachine.kubevirt.io "a" is invalid'),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_body(self, stopped: Virtctl, user: User, body: bytes, code: int, message: str) -> None:
        answer = stopped.put("virtualmachines/a/addinterface", body)
        assert answer.code == code, answer.body
        assert answer.message.startswith(message)
        assert not _status(user, "a").get("interfaceRequests")

    def test_a_body_of_10_mib(self, stopped: Virtctl, user: User) -> None:
        """Refused before it has been sent: the connection may end under the client."""
        try:
            assert stopped.put("virtualmachines/a/addinterface", b" " * 10 * 1024 * 1024).code == 413
        except OSError as error:
            assert isinstance(error, ssl.SSLError | ConnectionError)  # noqa: PT017
        assert not _status(user, "a").get("interfaceRequests")

    @pytest.mark.parametrize(
        "body", [DOUBLED, b'{"name":"blue","networkAttachmentDefinitionName":"lan","unknown":[{}]}'], ids=str
    )
    def test_doubled_and_unknown_fields_are_taken_as_kubevirt_takes_them(
        self, stopped: Virtctl, user: User, body: bytes
    ) -> None:
        _accepted(stopped, "virtualmachines/a/addinterface", body)
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"])

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("..", '".." (2 characters)'),
            ("%2e%2e", '".." (2 characters)'),
            ("a%00", r'"a\x00" (2 characters)'),
            ("a" * 300, f'"{"a" * 64}..." (300 characters)'),
            ("A", '"A" (1 characters)'),
        ],
    )
    def test_a_name(self, virtctl: Virtctl, name: str, told: str) -> None:
        """The API server hands every path on as it is."""
        answer = virtctl.put(f"virtualmachines/{name}/addinterface", add("lan", "blue"))
        assert (answer.code, answer.status["reason"]) == (400, "BadRequest")
        must = "it must be a lowercase RFC 1123 subdomain of at most 253 characters"
        assert answer.status["message"] == f"invalid name {told}: {must}"

    def test_a_name_with_a_slash_is_another_path(self, virtctl: Virtctl) -> None:
        answer = virtctl.put("virtualmachines/a%2Fb/addinterface", add("lan", "blue"))
        assert (answer.code, answer.status["reason"]) == (404, "NotFound")
        assert answer.status["message"] == "the server could not find the requested resource"

    def test_a_path_that_is_no_path_does_not_come_this_far(self, virtctl: Virtctl) -> None:
        """The API server's own HTTP server answers, without a Status."""
        answer = virtctl.put("virtualmachines/%/addinterface", add("lan", "blue"))
        assert (answer.code, answer.body) == (400, b"400 Bad Request")

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"Content-Type": "application/json"}, 202),
            ({"Content-Type": "application/yaml"}, 202),
            ({"Content-Type": "text/html"}, 415),
            ({"Content-Type": "application/json-patch+json"}, 415),
            ({"Content-Encoding": "gzip"}, 415),
        ],
        ids=str,
    )
    def test_a_content_type(self, stopped: Virtctl, more: dict[str, str], code: int) -> None:
        assert stopped.put("virtualmachines/a/addinterface", add("lan", "blue"), more=more).code == code

    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    def test_a_method(self, stopped: Virtctl, user: User, method: str) -> None:
        answer = stopped.put("virtualmachines/a/addinterface", add("lan", "blue"), method=method)
        assert answer.code == 405, answer.body
        assert nics(user.get(VM, "a")) == ["main"]

    def test_200_at_once_for_one_vm(self, stopped: Virtctl, user: User) -> None:
        """Each is answered, and each has its effect once."""
        names = [f"nic{number}" for number in range(200)]
        # Nobody asks before everybody is connected.
        all_connected = threading.Barrier(len(names), timeout=60)

        def ask(name: str) -> Answered:
            return stopped.put("virtualmachines/a/addinterface", add("lan", name), when_connected=all_connected.wait)

        with ThreadPoolExecutor(len(names)) as pool:
            answers = list(pool.map(ask, names))
        assert [answer.code for answer in answers] == [202] * 200
        until(lambda: sorted(nics(user.get(VM, "a"))) == sorted(["main", *names]), seconds=60)
        until(lambda: not _status(user, "a").get("interfaceRequests"))

    def test_a_network_of_another_namespace(
        self, stopped: Virtctl, sandbox: Sandbox, user: User, set_policy: Callable[..., None]
    ) -> None:
        set_policy(nadPolicy="SameNamespace", sharedNamespaces=[])

        def answer() -> int:
            return stopped.put("virtualmachines/a/addinterface", add("kube-system/lan", "blue")).code

        until(lambda: answer() == 403)
        assert nics(user.get(VM, "a")) == ["main"]


class TestTroubles:
    def test_the_operator_is_down(self, virtctl: Virtctl, user: User, sandbox: Sandbox) -> None:
        """Requests are recorded, and carried out when it is back."""
        user.create(VM, vm("a", strategy="Halted"))
        sandbox.stop()
        _accepted(virtctl, "virtualmachines/a/addinterface", add("lan", "blue"))
        _accepted(virtctl, "virtualmachines/a/addinterface", add("lan", "blue"))
        assert len(_status(user, "a")["interfaceRequests"]) == 1
        answer = virtctl.put("virtualmachines/a/removeinterface", remove("blue"))
        assert answer.code == 409
        sandbox.start()
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"])

    @pytest.mark.refused_calls(reason="a kube-apiserver that has just started has not read all roles yet")
    def test_the_api_server_is_started_again(self, virtctl: Virtctl, user: User, sandbox: Sandbox) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        controlplane.restart(directory=sandbox.directory)
        until(lambda: is_available(sandbox.admin), seconds=60)
        until(lambda: virtctl.put("virtualmachines/a/addinterface", add("lan", "blue")).code == 202)
        until(lambda: nics(user.get(VM, "a")) == ["main", "blue"])

    def test_a_certificate_that_cannot_be_read_is_replaced(self, virtctl: Virtctl, user: User) -> None:
        user.create(VM, vm("a", strategy="Halted"))
        secret = "/api/v1/namespaces/nicplug-system/secrets/nicplug-api-certificate"
        broken = {"data": {"tls.crt": ""}}
        code, _ = user.request("PATCH", secret, broken, content_type="application/merge-patch+json")
        assert code == 200
        until(lambda: user.request("GET", secret)[1]["data"]["tls.crt"])
        until(lambda: virtctl.put("virtualmachines/a/addinterface", add("lan", "blue")).code == 202, seconds=60)

    def test_a_user_s_burst_keeps_nobody_else_waiting(self, virtctl: Virtctl, user: User) -> None:
        """While one user's 150 requests for one VM are worked off, another's is answered before their end."""
        for name in ("a", "b"):
            user.create(VM, vm(name, strategy="Halted"))
        done = threading.Semaphore(0)

        def ask(number: int) -> int:
            code = virtctl.put("virtualmachines/a/addinterface", add("lan", f"nic{number}")).code
            done.release()
            return code

        with ThreadPoolExecutor(150) as pool:
            burst = [pool.submit(ask, number) for number in range(150)]
            done.acquire()
            binding = {
                "metadata": {"name": "bob"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
            }
            user.create("rolebindings", binding)
            bob = Virtctl(virtctl.directory, virtctl.server, user.namespace, acts_as="bob")
            until(lambda: bob.put("virtualmachines/b/addinterface", add("lan", "blue")).code == 202)
            left = sum(not item.done() for item in burst)
        assert left > 0
        assert {item.result() for item in burst} == {202}


def test_what_is_registered_is_discovered(virtctl: Virtctl, user: User) -> None:
    code, body = user.request("GET", f"/apis/{GROUP}/v1")
    assert code == 200
    names = {item["name"] for item in body["resources"]}
    assert {
        "virtualmachines/addinterface",
        "virtualmachines/migrate",
        "virtualmachineinstances/removeinterface",
    } <= names
    code, body = user.request("GET", "/openapi/v3")
    where = body["paths"][f"apis/{GROUP}/v1"]["serverRelativeURL"]
    path = f"/apis/{GROUP}/v1/namespaces/{{namespace}}/virtualmachines/{{name}}/addinterface"
    code, document = user.request("GET", where)
    assert code == 200
    assert "put" in document["paths"][path]

    def merged() -> bool:
        """The API server merges the older form of all APIs some time after it has been registered."""
        code, document = user.request("GET", "/openapi/v2")
        return code == 200 and "put" in document["paths"].get(path, ())

    until(merged, seconds=90)


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SERVED = {
    "virtualmachineinstances": {
        "addinterface": ["update"],
        "nicplan": ["update"],
        "nicstory": ["get"],
        "removeinterface": ["update"],
    },
    "virtualmachines": {
        "addinterface": ["update"],
        "migrate": ["update"],
        "nicplan": ["update"],
        "nicstory": ["get"],
        "removeinterface": ["update"],
        "restart": ["update"],
        "start": ["update"],
        "stop": ["update"],
    },
}
KINDS = {"virtualmachineinstances": "VirtualMachineInstance", "virtualmachines": "VirtualMachine"}


def _discovered(version: str) -> Json:
    """A version of the group, as aggregated discovery lists it."""
    resources = [
        {
            "resource": resource,
            "responseKind": {"group": "", "version": "", "kind": ""},
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": [],
            "subresources": [
                {
                    "subresource": name,
                    "responseKind": {"group": GROUP, "version": version, "kind": KINDS[resource]},
                    "verbs": verbs,
                }
                for name, verbs in subresources.items()
            ],
        }
        for resource, subresources in SERVED.items()
    ]
    return {"version": version, "resources": resources, "freshness": "Current"}


def test_aggregated_discovery_lists_what_is_served(virtctl: Virtctl) -> None:
    """As kubectl reads it: one request for every group, which the API server has merged."""

    def group() -> Json | None:
        answer = virtctl.send(read_request("/apis", accept=f"{AGGREGATED},application/json"))
        assert answer.code == 200
        found = answer.status
        assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        return next((item for item in found["items"] if item["metadata"]["name"] == GROUP), None)

    wanted = [_discovered("v1"), _discovered("v1alpha3")]
    until(lambda: {item["freshness"] for item in (group() or {"versions": []})["versions"]} == {"Current"})
    found = group()
    assert found is not None
    assert found["versions"] == wanted


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_the_version_that_virtctl_reads_after_a_failed_command(virtctl: Virtctl, version: str) -> None:
    answer = virtctl.send(read_request(f"/apis/{GROUP}/{version}/version"))
    assert answer.code == 200
    assert answer.status == {
        "major": "1",
        "minor": "0",
        "gitVersion": f"v1.0.0+nicplug.{__version__}",
        **dict.fromkeys(("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"), ""),
    }
