"""One station and its server: claims, letters, when they leave, and what is reported (SPEC §12)."""

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.actions import AskLan, OpenCircuit, OpenDoors, Shoot
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import Answer, Bye, Call, More, Sync
from securecp.nat.gather import Door
from securecp.nat.rendezvous import (
    CLAIMS_PER_MESSAGE,
    Join,
    Left,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from securecp.nat.sampling import Nat
from securecp.nat.tags import tag_of
from tests.keys.samples import identity
from tests.nat.reachrig import (
    DAY,
    EASY,
    HARD,
    SEEN,
    SERVER,
    STRANGER,
    STUN,
    THEIRS,
    THEM,
    Bench,
    Script,
)


def subscribed(bench: Bench) -> set[bytes]:
    claims: set[bytes] = set()
    for message in bench.told:
        if isinstance(message, Subscribe):
            claims |= set(message.claims)
        elif isinstance(message, Unsubscribe):
            claims -= set(message.claims)
    return claims


def calling(bench: Bench) -> Script:
    """We have called, and the script has read it."""
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    script = Script(bench)
    script.read()
    return script


# waiting


def test_rv01_who_waits_is_there_for_each_contact_on_three_days() -> None:
    bench = Bench(contacts=(THEM, STRANGER))
    pairs = [bench.reach.mail.pair(bytes(one.public)) for one in (THEM, STRANGER)]
    assert subscribed(bench) == {p.our_claim(DAY + n) for p in pairs for n in (-1, 0, 1)}


def test_who_does_not_wait_is_nowhere() -> None:
    bench = Bench(waiting=False)
    bench.reach.refresh_contacts()
    bench.turn()
    assert not subscribed(bench)


def test_f06_after_a_reconnection_everything_is_claimed_again() -> None:
    bench = Bench()
    Script(bench).call()
    before = subscribed(bench)
    bench.told.clear()
    bench.reach.server_down(bench.now, 0)
    bench.turn()
    assert not bench.told
    bench.server_up()
    assert subscribed(bench) == before
    assert len(before) == 4


def test_the_calendar_is_looked_at_and_contacts_too() -> None:
    bench = Bench()
    contacts = [bytes(THEM.public)]
    day = DAY
    bench.reach.mail._day = lambda: day
    bench.reach.mail._contacts = lambda: contacts
    day += 1
    bench.wait(61.0)
    pair = bench.reach.mail.pair(bytes(THEM.public))
    assert subscribed(bench) == {pair.our_claim(DAY + n) for n in (0, 1, 2)}
    contacts.clear()
    bench.wait(61.0)
    assert not subscribed(bench)


def test_claims_go_in_messages_of_bounded_length() -> None:
    many = tuple(identity(f"contact {n}") for n in range(200))
    bench = Bench(contacts=many)
    messages = [one for one in bench.told if isinstance(one, Subscribe)]
    assert sum(len(one.claims) for one in messages) == 600
    assert max(len(one.claims) for one in messages) <= CLAIMS_PER_MESSAGE


# calling


def test_a_call_says_who_we_are_to_the_tag_of_the_day_and_all_servers() -> None:
    bench = Bench(waiting=False)
    bench.server_up(1)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    posts = bench.posts()
    assert len(posts) == 2
    tag = Script(bench).pair.our_claim(DAY)
    assert {post.tag for post in posts} == {tag_of(tag)}
    assert posts[0].envelope != posts[1].envelope  # sealed anew, so that servers cannot compare


def test_a_call_waits_for_stun_but_not_long() -> None:
    bench = Bench(waiting=False, stun_answers=False)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    bench.wait(0.2)
    assert not bench.posts()
    bench.wait(0.06)
    assert len(bench.posts()) == 1
    ours = bench.meeting.ours
    assert ours is not None
    assert ours.view.nat is Nat.NO_UDP


def test_whoever_has_waited_already_does_not_wait_again() -> None:
    bench = Bench(waiting=False, stun_answers=False)
    bench.wait(0.3)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    assert len(bench.posts()) == 1


def test_where_the_server_is_far_stun_may_take_longer() -> None:
    bench = Bench(waiting=False, stun_answers=False)
    welcome = Welcome(0, SEEN, tuple(STUN)).encode()
    bench.reach.server_up(bench.now, 0, welcome, SERVER, 0.6)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.wait(0.85)
    assert not bench.posts()
    bench.wait(0.1)
    assert len(bench.posts()) == 1


def test_a_call_that_nobody_answers_is_repeated_less_and_less_often() -> None:
    bench = Bench(waiting=False)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    assert len(bench.posts()) == 1
    bench.wait(60.0)
    assert len(bench.posts()) in {6, 7}


def test_a_call_without_a_server_leaves_when_there_is_one() -> None:
    bench = Bench(waiting=False)
    bench.reach.server_down(bench.now, 0)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.wait(100.0)
    assert not bench.posts()
    bench.server_up()
    assert len(bench.posts()) == 1


def test_f20_the_tag_is_that_of_the_day_on_which_it_is_posted() -> None:
    bench = Bench(waiting=False)
    day = DAY
    bench.reach.mail._day = lambda: day
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    day += 2
    bench.wait(3.0)
    tags = [post.tag for post in bench.posts()]
    assert len(set(tags)) == 2


def test_an_answer_brings_sync_probes_and_a_circuit() -> None:
    bench = Bench(waiting=False)
    script = calling(bench)
    script.answer()
    assert [type(letter) for letter in script.read()] == [Sync]
    assert [shot.ttl for shot in bench.take()] == [None]
    assert any(isinstance(one, Join) for one in bench.told)
    assert any(isinstance(one, OpenCircuit) for one in bench.others)


def test_the_same_answer_by_another_server_changes_nothing() -> None:
    bench = Bench(waiting=False)
    bench.server_up(1)
    script = calling(bench)
    script.answer()
    bench.told.clear()
    puncher = bench.meeting.puncher
    again = Answer(script.session, 0, script.secret, script.claim, EASY, (THEIRS,))
    bench.deliver(script.tag, script.seal(again, script.tag), server=1)
    assert bench.meeting.puncher is puncher
    assert not bench.told


def test_the_called_joins_where_the_caller_is() -> None:
    bench = Bench()
    bench.server_up(1)
    script = Script(bench)
    script.call()
    sync = script.seal(Sync(script.session, 0), script.tag)
    bench.deliver(script.tag, sync, server=1)
    assert [leg.server for leg in bench.meeting.legs] == [0, 1]
    bench.deliver(script.tag, sync, server=1)
    assert len(bench.meeting.legs) == 2


def test_a_path_is_reported_and_struck_when_it_is_silent() -> None:
    bench = Bench(waiting=False)
    script = calling(bench)
    script.answer()
    script.pong(bench.take()[0])
    found = bench.found[-1]
    assert found.caller
    assert [way.kind for way in found.ways] == ["direct", "relayed"]
    best = found.ways[0].endpoint
    assert best[:2] == THEIRS.endpoint
    bench.reach.settled(found.session, best)
    bench.turn()
    bench.take()
    bench.reach.quiet(bench.now, found.session)
    bench.turn()
    assert [way.kind for way in bench.found[-1].ways] == ["relayed"]
    script.pong(bench.take()[0])
    assert [way.kind for way in bench.found[-1].ways] == ["direct", "relayed"]


def test_to_settle_on_a_path_that_is_doubted_ends_nothing() -> None:
    bench = Bench(waiting=False)
    script = calling(bench)
    script.answer()
    script.pong(bench.take()[0])
    session, best = bench.found[-1].session, bench.found[-1].ways[0].endpoint
    bench.reach.settled(session, best)
    bench.wait(3.0)
    bench.posts()
    bench.reach.quiet(bench.now, session)
    bench.reach.settled(session, best)  # the session has nothing better, and stays
    bench.turn()
    assert bench.take()
    assert [type(letter) for letter in script.read()] == [Call]
    bench.wait(0.1)
    script.pong(bench.take()[-1])
    bench.wait(5.0)
    bench.take()
    bench.wait(20.0)
    assert not bench.take()  # it rests again


def test_bye_ends_it_on_both_sides() -> None:
    bench = Bench()
    script = Script(bench)
    script.call()
    assert bench.found
    script.post(Bye(script.session))
    assert not bench.reach.meetings
    assert bench.found[-1].ways == ()
    other = Bench(waiting=False)
    caller = calling(other)
    caller.answer()
    caller.read()
    other.reach.end(next(iter(other.reach.meetings)))
    other.turn()
    assert [type(letter) for letter in caller.read()] == [Bye]
    assert any(isinstance(one, Unsubscribe) for one in other.told)


def test_a_bye_ends_no_path_that_a_session_uses() -> None:
    """What its connection says last may come a little later."""
    bench = Bench()
    script = Script(bench)
    script.call()
    bench.reach.settled(script.session, bench.found[-1].ways[0].endpoint)
    script.post(Bye(script.session))
    assert bench.meeting.ways()
    bench.reach.end(script.session)
    assert not bench.reach.meetings


def test_f06_a_peer_that_was_there_before_is_called_again_soon() -> None:
    """A CALL may have been delivered to a link of the peer's that is dead."""
    bench = Bench(waiting=False)
    script = calling(bench)
    script.answer(view=HARD)
    bench.posts()
    bench.reach.quiet(bench.now, script.session)
    bench.wait(6.0)
    calls = [letter for letter in script.read() if isinstance(letter, Call)]
    assert len(calls) in {4, 5}


def test_f06_with_the_next_link_calls_begin_anew() -> None:
    bench = Bench(waiting=False)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.wait(20.0)
    bench.posts()
    bench.reach.server_down(bench.now, 0)
    bench.server_up()
    bench.wait(3.0)
    assert len(bench.posts()) == 2


def test_a_lost_circuit_is_a_reason_to_begin_again_and_a_refused_one_is_not() -> None:
    for opened in (True, False):
        bench = Bench(waiting=False, seen=lambda via, server: 40_000 + 997 * server)
        script = calling(bench)
        script.answer(view=HARD)  # so that no repair comes first
        (leg,) = bench.meeting.legs
        if opened:
            bench.join(leg.via)
        bench.wait(0.5)
        bench.posts()
        bench.say(Left(leg.via))
        bench.wait(3.0)
        assert bool(bench.posts()) is opened


def test_what_is_found_later_is_told_once() -> None:
    bench = Bench()
    script = Script(bench)
    script.call()
    script.sync()
    mapped = Endpoint("11.0.2.1", 50_000)
    for _ in range(3):
        bench.reach.mapped([mapped])
        bench.turn()
    (letter,) = script.read()
    assert isinstance(letter, More)
    assert letter.candidates == (Candidate(Kind.MAPPED, "11.0.2.1", 50_000),)


def test_a_mapped_port_gives_hope() -> None:
    bench = Bench(seen=lambda via, server: 40_000 + 997 * server)
    script = Script(bench)
    script.call(view=EASY._replace(nat=Nat.HARD))
    assert bench.meeting.prospects is not None
    assert bench.meeting.prospects.hopeless
    bench.reach.mapped([Endpoint("11.0.2.1", 50_000)])
    bench.turn()
    assert not bench.meeting.prospects.hopeless


# what has no effect


def test_other_letters_at_the_wrong_time_are_dropped() -> None:
    bench = Bench()
    script = Script(bench)
    script.call()
    script.post(Answer(script.session, 0, bytes(32), script.claim, EASY, (THEIRS,)))
    assert bench.reach.dropped == 1
    other = Bench(waiting=False)
    caller = calling(other)
    caller.post(Call(caller.session, 4, bytes(32), caller.claim, EASY, (THEIRS,)))
    caller.post(Sync(caller.session, 0))
    caller.post(Answer(caller.session, 9, bytes(32), caller.claim, EASY, (THEIRS,)))
    assert other.reach.dropped == 3
    assert other.meeting.puncher is None


def test_a_sync_of_another_round_starts_nothing() -> None:
    bench = Bench()
    script = Script(bench)
    script.call()
    bench.take()
    script.post(Sync(script.session, 1))
    assert not bench.take()


def test_a_server_of_another_version_is_none() -> None:
    bench = Bench()
    with pytest.raises(ProtocolError):
        bench.reach.server_up(bench.now, 1, b"\x81\x02" + bytes(40), SERVER, 0.0)
    assert 1 not in bench.reach.servers


def test_waking_without_a_reason_costs_nothing() -> None:
    bench = Bench()
    Script(bench).call()
    bench.wait(30.0)
    bench.reach.meetings = {b"": bench.reach}  # type: ignore[dict-item]  # which cannot be woken
    bench.reach.wake(bench.now)


def test_without_doors_or_addresses_it_is_quiet() -> None:
    bench = Bench(stun=[], addresses=())
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    assert len(bench.posts()) == 1


def test_a_beacon_is_for_who_waits() -> None:
    for waiting in (True, False):
        bench = Bench(waiting=waiting, lan=True)
        heard = [one for one in bench.others if isinstance(one, AskLan)]
        assert len(heard) == waiting


def test_actions_come_in_the_order_in_which_they_are_to_be_done() -> None:
    bench = Bench(waiting=False, seen=lambda via, server: 40_000 + 997 * server)
    script = calling(bench)
    script.answer()
    opened: set[int] = {0}
    now = bench.now
    for _ in range(40):
        now += 0.01
        bench.reach.wake(now)
        for action in bench.reach.actions():
            if isinstance(action, Shoot):
                assert action.endpoint.via in opened
            elif isinstance(action, OpenDoors):
                opened |= set(action.vias)
    assert len(opened) > 200


def test_doors_of_both_families() -> None:
    bench = Bench()
    bench.reach.doors(bench.now, [Door(1, 6, 41_000)])
    bench.reach.addresses(bench.now, ("192.168.1.10", "2600::1"), changed=True)
    bench.turn()
    script = Script(bench)
    script.call(THEIRS, Candidate(Kind.HOST, "2600::2", 7))
    assert {shot.endpoint.via for shot in bench.take()} == {0, 1}
    assert script.their is not None
    assert ("2600::1", 41_000) in [one.endpoint for one in script.their.candidates]
