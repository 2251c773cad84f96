"""The Helm chart without a cluster: the same objects as kustomize, wrong values refused, parts that can be left out."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart import (
    BASE,
    CHART,
    MONITORING,
    NAMESPACE,
    OVERLAYS,
    ROOT,
    VALUES,
    Identity,
    Object,
    helm,
    identity,
    kustomize,
    of_chart,
    of_kustomize,
    package,
    template,
)

import nicplug
from nicplug.api_settings import ApiSettings
from nicplug.settings import Settings

GOLDEN = ROOT / "tests" / "golden" / "chart"
WRITE_GOLDEN = "NICPLUG_TEST_WRITE_GOLDEN"
# The base names its image so; a release has a version.
DEV = "image.tag=dev"
COMPANION = OVERLAYS / "companion"
BESIDE = "mode=companion"
# Taken from kustomize as they are: the test of equality has them.
VERBATIM = (
    *("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"),
)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that users get."""
    return package(tmp_path_factory.mktemp("chart"))


def folders(values: Path) -> tuple[Path, ...]:
    """What kustomize installs for a file of values."""
    return (BASE, MONITORING) if values.stem == MONITORING.name else (OVERLAYS / values.stem,)


# Folders of kustomize, values of the chart, namespace.
PAIRS = [
    pytest.param((BASE,), (), NAMESPACE, id="base"),
    pytest.param((OVERLAYS / "another-namespace",), (), "virtualization", id="another-namespace"),
    *(pytest.param(folders(path), (path,), NAMESPACE, id=path.stem) for path in sorted(VALUES.glob("*.yaml"))),
    pytest.param(
        (OVERLAYS / "protected-metrics", MONITORING.with_name("monitoring-protected")),
        (VALUES / "protected-metrics.yaml", VALUES / "monitoring.yaml"),
        NAMESPACE,
        id="protected monitoring",
    ),
    pytest.param(
        (COMPANION, MONITORING.with_name("monitoring-companion")),
        (VALUES / "companion.yaml", VALUES / "monitoring.yaml"),
        NAMESPACE,
        id="companion with monitoring",
    ),
]


@pytest.mark.parametrize(("folders", "values", "namespace"), PAIRS)
def test_chart_and_kustomize_install_the_same(
    chart: Path, folders: tuple[Path, ...], values: tuple[Path, ...], namespace: str
) -> None:
    by_kustomize = of_kustomize(item for folder in folders for item in kustomize(folder))
    by_helm = of_chart(template(chart, values=values, settings=(DEV,), namespace=namespace))
    assert by_helm.keys() == by_kustomize.keys()
    for key, item in by_kustomize.items():
        assert by_helm[key] == item, key


def test_every_overlay_has_its_values() -> None:
    overlays = {path.name for path in OVERLAYS.iterdir()}
    values = {path.stem for path in VALUES.glob("*.yaml")}
    assert values | {"another-namespace"} == overlays | {MONITORING.name}


def test_the_archive_has_the_crds_that_are_tested(chart: Path) -> None:
    """There is one copy of each, behind a link: an archive has no links."""
    with tarfile.open(chart) as archive:
        assert [member.name for member in archive if not member.isfile()] == []
        for path in (ROOT / "crds").glob("*.yaml"):
            packed = archive.extractfile(f"nicplug/files/crds/{path.name}")
            assert packed is not None
            assert packed.read() == path.read_bytes()


def test_lint(chart: Path) -> None:
    done = helm("lint", "--strict", chart, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_is_left_of_another_namespace(chart: Path) -> None:
    text = json.dumps(template(chart, namespace="elsewhere"))
    assert "nicplug-system" not in text
    assert "system:serviceaccount:elsewhere:nicplug-operator" in text


# What Helm says of each value, all of them in one answer.
WRONG = {
    "replicas: 2": "additional properties 'replicas' not allowed",
    "operator: {replica: 1}": "at '/operator': additional properties 'replica' not allowed",
    "operator: {settings: {worker: 1}}": "at '/operator/settings': additional properties 'worker' not allowed",
    "operator: {settings: {workers: 0}}": "at '/operator/settings/workers': minimum: got 0, want 1",
    "operator: {settings: {logLevel: loud}}": "at '/operator/settings/logLevel'",
    "mode: beside": "at '/mode': value must be one of 'standalone', 'companion'",
    "companion: {nudges: true}": "at '/companion': additional properties 'nudges' not allowed",
    "operator: {replicas: two}": "at '/operator/replicas': got string, want integer",
    "operator: {spread: {hosts: hard}}": "at '/operator/spread/hosts': value must be one of 'Preferred'",
    "operator: {podDisruptionBudget: {maxUnavailable: 0}}": "at '/operator/podDisruptionBudget/maxUnavailable'",
    "api: {certificate: {secret: x}}": "at '/api/certificate': additional properties 'secret' not allowed",
    "api: {certificate: {source: Vault}}": "at '/api/certificate/source': value must be one of 'SelfSigned'",
    'crds: {keep: "no"}': "at '/crds/keep': got string, want boolean",
    "image: {digest: latest}": "at '/image/digest'",
    "nodeSide: {serviceAccounts: [{}]}": "missing properties 'namespace', 'name'",
    "kubevirt: {namespace: Not Valid}": "at '/kubevirt/namespace'",
    "kubevirt: {configuration: {migration: {}}}": (
        "at '/kubevirt/configuration': additional properties 'migration' not allowed"
    ),
    "operator: {settings: {launcherImage: ''}}": "at '/operator/settings/launcherImage'",
    "kubevirt: {configuration: {network: {hotplug: {dynamicPth: Never}}}}": (
        "at '/kubevirt/configuration/network/hotplug': additional properties 'dynamicPth' not allowed"
    ),
    "kubevirt: {configuration: {migrations: {parallelMigrationsPerCluster: five}}}": (
        "at '/kubevirt/configuration/migrations/parallelMigrationsPerCluster': got string, want integer"
    ),
    "podSecurityContext: {runAsNonroot: true}": "at '/podSecurityContext': additional properties 'runAsNonroot'",
    "podSecurityContext: {runAsUser: nobody}": "at '/podSecurityContext/runAsUser': got string, want null or integer",
    "operator: {tolerations: [{efect: NoSchedule}]}": "at '/operator/tolerations/0': additional properties 'efect'",
    "operator: {affinity: {nodeAffinity: {required: {}}}}": "at '/operator/affinity/nodeAffinity': additional",
    "operator: {extraEnv: [{name: A, valueFrom: {secret: {}}}]}": "at '/operator/extraEnv/0/valueFrom': additional",
    "api: {affinity: {podAntiAffinity: {required: []}}}": "at '/api/affinity/podAntiAffinity': additional properties",
    "networkPolicy: {metricsFrom: [{namespace: a}]}": "at '/networkPolicy/metricsFrom/0': additional properties",
}


@pytest.fixture(scope="module")
def answer(chart: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """To all wrong values."""
    folder = tmp_path_factory.mktemp("values")
    files: list[str | Path] = []
    for number, text in enumerate(WRONG):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        files += ["--values", path]
    return refused(chart, *files)


def refused(chart: Path, *options: str | Path) -> str:
    done = helm("template", "nicplug", chart, *options, check=False)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_value_is_refused_by_its_name(answer: str, value: str) -> None:
    assert WRONG[value] in answer


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("api.certificate.source=Secret", "set api.certificate.secretName and api.certificate.caBundle"),
        ("operator.settings.leaderElection=false", "set operator.replicas to 1"),
        ("kubevirt.create=true,crds.install=false", "set crds.install, or apply crds/ first"),
        (
            "priorityClass.create=true,priorityClass.name=system-node-critical",
            "priorityClass.name is system-node-critical: Kubernetes reserves names that begin with system-",
        ),
        (
            "kubevirt.create=true,kubevirt.configuration.developerConfiguration.featureGates={Sidecar}",
            "list all gates in kubevirt.featureGates",
        ),
        ("mode=companion,kubevirt.create=true", "kubevirt.create is for mode standalone"),
        ("mode=companion,crds.replaceKubevirt=true", "crds.replaceKubevirt is for mode standalone"),
        ("companion.nudge=true", "companion.nudge is for mode companion"),
    ],
)
def test_values_that_contradict_each_other_are_refused(chart: Path, settings: str, told: str) -> None:
    assert told in refused(chart, "--set", settings)


def nulls() -> Iterator[tuple[str, ...]]:
    """Every value that has no values in it."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), yaml.safe_load((CHART / "values.yaml").read_text()))]
    for path, value in waiting:
        if isinstance(value, dict) and value:
            waiting += [((*path, key), inside) for key, inside in value.items()]
        else:
            yield path


def is_required(path: tuple[str, ...]) -> bool:
    described = json.loads((CHART / "values.schema.json").read_text())
    for key in path[:-1]:
        described = described.get("properties", {}).get(key, {})
    return path[-1] in described.get("required", ())


@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "empty"])
def test_a_key_without_a_value_is_refused_or_empty(chart: Path, tmp_path: Path, is_refused: bool) -> None:
    """`crds: {keep: }` was taken for false, and `operator: {affinity: }` ended in a nil pointer."""
    chosen = [path for path in nulls() if is_required(path) is is_refused]
    assert (("crds", "keep") in chosen) is is_refused
    values: dict[str, Any] = {} if is_refused else {"kubevirt": {"create": True}}
    for path in chosen:
        inside = values
        for key in path[:-1]:
            inside = inside.setdefault(key, {})
        inside[path[-1]] = None
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    if is_refused:
        told = refused(chart, "--values", file)
        missing = dict(re.findall(r"- at '/?(.*?)': missing propert(?:y|ies) (.+)", told))
        assert [path for path in chosen if f"'{path[-1]}'" not in missing["/".join(path[:-1])]] == []
    else:
        assert of_chart(template(chart, values=(file,), settings=("nodeSide=null",)))


def test_an_older_cluster_is_refused(chart: Path) -> None:
    oldest = re.fullmatch(r">=1\.(\d+)\.0-0", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])
    assert oldest is not None
    minor = int(oldest[1])
    assert f"chart requires kubeVersion: >=1.{minor}.0-0" in refused(chart, f"--kube-version=1.{minor - 1}.9")
    # As managed clusters call themselves.
    assert template(chart, settings=(f"--kube-version=v1.{minor}.0-eks-1234",))
    for page in (ROOT / "docs" / "install.md", CHART / "README.md"):
        assert f"Kubernetes 1.{minor} or newer" in page.read_text(), page


SWITCHES = {
    "crds.install=false": {"CustomResourceDefinition"},
    "admission.enabled=false": {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
    "userRoles.create=false": {"ClusterRole", "ClusterRoleBinding"},
    "operator.podDisruptionBudget.enabled=false": {"PodDisruptionBudget"},
    "api.answerQuestions=false": {"ClusterRole", "ClusterRoleBinding"},
    "nodeSide.serviceAccounts=null": {"ClusterRoleBinding"},
    "api.apiServices.enabled=false": {"APIService"},
    "api.evictionWebhook.enabled=false": {"ValidatingWebhookConfiguration"},
    "api.podDisruptionBudget.enabled=false": {"PodDisruptionBudget"},
}


@pytest.mark.parametrize(("setting", "kinds"), SWITCHES.items(), ids=list(SWITCHES))
def test_a_part_can_be_left_out_and_nothing_else_goes_with_it(chart: Path, setting: str, kinds: set[str]) -> None:
    whole, left = of_chart(template(chart)), of_chart(template(chart, settings=(setting,)))
    assert left.keys() < whole.keys()
    assert {kind for _, kind, _, _ in whole.keys() - left.keys()} == kinds
    assert all(whole[key] == item for key, item in left.items())


class TestCompanion:
    """Beside KubeVirt, whose virtual machines, CRDs and API are not nicplug's to touch."""

    def test_nothing_that_stands_in_for_kubevirt_is_installed(self, chart: Path) -> None:
        found = of_chart(template(chart, settings=(BESIDE, "networkPolicy.enabled=true")))
        kinds = {kind for _, kind, _, _ in found}
        assert not kinds & {
            *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "APIService"),
            *("ValidatingWebhookConfiguration", "KubeVirt"),
        }
        definitions = [name for _, kind, _, name in found if kind == "CustomResourceDefinition"]
        assert definitions
        assert [name for name in definitions if not name.endswith(".nicplug.io")] == []
        assert [key for key in found if "nicplug-api" in key[3] or "kubevirt.io" in key[3]] == []

    @pytest.mark.parametrize(
        ("setting", "names"),
        [
            ("userRoles.create=false", {"nicplug.io:view", "nicplug.io:default"}),
            ("operator.podDisruptionBudget.enabled=false", {"nicplug-operator"}),
            (
                "crds.install=false",
                {path.stem + ".nicplug.io" for path in (ROOT / "crds" / "nicplug.io").glob("*.yaml")},
            ),
        ],
    )
    def test_a_part_can_be_left_out(self, chart: Path, setting: str, names: set[str]) -> None:
        whole = of_chart(template(chart, settings=(BESIDE,)))
        left = of_chart(template(chart, settings=(BESIDE, setting)))
        assert {name for _, _, _, name in whole.keys() - left.keys()} == names
        assert all(whole[key] == item for key, item in left.items())

    @pytest.mark.parametrize("setting", ["fences.enabled", "admission.enabled", "api.enabled"])
    def test_what_it_has_not_cannot_be_left_out(self, chart: Path, setting: str) -> None:
        whole = template(chart, settings=(BESIDE,))
        assert template(chart, settings=(BESIDE, f"{setting}=false")) == whole

    def test_the_nudge_is_one_more_permission(self, chart: Path, tmp_path: Path) -> None:
        """As kustomize's component grants it."""
        text = "resources: [{0}/overlays/companion]\ncomponents: [{0}/components/nudge]\n"
        folder = os.path.relpath(OVERLAYS.parent.resolve(), tmp_path.resolve())
        (tmp_path / "kustomization.yaml").write_text(text.format(folder))
        by_kustomize = of_kustomize(kustomize(tmp_path))
        assert of_chart(template(chart, settings=(DEV, BESIDE, "companion.nudge=true"))) == by_kustomize
        without = of_kustomize(kustomize(COMPANION))
        assert {name for _, _, _, name in by_kustomize.keys() - without.keys()} == {"nicplug-nudge"}
        (role,) = [item for key, item in by_kustomize.items() if key[1] == "ClusterRole" and key not in without]
        assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]

    @pytest.mark.parametrize("mode", ["standalone", "companion"])
    def test_the_process_is_told_its_mode(self, chart: Path, mode: str) -> None:
        found = environment(of_chart(template(chart, settings=(f"mode={mode}",))), "operator")
        assert found["NICPLUG_MODE"] == mode

    def test_the_kubevirt_object_may_be_elsewhere(self, chart: Path) -> None:
        """As on OpenShift."""
        found = of_chart(template(chart, settings=(BESIDE, "kubevirt.namespace=openshift-cnv")))
        assert environment(found, "operator")["NICPLUG_KUBEVIRT_NAMESPACE"] == "openshift-cnv"

    def test_no_alert_about_an_api_that_is_not_there(self, chart: Path) -> None:
        assert alert_groups(chart).keys() - alert_groups(chart, BESIDE).keys() == {"nicplug-api"}

    @pytest.mark.parametrize("name", ["single-replica", "high-availability", "restricted-namespace"])
    def test_a_variant_differs_as_in_the_other_mode(self, chart: Path, name: str) -> None:
        """In what both modes have."""
        values = (VALUES / f"{name}.yaml",)
        here, there = (of_chart(template(chart, values=values, settings=mode)) for mode in ((BESIDE,), ()))
        plain, plain_there = (of_chart(template(chart, settings=mode)) for mode in ((BESIDE,), ()))
        both = [key for key in there if "nicplug-api" not in key[3]]
        assert {key for key in here if here[key] != plain.get(key)} == {
            key for key in both if there[key] != plain_there.get(key)
        }
        assert [key for key in here if "nicplug-api" in key[3]] == []

    def test_metrics_can_be_protected(self, chart: Path) -> None:
        items = template(chart, settings=(BESIDE, "metrics.protected=true"))
        assert environment(of_chart(items), "operator")["NICPLUG_METRICS_AUTHENTICATION"] == "token-review"


def alert_groups(chart: Path, *settings: str) -> dict[str, set[str]]:
    """The addresses of the runbooks of each group."""
    items = template(chart, settings=("monitoring.prometheusRule.enabled=true", *settings))
    (found,) = [item for item in items if item["kind"] == "PrometheusRule"]
    groups = found["spec"]["groups"]
    return {group["name"]: {rule["annotations"]["runbook_url"] for rule in group["rules"]} for group in groups}


def test_an_absent_api_that_nobody_has_installed_raised_an_alert(chart: Path) -> None:
    whole, left = alert_groups(chart), alert_groups(chart, "api.enabled=false")
    assert whole.keys() - left.keys() == {"nicplug-api"}
    assert whole.items() > left.items()


@pytest.mark.parametrize("is_api_enabled", ["true", "false"])
def test_runbooks_can_be_elsewhere(chart: Path, is_api_enabled: str) -> None:
    """In a folder of the same name, too: without the API the group before its own was rewritten twice."""
    folder = "https://git.example/nicplug/docs/runbooks"
    found = alert_groups(chart, f"monitoring.prometheusRule.runbooks={folder}/", f"api.enabled={is_api_enabled}")
    urls = set().union(*found.values())
    assert len(urls) > 10
    assert all(re.fullmatch(rf"{re.escape(folder)}/Nicplug\w+\.md", url) for url in urls)


def kubevirt(chart: Path, *settings: str) -> Object:
    items = template(chart, settings=("kubevirt.create=true", *settings))
    (found,) = [item for item in items if item["kind"] == "KubeVirt"]
    return found


class TestKubevirtObject:
    def test_it_is_that_of_the_example(self, chart: Path) -> None:
        (wanted,) = [
            item
            for item in yaml.safe_load_all((ROOT / "examples" / "kubevirt.yaml").read_text())
            if item["kind"] == "KubeVirt"
        ]
        found = kubevirt(chart)
        assert (identity(found), found["spec"]) == (identity(wanted), wanted["spec"])

    def test_helm_refused_the_release_for_a_kind_that_it_brings_itself(self, chart: Path) -> None:
        """On a cluster without the CRDs only a hook can be of their kind."""
        annotations = kubevirt(chart)["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-install,post-upgrade"

    def test_an_upgrade_deleted_it_and_made_it_again(self, chart: Path) -> None:
        """Which is what Helm does with hooks by default."""
        assert kubevirt(chart)["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "hook-failed"

    def test_its_configuration_is_added_to_the_gates(self, chart: Path) -> None:
        found = kubevirt(chart, "kubevirt.configuration.migrations.parallelMigrationsPerCluster=7")
        assert found["spec"]["configuration"] == {
            "developerConfiguration": {"featureGates": ["HotplugNICs"]},
            "migrations": {"parallelMigrationsPerCluster": 7},
        }

    def test_a_field_that_only_kubevirt_reads_is_kept(self, chart: Path) -> None:
        found = kubevirt(
            chart, "kubevirt.configuration.network.defaultNetworkInterface=bridge,kubevirt.configuration.cpuModel=b"
        )
        assert found["spec"]["configuration"]["cpuModel"] == "b"

    def test_one_in_another_namespace_is_found_by_everybody(self, chart: Path) -> None:
        items = of_chart(template(chart, settings=("kubevirt.namespace=cnv", "kubevirt.create=true")))
        assert environment(items, "operator")["NICPLUG_KUBEVIRT_NAMESPACE"] == "cnv"
        assert environment(items, "api")["NICPLUG_API_KUBEVIRT_NAMESPACE"] == "cnv"
        namespaces = {
            item["spec"]["paramRef"]["namespace"] for item in items.values() if "paramRef" in item.get("spec", {})
        }
        assert namespaces == {"cnv"}


def pod_of(items: dict[Identity, Object], component: str) -> Any:
    (found,) = [item for key, item in items.items() if key[1] == "Deployment" and key[3] == f"nicplug-{component}"]
    return found["spec"]["template"]["spec"]


def environment(items: dict[Identity, Object], component: str) -> dict[str, str]:
    (container,) = pod_of(items, component)["containers"]
    return {row["name"]: row["value"] for row in container["env"] if "value" in row}


EXAMPLES = {"integer": 20_000_000, "number": 300, "boolean": True, "string": "info"}
TEXTS = {"logFormat": "json", "allowKubevirtVersion": "1.10"}


@pytest.mark.parametrize(("component", "model"), [("operator", Settings), ("api", ApiSettings)])
def test_every_setting_reaches_its_process(
    chart: Path, component: str, model: type[Settings | ApiSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that it reads, and not as 2e+07."""
    schema = json.loads((CHART / "values.schema.json").read_text())["definitions"][f"{component}Settings"]
    bounded = {key: row.get("maximum", EXAMPLES[row["type"]]) for key, row in schema["properties"].items()}
    wanted = bounded | {key: text for key, text in TEXTS.items() if key in bounded}
    assert len(wanted) > 5
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({component: {"settings": wanted}}))
    variables = environment(of_chart(template(chart, values=(values,))), component)
    variables.pop("NICPLUG_MODE", None)  # a value of its own
    assert len(variables) == len(wanted)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    found = model().model_dump()
    by_name = {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value for key, value in wanted.items()}
    assert {key: found[key] for key in by_name} == by_name


def pods(items: Iterable[Object]) -> Iterator[Any]:
    for item in items:
        if item["kind"] == "Pod":
            yield item["spec"]
        if item["kind"] == "Deployment":
            yield item["spec"]["template"]["spec"]


def test_every_pod_fits_the_restricted_profile(chart: Path) -> None:
    found = list(pods(template(chart)))
    assert len(found) == 3
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_openshift_chooses_the_user_itself(chart: Path) -> None:
    nobody = ("podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null")
    found = list(pods(template(chart, settings=nobody)))
    assert {tuple(pod["securityContext"]) for pod in found} == {("runAsNonRoot", "seccompProfile")}


@pytest.mark.parametrize("name", ["default", "all-options", "companion"])
def test_what_is_rendered_is_as_it_was_reviewed(chart: Path, name: str) -> None:
    """Of what the templates write themselves. To write it again: NICPLUG_TEST_WRITE_GOLDEN=1."""
    values = GOLDEN / f"{name}.values.yaml"
    items = [item for item in template(chart, values=(values,)) if item["kind"] not in VERBATIM]
    text = yaml.safe_dump_all(sorted(items, key=identity), sort_keys=False, width=120)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get(WRITE_GOLDEN):
        path.write_text(text)
    assert text == path.read_text()


def test_there_is_one_version() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == nicplug.__version__
    assert f"nicplug:{nicplug.__version__}" in described["annotations"]["artifacthub.io/images"]


def test_artifact_hub_shows_every_crd() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    shown = {(row["kind"], row["name"]) for row in yaml.safe_load(described["artifacthub.io/crds"])}
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    assert shown == {(crd["spec"]["names"]["kind"], crd["metadata"]["name"]) for crd in crds}
    examples = yaml.safe_load(described["artifacthub.io/crdsExamples"])
    assert {row["kind"] for row in examples} <= {kind for kind, _ in shown}


def test_every_value_is_described_and_typed() -> None:
    page = (ROOT / "docs" / "helm-values.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) == {*yaml.safe_load((CHART / "values.yaml").read_text()), "global"}


def test_values_page_and_schema_are_as_the_code_has_them() -> None:
    """`make docs` writes them."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    command = [sys.executable, "-m", "tools.chart_pages", "--check"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
