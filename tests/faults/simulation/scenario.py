"""The scenario of a seed: the data, the settings of the step, and the fault rates."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

BUCKET = "simulated-bucket"
INPUT_PATH = f"s3://{BUCKET}/in"
OUTPUT_PATH = f"s3://{BUCKET}/out"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
MOST_STARTS = 4


@dataclass(frozen=True)
class Rates:
    """The probability of each fault in one call; all are zero in calm weather."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    server_error: float = 0.0
    throttled: float = 0.0
    cut_body: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True)
class JobRates:
    """The probability of each ending of a job and of a record in it."""

    bad_ending: float = 0.0
    quota: float = 0.0
    refused: float = 0.0
    unavailable: float = 0.0
    stop_refused: float = 0.0
    list_lag: float = 0.0
    get_lag: float = 0.0
    missing: float = 0.0
    record_error: float = 0.0
    damaged: float = 0.0
    repeated: float = 0.0
    swapped: float = 0.0


@dataclass(frozen=True)
class Fate:
    """What happens to a process at its `call`-th call to a service: `kill` it, `freeze` it for `seconds`, or nothing.

    `sent` says that it happens after the effect of the call. `suspended` says that the monotonic clock stops during the
    freeze, as in a suspended virtual machine.
    """

    what: str = "nothing"
    call: int = 0
    sent: bool = False
    seconds: float = 0.0
    suspended: bool = False


@dataclass(frozen=True)
class Scenario:
    """Everything that a seed decides before its simulation begins.

    `whole_step` includes summary and report, which take most of the time; otherwise only the data path runs: settings,
    splits, processor, outputs. `later_environ` are the settings of all starts but the first. `slow_jobs` take longer
    than the container has. The account of the first process is denied after `denied_after` questions. The service
    forgets the token of a creation after `token_memory` seconds.
    """

    seed: int
    rows: int
    repeats: int
    environ: dict[str, str]
    in_s3: bool
    runtime_limit: float | None
    slow_jobs: bool
    rates: Rates
    jobs: JobRates
    refused_share: float
    fates: tuple[Fate, ...]
    rival_after: float | None
    keeps_disk: bool
    workers: int
    tries: int
    rate_per_second: int
    deduplicates: bool
    lease: float
    whole_step: bool
    later_environ: dict[str, str]
    denied_after: int | None
    token_memory: float

    @property
    def is_harmless(self) -> bool:
        """Whether no call and no job fails."""
        return self.rates == Rates() and self.jobs == JobRates()

    @property
    def has_canary(self) -> bool:
        """Whether some start may ask a canary."""
        return any(environ["BEDROCK_CANARY_RECORDS"] != "0" for environ in (self.environ, self.later_environ))

    def texts(self) -> list[str]:
        """The texts of the rows; the last `repeats` rows repeat the first ones."""
        own = self.rows - self.repeats
        return [f"review number {index % own}" for index in range(self.rows)]


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed; it never changes, so that a failed seed can be recorded."""
    draw = random.Random(f"scenario {seed}")
    rows = draw.randint(6, 32)
    mode = draw.choice(("batch", "batch", "batch", "realtime", "auto"))
    in_s3 = mode != "realtime" or draw.random() < 0.8
    deduplicates = draw.random() < 0.15
    workers = draw.randint(1, 4)
    tries = draw.randint(1, 4)
    rate = draw.choice((5, 20, 100))
    lease = draw.choice((15.0, 30.0, 60.0))
    least = draw.randint(2, 4)
    environ = {
        "BEDROCK_PRIMARY_MODEL_ID": MODEL,
        "BEDROCK_MAX_TOKENS": "256",
        "BEDROCK_BATCH_MODE": mode,
        "BEDROCK_BATCH_THRESHOLD": str(draw.randint(6, 40)),
        "BEDROCK_MIN_RECORDS_PER_JOB": str(least),
        "BEDROCK_MAX_RECORDS_PER_JOB": str(least + draw.randint(0, 8)),
        "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": str(draw.randint(1, 4)),
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "10",
        "BEDROCK_BATCH_POLL_MAX_SECONDS": str(draw.choice((10, 30))),
        "BEDROCK_BATCH_LEASE_SECONDS": str(lease),
        "BEDROCK_BATCH_FALLBACK": draw.choice(("realtime", "realtime", "realtime", "error")),
        "BEDROCK_CONCURRENCY_MODE": draw.choice(("concurrent", "concurrent", "sequential")),
        "BEDROCK_MAX_CONCURRENT_WORKERS": str(workers),
        "BEDROCK_MAX_RETRIES": str(tries),
        "BEDROCK_RATE_LIMIT_PER_SECOND": str(rate),
        "BEDROCK_DEDUPLICATE_PROMPTS": str(deduplicates).lower(),
        "BEDROCK_BATCH_SIZE": str(draw.randint(1, 10)),
        # Drawn apart, so that the other draws of a seed stay what they were.
        "BEDROCK_BATCH_SPREAD": random.Random(f"spread {seed}").choice(("full", "full", "even")),
        "BEDROCK_CANARY_RECORDS": "0",
        "BEDROCK_CANARY_MIN_VALID": "0",
    }
    if in_s3:
        environ |= {
            "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/batch",
            "BEDROCK_BATCH_INPUT_S3_PATH": INPUT_PATH,
            "BEDROCK_BATCH_OUTPUT_S3_PATH": OUTPUT_PATH,
        }
    is_short = draw.random() < 0.2
    # Later starts of the same process collect, so that its time would be over. Drawn apart, too.
    leaves = not is_short and random.Random(f"wait {seed}").random() < 0.3
    environ["BEDROCK_BATCH_WAIT"] = str(not leaves).lower()
    is_stormy = not is_short or draw.random() < 0.5
    scenario = Scenario(
        seed=seed,
        rows=rows,
        repeats=draw.randint(1, rows // 3) if deduplicates or draw.random() < 0.1 else 0,
        environ=environ,
        in_s3=in_s3,
        runtime_limit=draw.uniform(360.0, 700.0) if is_short else None,
        slow_jobs=is_short and not is_stormy,
        rates=_draw_rates(draw) if is_stormy else Rates(),
        jobs=_draw_job_rates(draw) if is_stormy else JobRates(),
        refused_share=draw.choice((0.0, 0.0, 0.1)),
        fates=tuple(_draw_fate(draw, lease) for _ in range(MOST_STARTS)),
        rival_after=draw.uniform(0.0, 6 * lease) if draw.random() < 0.4 else None,
        keeps_disk=not in_s3 or draw.random() < 0.5,
        workers=workers if environ["BEDROCK_CONCURRENCY_MODE"] == "concurrent" else 1,
        tries=tries,
        rate_per_second=rate,
        deduplicates=deduplicates,
        lease=lease,
        whole_step=draw.random() < 0.1,
        later_environ=environ | (_draw_other_limits(draw) if draw.random() < 0.25 else {}),
        denied_after=draw.randint(1, 10) if draw.random() < 0.06 else None,
        token_memory=draw.choice((math.inf, 120.0)),
    )
    if scenario.denied_after is None:  # else a batch run would go on in jobs although a canary was denied
        apart = random.Random(f"canary {seed}")  # so that the scenarios of recorded seeds stay what they were
        canary = apart.choice((0, 0, 1, 3, 20))
        environ["BEDROCK_CANARY_RECORDS"] = str(canary)
        scenario.later_environ["BEDROCK_CANARY_RECORDS"] = str(apart.choice((canary, canary, 0, 5)))
    return scenario


def _draw_other_limits(draw: random.Random) -> dict[str, str]:
    """Return other limits that change no question, so that they do not begin a new run."""
    least = draw.randint(2, 5)
    return {
        "BEDROCK_MIN_RECORDS_PER_JOB": str(least),
        "BEDROCK_MAX_RECORDS_PER_JOB": str(least + draw.randint(0, 8)),
        "BEDROCK_BATCH_SIZE": str(draw.randint(1, 10)),
        "BEDROCK_BATCH_THRESHOLD": str(draw.randint(6, 40)),
        "BEDROCK_BATCH_SPREAD": "full" if least % 2 else "even",
    }


def _draw_rates(draw: random.Random) -> Rates:
    """Return rates of which some are zero, because a fault is easier to find alone than among many."""
    level = draw.choice((0.0, 0.03, 0.08))
    names = Rates.__dataclass_fields__
    return Rates(**{name: level * draw.choice((0, 0, 1, 2)) for name in names})


def _draw_job_rates(draw: random.Random) -> JobRates:
    level = draw.choice((0.0, 0.1, 0.3))
    names = JobRates.__dataclass_fields__
    rates = {name: level * draw.choice((0, 0, 1)) for name in names}
    rates |= {name: rates[name] / 3 for name in ("damaged", "repeated", "swapped")}
    if rates["unavailable"]:  # a job that a listing does not show yet looks like one that was refused
        rates["list_lag"] = 0.0
    return JobRates(**rates)


def _draw_fate(draw: random.Random, lease: float) -> Fate:
    what = draw.choices(("kill", "freeze", "nothing"), (5, 3, 3))[0]
    return Fate(
        what,
        call=int(draw.choice((8, 25, 80)) * draw.random()) + 1,
        sent=draw.random() < 0.5,
        seconds=lease * draw.choice((0.5, 1.2, 1.5, 3.0, 8.0)) * draw.uniform(0.8, 1.2),
        suspended=draw.random() < 0.4,
    )
