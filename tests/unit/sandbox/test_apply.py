"""Reading manifests; applying them is tested on a real API server (tests/integration)."""

import json
from pathlib import Path

import pytest

from nicplug_sandbox import apply
from nicplug_sandbox.errors import SandboxError


def names(paths: list[Path]) -> list[str]:
    return [document["metadata"]["name"] for document in apply.load(paths)]


def test_folders_files_lists_and_empty_documents(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "b.yaml").write_text("kind: A\nmetadata: {name: third}\n---\n# nothing\n---\n")
    (folder / "a.yaml").write_text(
        "kind: List\nitems: [{kind: A, metadata: {name: first}}, {kind: A, metadata: {name: second}}]"
    )
    (folder / "kustomization.yaml").write_text("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
    (folder / "notes.txt").write_text("not a manifest")
    (tmp_path / "single.yaml").write_text("kind: A\nmetadata: {name: fourth}")
    assert names([folder, tmp_path / "single.yaml"]) == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{:", "is not YAML"), ("- a", "without kind"), ("metadata: {name: a}", "without kind")],
)
def test_bad_manifest_is_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(SandboxError, match=message) as caught:
        apply.load([file])
    assert str(file) in str(caught.value)


def test_what_is_applied_looks_as_if_kubectl_had_done_it() -> None:
    """`kubectl apply` warned of the examples' namespace and KubeVirt object in every fresh sandbox."""
    document: apply.Manifest = {
        "kind": "A",
        "metadata": {"name": "a", "annotations": {"mine": "stays"}},
        "spec": {"b": [1]},
    }
    seen = apply.as_if_applied(document)["metadata"]["annotations"]
    assert seen["mine"] == "stays"
    assert json.loads(seen[apply.LAST_APPLIED]) == document
    assert apply.LAST_APPLIED not in document["metadata"]["annotations"]
    assert apply.as_if_applied({"kind": "A", "metadata": {"name": "a"}})["metadata"]["annotations"].keys() == {
        apply.LAST_APPLIED
    }


def test_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="No such file"):
        apply.load([tmp_path / "missing.yaml"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("Error from server (TooManyRequests): storage is (re)initializing", True),
        ('error: resource mapping not found for name: "a": no matches for kind "KubeVirt"', True),
        ('Error from server (Forbidden): namespaces "a" is forbidden', False),
        ('The KubeVirt "kubevirt" is invalid: spec: Invalid value', False),
    ],
)
def test_only_what_time_heals_is_repeated(error: str, expected: bool) -> None:
    assert bool(apply.NOT_YET.search(error)) is expected
