"""The variables of a trial: a sample of the rows instead of all of them, and the canary of a batch run."""

from __future__ import annotations

from dataclasses import dataclass

from bedrock_batch.environment.variables import value_types as values
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

    canary_records: int = TRIAL.setting(
        values.integer(0),
        "How many drawn records are asked in real time before the jobs of a batch run are uploaded, by the same "
        "requests; 0: none.",
        default="20",
    )
    canary_min_valid: float = TRIAL.setting(
        values.FRACTION,
        "If a smaller share of these answers is valid, nothing is uploaded and the run ends with exit code 1.",
        default="0.8",
    )

    @property
    def takes_sample(self) -> bool:
        """Whether only some of the rows are answered."""
        return self.limit_records is not None or self.sample_records is not None
