"""Few files and a crowd of them, numbers beyond what `select` takes, and short waits."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from securecp.net import readiness as module
from securecp.net.readiness import FEW, Readiness


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many as a process may have; put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_400
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    stack.enter_context(left)
    stack.enter_context(right)
    return left, right


def test_a_crowd_is_told_apart(stack: ExitStack) -> None:
    readiness = Readiness()
    stack.callback(readiness.close)
    pairs = [pair(stack) for _ in range(100)]
    for number, (left, _) in enumerate(pairs):
        readiness.add(left.fileno(), number, crowd=number >= 3)
    for number in (1, 50, 99):
        pairs[number][1].send(b"!")
    assert sorted(readiness.wait(1.0)) == [1, 50, 99]
    for left, _ in pairs[3:]:
        readiness.remove(left.fileno())
    assert readiness.wait(0) == [1]
    assert readiness._crowd is None


def test_too_many_for_few_are_a_crowd(stack: ExitStack) -> None:
    readiness = Readiness()
    stack.callback(readiness.close)
    pairs = [pair(stack) for _ in range(FEW + 5)]
    for number, (left, _) in enumerate(pairs):
        readiness.add(left.fileno(), number)
    assert len(readiness._few) == FEW
    pairs[-1][1].send(b"!")
    assert readiness.wait(1.0) == [FEW + 4]


def test_files_beyond_1024_are_heard_as_well(stack: ExitStack, many_files: int) -> None:
    """With the crowd's own file below, and above as well."""
    early = Readiness()
    stack.callback(early.close)
    first = pair(stack)
    early.add(first[0].fileno(), "first", crowd=True)
    for _ in range(560):
        pair(stack)
    left, right = pair(stack)
    assert left.fileno() > 1_024
    late = Readiness()
    stack.callback(late.close)
    for readiness in (early, late):
        readiness.add(left.fileno(), "beyond")
        assert readiness.wait(0) == []
        right.send(b"!")
        assert readiness.wait(1.0) == ["beyond"]
        left.recv(9)
    begun = time.monotonic()
    assert late.wait(10.0, writer=right.fileno()) == []
    assert time.monotonic() - begun < 5


def test_waits_are_shorter_than_a_millisecond_also_in_a_crowd(stack: ExitStack) -> None:
    """Pacing counts in microseconds; `epoll_wait` would round each of these up."""
    readiness = Readiness()
    stack.callback(readiness.close)
    left, _ = pair(stack)
    readiness.add(left.fileno(), "quiet", crowd=True)
    begun = time.perf_counter()
    for _ in range(200):
        readiness.wait(0.0001)
    assert time.perf_counter() - begun < 0.15


def test_the_hasty_are_not_kept_waiting_by_those_that_gather(stack: ExitStack) -> None:
    readiness = Readiness()
    stack.callback(readiness.close)
    (door, knock), (bell, rope) = pair(stack), pair(stack)
    readiness.add(door.fileno(), "door", gathers=True)
    readiness.add(bell.fileno(), "bell")
    knock.send(b"!")
    assert readiness.wait(0.001, hasty=True) == []
    rope.send(b"!")
    assert readiness.wait(1.0, hasty=True) == ["bell"]
    assert sorted(readiness.wait(1.0)) == ["bell", "door"]


def test_without_epoll_all_are_few(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where `select` takes any number."""
    monkeypatch.setattr(module, "_NESTS", False)
    readiness = Readiness()
    pairs = [pair(stack) for _ in range(FEW + 5)]
    for number, (left, _) in enumerate(pairs):
        readiness.add(left.fileno(), number, crowd=True)
    pairs[-1][1].send(b"!")
    assert readiness.wait(1.0) == [FEW + 4]
    for left, _ in pairs:
        readiness.remove(left.fileno())
    assert readiness._crowd is None
