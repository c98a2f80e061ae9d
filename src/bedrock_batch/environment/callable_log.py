"""A plain function in place of a logger: the original script takes `Callable[[str], None]`."""

from __future__ import annotations

import logging
from collections.abc import Callable

Log = logging.Logger | Callable[[str], object]
"""A logger, or a function of a message such as `print`."""


def as_logger(log: Log | None) -> logging.Logger | None:
    """Return a logger as it is, and a function as a logger that calls it with each message from INFO on."""
    if log is None or isinstance(log, logging.Logger):
        return log
    # Outside the registry of loggers, so that it does not outlive its caller.
    logger = logging.Logger("bedrock_batch", logging.INFO)
    logger.addHandler(_FunctionHandler(log))
    return logger


class _FunctionHandler(logging.Handler):
    def __init__(self, function: Callable[[str], object]) -> None:
        super().__init__()
        self._function = function

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        self._function(message)
