"""What is wrong with a kubeconfig is said in the words of a kubeconfig."""

import os
from pathlib import Path

import pytest

from nicplug.kube.kubeconfig import ConfigError, Impersonation, read_context

GOOD = """
clusters: [{name: c, cluster: {server: "https://s"}}]
users: [{name: u, user: {as: bob, as-uid: "7", as-groups: [a, b]}}]
contexts:
- {name: x, context: {cluster: c, user: u, namespace: mine}}
- {name: y, context: {cluster: c}}
current-context: x
"""

BAD = [
    ("a string", "hello", "is a string, not a mapping"),
    ("a list", "[1]", "is a list, not a mapping"),
    ("empty", "", "is empty, not a mapping"),
    ("not YAML", "a: [", "cannot be read"),
    ("clusters is no list", "clusters: {a: b}", "clusters is a mapping, not a list"),
    ("an entry is no mapping", "contexts: [1]", "contexts[0] has no name"),
    ("an entry has no name", "users: [{user: {}}]", "users[0] has no name"),
    ("an entry has no body", "clusters: [{name: c}]", 'clusters[0] ("c") has no mapping cluster'),
    (
        "no current context",
        GOOD.replace("current-context: x", ""),
        "has no current-context: give --context NAME. Contexts: x, y.",
    ),
    ("another context", GOOD.replace("current-context: x", "current-context: z"), 'has no context "z"'),
    ("no such cluster", GOOD.replace("cluster: c", "cluster: d"), 'names cluster "d", which is not in clusters'),
    ("no such user", GOOD.replace("user: u", "user: v"), 'names user "v", which is not in users'),
    ("a user without credentials", GOOD.replace("user: {as: bob", "x: {as: bob"), 'user "u" has no credentials'),
    ("no server", GOOD.replace('{server: "https://s"}', "{}"), 'cluster "c" has no server'),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD, ids=[case[0] for case in BAD])
def test_bad_ones(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_context(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(GOOD)
    found = read_context(str(path))
    assert (found.name, found.namespace) == ("x", "mine")
    assert found.impersonation == Impersonation(user="bob", uid="7", groups=("a", "b"))
    assert read_context(str(path), context="y").namespace == "default"


def test_of_several_the_first_entry_counts_and_missing_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("current-context: y")
    (tmp_path / "b").write_text(GOOD)
    paths = os.pathsep.join(str(tmp_path / name) for name in ("none", "a", "b"))
    assert read_context(paths).name == "y"


def test_an_environment_that_names_a_missing_file_was_told_to_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `nicplug sandbox down`."""
    gone = str(tmp_path / "none")
    monkeypatch.setenv("KUBECONFIG", gone)
    with pytest.raises(ConfigError, match=rf"no kubeconfig at {gone}, which KUBECONFIG names: correct or unset it"):
        read_context(gone)


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no kubeconfig at .*: give --kubeconfig PATH or set KUBECONFIG"):
        read_context(str(tmp_path / "none"))
