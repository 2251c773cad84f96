"""Lines on stderr: JSON for machines, text for people, Kopf's chatter left out."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from nicplug.obs.logging import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is global: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kopf.objects", "kopf.activities", "aiohttp.access")}
    yield
    root.handlers, root.level = handlers, level
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


def test_json_lines_have_a_constant_message_and_fields() -> None:
    stream = io.StringIO()
    configure_logging(level="info", format_="json", stream=stream)
    structlog.get_logger("nicplug.test").info("networks annotation patched", vmi="default/a", nics=2)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "networks annotation patched",
        "level": "info",
        "logger": "nicplug.test",
        "nics": 2,
        "vmi": "default/a",
    }


def test_lines_of_libraries_look_like_our_own() -> None:
    stream = io.StringIO()
    configure_logging(level="info", format_="json", stream=stream)
    logging.getLogger("kopf.reactor").warning("watch %s ended", "pods")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("watch pods ended", "warning", "kopf.reactor")


def test_an_error_carries_its_trace_in_one_line() -> None:
    stream = io.StringIO()
    configure_logging(level="info", format_="json", stream=stream)
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        structlog.get_logger("nicplug.test").exception("reconcile failed")
    [line] = stream.getvalue().splitlines()
    assert "ZeroDivisionError: a bug" in json.loads(line)["exception"]


def test_the_level_holds_for_us_and_for_libraries() -> None:
    stream = io.StringIO()
    configure_logging(level="warning", format_="json", stream=stream)
    structlog.get_logger("nicplug.test").info("left out")
    logging.getLogger("library").info("left out")
    assert stream.getvalue() == ""


def test_what_kopf_says_per_object_is_left_out_even_at_debug() -> None:
    stream = io.StringIO()
    configure_logging(level="debug", format_="json", stream=stream)
    logging.getLogger("kopf.objects").info("Handler 'on_pod' succeeded.")
    assert stream.getvalue() == ""
    logging.getLogger("kopf.objects").warning("something is wrong")
    assert "something is wrong" in stream.getvalue()


def test_auto_is_json_for_machines_and_colours_for_a_terminal() -> None:
    for stream, is_json in ((io.StringIO(), True), (Terminal(), False)):
        configure_logging(level="info", format_="auto", stream=stream)
        structlog.get_logger("nicplug.test").info("launcher pod ready", node="node01")
        text = stream.getvalue()
        assert text.startswith("{") is is_json
        assert ("\x1b[" in text) is not is_json
        assert "node01" in text


def test_console_without_a_terminal_has_no_colours() -> None:
    stream = io.StringIO()
    configure_logging(level="info", format_="console", stream=stream)
    structlog.get_logger("nicplug.test").info("launcher pod ready", node="node01")
    assert "\x1b[" not in stream.getvalue()
    assert "launcher pod ready" in stream.getvalue()


def _deeper(levels: int) -> None:
    secret = "of-a-user"
    assert secret
    _other(levels - 1)


def _other(levels: int) -> None:
    _deeper(levels)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_trace_is_short_and_shows_no_values(format_: str) -> None:
    stream = io.StringIO()
    configure_logging(level="info", format_=format_, stream=stream)
    try:
        _deeper(10_000)
    except RecursionError:
        structlog.get_logger("nicplug.test").exception("reconcile failed")
    assert "RecursionError" in stream.getvalue()
    assert "of-a-user" not in stream.getvalue()
    assert len(stream.getvalue()) < (10_000 if format_ == "json" else 1_000_000)


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("debug", 2)])
def test_each_try_of_a_watch_is_no_line(level: str, lines: int) -> None:
    stream = io.StringIO()
    configure_logging(level=level, format_="json", stream=stream)
    logger = logging.getLogger("kopf._cogs.clients.watching")
    logger.error("Request attempt #7 failed; will retry: GET /api/v1/pods -> Boom()")
    logger.error("something else")
    assert len(stream.getvalue().splitlines()) == lines
