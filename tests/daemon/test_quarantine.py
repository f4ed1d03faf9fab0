"""An offer that fails three times in a row for the same reason rests for an hour."""

from securecp.daemon.quarantine import MOST, REST, Quarantine
from tests.daemon.samples import ALICE, BOB

ONE, OTHER = b"1" * 32, b"2" * 32


def test_mb07_the_third_failure_in_a_row_is_the_last_for_an_hour() -> None:
    book = Quarantine()
    assert [book.failed(ALICE, ONE, "x", now) for now in (0.0, 1.0, 2.0)] == [False, False, True]
    resting = book.resting(ALICE, ONE, 3.0)
    assert resting is not None and resting.reason == "x" and resting.left == REST - 1
    assert book.resting(ALICE, ONE, 2.0 + REST) is None
    assert book.failed(ALICE, ONE, "x", 2.0 + REST) is False, "all tries again"


def test_mb07_others_and_their_offers_are_not_touched() -> None:
    book = Quarantine()
    for now in range(3):
        book.failed(ALICE, ONE, "x", now)
    assert book.resting(ALICE, OTHER, 3) is None
    assert book.resting(BOB, ONE, 3) is None
    assert [one.peer for one in book.all_resting(3)] == [ALICE]


def test_mb07_another_reason_success_or_a_long_time_begin_anew() -> None:
    book = Quarantine()
    for now, reason in enumerate(("x", "x", "y", "y")):
        assert not book.failed(ALICE, ONE, reason, now)
    book.succeeded(ALICE, ONE)
    assert not book.failed(ALICE, ONE, "y", 5)
    assert not book.failed(ALICE, ONE, "y", 6)
    assert not book.failed(ALICE, ONE, "y", 6 + REST)


def test_mb07_what_is_remembered_is_bounded() -> None:
    book = Quarantine()
    for number in range(3 * MOST):
        for now in range(3):
            book.failed(ALICE, number.to_bytes(4, "big"), "x", now)
    assert len(book.all_resting(3)) == MOST
