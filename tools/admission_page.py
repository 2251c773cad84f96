"""Write the tables of `docs/admission.md` from the schemas, the policies and the examples of the tests: `make docs`.

Each rule of a schema or policy has a row, and each row a rule. The text around the tables is written by hand.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.admission.bounds import KUBEVIRTS
from tests.admission.row import Json, Kind, Row
from tests.admission.rules import ROWS, SECTIONS
from tests.admission.texts import EXCEPTIONS
from tools.blocks import with_block

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "admission.md"
POLICIES = ROOT / "deploy" / "kustomize" / "base" / "admission"
PLURALS = {
    Kind.VM: "virtualmachines",
    Kind.VMI: "virtualmachineinstances",
    Kind.VMIM: "virtualmachineinstancemigrations",
}
SHORT = {Kind.VM: "VM", Kind.VMI: "VMI", Kind.VMIM: "VMIM"}
# The operators of a CEL condition, outside of string literals.
_BRANCH = re.compile(r"\s[?:]\s(?=(?:[^']|'(?:[^'\\]|\\.)*')*$)")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")
# What comes before KubeVirt's text.
_PATH = re.compile(r"^[\].\w\[%]*: ")
_LISTS = ("ofNics", "ofPorts", "ofNetworks", "ofLists")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as the API server has it.

    Attributes:
        place: the path of a schema, or the name of a policy.
        target: the path that a refusal names; empty for a policy.
        sentences: what its message says in any case.
    """

    place: str
    target: str = ""
    sentences: tuple[str, ...]

    def decides(self, row: Row, kind: Kind) -> bool:
        """Whether the text of the row is what this rule says."""
        is_there = row.policy or re.sub(r"\[\d+\]", "[]", row.at(kind)) == self.target
        return bool(is_there and self.sentences and all(part in row.said(kind) for part in self.sentences))


@cache
def schema(kind: Kind) -> Json:
    """The schema of a kind."""
    crd = yaml.safe_load((ROOT / "crds" / f"{PLURALS[kind]}.yaml").read_text())
    found: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def walk(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema inside `node`, itself first."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")


@cache
def schema_rules(kind: Kind) -> list[Rule]:
    """The rules of one CRD, one for each text."""
    return [
        Rule(place=path, target=path + rule.get("fieldPath", ""), sentences=found)
        for path, node in walk(schema(kind))
        for rule in node.get("x-kubernetes-validations", ())
        for found in texts(rule)
    ]


# About nicplug's own account, and about the CRDs themselves: no user writes these.
_OF_NO_USER = ("nicplug-evictions", "nicplug-crds")


@cache
def policy_rules() -> list[Rule]:
    """The rules of all policies, one for each text."""
    documents = [item for path in sorted(POLICIES.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]
    policies = [item for item in documents if item["kind"] == "ValidatingAdmissionPolicy"]
    return [
        Rule(place=item["metadata"]["name"], sentences=found)
        for item in policies
        if item["metadata"]["name"] not in _OF_NO_USER
        for rule in (
            *item["spec"]["validations"],
            # Some validations have a list of texts in a variable.
            *(
                {"messageExpression": one["expression"]}
                for one in item["spec"].get("variables", ())
                if one["name"] in _LISTS
            ),
        )
        for found in texts(rule)
    ]


def texts(rule: Json) -> list[tuple[str, ...]]:
    """The words of each message that a rule has, whatever the object is."""
    if "message" in rule:
        return [(rule["message"].split(": of the spec")[0],)]
    branches = [sentences(branch) for branch in _BRANCH.split(rule["messageExpression"])]
    return list(dict.fromkeys(found for found in branches if found))


def sentences(expression: str) -> tuple[str, ...]:
    """The literals of an expression that are parts of a sentence: values and patterns in CEL have no spaces."""
    literals = [literal.replace("\\'", "'") for literal in _LITERAL.findall(expression)]
    parts = [_PATH.sub("", part).strip(" :.\"'(") for literal in literals for part in re.split(r"%[sd]", literal)]
    return tuple(part for part in parts if " " in part)


def enforced_by(row: Row) -> str:
    """The place of the rule that decides the row.

    Raises:
        ValueError: there is none, or more than one.
    """
    if row.instead:
        return "schema: `" + row.instead + "`"
    kind = row.kinds[0]
    rules = policy_rules() if row.policy else schema_rules(kind)
    places = {rule.place for rule in rules if rule.decides(row, kind)}
    if row.policy:
        places &= {row.policy}
    if len(places) != 1:
        raise ValueError(f"no rule, or more than one, says: {row.said(kind)}")
    [place] = places
    if row.policy:
        return f"policy `{place}`"
    return f"schema, `{place.replace('spec', '{F}', 1) if len(row.kinds) > 1 else place}`"


def table(rows: Iterable[Row]) -> str:
    """One line for each rule."""
    lines = [
        "| rule | objects | KubeVirt's text | where it points | enforced by | accepted | refused |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        objects = ", ".join(SHORT[kind] for kind in row.kinds)
        where = f"`{row.path}`" if row.path else "-"
        cells = (
            row.rule, objects, f"`{row.text}`", where + " (in the message)" * bool(row.policy and row.path),
            enforced_by(row),
            f"`{example(row, row.accepted)}`", f"`{example(row, row.refused)}`",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def example(row: Row, spec: Json) -> str:
    """The parts of an example that matter, as JSON."""
    shown: Any = spec
    if row.kinds[0] is Kind.VM and "template" in spec:
        shown = {**spec, "template": "..."}
    elif "domain" in spec:
        devices = dict(spec["domain"]["devices"])
        rest = {key: value for key, value in spec.items() if key not in ("domain", "networks")}
        domain = {key: value for key, value in spec["domain"].items() if key != "devices"}
        shown = {**domain, **devices, "networks": spec["networks"], **rest}
    if row.before is not None and row.labels[0]:
        shown = {"labels": row.labels[1] if spec is row.accepted else row.labels[2]}
    return json.dumps(shown)


def bounds_table() -> str:
    """Every bound of a list or string in the spec of an instance, and that of a VM's `runStrategy`."""
    lines = ["| field | at most | KubeVirt |", "|---" * 3 + "|"]
    found = [(f"{{F}}.{path}", node) for path, node in walk(schema(Kind.VMI)["properties"]["spec"])]
    found.append(("spec.runStrategy", schema(Kind.VM)["properties"]["spec"]["properties"]["runStrategy"]))
    for path, node in found:
        theirs = "the same" if path.removeprefix("{F}.") in KUBEVIRTS else "none"
        if most := node.get("maxItems"):
            lines.append(f"| `{path}` | {most} items | {theirs} |")
        if most := node.get("maxLength"):
            lines.append(f"| `{path}` | {most} bytes | {theirs} |")
    return "\n".join(lines)


def exceptions_table() -> str:
    """Every text of KubeVirt that nobody gets, and those for which the API server has other words."""
    lines = ["| KubeVirt's text | instead | why |", "|---" * 3 + "|"]
    lines += [f"| `{row.text}` | refused with `{row.instead}` | {row.because} |" for row in ROWS if row.instead]
    lines += [f"| `{text}` | {instead} | {why} |" for text, (instead, why) in EXCEPTIONS.items()]
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """The page with every table as schemas, policies and tests have it.

    Raises:
        ValueError: the page has no place for the tables.
    """
    whole = "\n\n".join(f"### {title}\n\n{table(rows)}" for title, rows in SECTIONS.items())
    tables = {"rules": whole, "exceptions": exceptions_table(), "bounds": bounds_table()}
    for name, content in tables.items():
        page = with_block(page, name=name, content=f"\n{content}\n\n")
    return page


def main() -> int:
    """Write the tables; `--check` only compares."""
    page = PAGE.read_text()
    wanted = with_tables(page)
    if "--check" in sys.argv[1:]:
        print(f"{PAGE.name} is " + ("as the code has it" if page == wanted else "out of date: run `make docs`"))
        return 0 if page == wanted else 1
    PAGE.write_text(wanted)
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
