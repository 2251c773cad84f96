"""The programs, before there is a command."""

import builtins
from typing import Any

import pytest

from nicplug import entry


def test_ctrl_c_while_it_was_loading_ended_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def interrupted(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "nicplug.cli.main":
            raise KeyboardInterrupt
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        entry.nicplug()
    assert ended.value.code == entry.INTERRUPTED
