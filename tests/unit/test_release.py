"""What `make release` writes, but the image: equal for equal commits, complete, refused where something is missing."""

import hashlib
import io
import json
import os
import re
import tarfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tools.image.commit import Commit
from tools.release import __main__ as program
from tools.release.archives import checksums, compress, normalise
from tools.release.bom import DOCKERFILE, PINS, bill, licence, pins
from tools.release.changelog import section
from tools.release.parts import write_parts

ROOT = Path(__file__).resolve().parents[2]
COMMIT = Commit(
    version=tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
    revision="0123456789abcdef0123456789abcdef01234567",
    epoch=1_700_000_000,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files by name."""
    folder = tmp_path_factory.mktemp("release")
    return {path.name: path.read_bytes() for path in write_parts(folder=folder, commit=COMMIT)}


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    """The bill of materials."""
    found: dict[str, object] = json.loads(bill(COMMIT))
    return found


def test_two_builds_are_equal_byte_for_byte(written: dict[str, bytes], tmp_path: Path) -> None:
    """The second one at another time, in another zone and language, and with another umask."""
    before = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", "Pacific/Kiritimati")
            patch.setenv("LC_ALL", "C")
            again = {path.name: path.read_bytes() for path in write_parts(folder=tmp_path, commit=COMMIT)}
    finally:
        os.umask(before)
    assert sorted(again) == sorted(written)
    assert [name for name in again if again[name] != written[name]] == []


def test_another_commit_is_another_release(written: dict[str, bytes], tmp_path: Path) -> None:
    """The test of the test above: what does not depend on its input is always equal."""
    other = Commit(version=COMMIT.version, revision="f" * 40, epoch=COMMIT.epoch + 60)
    again = {path.name: path.read_bytes() for path in write_parts(folder=tmp_path, commit=other)}
    different = {name.removeprefix(f"nicplug-{COMMIT.version}") for name in again if again[name] != written[name]}
    assert different == {".tgz", "-sbom.cdx.json"}


def test_the_chart_has_the_release_s_version_and_the_commit_s_time(written: dict[str, bytes]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written[f"nicplug-{COMMIT.version}.tgz"])) as chart:
        members = chart.getmembers()
        found = chart.extractfile("nicplug/Chart.yaml")
        assert found is not None
        text = found.read().decode()
    assert re.search(rf"^version: {re.escape(COMMIT.version)}$", text, re.MULTILINE)
    assert {member.mtime for member in members} == {COMMIT.epoch}
    assert all(member.isfile() or member.isdir() for member in members)
    # The links into kustomize's folders have become files.
    assert "nicplug/files/base/clusterrole.yaml" in {member.name for member in members}


class TestBill:
    def test_it_has_every_pin_with_all_its_hashes(self, document: dict[str, list[dict[str, object]]]) -> None:
        libraries = {row["name"]: row for row in document["components"] if row["type"] == "library"}
        wanted = {pin.name: pin for pin in pins(PINS.read_text())}
        assert len(wanted) > 30
        assert set(libraries) == set(wanted)
        for name, pin in wanted.items():
            text = json.dumps(libraries[name])
            assert libraries[name]["version"] == pin.version
            assert pin.hashes, name
            assert [value for value in pin.hashes if value not in text] == [], name

    def test_every_package_has_a_licence(self, document: dict[str, list[dict[str, object]]]) -> None:
        libraries = [row for row in document["components"] if row["type"] == "library"]
        assert [row["name"] for row in libraries if not row.get("licenses")] == []

    def test_it_names_the_base_by_its_digest(self, document: dict[str, list[dict[str, str]]]) -> None:
        (base,) = [row for row in document["components"] if row["type"] == "container"]
        digest = re.search(r"^ARG BASE=\S+@(sha256:\w+)$", DOCKERFILE.read_text(), re.MULTILINE)
        assert digest is not None
        assert digest[1] in base["purl"]

    def test_everything_is_needed_by_the_image(self, document: dict[str, list[dict[str, object]]]) -> None:
        edges = {row["ref"]: row.get("dependsOn", []) for row in document["dependencies"]}
        seen: set[object] = set()
        waiting: list[object] = ["nicplug"]
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                found = edges[name]
                assert isinstance(found, list)
                waiting += found
        assert seen == set(edges)

    def test_its_time_is_the_commit_s(self, document: dict[str, dict[str, str]]) -> None:
        found = datetime.fromisoformat(document["metadata"]["timestamp"])
        assert found == datetime.fromtimestamp(COMMIT.epoch, UTC)

    @pytest.mark.parametrize(
        ("metadata", "wanted"),
        [
            ({"License-Expression": "MIT OR Apache-2.0", "License": "see the file"}, "MIT OR Apache-2.0"),
            ({"License": "BSD-3-Clause\n\nRedistribution and use", "Classifier": "x :: y"}, "BSD-3-Clause"),
            ({"Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
        ],
        ids=["expression", "first line of a text", "classifier"],
    )
    def test_licence(self, metadata: dict[str, str], wanted: str) -> None:
        assert licence(metadata) == wanted


class TestChangelog:
    TEXT = """\
# Changelog

## Unreleased (0.2.0)

- new

## 0.1.0 - 2026-12-01

### Fixed

- old

## 0.1.0-rc.1
"""

    @pytest.mark.parametrize(
        ("version", "wanted"), [("0.2.0", "- new\n"), ("0.1.0", "### Fixed\n\n- old\n")], ids=["unreleased", "dated"]
    )
    def test_section(self, version: str, wanted: str) -> None:
        assert section(self.TEXT, version=version) == wanted

    @pytest.mark.parametrize("version", ["0.3.0", "0.1", "0.1.0-rc.1"], ids=["missing", "a part of it", "empty"])
    def test_a_version_without_a_section_is_refused_with_the_remedy(self, version: str) -> None:
        with pytest.raises(ValueError, match=rf"nothing about {re.escape(version)}: add a section"):
            section(self.TEXT, version=version)


class TestArchives:
    def test_owners_times_and_order_are_forgotten(self, tmp_path: Path) -> None:
        names = ["b/run", "a.txt"]
        results = []
        for index, order in enumerate((names, names[::-1])):
            source, target = tmp_path / f"{index}.tar.gz", tmp_path / f"{index}.tgz"
            with tarfile.open(source, "w:gz") as archive:
                for name in order:
                    member = tarfile.TarInfo(name)
                    member.size, member.mtime, member.uid = len(name), 1000 + index, index
                    member.mode = 0o700 if name == "b/run" else 0o600
                    archive.addfile(member, io.BytesIO(name.encode()))
            normalise(source, target, epoch=7)
            results.append(target.read_bytes())
        assert results[0] == results[1]
        with tarfile.open(fileobj=io.BytesIO(results[0])) as archive:
            assert [(member.name, member.mode) for member in archive] == [("a.txt", 0o644), ("b/run", 0o755)]

    def test_a_link_is_refused(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            link = tarfile.TarInfo("out")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        with pytest.raises(ValueError, match="out is neither a file nor a directory"):
            normalise(tmp_path / "x.tar", tmp_path / "y.tgz", epoch=0)

    def test_gzip_has_no_name_and_no_time(self, tmp_path: Path) -> None:
        for name, seconds in (("one", 1), ("another", 2)):
            (tmp_path / name).write_bytes(b"same" * 1000)
            os.utime(tmp_path / name, (seconds, seconds))
            compress(tmp_path / name, tmp_path / f"{name}.gz")
        assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "another.gz").read_bytes()

    def test_checksums_are_those_of_sha256sum(self, tmp_path: Path) -> None:
        paths = [tmp_path / name for name in ("b", "a")]
        for path in paths:
            path.write_text(path.name)
        assert checksums(paths) == "".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in "ab")


def test_a_checkout_with_changes_is_no_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dirty = Commit(version=COMMIT.version, revision=f"{COMMIT.revision}-dirty", epoch=COMMIT.epoch)
    monkeypatch.setattr(program, "this_commit", lambda: dirty)
    monkeypatch.setattr("sys.argv", ["release", f"--output={tmp_path / 'dist'}"])
    assert program.main() == 1
    assert "commit or stash them" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()
