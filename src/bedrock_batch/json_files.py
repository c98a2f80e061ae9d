"""JSON files that a user hands over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bedrock_batch.errors import InputError


def read_json_file(path: Path) -> Any:
    """Return the JSON of a file; InputError names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file in UTF-8 ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
