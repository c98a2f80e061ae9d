"""The variables of a trial: a sample of the rows instead of all of them."""

from __future__ import annotations

from dataclasses import dataclass

from bedrock_batch.environment import value_types as values
from bedrock_batch.environment.variables.variable import Group

TRIAL = Group("Trial before the run")


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """How many rows are tried before all of them are paid for."""

    limit_records: int | None = TRIAL.setting(
        values.optional(values.integer(1)),
        "Answer only so many rows, the first ones of each split, in real time unless BEDROCK_BATCH_MODE=batch. The "
        "names of the outputs say `sample`. `--limit` wins over it.",
    )
    sample_records: int | None = TRIAL.setting(
        values.optional(values.integer(1)),
        "The same with rows that are drawn from each split by a hash: mostly the same ones when rows are appended. "
        "`--sample` wins over it.",
    )

    @property
    def takes_sample(self) -> bool:
        """Whether only some of the rows are answered."""
        return self.limit_records is not None or self.sample_records is not None
