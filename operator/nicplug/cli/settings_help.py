"""`--help` of `nicplug run` and `nicplug api`: every setting with its variable, default and meaning."""

import ast
import itertools
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a process."""

    variable: str
    default: str
    meaning: str


def settings_of(module: str, name: str) -> list[Setting]:
    """Return the settings of a class in the order of its fields, with their docstrings from the source.

    Args:
        module: of the class.
        name: of the class, a subclass of `BaseSettings`.
    """
    model: type[BaseSettings] = getattr(import_module(module), name)
    meanings = {
        field: meaning
        for base in reversed(model.__mro__)
        if base.__module__.startswith("nicplug.")
        for field, meaning in _docstrings(base.__module__, base.__name__).items()
    }
    prefix = str(model.model_config.get("env_prefix") or "")
    return [
        Setting(
            variable=f"{prefix}{field.upper()}",
            default="" if info.default is None else str(info.default),
            meaning=meanings.get(field, ""),
        )
        for field, info in model.model_fields.items()
    ]


def _docstrings(module: str, name: str) -> dict[str, str]:
    package, _, last = module.rpartition(".")
    tree = ast.parse(files(package).joinpath(f"{last}.py").read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    found = {}
    for field, following in itertools.pairwise(body):
        is_documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_documented:
            found[field.target.id] = " ".join(str(ast.literal_eval(following.value)).split())  # type: ignore[attr-defined]
    return found


class SettingsCommand(click.Command):
    """A command whose help ends with the settings of its process.

    Attributes:
        settings: module and name of the settings class.
    """

    settings: tuple[str, str] = ("", "")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings, which are read only for --help."""
        with formatter.section("Settings (environment variables; an option wins)"):
            rows = []
            for item in settings_of(*self.settings):
                default = f"  [default: {item.default}]" if item.default else ""
                rows.append((item.variable, f"{item.meaning}{default}"))
            formatter.write_dl(rows)


class RunCommand(SettingsCommand):
    """`nicplug run`."""

    settings = ("nicplug.settings", "Settings")


class ApiCommand(SettingsCommand):
    """`nicplug api`."""

    settings = ("nicplug.api_settings", "ApiSettings")
