"""Structured logs on stderr: constant messages with fields, as JSON for machines or coloured for a terminal."""

import logging
import sys
from typing import TextIO

import structlog

# Kopf logs every handler call at INFO; nicplug logs its own effects.
_QUIET = ("kopf.objects", "kopf.activities", "kopf._core.engines.activities", "aiohttp.access")
# One line per attempt of every watch, four every two seconds in an outage; `kube.watch_health` reports it once.
_RETRY_LINE = "Request attempt #"
_TRACE_END_CHARACTERS = 4_000


def configure_logging(*, level: str, format_: str, stream: TextIO | None = None) -> None:
    """Send the lines of structlog and of the standard library through one formatter.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        format_: `json`, `console`, or `auto` (`console` on a terminal).
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
        # The default prints the local variables of each frame, which contain users' objects.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, _cut_trace, structlog.processors.JSONRenderer(sort_keys=True)]


def _cut_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Truncate long tracebacks: one of infinite recursion has 250 KiB, and only its two ends matter."""
    trace = event.get("exception")
    if isinstance(trace, str) and len(trace) > 2 * _TRACE_END_CHARACTERS:
        event["exception"] = f"{trace[:_TRACE_END_CHARACTERS]}\n  ...\n{trace[-_TRACE_END_CHARACTERS:]}"
    return event
