"""The log of the process and its libraries, as JSON or for a terminal."""

import logging
import sys

import structlog


def configure_logs(level: str, form: str) -> None:
    """Write all logs to stderr in one form, `json` or `console`. The lines of a request have its
    `request_id`. Query strings and credentials are never logged."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # Not rich's tracebacks: they show local variables, which may be credentials.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_traces_of_the_engine)
    processors: list[structlog.typing.Processor]
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*processors, renderer], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "httpcore", "alembic", "aiosqlite", "databases", "procrastinate"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_traces_of_the_engine(record: logging.LogRecord) -> bool:
    """Replace the traceback that procrastinate logs when PostgreSQL cannot be used, which it
    survives, by the words of the cause."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and type(error).__name__ == "ConnectorException":
        while error.__cause__ is not None:
            error = error.__cause__
        record.msg, record.args = "engine_interrupted: %s", (" ".join(str(error).split()),)
        record.exc_info = None
    return True
