"""Faults that a change could bring into the step, a module for each package; the simulation must notice each of them.

`tests/faults/test_mutants.py` checks that the source text of each mutant exists exactly once: whoever changes the code
changes the mutant, too. No mutant stands for a fault that the step survives by other means (a job whose ARN was not
stored is found by its token and by its name), and none changes timing only, which `tests/unit/realtime` and
`tests/unit/aws/calls/test_retries.py` notice.
"""

from faults.simulation.mutants import aws, batch, ledger, realtime
from faults.simulation.mutants.mutant import PACKAGE, Mutant

MUTANTS = (*ledger.MUTANTS, *batch.MUTANTS, *realtime.MUTANTS, *aws.MUTANTS)

__all__ = ["MUTANTS", "PACKAGE", "Mutant"]
