"""The instances of a processing job: which one this process runs on, and its share of the rows and the limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bedrock_batch.environment.container.paths import CONTAINER_PATHS, is_sharded, read_instance_names
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Instance:
    """The instance that this process runs on: number `index`, from 0, of `count`.

    `sharded` holds the folders of the input data that SageMaker divided among the instances; "" stands for the whole
    input.
    """

    name: str = "algo-1"
    index: int = 0
    count: int = 1
    sharded: frozenset[str] = frozenset()

    @property
    def suffix(self) -> str:
        """The end of the names of output files, which keeps those of several instances apart under one S3 prefix."""
        return f"-{self.name}" if self.count > 1 else ""

    def has_own_part(self, folder: str) -> bool:
        """Return whether no other instance has the files of this folder of the input data."""
        return self.count == 1 or folder in self.sharded

    def rows_of(self, total: int) -> range:
        """Return this instance's share of `total` rows; the shares of all instances cover each row once."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)

    def share(self, settings: Settings) -> Settings:
        """Return the settings with this instance's share of the limits of the account, which all instances draw on.

        The shares of the jobs in flight add up to the limit, except that each instance may run at least one job.
        """
        jobs = len(self.rows_of(settings.max_concurrent_batch_jobs))
        limit = settings.max_cost_usd
        return replace(
            settings,
            max_concurrent_batch_jobs=max(1, jobs),
            rate_limit_per_second=settings.rate_limit_per_second / self.count,
            max_cost_usd=None if limit is None else limit / self.count,
            limit_records=self._share_of(settings.limit_records),
            sample_records=self._share_of(settings.sample_records),
        )

    def _share_of(self, rows: int | None) -> int | None:
        return None if rows is None else len(self.rows_of(rows))

    def as_dict(self) -> Mapping[str, str | int]:
        return {"host": self.name, "index": self.index, "hosts": self.count}


def read_instance(opt_ml: Path, folders: tuple[str, ...]) -> Instance:
    """Return the instance that SageMaker's configuration files describe; `folders` may lie in the input data.

    Raise InputError if the description contradicts itself: rows would be paid for twice or lost.
    """
    name, names = read_instance_names(opt_ml)
    if not _NAME.fullmatch(name):
        raise InputError(f"{opt_ml / 'config' / 'resourceconfig.json'}: {name!r} is not a valid instance name")
    root = CONTAINER_PATHS["input_data"]
    sharded = (folder for folder in ("", *folders) if is_sharded(opt_ml, f"{root}/{folder}".rstrip("/")))
    return Instance(name, names.index(name), len(names), frozenset(sharded) if len(names) > 1 else frozenset())
