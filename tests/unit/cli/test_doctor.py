"""Each check of the installation, and its remedy."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from tests.build import NOW, kubevirt, nad, nic, operation, primary, row, vm, vmi
from tests.fakes.kubeconfig import write_kubeconfig
from tests.fakes.listing import relist
from tests.unit.cli.played import Answer, CommandLine, PlayedServer, Recorded, collection, refusal

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.multus_configs import MultusConfigOf
from nicplug.cache.optional_watch import Absence
from nicplug.cli.doctor.certificates import check_authority
from nicplug.cli.doctor.coverage import check_coverage, check_nodes
from nicplug.cli.doctor.finding import Severity
from nicplug.cli.doctor.kinds import check_kubevirt, check_multus, check_policy
from nicplug.cli.doctor.policies import ADMISSION
from nicplug.cli.doctor.rights import API, OPERATOR, QUESTIONS, Right
from nicplug.insight.evidence import Evidence, Target, Unknown
from nicplug.model.times import format_micro_time
from nicplug_sandbox.yaml_documents import read_documents

BASE = Path(__file__).parents[3] / "deploy" / "kustomize" / "base"


def evidence(*kubevirts: dict[str, Any]) -> Evidence:
    caches = Caches(clock=lambda: NOW)
    for item in kubevirts:
        caches.observe(CachedKind.KUBEVIRT, item)
    return Evidence(target=Target(namespace="default", name=""), caches=caches, clock=lambda: NOW)


def judged(findings: Any) -> list[tuple[str, str]]:
    return [(item.check, str(item.severity)) for item in findings]


def test_the_gate() -> None:
    assert judged(check_kubevirt(evidence(kubevirt()))) == [("kubevirt", "ok"), ("gate", "ok")]
    off = list(check_kubevirt(evidence(kubevirt(""))))
    assert judged(off) == [("kubevirt", "ok"), ("gate", "problem")]
    assert 'Add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates' in off[1].remedy
    disabled = list(check_kubevirt(evidence(kubevirt("HotplugNICs", disabled=["HotplugNICs"]))))
    assert "disabledFeatureGates" in disabled[1].remedy


def test_a_kubevirt_cr_in_another_namespace_has_no_effect() -> None:
    foreign = kubevirt()
    foreign["metadata"] |= {"namespace": "elsewhere"}
    (found,) = check_kubevirt(evidence(foreign))
    assert found.severity is Severity.PROBLEM
    assert "elsewhere/kubevirt has no effect" in found.message
    assert "NICPLUG_KUBEVIRT_NAMESPACE" in found.remedy


def test_a_policy_that_is_not_understood() -> None:
    (found,) = check_policy(evidence(kubevirt(hotplug={"onFailure": "Panic"})))
    assert found.severity is Severity.WARNING
    assert "Panic" in found.message
    stopped = list(check_policy(evidence(kubevirt(hotplug={"parallelInboundMigrationsPerNode": 0}))))
    assert "no migration begins" in stopped[-1].message


def test_the_policy_object_is_a_part_of_the_policy() -> None:
    found = evidence(kubevirt(hotplug={"onFailure": "Hold"}))
    found.caches.kubevirts.policies.change(
        "ADDED", {"metadata": {"name": "default", "uid": "p"}, "spec": {"onFailure": "Rollback", "migration": "Never"}}
    )
    (told,) = check_policy(found)
    assert told.severity is Severity.OK
    assert told.message.startswith("onFailure Rollback, migration Never")
    found.caches.kubevirts.policies.change(
        "MODIFIED", {"metadata": {"name": "default", "uid": "p"}, "spec": {"onFailure": "Panic"}}
    )
    (told,) = check_policy(found)
    assert (told.severity, told.remedy) == (Severity.WARNING, "Correct it in the object that is named.")
    assert told.message.startswith('spec.onFailure of HotplugPolicy default is "Panic"')


def test_a_policy_object_that_the_caller_may_not_read_is_said() -> None:
    found = evidence(kubevirt())
    found.unknown.append(Unknown(kind="hotplugpolicies", why="denied", remedy="", is_denied=True))
    missing, policy = check_policy(found)
    assert (missing.severity, policy.severity) == (Severity.UNKNOWN, Severity.OK)
    assert "you may not list hotplugpolicies" in missing.message


def test_what_the_caller_alone_may_not_read_was_told_as_the_policy_in_force() -> None:
    found = evidence(kubevirt())
    sinks = [MultusConfigOf(namespace=item, configs=found.caches.multus) for item in found.caches.multus.namespaces]
    for sink in sinks:
        sink.lose(Absence.DENIED)
    (policy,), multus = check_policy(found), list(check_multus(found))[-1]
    for item in (policy, multus):
        assert (item.severity, item.remedy) == (Severity.UNKNOWN, "Run it as a cluster admin.")
        assert "you may not read ConfigMap multus-daemon-config in cluster-network-addons, kube-system" in item.message
        assert "SameNamespace" not in item.message
    for sink in sinks:
        sink.replace([])
    (policy,), multus = check_policy(found), list(check_multus(found))[-1]
    assert (policy.severity, multus.severity) == (Severity.OK, Severity.WARNING)
    assert "counts as SameNamespace, as ConfigMap multus-daemon-config does not exist" in policy.message
    assert multus.remedy.startswith("Correct that ConfigMap, or list its namespace in trustedNamespaces")
    (policy,) = check_policy(evidence(kubevirt(hotplug={"nadPolicy": "SameNamespace"})))
    assert policy.severity is Severity.OK


def node(name: str, **spec: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": spec, "status": status}


def daemon_set() -> dict[str, Any]:
    metadata = {
        "namespace": "kube-system",
        "name": "dynamic-networks-controller-ds",
        "uid": "ds",
        "resourceVersion": "1",
    }
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": {"spec": {}}}}


def controller_pod(on: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "ds", "controller": True}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"namespace": "kube-system", "name": f"d-{on}", "uid": f"d-{on}", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"nodeName": on}, "status": status}


def with_nodes(found: Evidence, *pods: str, has_controller: bool = True) -> Evidence:
    relist(found.caches.nodes, [node("node01"), node("node02", unschedulable=True)])
    for sink in found.caches.controllers.namespaces().values():
        relist(sink, [daemon_set()] if has_controller and sink.namespace == "kube-system" else [])
    for _, followed in found.caches.controllers.followed().values():
        relist(followed, [controller_pod(item) for item in pods])
    return found


def test_coverage_node_by_node() -> None:
    found = list(check_coverage(with_nodes(evidence(kubevirt()), "node01")))
    assert judged(found) == [("controller", "ok"), ("controller", "warning")]
    assert "ready on 1 of 2 nodes" in found[0].message
    assert "does not run on node02" in found[1].message


@pytest.mark.parametrize(("path", "severity"), [("Auto", "warning"), ("Always", "problem"), ("Never", "ok")])
def test_no_controller_is_as_bad_as_the_policy_makes_it(path: str, severity: str) -> None:
    found = with_nodes(evidence(kubevirt(hotplug={"dynamicPath": path})), has_controller=False)
    assert judged(check_coverage(found)) == [("controller", severity)]


def test_an_empty_list_of_trusted_namespaces_left_a_word_out() -> None:
    """It said "no dynamic networks controller in the trusted namespaces ()"."""
    (found,) = check_coverage(with_nodes(evidence(kubevirt(hotplug={"trustedNamespaces": []}))))
    assert found.severity is Severity.WARNING
    assert found.message.startswith("no namespace is trusted (trustedNamespaces is empty), so no dynamic networks")
    assert found.remedy.startswith("List the controller's namespace in spec.configuration.network.hotplug.trustedNam")


@pytest.mark.parametrize("policy", ["Any", "SameNamespace"])
def test_the_isolation_of_multus_is_no_matter_where_a_policy_says_what_a_vm_may_use(policy: str) -> None:
    """The remedy was to set the policy that was set."""
    found = evidence(kubevirt(hotplug={"nadPolicy": policy, "trustedNamespaces": []}))
    assert [item for item in check_multus(found) if "isolation" in item.message] == []


def test_a_policy_for_networks_was_called_the_default() -> None:
    (found,) = check_policy(evidence(kubevirt(hotplug={"nadPolicy": "SameNamespace"})))
    assert found.message.startswith("networks of other namespaces: nadPolicy SameNamespace (spec.configuration.")
    assert found.message.endswith("; all else is the default")
    (found,) = check_policy(evidence(kubevirt()))
    assert found.message.startswith("the defaults; networks of other namespaces: nadPolicy Multus (the default)")


def test_a_vm_needs_another_node_to_migrate_to() -> None:
    (found,) = check_nodes(with_nodes(evidence(kubevirt())))
    assert found.severity is Severity.WARNING
    assert "1 of 2 nodes can take a VM" in found.message


def test_what_cannot_be_read_is_unknown() -> None:
    assert judged(check_coverage(evidence(kubevirt()))) == [("controller", "unknown")]


@pytest.mark.parametrize(("days", "severity"), [(365, Severity.OK), (7, Severity.WARNING), (-1, Severity.PROBLEM)])
def test_the_authority(days: int, severity: Severity) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = trustme.CA().issue_cert("api", not_before=at - timedelta(days=30), not_after=at + timedelta(days=days))
    bundle = base64.b64encode(made.cert_chain_pems[0].bytes()).decode()
    assert check_authority({"spec": {"caBundle": bundle}}, at=at).severity is severity


def test_no_bundle_and_a_broken_one() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert check_authority({"spec": {}}, at=at).severity is Severity.WARNING
    broken = base64.b64encode(b"no certificate").decode()
    assert check_authority({"spec": {"caBundle": broken}}, at=at).severity is Severity.PROBLEM


Rule = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def rules(name: str) -> set[Rule]:
    """Every rule of a role, one resource each."""
    role = yaml.safe_load((BASE / f"{name}.yaml").read_text())
    return {
        (group, resource, tuple(rule.get("resourceNames", [])), tuple(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize(("rights", "folder"), [(OPERATOR, ""), (API, "api/")], ids=["operator", "api"])
def test_the_rights_that_are_asked_for_are_those_that_are_granted(rights: tuple[Right, ...], folder: str) -> None:
    wide = {(item.group, item.resource, item.names, item.verbs) for item in rights if not item.in_own_namespace}
    own = {(item.group, item.resource, item.names, item.verbs) for item in rights if item.in_own_namespace}
    assert wide == rules(f"{folder}clusterrole")
    assert own == rules(f"{folder}role")


def test_the_rights_to_answer_questions_are_those_that_are_granted() -> None:
    asked = {(item.group, item.resource, item.names, item.verbs) for item in QUESTIONS}
    assert asked == rules("api/questions-clusterrole")


REVIEWS = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
API_ACCOUNT = "GET /api/v1/namespaces/nicplug-system/serviceaccounts/nicplug-api"


def without(*resources: str) -> Callable[[Recorded], Answer]:
    """An API server that allows everything else."""

    def answer(request: Recorded) -> Answer:
        asked = json.loads(request.body)["spec"]["resourceAttributes"]["resource"]
        return 201, {"status": {"allowed": asked not in resources}}

    return answer


def test_the_right_to_answer_questions_is_missed(nicplug: CommandLine, server: PlayedServer) -> None:
    """Without its binding only `plan` and `why` know less."""
    server.answers |= {REVIEWS: without("nodes", "secrets"), API_ACCOUNT: (200, {})}
    found = json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]
    about = {item["message"]: item for item in found if item["check"] == "api-rbac"}
    user = "system:serviceaccount:nicplug-system:nicplug-api"
    assert about[f"{user} may not list nodes"]["severity"] == "warning"
    assert "nicplug-api-questions" in about[f"{user} may not list nodes"]["remedy"]
    assert about[f"{user} may not get, update, create secrets"]["severity"] == "problem"
    assert len(about) == 2


def test_the_rights_of_an_api_that_is_not_installed_are_not_asked_for(
    nicplug: CommandLine, server: PlayedServer
) -> None:
    server.answers[REVIEWS] = without("secrets")
    assert "api-rbac" not in nicplug("doctor", "-o", "name").stdout
    users = [json.loads(item.body)["spec"]["user"] for item in server.requests if item.method == "POST"]
    assert {user.rpartition(":")[2] for user in users} == {"nicplug-operator"}


@pytest.mark.parametrize(
    ("kind", "member"), [("virtualmachines", "interfaceRequests"), ("virtualmachineinstances", "interfaceOperations")]
)
def test_a_crd_that_drops_what_nicplug_writes(
    nicplug: CommandLine, server: PlayedServer, kind: str, member: str
) -> None:
    """KubeVirt's own CRD of 1.1 and newer has no requests: virtctl was answered 202, and nothing came of it."""
    for path in sorted((BASE.parents[2] / "crds").glob("*.yaml")):
        (definition,) = read_documents(path.read_text())
        name = definition["metadata"]["name"]
        definition["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        if name.startswith(f"{kind}."):
            for version in definition["spec"]["versions"]:
                version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"].pop(member)
        server.answers[f"GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"] = (200, definition)
    found = json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]
    (finding,) = [item for item in found if item["check"] == "crds"]
    assert finding["severity"] == "problem"
    assert "or KubeVirt's, and drops" in finding["message"]


def test_an_empty_cluster_is_a_diagnosis_and_no_error(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers["GET /version"] = (200, {"gitVersion": "v1.37.2"})
    done = nicplug("doctor", "-o", "name")
    assert done.exit_code == 9, done.output
    assert {"crds=problem", "leader=problem", "api=warning", "versions=ok"} <= set(done.stdout.split())
    assert "Traceback" not in done.output


def test_one_nic_was_told_in_the_plural(nicplug: CommandLine, server: PlayedServer) -> None:
    base = "GET /apis/kubevirt.io/v1"
    server.answers |= {
        f"{base}/virtualmachineinstances": collection(vmi(primary(), nic("blue"), rows=[row("default", "domain")])),
        f"{base}/virtualmachines": collection(),
    }
    assert "1 NIC has no record: default/vmi-fedora blue" in nicplug("doctor").stdout


def test_nics_of_a_guest_that_does_not_run_are_not_waited_for(nicplug: CommandLine, server: PlayedServer) -> None:
    base = "GET /apis/kubevirt.io/v1"
    items = collection(vmi(primary(), nic("blue"), phase="Scheduling"), vmi(phase="Succeeded", name="b", uid="b"))
    server.answers |= {f"{base}/virtualmachineinstances": items, f"{base}/virtualmachines": collection()}
    assert findings(nicplug)["nics"]["message"] == "0 NICs of running VMs, 0 not ready"


LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
DEPLOYMENTS = "GET /apis/apps/v1/namespaces/nicplug-system/deployments"
API_SERVICE = "GET /apis/apiregistration.k8s.io/v1/apiservices/v1.subresources.kubevirt.io"


OLDER_API_SERVICE = API_SERVICE.replace("v1.sub", "v1alpha3.sub")
LEASES = "GET /apis/coordination.k8s.io/v1/leases"


def lease(*, at: datetime, holder: str = "laptop_1") -> Answer:
    return 200, {"spec": {"holderIdentity": holder, "renewTime": format_micro_time(at)}}


def findings(nicplug: CommandLine, *arguments: str) -> dict[str, dict[str, Any]]:
    """By check; the last of each."""
    told = json.loads(nicplug("doctor", "-o", "json", *arguments).stdout)["findings"]
    return {item["check"]: item for item in told}


def test_an_operator_that_is_run_by_hand_was_told_to_be_deployed(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[LEASE] = lease(at=datetime.now(UTC))
    found = findings(nicplug)
    assert (found["operator"]["severity"], found["operator"]["remedy"]) == ("ok", None)
    assert "runs without a Deployment, as laptop_1" in found["operator"]["message"]
    assert found["leader"]["severity"] == "ok"


@pytest.mark.parametrize("age", [timedelta(minutes=5), timedelta(0)], ids=["not renewed", "nobody holds it"])
def test_without_a_leader_a_missing_deployment_is_still_told(
    nicplug: CommandLine, server: PlayedServer, age: timedelta
) -> None:
    server.answers[LEASE] = lease(at=datetime.now(UTC) - age, holder="laptop_1" if age else "")
    found = findings(nicplug)
    assert found["operator"]["severity"] == "warning"
    assert "nicplug sandbox status" in found["leader"]["remedy"]
    assert "logs deploy/" not in found["leader"]["remedy"]


def test_a_dead_process_was_looked_for_in_a_deployment(nicplug: CommandLine, server: PlayedServer) -> None:
    dead = {"type": "Available", "status": "False", "reason": "FailedDiscoveryCheck", "message": "no answer"}
    server.answers |= {API_SERVICE: (200, {"spec": {}, "status": {"conditions": [dead]}}), OLDER_API_SERVICE: (200, {})}
    assert "There is no Deployment nicplug-system/nicplug-api" in findings(nicplug)["api"]["remedy"]
    server.answers |= {f"{DEPLOYMENTS}/{name}": (200, {}) for name in ("nicplug-api", "nicplug-operator")}
    found = findings(nicplug)
    assert found["api"]["remedy"].endswith("logs deploy/nicplug-api")
    assert found["leader"]["remedy"].endswith("logs deploy/nicplug-operator")


def test_who_may_not_look_at_deployments_is_told_where_to_look(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"{DEPLOYMENTS}/nicplug-operator"] = refusal(403, "Forbidden", "no")
    assert findings(nicplug)["leader"]["remedy"].endswith("logs deploy/nicplug-operator")


@pytest.mark.parametrize(("ready", "severity"), [(None, "problem"), (1, "warning"), (2, "ok")])
def test_replicas_that_are_ready(nicplug: CommandLine, server: PlayedServer, ready: int | None, severity: str) -> None:
    pod = {"containers": [{"image": "nicplug:1"}]}
    deployment = {"spec": {"replicas": 2, "template": {"spec": pod}}, "status": {"readyReplicas": ready}}
    server.answers[f"{DEPLOYMENTS}/nicplug-operator"] = (200, deployment)
    found = findings(nicplug)["operator"]
    assert (found["severity"], found["message"]) == (severity, f"{ready or 0} of 2 replicas are ready (nicplug:1)")


def test_a_wrong_namespace_was_a_problem_for_each_right(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[REVIEWS] = lambda _: (201, {"status": {"allowed": False}})
    done = nicplug("doctor", "--operator-namespace", "nope", "-o", "json")
    (found,) = [item for item in json.loads(done.stdout)["findings"] if item["check"] == "rbac"]
    assert found["message"] == "there is no ServiceAccount nicplug-operator in namespace nope, or no such namespace"
    assert "--operator-namespace" in found["remedy"]
    server.answers["GET /api/v1/namespaces/nicplug-system/serviceaccounts/nicplug-operator"] = (200, {})
    assert "may not" in findings(nicplug)["rbac"]["message"]


class TestWithoutRights:
    @pytest.fixture(autouse=True)
    def _denied(self, server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(_: PlayedServer, request: Recorded) -> Answer:
            if request.path == "/version":
                return 200, {"gitVersion": "v1.37.2"}
            return refusal(403, "Forbidden", 'User "nobody" cannot do this')

        monkeypatch.setattr(PlayedServer, "answer", answer)

    def test_a_caller_who_may_not_look_was_told_that_all_is_well(self, nicplug: CommandLine) -> None:
        done = nicplug("doctor")
        assert done.exit_code == 4
        lines = done.stdout.splitlines()
        assert len(lines) == 3, "versions, what must not be looked at, and the remedy"
        assert "you may not look at crds, leader, operator" in lines[1]

    def test_programs_get_each_check(self, nicplug: CommandLine) -> None:
        assert {"leader=unknown", "rbac=unknown", "crds=unknown"} <= set(nicplug("doctor", "-o", "name").stdout.split())


def test_a_few_checks_that_are_denied_are_no_failure(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[LEASE] = refusal(403, "Forbidden", 'User "nobody" cannot get leases')
    done = nicplug("doctor")
    assert done.exit_code == 9
    assert "you may not look" not in done.stdout


POLICIES = "GET /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "GET /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
INSTALLED = [document for path in sorted(BASE.glob("*/*.yaml")) for document in read_documents(path.read_text())]
NAMES = [item["metadata"]["name"] for item in INSTALLED if item["kind"] == "ValidatingAdmissionPolicy"]
BOUND = [item for item in INSTALLED if item["kind"] == "ValidatingAdmissionPolicyBinding"]


def policies_without(*without: str) -> Answer:
    return collection(*({"metadata": {"name": name}} for name in NAMES if name not in without))


def test_a_policy_that_is_missing(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {POLICIES: policies_without(), BINDINGS: collection(*BOUND)}
    found = findings(nicplug)
    assert [found[check]["severity"] for check in ("fences", "admission")] == ["ok", "ok"]
    assert [found[check]["message"].split()[0] for check in ("fences", "admission")] == ["3", str(len(NAMES) - 3)]
    for name in NAMES:
        server.answers[POLICIES] = policies_without(name)
        found = findings(nicplug)
        told = {check: found[check]["message"] for check in ("fences", "admission")}
        assert list(told.values()).count(f"missing: {name}") == 1, told


@pytest.mark.parametrize("is_there", [True, False], ids=["that audits", "that is missing"])
@pytest.mark.parametrize("name", ["nicplug-launcher-pods", "nicplug-crds"])
def test_a_policy_without_a_binding_was_told_as_one_that_works(
    nicplug: CommandLine, server: PlayedServer, name: str, is_there: bool
) -> None:
    others = [item for item in BOUND if item["spec"]["policyName"] != name]
    audits = {"spec": {"policyName": name, "validationActions": ["Audit", "Warn"]}}
    server.answers |= {POLICIES: policies_without(), BINDINGS: collection(*others, *([audits] if is_there else []))}
    found = findings(nicplug)
    (told,) = [found[check] for check in ("fences", "admission") if found[check]["severity"] != "ok"]
    assert told["severity"] == "warning"
    assert told["message"] == f"without effect, as no binding of them denies anything: {name}"
    assert told["remedy"].startswith("Apply nicplug's manifests")


@pytest.mark.parametrize(("age", "is_told"), [(timedelta(0), True), (timedelta(minutes=2), False)])
def test_kubevirts_own_controller_is_a_rival_while_it_works(
    nicplug: CommandLine, server: PlayedServer, age: timedelta, is_told: bool
) -> None:
    _, found = lease(at=datetime.now(UTC) - age)
    rival = {**(found or {}), "metadata": {"name": "virt-controller", "namespace": "kubevirt"}}
    server.answers[LEASES] = collection(rival)
    assert ("rivals" in findings(nicplug)) is is_told


def test_nics_and_requests_that_wait_for_long(nicplug: CommandLine, server: PlayedServer) -> None:
    base, long_ago = "GET /apis/kubevirt.io/v1", "2026-01-01T00:00:00.000000Z"
    blocked = operation("blue", phase="Blocked", path="None", reason="NoPciSlot") | {"lastTransitionTime": long_ago}
    lately = operation("red", phase="Blocked", path="None", reason="NoPciSlot")
    lately |= {"lastTransitionTime": format_micro_time(datetime.now(UTC))}
    running = vmi(primary(), nic("blue"), nic("red"), rows=[row("default", "domain")], operations=[blocked, lately])
    server.answers |= {
        f"{base}/virtualmachineinstances": collection(running),
        f"{base}/virtualmachines": collection(vm(primary(), status={"interfaceRequests": [{}]})),
    }
    told = [item["message"] for item in json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]]
    assert "1 NIC has not been ready for more than 2 minutes: default/vmi-fedora blue (NoPciSlot)" in told
    assert "1 VM has unprocessed requests: default/vmi-fedora" in told


def test_without_a_cluster_there_is_nothing_to_diagnose(tmp_path: Path) -> None:
    unreachable = CommandLine(write_kubeconfig(tmp_path / "config", server="http://127.0.0.1:1"))
    done = unreachable("doctor", "-o", "name")
    assert (done.exit_code, done.stdout) == (5, "")


AVAILABLE = (200, {"spec": {}, "status": {"conditions": [{"type": "Available", "status": "True"}]}})


@pytest.mark.parametrize(
    ("answer", "severity"),
    [
        (refusal(503, "ServiceUnavailable", "error trying to reach service"), "problem"),
        (refusal(403, "Forbidden", "no"), "ok"),
        ((200, {"gitVersion": "v1"}), "ok"),
    ],
    ids=["killed", "a missing right", "answers"],
)
def test_an_api_that_was_killed_was_available_for_some_seconds(
    nicplug: CommandLine, server: PlayedServer, answer: Answer, severity: str
) -> None:
    server.answers |= {API_SERVICE: AVAILABLE, OLDER_API_SERVICE: (200, {})}
    server.answers["GET /apis/subresources.kubevirt.io/v1/version"] = answer
    found = findings(nicplug)["api"]
    assert found["severity"] == severity
    if severity == "problem":
        assert "does not answer" in found["message"]
        assert found["remedy"]


def test_a_controller_that_is_ready_nowhere_was_ok() -> None:
    found = list(check_coverage(with_nodes(evidence(kubevirt()))))
    assert judged(found) == [("controller", "warning")]
    assert "does not run on node01, node02" in found[0].message


@pytest.mark.parametrize(("count", "plural"), [(1, ""), (2, "s")])
def test_one_definition_was_told_in_the_plural(count: int, plural: str) -> None:
    found = evidence(kubevirt())
    attachments = found.caches.attachments
    attachments.replace([attachments.project(nad(f"n{number}")) for number in range(count)])
    assert next(iter(check_multus(found))).message == f"{count} network attachment definition{plural}"


KUBEVIRTS = "GET /apis/kubevirt.io/v1/kubevirts"
KUBEVIRT = "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt"
DEGRADED = {"type": "Degraded", "status": "True", "reason": "MultusMissing", "message": "install Multus."}


def reported(*rows: dict[str, Any], generation: int = 1, **metadata: Any) -> dict[str, Any]:
    """A KubeVirt CR with the status that the leader has written for its first generation."""
    raw = kubevirt()
    raw["metadata"] |= {"generation": generation, **metadata}
    conditions = [{"type": "Available", "status": "True"}, *rows]
    hotplug = {"message": "A dynamic networks controller is ready on 2 of 2 nodes."}
    raw["status"] = {"phase": "Deployed", "observedGeneration": 1, "conditions": conditions, "hotplug": hotplug}
    return raw


@pytest.mark.parametrize(
    ("raw", "severity", "told"),
    [
        (reported(), "ok", "Deployed: A dynamic networks controller is ready on 2 of 2 nodes."),
        (kubevirt(), "warning", "is not Available by its status"),
        (reported(generation=3), "warning", "the status is of generation 1, the CR of 3"),
        (reported(DEGRADED), "warning", "degraded, MultusMissing: install Multus."),
        (
            reported(annotations={"kubevirt.io/latest-observed-api-version": "v1"}),
            "warning",
            "is KubeVirt's by its annotation kubevirt.io/latest-observed-api-version",
        ),
        (reported(finalizers=["foregroundDeleteKubeVirt"]), "warning", "by its finalizer foregroundDeleteKubeVirt"),
    ],
    ids=["healthy", "none", "old", "degraded", "annotated by KubeVirt", "finalized by KubeVirt"],
)
def test_what_the_operator_reports(
    nicplug: CommandLine, server: PlayedServer, raw: dict[str, Any], severity: str, told: str
) -> None:
    server.answers |= {KUBEVIRTS: collection(raw), KUBEVIRT: (200, raw)}
    found = findings(nicplug)["status"]
    assert found["severity"] == severity
    assert told in found["message"]


def test_a_status_that_must_not_be_read_is_unknown(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {KUBEVIRTS: collection(kubevirt()), KUBEVIRT: refusal(403, "Forbidden", "no")}
    assert findings(nicplug)["status"]["severity"] == "unknown"


def test_the_user_guide_had_fewer_policies_of_admission_than_doctor_counts() -> None:
    numbers = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    guide = (BASE.parents[2] / "docs" / "user-guide.md").read_text()
    assert f"install {numbers[len(ADMISSION)]} ValidatingAdmissionPolicies beside the rules in the CRDs" in guide
