"""Structured logs on stderr: a constant message and fields, JSON for machines, colours for a terminal."""

import logging
import sys
from typing import TextIO

import structlog

# Kopf logs every handler call at INFO; what nicplug does is in its own lines.
_QUIET = ("kopf.objects", "kopf.activities", "kopf._core.engines.activities", "aiohttp.access")
# A line per try of every watch, four every two seconds in an outage: `kube.watch_health` says it once.
_RETRY_LINE = "Request attempt #"


def configure_logging(*, level: str, format_: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines through one formatter.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        format_: `json`, `console`, or `auto` for console on a terminal.
    """
    target = stream if stream is not None else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(target, format_)],
        )
    )
    if level != "debug":
        handler.addFilter(_is_no_retry_line)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _is_no_retry_line(record: logging.LogRecord) -> bool:
    return not (record.name.startswith("kopf.") and str(record.msg).startswith(_RETRY_LINE))


def _renderers(stream: TextIO, format_: str) -> list[structlog.typing.Processor]:
    if format_ == "console" or (format_ == "auto" and stream.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=True)]
