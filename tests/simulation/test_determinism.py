"""A seed means one run: twice the same events, in any process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.sim.options import swarm
from tests.sim.scenario import run

SEEDS = (1, 7, 58)
ROOT = Path(__file__).parents[2]


def test_a_seed_run_twice_gives_the_same_events() -> None:
    for seed in range(8):
        assert run(swarm(seed)) == run(swarm(seed))


def test_seeds_differ() -> None:
    assert len({run(swarm(seed)).digest for seed in range(6)}) == 6


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    code = "from tests.sim.options import swarm\nfrom tests.sim.scenario import run\n"
    code += f"for seed in {SEEDS}: print(run(swarm(seed)).digest)"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert printed == {"".join(run(swarm(seed)).digest + "\n" for seed in SEEDS)}


def test_another_clock_offset_changes_nothing_but_the_clock() -> None:
    """f20: no wall clock is read, and only differences of the monotonic one count."""
    plain = replace(swarm(58), size=50_000)
    shifted = replace(
        plain, sender=replace(plain.sender, clock_offset=plain.sender.clock_offset + 2**20)
    )
    assert run(plain).datagrams == run(shifted).datagrams
