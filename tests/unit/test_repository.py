"""What must be true of the repository as a whole: layout, layers, pins, documents."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import nicplug
from nicplug.insight.remedies import documented
from nicplug.obs.catalogue import FAMILIES
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES
from nicplug.plan.reasons import Reason

ROOT = Path(__file__).parents[2]
ADRS = ROOT / "docs" / "adr"
TEXT = {".py", ".md", ".yaml", ".toml", ".txt", ".go", ".sh", ".svg", ".json", ""}
LEFT_BY_TOOLS = {".git", ".venv", ".pytest-kind", "__pycache__", "dist"}


def files() -> Iterator[Path]:
    """Every text file of the checkout that is not left there by a tool."""
    for folder, names, found in os.walk(ROOT):
        names[:] = [name for name in names if name not in LEFT_BY_TOOLS and not name.endswith(("_cache", ".egg-info"))]
        if Path(folder) == ROOT:
            names[:] = [name for name in names if name != "build"]
        for name in found:
            path = Path(folder) / name
            # `.git` is a file in a worktree, and names the checkout that it belongs to.
            if path.suffix in TEXT and name != ".git" and ".hypothesis" not in path.parts:
                yield path


def pins(name: str) -> dict[str, str]:
    """Versions by package of a file of pins."""
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("folder", ["operator", "sandbox"])
def test_source_root_is_no_package(folder: str) -> None:
    """An operator/__init__.py would shadow the standard library's `operator`."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_import_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def _imported(path: Path) -> set[str]:
    """Every module that a file of Python imports, or imports something of."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    whole = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return plain | {f"{node.module}.{alias.name}" for node in whole for alias in node.names}


def test_no_module_imports_a_test_module() -> None:
    """What several share stands in a module of its own, which says what it is for."""
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in ("tests", "tools")
        for path in (ROOT / folder).rglob("*.py")
        for name in _imported(path)
        if re.search(r"(^|\.)test_", name) and name.startswith("tests.")
    }
    assert found == set()


def test_tools_import_no_cases_of_unit_tests() -> None:
    """A page would change with the order of the cases."""
    found = {path.name for path in (ROOT / "tools").rglob("*.py") if any("tests.unit" in n for n in _imported(path))}
    assert found == set()


def test_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == nicplug.__version__
    assert f"({nicplug.__version__})" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["dev.txt", "operator.txt"])
def test_pins_are_hashed_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-|--)(i|f|index-url|extra-index-url|find-links|trusted-host)\b", text, re.MULTILINE)
    requirements = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(requirements) > 10
    assert [item.split()[0] for item in requirements if "--hash=sha256:" not in item] == []


def test_image_has_the_versions_that_are_tested() -> None:
    tested = pins("dev.txt")
    assert {name: version for name, version in pins("operator.txt").items() if tested.get(name) != version} == {}


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    direct = [re.split(r"[<>=~! ;\[]", line)[0] for line in project["project"]["dependencies"]]
    assert set(direct) <= set(pins("operator.txt"))
    extra = [re.split(r"[<>=~! ;\[]", line)[0] for line in project["project"]["optional-dependencies"]["sandbox"]]
    assert set(extra) <= set(pins("dev.txt"))


def test_no_file_names_the_machine_it_was_written_on() -> None:
    """Absolute paths of somebody's home or work folder, and hosts that only they can reach."""
    folder = re.compile(r"(?<![\w.~}/])/(work|root|home/\w+|Users/\w+)/[\w.]")
    host = re.compile(r"https?://[\w.-]+\.(internal|(?<!cluster\.)local|corp|lan|intranet)\b")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files()
        for expression in (folder, host)
        if path != Path(__file__)
        for match in expression.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_documents_that_are_named_exist() -> None:
    """A file name with .md in code or text leads somewhere; `docs/adr/0001` may stand for the whole name."""
    known = {path.name for path in files() if path.suffix == ".md"}
    missing = set()
    for path in files():
        if path.suffix not in {".py", ".md", ".toml", ".yaml", ".go"} or path == Path(__file__):
            continue
        text = path.read_text()
        missing |= {
            f"{path.relative_to(ROOT)}: {name}" for name in re.findall(r"[\w-]+\.md\b", text) if name not in known
        }
        numbers = re.findall(r"docs/adr/(\d{4})\b", text)
        missing |= {f"{path.relative_to(ROOT)}: docs/adr/{n}" for n in numbers if not list(ADRS.glob(f"{n}-*.md"))}
    assert sorted(missing) == []


def links() -> list[tuple[str, str]]:
    """Every relative link of every document."""
    return [
        (str(path.relative_to(ROOT)), target)
        for path in files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target
    ]


@pytest.mark.parametrize(("document", "target"), links())
def test_link_leads_somewhere(document: str, target: str) -> None:
    assert ((ROOT / document).parent / target).exists()


def test_adrs_are_numbered_without_gaps_and_indexed() -> None:
    names = sorted(path.name for path in ADRS.glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    index = (ROOT / "docs" / "README.md").read_text()
    assert [name for name in names if f"adr/{name}" not in index] == []
    for name in names:
        text = (ADRS / name).read_text()
        assert "Status:" in text, name
        assert "## How we will notice that it was wrong" in text, name


def test_commands_of_the_documents_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in files():
        if path.suffix == ".md":
            named = set(re.findall(r"(?:`|^|\()make ([a-z0-9][a-z0-9-]*)", path.read_text(), re.MULTILINE))
            assert named <= targets, path


def lines_with_arguments() -> list[tuple[str, str]]:
    """`make TARGET ARGS=...` of every document: the program that the target starts, and what it is given.

    Only of targets whose program is a command of click, which says what it takes without doing it.
    """
    program = r"^{}:.*\n(?:\t.*\n)*\t@\$\(run\) -m (tests\.[\w.]+) .*\$\(ARGS\)$"
    makefile = (ROOT / "Makefile").read_text()
    found: set[tuple[str, str]] = set()
    for path in files():
        if path.suffix == ".md":
            for target, line in re.findall(r"\bmake ([a-z-]+) ARGS=('[^']*'|[^\s`;,)]+)", path.read_text()):
                if module := re.search(program.format(target), makefile, re.MULTILINE):
                    (arguments,) = shlex.split(line)
                    found.add((module.group(1), arguments))
    return sorted(found)


@pytest.mark.parametrize(("module", "line"), lines_with_arguments())
def test_arguments_of_the_documents_are_options_of_the_program(module: str, line: str) -> None:
    """A renamed option must not live on in a document."""
    program = importlib.import_module(module)
    if hasattr(program, "__path__"):
        program = importlib.import_module(f"{module}.__main__")
    command = program.main
    assert isinstance(command, click.Command)
    # A placeholder of the document, in capitals, stands for a value.
    command.make_context(module, [re.sub(r"^NAME$", "token", word) for word in line.split()])


def test_every_target_is_explained_and_phony() -> None:
    text = (ROOT / "Makefile").read_text()
    rules = re.findall(r"^([a-z0-9-]+):(.*)$", text, re.MULTILINE)
    assert [name for name, rest in rules if "## " not in rest] == []
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == {name for name, _ in rules}


@pytest.mark.parametrize(
    ("output", "code", "last"),
    [
        ("== 3 passed in 1.23s ==", 0, "== 3 passed in 1.23s =="),
        (
            "== 1 failed, 2 passed in 61.20s (0:01:01) ==\nmake: *** [test] Error 1",
            2,
            "== 1 failed, 2 passed in 61.20s (0:01:01) ==",
        ),
        ("E501 Line too long\nmake: *** [lint] Error 1", 2, "make: *** [lint] Error 1"),
    ],
    ids=["green", "red", "not even linted"],
)
def test_ci_ends_with_the_summary_and_keeps_the_code(tmp_path: Path, output: str, code: int, last: str) -> None:
    """With a make of our own on the PATH that prints and ends as the real one would."""
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    make.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == last


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    names = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [name for name in names if f"({name})" not in index] == []


def test_first_screen_of_the_readme_has_picture_and_two_commands() -> None:
    screen = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert "docs/images/demo.svg" in screen
    assert "make demo" in screen
    assert "make test" in screen


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").iterdir()), ids=lambda path: path.name)
def test_a_picture_loads_nothing_is_small_and_is_shown(path: Path) -> None:
    picture = path.read_text()
    assert re.findall(r"(?:href|src|url)\s*[=(]\s*[\"']?(https?:[^\"')]*)", picture) == []
    assert len(picture) < 40_000
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert [page.name for page in pages if f"images/{path.name})" in page.read_text()]


def test_the_first_picture_is_taken_in_at_a_glance() -> None:
    """The command, the moments, the table of NICs; it once was 2,295 pixels tall."""
    picture = (ROOT / "docs" / "images" / "demo.svg").read_text()
    lines = {int(number) for number in re.findall(r'id="nicplug-demo-line-(\d+)"', picture)}
    assert 0 < len(lines) <= 30
    for shown in ("virtctl&#160;addinterface", "network-status:", "nicplug&#160;status", "PHASE"):
        assert shown in picture, shown


def test_reasons_page_is_as_the_code_has_it() -> None:
    """`make docs` writes it; a reason without a meaning and a remedy cannot be written."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    command, environment = [sys.executable, "tools/reference.py", "--check"], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "reasons.md").read_text()
    assert [reason for reason in Reason if f"\n| `{reason}` | " not in page] == []


def test_tables_of_the_path_page_are_as_the_code_has_them() -> None:
    """`make docs` writes them; a rule without an example cannot be written."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    command = [sys.executable, "-m", "tools.path_page", "--check"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "which-path-and-why.md").read_text()
    assert [rule.when for rule in (*IN_PLACE, *OBSTACLES) if f" | {rule.when} | " not in page] == []


def test_metrics_page_is_as_the_code_has_it() -> None:
    """`make docs` writes it; every family that can be exported is on it."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    command, environment = [sys.executable, "-m", "tools.metrics_page", "--check"], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert [family.name for family in FAMILIES if f"\n| `{family.name}` | {family.type} | " not in page] == []


def test_the_runbook_has_every_reason_with_a_remedy() -> None:
    """By symptom: whoever sees the word in a status finds it there. A reason that asks for nothing needs no entry."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    found = documented((ROOT / "operator" / "nicplug" / "insight" / "reasons.md").read_text())
    needed = [item.reason for item in found if item.remedy != "Nothing to do."]
    assert len(needed) > 60
    assert [reason for reason in needed if f"`{reason}`" not in page] == []


def test_documents_name_no_reason_that_does_not_exist() -> None:
    """A renamed reason must not live on in a table of symptoms."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    families = "NetworkAttachment|Waiting|Attach|Detach|Annotation|Ordinal|TargetPod|Vmi|Dynamic|Migration"
    named = set(re.findall(rf"`((?:{families})\w+)`", page))
    assert named
    assert named - set(Reason) == set()


def test_the_security_page_names_only_tests_that_exist() -> None:
    """A defence whose test was renamed or deleted would look covered."""
    page = (ROOT / "docs" / "security.md").read_text()
    shown = re.findall(r"`(?:tests/)?((?:unit|api|integration|sim)[\w/]*(?:\.py)?)?(?:::(\w+))?`", page)
    named, path = [], ""
    for found, name in shown:
        path = found or path
        if found or name:
            named.append((path, name))
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (target := ROOT / "tests" / path).exists()
        or (name and not re.search(rf"(?:def|class) {name}\b", target.read_text()))
    ]
    assert missing == []


def test_every_contributor_finds_the_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
