"""Who may give us files: the contact's `accept`, `--yes`, or the person's answer.

Strangers never come this far: they are not `allowed`, and nothing of theirs is answered or shown.
No answer is No; so is an answer that nobody can give (SPEC §10.6).
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keys.errors import KeysError
from keys.policy import Contact
from securecp.cli import question, ui
from securecp.cli.book import Book
from securecp.cli.output import Output
from securecp.events import Offered
from securecp.session import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securecp.disk.settle import Conflict

QUESTIONS = 3
PERIOD = 60.0
_PAGE_AROUND = 3
"""Lines of the terminal that a page leaves free."""
_CHOICES: "dict[str, Conflict]" = {
    "r": "rename", "rename": "rename", "s": "skip", "skip": "skip",
    "o": "overwrite", "overwrite": "overwrite",
}  # fmt: skip


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
        conflict_of: "Callable[[bytes], Conflict | Literal['ask']]" = lambda _: "rename",
        output_to: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._output = output
        self._folder_of = folder_of
        self._yes = yes
        self._conflict_of = conflict_of
        self._output_to = output_to
        """The file, or `-`, that everything goes to; None: a folder."""
        self._clock = clock
        self._patience = Patience()
        self._screen = threading.Lock()
        """One question at a time."""
        self._leaving = False
        self._asking: dict[int, Offered] = {}
        """What is asked for each transfer, or waits for another answer; the same one may return."""
        self._chosen: dict[bytes, tuple[bytes, Conflict]] = {}
        """For each peer, what was said of names that are taken, and of which offer."""

    def allowed(self, public_key: bytes) -> bool:
        """Whether this peer may speak with us at all."""
        return self._book.contact(public_key) is not None

    def policy(self, offered: Offered) -> Decision:
        """What can be said without asking."""
        if self._chosen.get(offered.peer, (b"",))[0] != offered.manifest_digest:
            self._chosen.pop(offered.peer, None)
        contact = self._book.contact(offered.peer)
        if contact is None or contact.accept == "never":
            return Decision.DECLINE
        if offered.approved or contact.accept == "always" or self._yes:
            return Decision.ACCEPT
        if not ui.can_ask():
            self._output.note(
                f"declined an offer from {contact.name}: no terminal to ask, and no --yes"
            )
            return Decision.DECLINE
        if not self._patience.allows(offered.peer, self._clock()):
            return Decision.DECLINE
        return Decision.ASK

    def ask(self, offered: Offered) -> bool:
        """The person's answer; called in a thread beside the session."""
        self._asking[offered.transfer] = offered
        self._chosen.pop(offered.peer, None)
        try:
            with self._screen, self._alone():
                return self._ask(offered)
        finally:
            if self._asking.get(offered.transfer) is offered:
                del self._asking[offered.transfer]

    def chosen(self, peer: bytes) -> "Conflict | None":
        """What the person said of this peer's names that are taken, if they were asked."""
        chosen = self._chosen.get(peer)
        return None if chosen is None else chosen[1]

    def withdraw(self, transfer: int) -> None:
        """The peer has gone: nobody needs this answer any more."""
        self._asking.pop(transfer, None)

    def leave(self) -> None:
        """We are leaving: nobody needs any answer."""
        self._leaving = True

    def _ask(self, offered: Offered) -> bool:
        contact = self._book.contact(offered.peer)
        if contact is None or self._is_moot(offered):
            return False
        place = self._place(offered)
        while True:
            for line in question.lines(offered, contact, place):
                self._output.question(line)
            answer = ui.answer(
                question.choices(place, contact.name), given_up=lambda: self._is_moot(offered)
            )
            if answer not in {"l", "list"}:
                return self._answered(answer, offered, contact, place)
            self._show_pages(question.whole_list(offered), offered)

    def _place(self, offered: Offered) -> question.Place:
        if self._output_to is not None:
            return question.one_file(self._output_to)
        conflict = self._conflict_of(offered.peer)
        return question.look(self._folder_of(offered.peer), conflict, offered)

    def _answered(
        self, answer: str, offered: Offered, contact: Contact, place: question.Place
    ) -> bool:
        if question.asks_about_names(place) and answer in _CHOICES:
            self._chosen[offered.peer] = offered.manifest_digest, _CHOICES[answer]
            return True
        if answer in {"a", "always"}:
            return self._accept_always(contact)
        return answer in {"y", "yes"} and not question.asks_about_names(place)

    def _accept_always(self, contact: Contact) -> bool:
        """Whether they are still a contact; that it cannot be written down is no reason for No."""
        try:
            name = self._book.accept_always(bytes(contact.key))
        except (KeysError, OSError) as error:
            self._output.warning(f"accepted this once; the contacts stay as they are: {error}")
        else:
            where = question.folder_words(self._folder_of(bytes(contact.key)))
            self._output.question(
                f"from now on without asking, into {where}; to be asked again:"
                f" securecp contacts set {name} --accept ask"
            )
        return self._book.contact(bytes(contact.key)) is not None

    def _show_pages(self, lines: "Iterable[str]", offered: Offered) -> None:
        lines = iter(lines)
        while page := list(islice(lines, max(ui.rows() - _PAGE_AROUND, 5))):
            for line in page:
                self._output.question(line)
            if len(page) < max(ui.rows() - _PAGE_AROUND, 5):
                return
            more = ui.answer(
                "Enter shows more, q goes back:", given_up=lambda: self._is_moot(offered)
            )
            if more.startswith("q") or self._is_moot(offered):
                return

    def _is_moot(self, offered: Offered) -> bool:
        return self._leaving or self._asking.get(offered.transfer) is not offered

    @contextmanager
    def _alone(self) -> "Iterator[None]":
        """Nothing else is written while the question stands."""
        self._output.hold()
        try:
            yield
        finally:
            self._output.release()
