"""Reads kubeconfig files as kubectl does, and reports their faults before a client library fails on them.

Knows only the files and their meaning; sends no request and holds no credentials except the user's name.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nicplug.kube.unreadable import why_unreadable

LISTS = ("clusters", "contexts", "users")


class ConfigError(Exception):
    """The configuration does not lead to an API server; the text says what to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """The user that requests impersonate: kubectl's `--as`, `--as-uid` and `--as-group`.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
    """

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()

    def headers(self) -> Iterator[tuple[str, str]]:
        """Yield the name and value of each header; the name of the group header repeats, once per group."""
        if self.user:
            yield "Impersonate-User", self.user
        if self.uid:
            yield "Impersonate-Uid", self.uid
        for group in self.groups:
            yield "Impersonate-Group", group


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialPlugin:
    """The `exec` plugin of a kubeconfig user, for error messages.

    Attributes:
        command: as written in the kubeconfig.
        install_hint: `installHint` of the kubeconfig, on one line.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """

    command: str
    install_hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeconfigContext:
    """One context of a kubeconfig.

    Attributes:
        name: name of the context.
        user, cluster: the entries that it refers to.
        namespace: default namespace of commands without `--namespace`.
        impersonation: the `as` fields of the user's entry.
        plugin: the `exec` field of the user's entry.
    """

    name: str
    user: str = ""
    cluster: str = ""
    namespace: str = "default"
    impersonation: Impersonation = Impersonation()
    plugin: CredentialPlugin | None = None


def kubeconfig_paths(kubeconfig: Path | None) -> str:
    """Return the given file, else the files of $KUBECONFIG, else ~/.kube/config."""
    return str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or "~/.kube/config"


def read_context(paths: str, *, context: str | None = None) -> KubeconfigContext:
    """Validate the files and return one of their contexts; the first entry of each name wins.

    Args:
        paths: separated as in $KUBECONFIG; missing files are skipped.
        context: name of the context; None for `current-context`.

    Raises:
        ConfigError: no file exists, one is unreadable, or an entry that the context needs is missing.
    """
    files = list(_files(paths))
    if not files:
        raise ConfigError(_nothing_at(paths))
    merged: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in LISTS}
    current = ""
    for path in files:
        content = _read(path)
        for name in LISTS:
            for entry in _entries(path, content, name):
                merged[name].setdefault(entry["name"], entry)
        current = current or str(content.get("current-context") or "")
    return _resolve(paths, merged, context or current)


def context_names(paths: str) -> list[str]:
    """Return the sorted names of all contexts in the files, usable or not.

    Raises:
        ConfigError: a file cannot be read.
    """
    return sorted({entry["name"] for path in _files(paths) for entry in _entries(path, _read(path), "contexts")})


def _nothing_at(paths: str) -> str:
    if paths == os.environ.get("KUBECONFIG"):
        return f"no kubeconfig at {paths}, which KUBECONFIG names: correct or unset it, or give --kubeconfig PATH."
    return f"no kubeconfig at {paths}: give --kubeconfig PATH or set KUBECONFIG."


def _files(paths: str) -> Iterator[Path]:
    for path in paths.split(os.pathsep):
        if path and (file := Path(path).expanduser()).is_file():
            yield file


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = why_unreadable(error)
        raise ConfigError(f"kubeconfig {path} cannot be read: {why}. {_try(path)}") from error
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {_type_of(content)}"
        raise ConfigError(
            f"kubeconfig {path} is {found}, not a mapping with clusters, contexts and users. {_try(path)}"
        )
    return content


def _entries(path: Path, content: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of one list, each a mapping with a name and a body."""
    entries, body = content.get(name) or [], name.removesuffix("s")
    if not isinstance(entries, list):
        raise ConfigError(f"kubeconfig {path}: {name} is a {_type_of(entries)}, not a list. {_try(path)}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"kubeconfig {path}: {name}[{index}] has no name. {_try(path)}")
        if not isinstance(entry.get(body), dict) and not (body == "user" and entry.get(body) is None):
            label = f'{name}[{index}] ("{entry["name"]}")'
            raise ConfigError(f"kubeconfig {path}: {label} has no mapping {body}. {_try(path)}")
        yield entry


def _resolve(paths: str, merged: Mapping[str, Mapping[str, Mapping[str, Any]]], name: str) -> KubeconfigContext:
    known = ", ".join(sorted(merged["contexts"])) or "none"
    if not name:
        raise ConfigError(f"kubeconfig {paths} has no current-context: give --context NAME. Contexts: {known}.")
    if name not in merged["contexts"]:
        raise ConfigError(f'kubeconfig {paths} has no context "{name}": give --context NAME. Contexts: {known}.')
    context = merged["contexts"][name]["context"]
    cluster, user = context.get("cluster"), context.get("user")
    if cluster not in merged["clusters"]:
        raise ConfigError(f'kubeconfig {paths}: context "{name}" names cluster "{cluster}", which is not in clusters.')
    if not isinstance(merged["clusters"][cluster]["cluster"].get("server"), str):
        raise ConfigError(f'kubeconfig {paths}: cluster "{cluster}" has no server: set its URL.')
    if user and user not in merged["users"]:
        raise ConfigError(f'kubeconfig {paths}: context "{name}" names user "{user}", which is not in users.')
    if user and merged["users"][user].get("user") is None:
        raise ConfigError(
            f'kubeconfig {paths}: user "{user}" has no credentials: give it a token, a client certificate or an exec '
            f"plugin (kubectl config set-credentials {user})."
        )
    namespace, entry = context.get("namespace"), merged["users"].get(user, {}).get("user") or {}
    return KubeconfigContext(
        name=name,
        user=str(user or ""),
        cluster=str(cluster),
        namespace=namespace if isinstance(namespace, str) and namespace else "default",
        impersonation=_impersonation(entry),
        plugin=_plugin(entry),
    )


def _impersonation(user: Mapping[str, Any]) -> Impersonation:
    groups = user.get("as-groups") or []
    return Impersonation(
        user=str(user.get("as") or ""), uid=str(user.get("as-uid") or ""), groups=tuple(map(str, groups))
    )


def _plugin(user: Mapping[str, Any]) -> CredentialPlugin | None:
    entry = user.get("exec")
    if entry is None:
        return None
    named = entry if isinstance(entry, Mapping) else {}
    hint = " ".join(str(named.get("installHint") or "").split())
    return CredentialPlugin(command=str(named.get("command") or ""), install_hint=hint)


def _try(path: Path) -> str:
    return f"Try it with: kubectl --kubeconfig {path} version"


def _type_of(value: object) -> str:
    return {str: "string", list: "list", bool: "boolean", int: "number", float: "number"}.get(type(value), "mapping")
