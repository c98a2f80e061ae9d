"""A run while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bedrock_batch.ledger.book import Ledger


@dataclass(frozen=True, slots=True)
class Run:
    """A run that this process works on: how many rows it has, a folder that lasts as long as it, and its ledger."""

    count: int
    folder: Path
    ledger: Ledger
