"""Who may give us files: the contact's `accept`, `--yes`, or the person's answer.

Strangers never come this far: they are not `allowed`, and nothing of theirs is answered or shown.
No answer is No; so is an answer that nobody can give (SPEC §10.6).
"""

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

from keys.policy import Contact
from securecp.cli import ui, units
from securecp.cli.book import Book
from securecp.cli.narrate import offer_words
from securecp.cli.output import Output
from securecp.cli.text import listed, quoted
from securecp.events import Offered
from securecp.session import Decision

QUESTIONS = 3
PERIOD = 60.0


class Patience:
    """At most three questions a minute for each contact, so that none wears the person down."""

    def __init__(self) -> None:
        self._asked: defaultdict[bytes, deque[float]] = defaultdict(deque)

    def allows(self, peer: bytes, now: float) -> bool:
        """Whether `peer` may cause a question now; if so, it counts as asked."""
        asked = self._asked[peer]
        while asked and now - asked[0] >= PERIOD:
            asked.popleft()
        if len(asked) >= QUESTIONS:
            return False
        asked.append(now)
        return True


class Consent:
    """Answers for the person, or asks them."""

    def __init__(
        self,
        book: Book,
        output: Output,
        folder_of: Callable[[bytes], Path],
        *,
        yes: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._output = output
        self._folder_of = folder_of
        self._yes = yes
        self._clock = clock
        self._patience = Patience()
        self._screen = threading.Lock()
        """One question at a time."""
        self._withdrawn = threading.Event()

    def allowed(self, public_key: bytes) -> bool:
        """Whether this peer may speak with us at all."""
        return self._book.contact(public_key) is not None

    def policy(self, offered: Offered) -> Decision:
        """What can be said without asking."""
        contact = self._book.contact(offered.peer)
        if contact is None or contact.accept == "never":
            return Decision.DECLINE
        if contact.max_size is not None and offered.size > contact.max_size:
            self._tell_declined(contact, f"more than {units.size(contact.max_size)}")
            return Decision.DECLINE
        if contact.accept == "always" or self._yes:
            return Decision.ACCEPT
        if not ui.can_ask():
            self._tell_declined(contact, "no terminal to ask, and no --yes")
            return Decision.DECLINE
        if not self._patience.allows(offered.peer, self._clock()):
            return Decision.DECLINE
        return Decision.ASK

    def ask(self, offered: Offered) -> bool:
        """The person's answer; called in a thread beside the session."""
        with self._screen:
            self._withdrawn.clear()
            contact = self._book.contact(offered.peer)
            for line in question_lines(offered, contact, self._folder_of(offered.peer)):
                self._output.question(line)
            return ui.confirm("Accept?", given_up=self._withdrawn.is_set)

    def withdraw(self) -> None:
        """The peer has gone, or we are leaving: nobody needs the answer any more."""
        self._withdrawn.set()

    def _tell_declined(self, contact: Contact, reason: str) -> None:
        self._output.note(f"declined an offer from {contact.name}: {reason}")


def question_lines(offered: Offered, contact: Contact | None, folder: Path) -> list[str]:
    """Who offers how much, then the names; then what is remarkable, and where it would go."""
    who = contact.name if contact is not None else "someone"
    mark = "" if contact is not None and contact.verified else " (key not verified)"
    lines = [f"{who}{mark} offers {offer_words(offered)}"]
    if offered.remarkable:
        lines.append(f"  look twice at {listed(offered.remarkable, 5)}")
    lines.append(f"  into {quoted(os.fsencode(folder), 1000)}")
    return lines
