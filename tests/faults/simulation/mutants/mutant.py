"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[4] / "src" / "bedrock_batch"


@dataclass(frozen=True)
class Mutant:
    """A fault in `file` of the package: `new` replaces `old`, and `breaks` says what goes wrong."""

    file: str
    breaks: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}: {self.breaks}"

    def apply(self, source: str) -> str:
        """Return a source with the fault in it; ValueError unless `old` occurs in it exactly once."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self}: its text occurs {source.count(self.old)} times in the file")
        return source.replace(self.old, self.new)
