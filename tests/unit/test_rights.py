"""The check of nicplug's rights: what a role grants, which call needs it, and when a run fails."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.rights.calls import Call, read_calls
from tests.rights.examples import OPERATOR, REFUSED, ROLE, binding, entry, role, rule
from tests.rights.findings import Window, unexpected, used
from tests.rights.roles import Right, granted

ROOT = Path(__file__).resolve().parents[2]


def right(verb: str = "get", resource: str = "pods", **members: str) -> Right:
    defaults = {"account": OPERATOR, "role": ROLE, "namespace": "", "group": "", "name": ""}
    return Right(**{**defaults, "verb": verb, "resource": resource, **members})


def call(verb: str = "get", resource: str = "pods", **members: Any) -> Call:
    defaults = {"account": OPERATOR, "namespace": "red", "group": "", "name": "a", "at": 100.0, "refusal": ""}
    return Call(**{"is_allowed": not members.get("refusal"), **defaults, "verb": verb, "resource": resource, **members})


class TestGranted:
    def test_a_rule_is_expanded(self) -> None:
        rules = role({"apiGroups": ["", "apps"], "resources": ["pods", "pods/status"], "verbs": ["get", "patch"]})
        rights = granted([rules, binding()], accounts=[OPERATOR])
        assert len(rights) == 8
        assert right("patch", "pods/status", group="apps") in rights

    def test_each_name_is_a_right(self) -> None:
        rules = role(rule("leases", "list", group="coordination.k8s.io", resourceNames=["a", "b"]))
        rights = granted([rules, binding()], accounts=[OPERATOR])
        assert {found.name for found in rights} == {"a", "b"}

    def test_a_role_holds_in_its_namespace(self) -> None:
        rules = role(rule("secrets", "get"), kind="Role")
        (found,) = granted([rules, binding("RoleBinding", "Role")], accounts=[OPERATOR])
        assert (found.namespace, found.role) == ("nicplug-system", "Role nicplug-operator")

    def test_a_cluster_role_bound_in_a_namespace_holds_there(self) -> None:
        (found,) = granted([role(rule("secrets", "get")), binding("RoleBinding")], accounts=[OPERATOR])
        assert found.namespace == "nicplug-system"

    def test_others_and_what_is_not_bound_do_not_count(self) -> None:
        rules = [role(rule("pods", "get")), role(rule("nodes", "get"), name="another")]
        assert granted([*rules, binding()], accounts=["system:serviceaccount:red:default"]) == frozenset()
        assert {found.resource for found in granted([*rules, binding()], accounts=[OPERATOR])} == {"pods"}

    def test_a_role_of_kubernetes_is_passed_over(self) -> None:
        own = binding("RoleBinding", "Role", name="extension-apiserver-authentication-reader")
        assert granted([own], accounts=[OPERATOR]) == frozenset()


@pytest.mark.parametrize(
    ("one", "other", "covered"),
    [
        pytest.param(right(), call(), True, id="every namespace, every name"),
        pytest.param(right("list"), call(), False, id="another verb"),
        pytest.param(right(resource="nodes"), call(), False, id="another resource"),
        pytest.param(right(), call(resource="pods/status"), False, id="a subresource is another resource"),
        pytest.param(right(group="apps"), call(), False, id="another group"),
        pytest.param(right(account="system:serviceaccount:red:x"), call(), False, id="another account"),
        pytest.param(right(namespace="red"), call(), True, id="its namespace"),
        pytest.param(right(namespace="blue"), call(), False, id="another namespace"),
        pytest.param(right(namespace="blue"), call(namespace=""), False, id="all namespaces are not one"),
        pytest.param(right(name="a"), call(), True, id="its name"),
        pytest.param(right(name="b"), call(), False, id="another name"),
        pytest.param(right("list", name="a"), call("list", name=""), False, id="a list of all is not one of a name"),
    ],
)
def test_a_right_covers_a_call(one: Right, other: Call, covered: bool) -> None:
    assert one.covers(other) is covered


def test_an_unused_verb_is_found() -> None:
    rights = {right("get"), right("patch"), right("delete")}
    calls = [call("get"), call("patch", refusal="forbidden")]
    assert used(rights, calls) == {right("get")}


def test_a_call_that_admission_refused_used_its_right() -> None:
    calls = [replace(call("create", refusal="exceeded quota"), is_allowed=True)]
    assert used({right("create")}, calls) == {right("create")}


WINDOWS = [
    Window(test="test_quiet", start=90.0, end=110.0, reason=""),
    Window(test="test_loud", start=110.0, end=120.0, reason="takes the right away"),
    Window(test="test_later", start=120.0, end=140.0, reason=""),
]


@pytest.mark.parametrize(
    ("at", "test"),
    [(80.0, "the start"), (100.0, "test_quiet"), (115.0, ""), (121.5, ""), (125.0, "test_later")],
    ids=["before any test", "quiet", "announced", "just after", "long after"],
)
def test_a_refusal_counts_where_no_test_announced_it(at: float, test: str) -> None:
    found = unexpected([call(refusal="no right", at=at), call(at=at)], WINDOWS, rights=[])
    assert [line.endswith(f"no right (during {test})") for line in found] == ([True] if test else [])


def test_a_write_that_is_repeated_after_its_test_was_announced_with_it() -> None:
    announced = call(refusal="quota", at=115.0)
    calls = [announced, replace(announced, at=130.0), replace(announced, at=130.0, name="b")]
    assert len(unexpected(calls, WINDOWS, rights=[])) == 1


@pytest.mark.parametrize(
    ("is_allowed", "rights", "count"),
    [
        pytest.param(False, [], 1, id="there is no right"),
        pytest.param(False, [right()], 0, id="the API server has just started, or a test has taken the right away"),
        pytest.param(True, [right()], 1, id="admission"),
    ],
)
def test_a_refusal_counts_by_what_is_granted(is_allowed: bool, rights: list[Right], count: int) -> None:
    refused = replace(call(refusal="no"), is_allowed=is_allowed)
    assert len(unexpected([refused], [], rights=rights)) == count


@pytest.mark.parametrize(("role", "count"), [("system:discovery", 0), ("nicplug-api", 1)])
def test_an_api_server_that_does_not_know_its_own_roles_yet_refuses_everything(role: str, count: int) -> None:
    """By a role that no manifest of ours has, such as that of the front proxy's trust."""
    refusal = f'cannot get resource: RBAC: [clusterrole.rbac.authorization.k8s.io "{role}" not found]'
    assert len(unexpected([call(refusal=refusal)], [], rights=[])) == count


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(entry(), call("patch", "pods/status"), id="a subresource"),
        pytest.param(entry(userAgent="kopf/1.45.2"), call("patch", "pods/status"), id="a watch of Kopf's"),
        pytest.param(entry(**REFUSED), call("patch", "pods/status", refusal="no right"), id="refused"),
        pytest.param(
            entry(objectRef={"resource": "leases", "apiGroup": "coordination.k8s.io"}),
            call("patch", "leases", group="coordination.k8s.io", namespace="", name=""),
            id="of a group, in all namespaces",
        ),
        pytest.param(
            {name: value for name, value in entry(requestURI="/apis?x=1").items() if name != "objectRef"},
            call("patch", "/apis", namespace="", name=""),
            id="no resource",
        ),
        pytest.param(entry(userAgent="kubectl/v1.37.0"), None, id="a test with the account's token"),
        pytest.param(entry(userAgent="nicplug-cli/0.1.0"), None, id="a command"),
        pytest.param(entry(user={"username": "system:serviceaccount:red:x"}), None, id="another account"),
        pytest.param(
            entry(user={"username": "admin"}, impersonatedUser={"username": OPERATOR}), None, id="impersonated"
        ),
    ],
)
def test_a_line_of_the_audit_log(tmp_path: Path, line: Mapping[str, Any], expected: Call | None) -> None:
    log = tmp_path / "lines"
    log.write_text(json.dumps(line) + "\n" + json.dumps(line)[:50])
    assert list(read_calls(log, accounts=[OPERATOR])) == ([expected] if expected else [])


CONFTEST = """
import pytest
from pathlib import Path
from tests.rights.plugin import Rights, audit_logs
from tests.rights.examples import OPERATOR, binding, role, rule
from tests.rights.roles import granted

def pytest_configure(config):
    def rights():
        return granted([role(rule("pods", "get", "delete")), binding()], accounts=[OPERATOR])
    config.pluginmanager.register(Rights(suite=Path(__file__).parent / "suite", rights=rights))
"""
SUITE = """
import json, time, datetime, pytest
from tests.rights.examples import REFUSED, entry

@pytest.fixture(scope="session")
def log(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sandbox")
    (directory / "logs").mkdir()
    (directory / "logs" / "kube-apiserver.log").touch()
    return directory / "audit.log"

def ask(log, verb, **members):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    pods = {"resource": "pods", "namespace": "red", "name": "a"}
    with log.open("a") as out:
        print(json.dumps(entry(verb=verb, objectRef=pods, requestReceivedTimestamp=now, **members)), file=out)
"""
GET = "def test_get(log): ask(log, 'get')\n"
DELETE = "def test_delete(log): ask(log, 'delete')\n"
PLANTED = "def test_planted(log): ask(log, 'patch', **REFUSED)\n"
MARK = "@pytest.mark.refused_calls(reason='on purpose')\n"
PROVED = "@pytest.mark.uses_right('delete', 'pods')\ndef test_proved(): pass\n"
FAILS = "def test_fails(): raise AssertionError\n"
WORKERS = ("-p", "xdist", "-n", "2")


@pytest.mark.parametrize(
    ("first", "second", "arguments", "said"),
    [
        pytest.param(GET, DELETE, (), "", id="all used, nothing refused"),
        pytest.param(GET, DELETE, WORKERS, "", id="by two workers together"),
        pytest.param(GET, GET, (), "UNUSED", id="an unused verb"),
        pytest.param(GET, GET, WORKERS, "UNUSED", id="an unused verb, by two workers"),
        pytest.param(GET, GET, ("suite/test_first.py",), "", id="one file"),
        pytest.param(GET, DELETE, ("-k", "get"), "", id="left out by -k"),
        pytest.param(GET, GET, ("suite/test_first.py::test_get", "suite/test_second.py"), "", id="one test of a file"),
        pytest.param(GET, PROVED, (), "", id="a right without a request of its own, proved"),
        pytest.param(GET, FAILS + PROVED, ("-x",), "", id="ended by its first failure"),
        pytest.param(GET + DELETE, PLANTED, (), "REFUSED", id="a forbidden call"),
        pytest.param(GET + DELETE, PLANTED, WORKERS, "REFUSED", id="a forbidden call, by two workers"),
        pytest.param(GET, PLANTED, ("suite/test_second.py",), "REFUSED", id="a forbidden call in one file"),
        pytest.param(GET + DELETE, MARK + PLANTED, (), "", id="a forbidden call on purpose"),
    ],
)
def test_a_run_fails(tmp_path: Path, first: str, second: str, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "suite" / "test_first.py").write_text(SUITE + first)
    (tmp_path / "suite" / "test_second.py").write_text(SUITE + second)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    roots = os.pathsep.join(str(ROOT / folder) for folder in (".", "operator", "sandbox"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--strict-markers", "--basetemp=tmp", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": roots, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # Or the run that this test belongs to would find its logs.
    shutil.rmtree(tmp_path)
    assert done.returncode == (1 if said or FAILS in second else 0), done.stdout + done.stderr
    assert {word for word in ("UNUSED", "REFUSED") if word in done.stdout} == ({said} if said else set())
    if said == "UNUSED":
        assert f"UNUSED {OPERATOR}: delete pods ({ROLE})" in done.stdout
    if said == "REFUSED":
        assert "(during suite/test_second.py::test_planted)" in done.stdout
