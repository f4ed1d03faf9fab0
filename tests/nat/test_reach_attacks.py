"""What a contact, a server or a stranger of ill will cannot have us do (SPEC §12.11)."""

import pytest

from securecp.endpoint import Endpoint
from securecp.nat.actions import OpenDoors, Shoot
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import Bye, Call, More
from securecp.nat.guessing import ROUNDS
from securecp.nat.meeting import HEARD_WITHIN, ROUNDS_HEARD
from securecp.nat.pairs import MOST
from securecp.nat.reach import MEETINGS_PER_PEER
from securecp.nat.rendezvous import Post
from securecp.nat.tags import new_claim, tag_of
from tests.nat.reachrig import (
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

VICTIM = Endpoint("11.9.9.9", 53)


def test_rv09_before_sync_nothing_goes_beyond_two_hops() -> None:
    bench = Bench()
    Script(bench).call()
    bench.wait(60.0)
    shots = bench.take()
    assert shots
    assert all(shot.ttl == 2 for shot in shots)


def test_rv09_after_sync_probes_go_all_the_way() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    bench.take()
    peer.sync()
    assert [shot.ttl for shot in bench.take()] == [None]


def test_rv09_a_probe_is_as_good_as_a_sync() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    bench.take()
    peer.ping()
    assert [shot.ttl for shot in bench.take()] == [None, None]  # PONG and PING


def test_rv09_a_recorded_call_makes_us_send_openers_and_no_more() -> None:
    first = Bench()
    recorded = Script(first).call()
    later = Bench()  # the same machine, after a restart
    for _ in range(50):
        later.deliver(*recorded)
        later.wait(1.0)
    shots = later.take()
    assert len(shots) == 1
    assert shots[0].ttl == 2


def test_rv09_a_recorded_sync_of_an_earlier_meeting_opens_nothing() -> None:
    bench = Bench()
    peer = Script(bench)
    recorded = peer.call()
    peer.sync()
    tag = peer.tag
    sync = peer.seal(Bye(peer.session), tag)
    bench.reach.end(peer.session)
    bench.take()
    bench.deliver(*recorded)
    bench.deliver(tag, sync)
    bench.wait(5.0)
    assert not bench.take()
    assert not bench.reach.meetings


def test_rv04_an_envelope_moved_to_another_tag_is_nothing() -> None:
    bench = Bench()
    peer = Script(bench)
    letter = Call(peer.session, 0, peer.secret, peer.claim, EASY, (THEIRS,))
    sealed = peer.seal(letter, tag_of(new_claim(peer.entropy)))
    bench.deliver(peer.day_tag, sealed)
    assert not bench.reach.meetings
    assert bench.reach.dropped == 1


def test_rv04_a_stranger_is_not_answered() -> None:
    bench = Bench()
    stranger = Script(bench, STRANGER)
    letter = Call(stranger.session, 0, stranger.secret, stranger.claim, EASY, (THEIRS,))
    for tag in (stranger.day_tag, Script(bench).day_tag):
        bench.deliver(tag, stranger.seal(letter, tag))
    bench.wait(5.0)
    assert not bench.take()
    assert not bench.posts()


def test_rv04_a_contact_that_was_removed_is_not_answered() -> None:
    contacts = [THEM]
    bench = Bench()
    bench.reach.mail._contacts = lambda: [bytes(one.public) for one in contacts]
    contacts.clear()
    Script(bench).call()
    assert not bench.reach.meetings


def test_rv04_a_session_belongs_to_who_began_it() -> None:
    bench = Bench(contacts=(THEM, STRANGER))
    Script(bench).call()
    Script(bench, STRANGER).call()
    assert bench.meeting.peer == bytes(THEM.public)
    assert bench.reach.dropped == 1


def test_only_a_call_comes_to_a_tag_of_the_day() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    bench.deliver(peer.day_tag, peer.seal(Bye(peer.session), peer.day_tag))
    assert bench.reach.meetings
    assert bench.reach.dropped == 1


def test_a_letter_about_another_session_is_dropped() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    peer.post(Bye(b"another session!"))
    assert bench.reach.meetings
    assert bench.reach.dropped == 1


BAD = (
    "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.168.1.1", "10.0.0.1", "172.16.0.1",
    "100.64.0.1", "169.254.1.1", "::1", "ff02::1", "fe80::1", "fd00::1", "2002:a00:1::",
)  # fmt: skip


@pytest.mark.parametrize("kind", list(Kind))
def test_rv05_no_probe_to_addresses_that_mean_nobody_or_our_own_network(kind: Kind) -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call(*(Candidate.at(kind, address, 53) for address in BAD), view=HARD)
    peer.sync()
    peer.post(More(peer.session, EASY, tuple(Candidate.at(kind, one, 54) for one in BAD)))
    bench.wait(20.0)
    assert not bench.take()


def test_rv05_private_addresses_from_one_public_address_are_tried() -> None:
    bench = Bench()
    peer = Script(bench)
    seen = Candidate(Kind.REFLEXIVE, SEEN.address, 50_000)
    peer.call(seen, Candidate(Kind.HOST, "192.168.1.11", 40_000))
    assert {shot.endpoint.address for shot in bench.take()} == {SEEN.address, "192.168.1.11"}


def test_rv05_a_mapped_address_does_not_make_neighbours() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call(
        Candidate(Kind.MAPPED, SEEN.address, 50_000), Candidate(Kind.HOST, "192.168.1.11", 40_000)
    )
    assert {shot.endpoint.address for shot in bench.take()} == {SEEN.address}


def test_rl10_our_own_endpoints_and_the_servers_are_refused() -> None:
    bench = Bench(addresses=("192.168.1.10", "11.0.2.9"))
    peer = Script(bench)
    ours = [SEEN, *STUN, Endpoint("192.168.1.10", 40_000), Endpoint("11.0.2.9", 40_000)]
    peer.call(*(Candidate.at(Kind.HOST, one.address, one.port) for one in ours), THEIRS)
    peer.sync()
    bench.wait(2.0)
    assert {shot.endpoint[:2] for shot in bench.take()} == {THEIRS.endpoint}


def test_rv05_at_most_32_endpoints_are_tried_at_once_and_400_times_a_second() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    peer.sync()
    for first in range(0, 160, 16):
        some = (Candidate(Kind.HOST, f"11.9.9.{first + n}", 40_000) for n in range(16))
        peer.post(More(peer.session, EASY, tuple(some)))
    assert bench.meeting.puncher is not None
    assert len(list(bench.meeting.puncher.pairs)) == MOST
    bench.take()
    bench.wait(1.0)
    assert len(bench.take()) <= 400 + MOST
    assert len(bench.meeting.theirs) <= MOST


def test_rv05_ports_are_guessed_only_where_the_peer_is_seen() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call(Candidate(Kind.MAPPED, VICTIM.address, 53), Candidate(Kind.HOST, VICTIM.address, 54),
              THEIRS, view=HARD)  # fmt: skip
    peer.sync()
    bench.wait(10.0)
    guesses = [shot for shot in bench.take() if shot.endpoint.port not in {53, 54, 50_000}]
    assert len(guesses) > 1_900
    assert {shot.endpoint.address for shot in guesses} == {THEIRS.address}


def test_rv05_ports_of_one_peer_are_guessed_in_few_rounds_only() -> None:
    bench = Bench()
    guesses = 0
    for number in range(3 * ROUNDS):
        peer = Script(bench, session=bytes([number]) * 16)
        peer.call(THEIRS, view=HARD)
        peer.sync()
        bench.wait(8.0)
        guesses += sum(shot.endpoint.port != 50_000 for shot in bench.take())
        bench.reach.end(peer.session)
    assert guesses <= ROUNDS * 2_000


def test_dg05_a_peer_with_a_false_source_address_gains_nothing() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    peer.sync()
    bench.wait(1.0)
    bench.take()
    peer.ping(VICTIM)
    bench.wait(20.0)
    sent = [shot for shot in bench.take() if shot.endpoint[:2] == VICTIM[:2]]
    assert 0 < sum(len(shot.data) for shot in sent) <= 3 * 68


def test_a_probe_that_is_not_authentic_is_never_answered() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    bench.take()
    assert peer.keys is not None
    _, datagram = peer.keys.ping()
    for at in range(0, 68, 5):
        changed = bytearray(datagram)
        changed[at] ^= 1
        bench.receive(Endpoint(*THEIRS.endpoint), bytes(changed))
    assert not bench.take()
    bench.receive(Endpoint(*THEIRS.endpoint), datagram)
    answered = len(bench.take())
    bench.receive(Endpoint(*THEIRS.endpoint), datagram)  # the same again
    assert answered
    assert not bench.take()


def test_a_pong_from_elsewhere_proves_no_path() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    peer.sync()
    peer.pong(bench.take()[-1], VICTIM)
    assert not bench.meeting.direct


def test_dg04_a_server_cannot_have_us_ask_anybody() -> None:
    private = [Endpoint(one, 3_478) for one in BAD if one != "::1" and ":" not in one]
    bench = Bench(stun=[*STUN, *private])
    asked = {shot.endpoint[:2] for shot in bench.others if isinstance(shot, Shoot)}
    assert asked == {one[:2] for one in STUN}


def test_dg04_the_first_stun_endpoint_is_the_relay_or_there_is_none() -> None:
    bench = Bench(stun=[Endpoint("192.168.1.1", 53), *STUN])
    assert bench.reach.servers[0].relay is None


def test_meetings_that_nobody_uses_end_and_are_few() -> None:
    bench = Bench()
    for number in range(3 * MEETINGS_PER_PEER):
        Script(bench, session=bytes([number]) * 16).call()
    assert len(bench.reach.meetings) == MEETINGS_PER_PEER
    bench.wait(100.0)
    assert not bench.reach.meetings
    assert not bench.reach.mail._sessions


def test_a_meeting_in_use_is_not_pushed_out() -> None:
    bench = Bench()
    peers = [Script(bench, session=bytes([n]) * 16) for n in range(3 * MEETINGS_PER_PEER)]
    for number, peer in enumerate(peers):
        peer.call()
        if number < MEETINGS_PER_PEER:
            bench.reach.settled(peer.session, SERVER._replace(via=99))
    assert set(bench.reach.meetings) == {peer.session for peer in peers[:MEETINGS_PER_PEER]}


def test_a_session_that_is_over_does_not_begin_again() -> None:
    bench = Bench()
    recorded = Script(bench).call()
    bench.reach.end(b"s" * 16)
    bench.take()
    bench.deliver(*recorded)
    assert not bench.reach.meetings
    assert not bench.take()


def test_an_earlier_round_does_not_come_again() -> None:
    bench = Bench()
    peer = Script(bench)
    peer.call()
    first = peer.secret
    peer.call(number=4)
    keys = bench.meeting.puncher
    tag = peer.tag
    old = Call(peer.session, 0, first, peer.claim, EASY, (THEIRS,))
    other = Call(peer.session, 4, bytes(32), peer.claim, EASY, (THEIRS,))
    for letter in (old, other):
        bench.deliver(tag, peer.seal(letter, tag))
    assert bench.meeting.puncher is keys
    assert bench.reach.dropped == 2


def test_rv05_a_caller_may_not_begin_rounds_without_end() -> None:
    bench = Bench()
    peer = Script(bench)
    for number in range(ROUNDS_HEARD):
        peer.call(number=number)
    assert bench.reach.dropped == 0
    peer.call(number=ROUNDS_HEARD)
    assert bench.reach.dropped == 1
    bench.now += HEARD_WITHIN
    peer.call(number=ROUNDS_HEARD + 1)
    assert bench.reach.dropped == 1


def test_nothing_of_a_letter_goes_to_a_server_in_clear() -> None:
    bench = Bench(waiting=False)
    bench.reach.call(bench.now, bytes(THEM.public))
    bench.turn()
    (post,) = bench.posts()
    assert isinstance(post, Post)
    for secret in (b"192.168", bytes((192, 168, 1, 10)), bytes(THEM.public)):
        assert secret not in post.envelope


def test_a_fan_is_opened_only_behind_a_hard_nat() -> None:
    for port, opens in ((0, 0), (7, 1)):
        bench = Bench(seen=lambda via, server, step=port: 40_000 + server * step * 997)  # type: ignore[misc]
        peer = Script(bench)
        peer.call(THEIRS)
        peer.sync()
        bench.wait(1.0)
        fans = [one for one in bench.others if isinstance(one, OpenDoors) and one.small]
        assert len(fans) == opens
