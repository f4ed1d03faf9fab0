"""Letters and the servers that carry them (SPEC §12.4)."""

from random import Random

import pytest

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import envelope
from securecp.nat.actions import Tell
from securecp.nat.envelope import Bye, Call, View
from securecp.nat.letters import Letters
from securecp.nat.mail import Mail, Server
from securecp.nat.rendezvous import FromClient, Post, Subscribe, Unsubscribe, parse_from_client
from securecp.nat.sampling import Nat
from securecp.nat.situation import Situation
from securecp.nat.tags import tag_of
from tests.keys.samples import identity

US, THEM = identity("us"), identity("them")
SERVER = Server(Endpoint("11.0.113.1", 443), None, 0.02, 0)
NOWHERE = Situation(View(Nat.EASY, 0, 0, ipv6=False), (), {False: 0})
SESSION = b"s" * 16


def mail(who: Identity, *contacts: Identity) -> Mail:
    known = [bytes(one.public) for one in contacts]
    made = Mail(who, Random(str(who.public)).randbytes, lambda: 20_000, lambda: known)
    made.refresh()
    made.up(0, SERVER)
    return made


def told(one: Mail) -> list[tuple[int, FromClient]]:
    """To which server, and what."""
    tells = [action for action in one.actions if isinstance(action, Tell)]
    one.actions.clear()
    return [(tell.server, parse_from_client(tell.message)) for tell in tells]


def posted(one: Mail) -> list[Post]:
    return [message for _, message in told(one) if isinstance(message, Post)]


def letters(one: Mail, other: Identity, session: bytes = SESSION) -> Letters:
    return Letters(one, one.pair(bytes(other.public)), session, Random(3).randbytes)


def test_a_letter_comes_to_whom_it_is_for() -> None:
    ours, theirs = mail(US), mail(THEM, US)
    letters(ours, THEM).call(NOWHERE)
    (post,) = posted(ours)
    pair, letter = theirs.open(post.tag, post.envelope)
    assert pair.peer == bytes(US.public)
    assert isinstance(letter, Call)
    assert letter.session == SESSION


def test_rv02_letters_of_a_session_come_to_its_own_tag() -> None:
    ours, theirs = mail(US), mail(THEM, US)
    calls, answers = letters(ours, THEM), letters(theirs, US)
    calls.call(NOWHERE)
    (post,) = posted(ours)
    _, call = theirs.open(post.tag, post.envelope)
    assert isinstance(call, Call)
    answers.heard(call, 0)
    answers.answer(NOWHERE, 0)
    (post,) = posted(theirs)
    assert post.tag == tag_of(call.reply)
    assert ours.open(post.tag, post.envelope)[1].session == SESSION
    calls.close()
    with pytest.raises(ProtocolError):
        ours.open(post.tag, post.envelope)


def test_rv04_another_session_at_the_tag_of_one_is_refused() -> None:
    ours = mail(US)
    talk = letters(ours, THEM)
    tag = tag_of(talk._claim)
    for session, right in ((SESSION, True), (b"x" * 16, False)):
        sealed = envelope.seal(
            THEM, bytes(US.public), Bye(session), tag=tag, entropy=Random(1).randbytes
        )
        if right:
            assert ours.open(tag, sealed)[1] == Bye(session)
        else:
            with pytest.raises(ProtocolError):
                ours.open(tag, sealed)


def test_what_is_closed_is_unsubscribed_everywhere() -> None:
    ours = mail(US)
    ours.up(1, SERVER)
    ours.actions.clear()
    talk = letters(ours, THEM)
    talk.close()
    talk.close()
    claims = (talk._claim,)
    assert told(ours) == [
        (0, Subscribe(claims)), (1, Subscribe(claims)),
        (0, Unsubscribe(claims)), (1, Unsubscribe(claims)),
    ]  # fmt: skip


def test_to_no_server_nothing_is_told() -> None:
    ours = mail(US)
    ours.down(0)
    ours.actions.clear()
    letters(ours, THEM).call(NOWHERE)
    assert not ours.actions


def test_each_round_has_other_keys_and_another_ticket() -> None:
    ours, theirs = mail(US), mail(THEM, US)
    calls, answers = letters(ours, THEM), letters(theirs, US)
    tickets, tags = set(), set()
    for number in range(5):
        calls.renew(number)
        answers.renew(number)
        assert not calls.both
        calls.call(NOWHERE)
        post = posted(ours)[-1]
        _, call = theirs.open(post.tag, post.envelope) if not number else (None, None)
        if call is None:
            _, call = theirs.open(tag_of(answers._claim), post.envelope)
        assert isinstance(call, Call)
        assert call.round == number
        answers.heard(call, 0)
        answers.answer(NOWHERE, 0)
        post = posted(theirs)[-1]
        _, answer = ours.open(post.tag, post.envelope)
        assert not isinstance(answer, Bye)
        calls.heard(answer, 0)  # type: ignore[arg-type]
        one, other = calls.keys(caller=True), answers.keys(caller=False)
        assert one.ticket == other.ticket
        assert one.our_tag == other.their_tag
        tickets.add(one.ticket)
        tags.add(one.our_tag)
    assert len(tickets) == len(tags) == 5


def test_a_call_of_an_earlier_round_is_refused_and_the_same_again_is_known() -> None:
    talk = letters(mail(THEM, US), US)
    call = Call(SESSION, 4, b"a" * 32, b"c" * 16, NOWHERE.view, ())
    assert not talk.again(call)
    talk.renew(4)
    talk.heard(call, 0)
    assert talk.again(call)
    assert not talk.again(call._replace(round=5))
    for wrong in (call._replace(round=3), call._replace(secret=b"b" * 32)):
        with pytest.raises(ProtocolError):
            talk.again(wrong)
