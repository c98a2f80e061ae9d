"""A readable account of a simulation, for debugging."""

from __future__ import annotations

from faults.simulation.simulation import Simulation


def how_to_replay(seed: int) -> str:
    """Return how to replay a seed, and where to record it."""
    return (
        f"seed {seed} found a fault. See what happens in it: SIMULATION_SEED={seed} python -m pytest -s "
        "tests/faults/test_simulation.py; keep it in tests/faults/simulation/regression_seeds.txt"
    )


def tell(simulation: Simulation) -> str:
    """Return the scenario, every call in order, and what each process logged."""
    lines = [repr(simulation.scenario), ""]
    lines += [
        f"{each.time:9.2f} {each.who:24} {each.operation} {each.detail} {each.outcome}"
        for each in simulation.network.history or ()
    ]
    for process in simulation.processes:
        lines += ["", f"{process.machine.name} ended with {process.exit_code}: {process.error}", *process.log]
    return "\n".join(lines)
