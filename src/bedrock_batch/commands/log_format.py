"""The format of log lines: one line per message, whatever a service or a file name puts into it."""

from __future__ import annotations

import logging

from bedrock_batch.text import escape_controls

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class OneLineFormatter(logging.Formatter):
    """Formats a record as one line by escaping control characters of its message. A traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name of the standard library
        record.message = escape_controls(record.message)
        return super().formatMessage(record)
