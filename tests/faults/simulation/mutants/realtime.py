"""Mutants of the package `realtime`."""

from faults.simulation.mutants.mutant import Mutant

INVOCATION, POOL = (f"realtime/requests/{name}.py" for name in ("invocation", "worker_pool"))

MUTANTS = (
    # Asking in real time.
    Mutant(INVOCATION, "answers are not kept", "        journal.keep(output, purpose, check)\n", ""),
    Mutant(INVOCATION, "what is kept is asked again", "if known is not None:", "if False:"),
    Mutant(INVOCATION, "questions are sent without the fence", "self._fence is None or self._fence.check()", "True"),
    Mutant(INVOCATION, "the rate is not limited", "self.limiter.acquire()", "self._context.clock()"),
    Mutant(
        INVOCATION,
        "a question is tried once too often",
        "retry_policy(self._settings.max_retries)",
        "retry_policy(self._settings.max_retries + 1)",
    ),
    Mutant(INVOCATION, "a refused account is asked on", "    if error.kind.hopeless:\n", "    if False:\n"),
    Mutant(
        POOL,
        "answers come in another order",
        "yield team.result(window.popleft())\n        while",
        "yield team.result(window.pop())\n        while",
    ),
    Mutant(
        POOL,
        "a failure in a thread is forgotten",
        "                self._fail(error)\n",
        "                pass\n",
    ),
    Mutant(
        POOL,
        "one worker too many asks",
        "if len(self._threads) < self._size:",
        "if len(self._threads) <= self._size:",
    ),
)
