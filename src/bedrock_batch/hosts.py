"""The place of this process among the instances of a processing job, and its share of what they have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bedrock_batch.config import Settings
from bedrock_batch.container import CONTAINER_PATHS, is_sharded, read_hosts
from bedrock_batch.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Host:
    """One of `count` instances, the `index`-th from 0.

    `sharded` holds the folders of the input data, "" for all of it, of which SageMaker gave each instance its own part.
    """

    name: str = "algo-1"
    index: int = 0
    count: int = 1
    sharded: frozenset[str] = frozenset()

    @property
    def suffix(self) -> str:
        """What the names of outputs carry, so that those of several instances fit under one S3 prefix."""
        return f"-{self.name}" if self.count > 1 else ""

    def has_own_part(self, folder: str) -> bool:
        """Whether what lies in a folder of the input data is this instance's alone."""
        return self.count == 1 or folder in self.sharded

    def rows_of(self, total: int) -> range:
        """Return which of the rows that all instances have are this one's; together they cover each row once."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)

    def share(self, settings: Settings) -> Settings:
        """Return the settings with this instance's share of the account's limits, which all instances draw on.

        The jobs in flight are divided without a rest lost, but each instance may run at least one.
        """
        jobs = len(self.rows_of(settings.max_concurrent_batch_jobs))
        limit = settings.max_cost_usd
        return replace(
            settings,
            max_concurrent_batch_jobs=max(1, jobs),
            rate_limit_per_second=settings.rate_limit_per_second / self.count,
            max_cost_usd=None if limit is None else limit / self.count,
        )

    def as_dict(self) -> Mapping[str, str | int]:
        return {"host": self.name, "index": self.index, "hosts": self.count}


def read_host(opt_ml: Path, folders: tuple[str, ...]) -> Host:
    """Return this process's place, as SageMaker describes it; `folders` are those that the input data may have.

    InputError where the description contradicts itself: rows would be paid for twice or lost.
    """
    name, names = read_hosts(opt_ml)
    if not _NAME.fullmatch(name):
        raise InputError(f"{opt_ml / 'config' / 'resourceconfig.json'}: {name!r} is no name of a host")
    root = CONTAINER_PATHS["input_data"]
    sharded = (folder for folder in ("", *folders) if is_sharded(opt_ml, f"{root}/{folder}".rstrip("/")))
    return Host(name, names.index(name), len(names), frozenset(sharded) if len(names) > 1 else frozenset())
