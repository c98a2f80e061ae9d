"""Log lines, exit messages and terminal text cannot control a terminal or forge a line."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest

from bedrock_batch.commands.log_format import LOG_FORMAT, OneLineFormatter
from bedrock_batch.environment.container.paths import write_exit_message
from bedrock_batch.text import escape_controls

EVIL = "Failed\r\n2026-01-01 INFO all is well \x1b[2J\x1b]0;title\x07 \u202egnp.exe\u2066 \u2028\x85\x00"


def test_a_message_of_a_service_stays_one_line() -> None:
    """The message of a job or a file name could forge log lines, or control the terminal of a reader."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(OneLineFormatter(LOG_FORMAT))
    log = logging.Logger("evil")
    log.addHandler(handler)
    log.warning("job=%s message=%s", "x\ny", EVIL)
    (line,) = out.getvalue().splitlines()
    assert line.isprintable()
    assert "x\\ny" in line
    assert "\\x1b[2J" in line
    assert "\\u202egnp" in line


@pytest.mark.parametrize("text", ["Grüße 東京 „quoted“", "a\\b", "tabs are \u00a0 not", "🎉 e\u0301"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Names in other scripts would become unreadable."""
    assert escape_controls(text) == text


def test_the_exit_message_keeps_its_lines_only(tmp_path: Path) -> None:
    """SageMaker would show control characters in the exit message."""
    (tmp_path / "output").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    write_exit_message(tmp_path, f"first\nsecond {EVIL}")
    written = (tmp_path / "output" / "message").read_text(encoding="utf-8")
    assert written.split("\n")[0] == "first"
    assert "\x1b" not in written
    assert "\r" not in written
