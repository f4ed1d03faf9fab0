"""What sender and receiver have in common: messages in, messages and effects out.

Each side is a table, state by state, of the messages that may come and what takes them; a message
that is not in its state's row is a `ProtocolError`. This file does not know which side it is.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar, TypeAlias

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.effects import Aborted, Effect
from securecp.transfer.framing import Inbox, Outbox

Routes: TypeAlias = Mapping[Enum, Mapping[type[messages.Message], Callable[[Any, Any], None]]]


class Party:
    """One side of a transfer; `state` is one of its own enumeration."""

    routes: ClassVar[Routes]
    over: ClassVar[frozenset[Enum]]
    """States in which whatever still comes is not read."""
    ends: ClassVar[frozenset[Enum]]
    """States that nothing leads out of."""
    aborted: ClassVar[Enum]
    state: Enum

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._outbox = Outbox()
        self._effects: list[Effect] = []

    def control(self, data: bytes | memoryview) -> None:
        """Take bytes of the control stream, however they are cut; `ProtocolError` ends it all."""
        if self.state in self.over:
            return
        self._inbox.feed(data)
        for raw in self._inbox.messages():
            message = messages.parse(raw)
            handler = self.routes[self.state].get(type(message))
            if handler is None:
                name, state = type(message).__name__.upper(), self.state.name.lower()
                raise ProtocolError(f"{name} does not belong here ({state})")
            handler(self, message)
            if self.state in self.over:
                self._inbox.clear()
                return

    def outgoing(self, room: int) -> bytes:
        """At most `room` bytes to write to the control stream next; carry out effects before."""
        parts = []
        while room > 0:
            if not self._outbox:
                self._refill()
            part = self._outbox.take(room)
            if not part:
                break
            parts.append(part)
            room -= len(part)
        return b"".join(parts)

    def effects(self) -> list[Effect]:
        """What is to be done since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    def abort(self, code: int, reason: str) -> None:
        """Stop, and tell the peer; nothing that came is published any more."""
        if self.state not in self.ends:
            self._outbox.drop_unsent()
            self._effects.clear()
            self._put(messages.Abort(code, messages.reason(reason)))
            self.state = self.aborted

    def _refill(self) -> None:
        """Put what is made only when there is room for it."""

    def _put(self, message: messages.Message) -> None:
        self._outbox.put(messages.encode(message))

    def _peer_aborted(self, message: messages.Abort) -> None:
        self.state = self.aborted
        self._outbox.drop_unsent()
        self._effects.clear()
        self._effects.append(Aborted(message.code, message.reason))
