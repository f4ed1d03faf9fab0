"""When whole bursts are sealed as one: on good paths, and not for long on bad ones."""

from random import Random

import pytest

from securecp.transport.trains import FIRST_LOOK, LONGEST_PAUSE, LOOK, TrainPolicy

SIZE = 64 * 1_000


def run(policy: TrainPolicy, size: int, *, loss: float = 0.0, seed: int = 1) -> float:
    """Send `size` bytes in bursts of 64 datagrams; the share of bursts that were trains."""
    rng = Random(seed)
    trains = bursts = 0
    for _ in range(size // SIZE):
        bursts += 1
        lost = sum(rng.random() < loss for _ in range(64))
        if policy.running:
            trains += 1
            if lost:
                policy.on_lost(SIZE, 64)
            else:
                policy.on_acked(SIZE)
        else:
            for _ in range(lost):
                policy.on_lost(1_000, 64)
            policy.on_acked(1_000 * (64 - lost))
    return trains / bursts


def test_a_new_path_is_looked_at_first() -> None:
    policy = TrainPolicy()
    policy.on_acked(FIRST_LOOK - 1)
    assert not policy.running
    policy.on_acked(1)
    assert policy.running


def test_a_path_without_loss_has_trains_only() -> None:
    policy = TrainPolicy()
    run(policy, 2 * FIRST_LOOK)
    assert run(policy, 100 * LOOK) == 1


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05])
def test_a_path_that_loses_datagrams_has_hardly_any_trains(loss: float) -> None:
    assert run(TrainPolicy(), 100 * LOOK, loss=loss) < 0.1


def test_a_path_that_hardly_loses_anything_keeps_them() -> None:
    assert run(TrainPolicy(), 100 * LOOK, loss=0.0001) > 0.9


def test_one_bad_moment_stops_them_at_once_but_not_for_ever() -> None:
    policy = TrainPolicy()
    run(policy, LOOK)
    assert policy.running
    for _ in range(9):
        policy.on_lost(SIZE, 64)
    assert not policy.running
    run(policy, 3 * LOOK)
    assert policy.running


def test_a_path_that_turns_bad_again_and_again_is_tried_less_and_less() -> None:
    policy = TrainPolicy()
    waits = []
    for _ in range(9):
        waited = 0
        while not policy.running:
            policy.on_acked(SIZE)
            waited += SIZE
        waits.append(waited)
        while policy.running:
            policy.on_lost(SIZE, 64)
    assert waits == sorted(waits)
    assert waits[1] >= LOOK
    assert LONGEST_PAUSE <= waits[-1] < LONGEST_PAUSE + LOOK
