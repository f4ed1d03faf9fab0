"""What a contact has brought within a day, counted once and forgotten in time."""

from hypothesis import given
from hypothesis import strategies as st

from securecp.daemon.quota import DAY, Quota, read_back
from tests.daemon.samples import BOB, record, text_of

KEY = record().key
NOW = record().time


def quota(*records: object) -> Quota:
    found = Quota()
    for one in records:
        found.add(one)  # type: ignore[arg-type]
    return found


def test_mf21_what_has_come_counts_for_a_day() -> None:
    book = quota(record(1, bytes=70), record(2, bytes=30))
    assert book.used(KEY, NOW + 2) == 100
    assert book.used(KEY, NOW + DAY - 1) == 100
    assert book.used(KEY, NOW + DAY + 700) == 0


def test_each_contact_has_their_own_and_what_we_sent_is_nobodys() -> None:
    book = quota(record(1, key=text_of(BOB)), record(2, direction="sent"))
    assert book.used(KEY, NOW) == 0
    assert book.used(text_of(BOB), NOW) == 100


def test_what_was_declined_counts_nothing() -> None:
    assert quota(record(1, result="declined", bytes=0)).used(KEY, NOW) == 0


def test_mf21_a_part_that_broke_off_counts_and_once_only_when_it_goes_on() -> None:
    first = record(1, result="failed", bytes=60)
    again = record(1, time=NOW + 5, result="cancelled", bytes=80)
    book = quota(first, again)
    assert book.used(KEY, NOW + 6) == 80
    assert book.used(KEY, NOW + 6, besides=frozenset({first.manifest})) == 0
    book.add(record(1, time=NOW + 7, bytes=100))
    assert book.used(KEY, NOW + 8) == 100


def test_mf21_the_same_offer_twice_counts_twice() -> None:
    assert quota(record(1), record(1, time=NOW + 9)).used(KEY, NOW + 10) == 200


def test_mf21_many_broken_transfers_are_bounded_and_all_count() -> None:
    book = quota(*(record(n, result="failed", bytes=10) for n in range(500)))
    assert book.used(KEY, NOW + 500) == 5_000
    account = book._accounts[KEY]
    assert len(account.broken) + len(account.spells) < 80


@given(
    st.lists(st.tuples(st.integers(0, 3 * 86_400), st.integers(0, 1_000)), max_size=40),
    st.integers(0, 4 * 86_400),
)
def test_mf21_never_less_than_the_last_day_nor_more_than_ten_minutes_beyond(
    transfers: list[tuple[int, int]], now: int
) -> None:
    transfers = sorted(transfer for transfer in transfers if transfer[0] <= now)
    records = [record(n, time=float(at), bytes=size) for n, (at, size) in enumerate(transfers)]
    used = read_back(records[::-1]).used(KEY, float(now))
    exact = sum(size for at, size in transfers if at > now - DAY)
    most = sum(size for at, size in transfers if at > now - DAY - 600)
    assert exact <= used <= most
