"""What the server remembers and says of its past: counts by fixed names."""

from securecp.server.tally import VERBOSE_WORDS, WORDS, Diary, Event, Tally


def test_dg14_a_million_events_make_a_few_short_lines() -> None:
    tally, diary = Tally(), None
    for verbose in (False, True):
        diary, written = Diary(tally, verbose=verbose), 0
        for step in range(1_000):
            for event in Event:
                tally.add(event, 1_000 // len(Event))
            written += sum(len(words) for _, _, words in diary.lines(step * 0.01))
        assert written < (10_240 if verbose else 5_000)


def test_a_kind_is_told_at_once_and_then_with_a_count_each_interval() -> None:
    tally = Tally()
    diary = Diary(tally)
    assert diary.lines(0.0) == []
    tally.add(Event.SLOW)
    [(event, count, words)] = diary.lines(1.0)
    assert (event, count) == (Event.SLOW, 1) and words.startswith("1 connections were closed")
    tally.add(Event.SLOW, 1_234)
    assert diary.lines(10.9) == []
    [(_, count, words)] = diary.lines(11.0)
    assert count == 1_234 and words.startswith("1,234 ")
    assert diary.lines(30.0) == []


def test_every_event_has_words_or_is_not_worth_them() -> None:
    assert not set(WORDS) & set(VERBOSE_WORDS)
    assert {*WORDS, *VERBOSE_WORDS} == set(Event)
    assert all("\n" not in words for words in (WORDS | VERBOSE_WORDS).values())
