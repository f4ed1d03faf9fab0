"""What a HELLO meets: the keyed gates, the caps, the keys, then a half-open handshake and a REPLY.

The order is that of cost: head, table, mac1, caps, cookie, Diffie-Hellman, and only then whether
the caller is welcome. Every refusal is a ProtocolError, which `exchange.py` turns into silence;
a COOKIE is the only answer that a stranger can get, and only under load.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.noise.keypairs import Entropy
from securecp.transport.cookie import MACS_LENGTH, Gate, Proof
from securecp.transport.halfopen import REPLY_LIFE, HalfOpen, HalfOpenTable
from securecp.transport.handshake import Responder, check_head
from securecp.transport.load import Load, network
from securecp.transport.wire import (
    HELLO_A,
    HELLO_A_LENGTH,
    HELLO_B,
    HELLO_B_LENGTH,
    REPLY_LENGTH,
    Channel,
    Parameters,
)

C = TypeVar("C", bound=Channel)


class Reception(Generic[C]):
    """The called side, up to and without the confirmation.

    `welcome(now, peer, endpoint)` says whether this caller may be answered, `draw_index()` gives an
    index that nobody has, `send(endpoint, datagram)` says whether there was room.
    """

    def __init__(
        self,
        identity: Identity,
        gate: Gate,
        *,
        parameters: Parameters,
        entropy: Entropy,
        welcome: Callable[[float, bytes, Endpoint], bool],
        draw_index: Callable[[], int],
        send: Callable[[Endpoint, bytes], bool],
    ) -> None:
        self.table: HalfOpenTable[C] = HalfOpenTable()
        self._identity = identity
        self._gate = gate
        self._load = Load()
        self._parameters = parameters
        self._entropy = entropy
        self._welcome = welcome
        self._draw_index = draw_index
        self._send = send

    def on_hello_a(self, now: float, endpoint: Endpoint, hello: bytes) -> None:
        """Open a handshake, or know it again."""
        index = check_head(hello, HELLO_A, HELLO_A_LENGTH)
        self._gate.check_mac1(hello)
        self.table.expire(now)
        half = self.table.find(endpoint, index)
        body = hello[:-MACS_LENGTH]
        if half is not None and half.hello_a == body:
            self._retransmit(now, half, len(hello))
            return
        # The latest HELLO-A counts until it is answered: e1 is authentic only with HELLO-B, so
        # that a forged first one must not shut out the true one.
        if half is not None and half.keys is not None:
            raise ProtocolError("this call has been answered")
        self._load.count(now)
        where = network(endpoint)
        if half is None and self.table.full(where):
            raise ProtocolError("too many half-open handshakes")
        if not self._admit(now, endpoint, index, hello, where):
            return
        responder = Responder(
            self._identity,
            hello,
            parameters=self._parameters,
            entropy=self._entropy,
        )
        if not self._welcome(now, responder.peer, endpoint):
            raise ProtocolError("this caller is not welcome")
        if half is not None:
            self.table.remove(half)
        self.table.add(
            HalfOpen(endpoint, index, where, responder.peer, body, responder, now, len(hello))
        )

    def on_hello_b(self, now: float, endpoint: Endpoint, hello: bytes) -> None:
        """Answer the handshake that its HELLO-A opened; the same again gets the same REPLY."""
        index = check_head(hello, HELLO_B, HELLO_B_LENGTH)
        half = self.table.find(endpoint, index)
        if half is None:
            raise ProtocolError("no such half-open handshake")
        self._gate.check_mac1(hello)
        body = hello[:-MACS_LENGTH]
        if half.responder is None:
            if half.hello_b != body:
                raise ProtocolError("this call has been answered")
        elif now >= half.opened_at + REPLY_LIFE:
            raise ProtocolError("a call is completed too late")
        elif self._admit(now, endpoint, index, hello, half.where):
            reply, keys = half.responder.answer(hello, self._draw_index())
            self.table.answer(half, body, reply, keys)
        else:
            return
        self._retransmit(now, half, len(hello))

    def _retransmit(self, now: float, half: HalfOpen[C], came: int) -> None:
        """Send the REPLY, if there is one, as often as what came from the caller pays for it."""
        half.credit += came
        paid = half.credit >= REPLY_LENGTH
        if half.reply and paid and now < half.opened_at + REPLY_LIFE:
            half.credit -= REPLY_LENGTH if self._send(half.endpoint, half.reply) else 0

    def _admit(self, now: float, endpoint: Endpoint, index: int, hello: bytes, where: str) -> bool:
        """Whether to compute this HELLO now; if not, the caller has been given a cookie."""
        proof = self._gate.proof(now, endpoint, hello)
        if not self._load.high(now) and not self.table.busy(where):
            if proof is Proof.WRONG:
                # An answer would tell anyone who knows our public key that we are here.
                raise ProtocolError("a cookie is wrong")
            return True
        if proof is not Proof.RIGHT:
            self._send(endpoint, self._gate.make_cookie(now, endpoint, index, hello))
            return False
        if not self._load.may_try(now, where):
            raise ProtocolError("too many handshakes from this network")
        return True
