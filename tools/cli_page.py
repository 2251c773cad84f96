"""Write docs/cli.md from the commands themselves: `make docs`. A test fails while they differ."""

import ast
import inspect
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from nicplug.cli import exits
from nicplug.cli.exits import Exit
from nicplug.cli.main import SECTIONS, main
from nicplug.cli.output import API_VERSION
from nicplug.cli.schema import SCHEMAS
from nicplug.cli.settings_help import SettingsCommand, settings_of

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = """\
# Commands

<!-- Generated from operator/nicplug/cli by `make docs`: change the commands there. -->

`pipx install .` (or `pip install .`) in a checkout installs them as `nicplug`, and as a plugin of kubectl: `kubectl nic
status VM`, which kubectl completes by the executable `kubectl_complete-nic` of the same installation (kubectl 1.26 or
newer). `bin/nicplug` runs them without installing anything. In a [sandbox](development.md#the-sandbox) they are in
its `bin`, also as `virtctl` ([coming from virtctl](coming-from-virtctl.md)).

The commands find their cluster as kubectl does: `--kubeconfig`, else the files of `$KUBECONFIG`, else
`~/.kube/config`; `--context`, `--namespace`, `--as`, `--as-group` and `--as-uid` mean what they mean there, and stand
before or after the name of the command. Errors go to stderr with what to do, results to stdout. Colours are used only
on a terminal, and never where `NO_COLOR` is set. `NICPLUG_TRACEBACK=1` shows the Python trace of an error that is a
bug.

VM is the name of a VirtualMachine, or of a VirtualMachineInstance that belongs to none.
"""


def exit_codes() -> Iterator[str]:
    """The table of exit codes, from the docstrings of the enum."""
    yield "## Exit codes\n\n| code | name | meaning |\n|---|---|---|\n"
    tree = ast.parse(Path(str(exits.__file__)).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Exit")
    meanings = {}
    for assignment, following in itertools.pairwise(body):
        if isinstance(assignment, ast.Assign) and isinstance(following, ast.Expr):
            name = assignment.targets[0]
            meanings[getattr(name, "id", "")] = " ".join(str(ast.literal_eval(following.value)).split())
    for item in Exit:
        yield f"| {int(item)} | `{item.name}` | {meanings[item.name]} |\n"
    yield (
        "\n`addinterface` and `removeinterface` end with 1 for every failure, as virtctl does. Ctrl-C ends a command "
        "with 130.\n"
    )


def commands() -> Iterator[str]:
    """Each command with its usage, what it does, and its options."""
    context = click.Context(main, info_name="nicplug")
    for title, names in SECTIONS:
        yield f"\n## {title}\n"
        for name in names:
            command = main.get_command(context, name)
            if name == "sandbox" and command is not None:
                yield f"\n### sandbox\n\n{_prose(inspect.cleandoc(command.help or ''))} {_SANDBOX}\n"
            elif command is not None and not command.hidden:
                yield from _command(command, click.Context(command, info_name=name, parent=context))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage, told = " ".join(command.collect_usage_pieces(context)), _prose(inspect.cleandoc(command.help or ""))
    yield f"\n### {command.name}\n\n```\nnicplug {command.name} {usage}\n```\n\n{told}\n"
    options = [item for item in command.get_params(context) if isinstance(item, click.Option)]
    own = [item for item in options if item.name not in _SHARED]
    rows = [_option(item, context) for item in own if not item.hidden and "--help" not in item.opts]
    if rows:
        yield "\n| option | meaning |\n|---|---|\n" + "".join(rows)
    if command.epilog:
        yield f"\n{command.epilog}\n"
    if isinstance(command, SettingsCommand):
        yield "\nEvery setting has a variable; an option wins.\n\n| variable | default | meaning |\n|---|---|---|\n"
        for item in settings_of(*command.settings):
            yield f"| `{item.variable}` | {f'`{item.default}`' if item.default else ''} | {_cell(item.meaning)} |\n"


_SANDBOX = (
    "`nicplug sandbox up --operator` starts one, `nicplug sandbox down` ends it: "
    "[The sandbox](development.md#the-sandbox)."
)
_SHARED = frozenset({"context", "kubeconfig", "as_user", "as_group", "as_uid", "namespace"})


def _prose(text: str) -> str:
    """The help with its paragraphs; what click is told not to wrap becomes a block."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            lines = "\n".join(line.strip() for line in paragraph.splitlines()[1:])
            parts.append(f"```\n{lines}\n```")
        else:
            parts.append(" ".join(paragraph.split()))
    return "\n\n".join(parts)


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, meaning = record if record is not None else (", ".join(option.opts), "")
    return f"| `{_cell(names)}` | {_cell(meaning)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def documents() -> Iterator[str]:
    """The members of each kind."""
    yield (
        f"\n## JSON and YAML\n\n`-o json` and `-o yaml` print one document of `apiVersion: {API_VERSION}`, or one for "
        "each VM or NIC (`why` without a NIC, while all are ready: one list without items). Members stay; "
        "a later version may add some. Times are RFC 3339. A member that has no value is null. `-o name` prints one "
        "name, or `name=word`, a line.\n\n"
        f"The commands that show something have `-o`: {_with_output()}. Those that change something, and `wait`, "
        "answer by their exit code and a line for people.\n"
    )
    for kind, members in SCHEMAS.items():
        yield f"\n### {kind}\n\n| member | meaning |\n|---|---|\n"
        for member, meaning in members.items():
            yield f"| `{member}` | {_cell(meaning)} |\n"


def _with_output() -> str:
    """The commands that have `-o`, in the order of the page."""
    commands = (main.commands[name] for _, names in SECTIONS for name in names)
    found = [item.name for item in commands if any("--output" in option.opts for option in item.params)]
    return ", ".join(f"`{name}`" for name in found)


def page() -> str:
    """The whole page."""
    return "".join((HEAD, "\n", *exit_codes(), *commands(), *documents()))


def main_() -> int:
    """Write it; `--check` only compares."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        print("docs/cli.md is as the code has it" if same else "docs/cli.md is out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(wanted)
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main_())
