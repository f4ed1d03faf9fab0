"""Our side of the letters with one peer about one session: secrets, tags, what it knows (§12.4).

    CALL     to the tag of the day; once the peer has answered, to the tag that it named
    ANSWER, SYNC, MORE, BYE    to the tag that the peer named

Each round has new secrets, and with them new keys for probes and a new ticket for the relay.
"""

from collections.abc import Callable

from securecp.errors import ProtocolError
from securecp.nat.candidate import Candidate
from securecp.nat.envelope import SECRET_LENGTH, Answer, Bye, Call, More, Sync
from securecp.nat.mail import Mail
from securecp.nat.probe import ProbeKeys
from securecp.nat.sampling import Nat
from securecp.nat.situation import Situation
from securecp.nat.tags import PairKeys, new_claim, tag_of


class Letters:
    """Writes them; `server` is where the peer's last one came from."""

    def __init__(
        self, mail: Mail, pair: PairKeys, session: bytes, entropy: Callable[[int], bytes]
    ) -> None:
        self.round = 0
        self.server: int | None = None
        self._mail = mail
        self._pair = pair
        self._session = session
        self._entropy = entropy
        self._claim = new_claim(entropy)
        """Who knows its tag can write to us about this session."""
        self._their_tag = b""
        self._secret = entropy(SECRET_LENGTH)
        self._their_secret = b""
        self._told: set[Candidate] = set()
        """Candidates of ours that the peer knows."""
        self._told_nat = Nat.UNKNOWN
        mail.listen(self._claim, session, pair)

    def renew(self, number: int) -> None:
        """Another round."""
        self.round = number
        self._secret = self._entropy(SECRET_LENGTH)
        self._their_secret = b""

    @property
    def both(self) -> bool:
        """Whether both have said their secrets of this round."""
        return bool(self._their_secret)

    def again(self, call: Call) -> bool:
        """Whether we have this CALL already; ProtocolError if it is of an earlier round."""
        if not self._their_secret or call.round > self.round:
            return False
        if call.secret != self._their_secret or call.round != self.round:
            raise ProtocolError("a CALL of an earlier round")
        return True

    def heard(self, letter: Call | Answer, server: int) -> None:
        """The peer's part of this round."""
        self._their_secret, self._their_tag = letter.secret, tag_of(letter.reply)
        self.server = server

    def keys(self, *, caller: bool) -> ProbeKeys:
        """Of this round."""
        first, second = self._secret, self._their_secret
        if not caller:
            first, second = second, first
        return ProbeKeys.derive(self._pair, self._session, first, second, caller=caller)

    # what is posted

    def call(self, ours: Situation) -> None:
        """To every server: the peer may be at any of them."""
        tag = self._their_tag or self._mail.their_tag(self._pair)
        letter = Call(
            self._session, self.round, self._secret, self._claim, ours.view, ours.candidates
        )
        self._told, self._told_nat = set(ours.candidates), ours.view.nat
        self._mail.post(self._pair.peer, tag, letter, None)

    def answer(self, ours: Situation, server: int) -> None:
        """Where the CALL came from."""
        letter = Answer(
            self._session, self.round, self._secret, self._claim, ours.view, ours.candidates
        )
        self._told, self._told_nat = set(ours.candidates), ours.view.nat
        self._mail.post(self._pair.peer, self._their_tag, letter, server)

    def sync(self) -> None:
        """The peer may begin."""
        letter = Sync(self._session, self.round)
        self._mail.post(self._pair.peer, self._their_tag, letter, self.server)

    def more(self, ours: Situation) -> tuple[Candidate, ...]:
        """Tell what the peer does not know yet; the candidates among that are what this gives."""
        new = tuple(one for one in ours.candidates if one not in self._told)
        if (new or ours.view.nat is not self._told_nat) and self._their_tag:
            self._told.update(new)
            self._told_nat = ours.view.nat
            letter = More(self._session, ours.view, new)
            self._mail.post(self._pair.peer, self._their_tag, letter, None)
        return new

    def doubt(self) -> None:
        """A link is gone, and perhaps what was told by it: all of it is told again."""
        self._told.clear()

    def bye(self) -> None:
        if self._their_tag:
            self._mail.post(self._pair.peer, self._their_tag, Bye(self._session), self.server)

    def close(self) -> None:
        """Listen no more."""
        self._mail.forget(self._claim)
