"""Mutants of the package `aws`."""

from faults.simulation.mutants.mutant import Mutant

S3, JOBS, RETRIES = (f"aws/{name}.py" for name in ("s3", "invocation_jobs", "calls/retries"))

MUTANTS = (
    Mutant(
        S3,
        "a listing ends with its first page",
        "for page in pages:\n                for item",
        "for page in list(pages)[:1]:\n                for item",
    ),
    Mutant(S3, "a replacement has no condition", '{"IfMatch": etag}', "{}"),
    Mutant(JOBS, "a partly completed job never ends", '"PartiallyCompleted", "Failed"', '"Failed"'),
    Mutant(
        JOBS,
        "a stopping job is taken for ended",
        'frozenset({"Completed", "Part',
        'frozenset({"Stopping", "Completed", "Part',
    ),
    Mutant(
        RETRIES,
        "the tries are counted one too late",
        "self.failures >= policy.most_failures",
        "self.failures > policy.most_failures",
    ),
    Mutant(
        RETRIES,
        "a third generation is paid for after timeouts",
        "self.timeouts >= TIMEOUT_TRIES",
        "self.timeouts > TIMEOUT_TRIES",
    ),
)
