"""`securecp receive` at work: who waits, asks, tells what happens, and leaves in order."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from securecp.cli import again, onefile, options, units
from securecp.cli.failures import UsageError
from securecp.cli.personal import to_receiver
from securecp.cli.text import quoted, safe_text
from securecp.errors import InterruptedTransferError, SecurecpError

if TYPE_CHECKING:
    from keys.identity import Identity
    from securecp.cli.book import Book
    from securecp.cli.narrate import Narrator
    from securecp.daemon.household import Household
    from securecp.disk.journal import Journals
    from securecp.disk.settle import Conflict
    from securecp.events import Event
    from securecp.net.attend import ReceiveOptions
    from securecp.net.means import Means
    from securecp.net.running import Running
    from securecp.net.stores import Output
    from securecp.net.udp import UdpSocket

JOURNAL = b"securecp 1 journal"


class Wishes(NamedTuple):
    """How we receive: the command line, and the settings where it is silent."""

    once: bool
    yes: bool
    output: str | None
    conflict: "Conflict | Literal['ask']"
    typed_conflict: "Conflict | Literal['ask'] | None"
    symlinks: bool
    reserve: int | None
    verify: bool
    wait: float
    hook: str | None
    log: Path | None
    notify: bool
    only: bytes | None
    limit: int | None
    means: "Means | None"


class Waiter:
    """One run of the command."""

    def __init__(
        self,
        face: options.Face,
        identity: "Identity",
        book: "Book",
        choose: Callable[[bytes], Path],
        wishes: Wishes,
    ) -> None:
        from securecp.cli.consent import Consent

        self._face = face
        self._identity = identity
        self._book = book
        self._choose = choose
        self._wishes = wishes
        self._consent = Consent(
            book,
            face.output,
            choose,
            yes=wishes.yes,
            conflict_of=self._asked_conflict,
            output_to=wishes.output,
        )
        self._house = self._household()
        self._narrator = self._teller()

    def run(self, sockets: "Sequence[UdpSocket]") -> int:
        """Until interrupted, or once; the exit code."""
        from securecp.disk.journal import Journals
        from securecp.net.attend import ReceiveOptions
        from securecp.net.running import Running

        wishes, running = self._wishes, Running()
        with ExitStack() as stack:
            journals = Journals(self._face.home.transfers, self._identity.derive(JOURNAL))
            stack.callback(journals.close)
            return self._wait(
                ReceiveOptions(
                    identity=self._identity,
                    allowed=self._consent.allowed,
                    policy=self._house.policy,
                    into=self._choose,
                    sockets=sockets,
                    once=wishes.once,
                    conflict=self._conflict,
                    only=wishes.only,
                    limit=wishes.limit,
                    means=wishes.means,
                    contacts=lambda: callers(self._book, wishes.only),
                    reserve=wishes.reserve,
                    symlinks=wishes.symlinks,
                    verify=wishes.verify,
                    journals=journals,
                    wait=wishes.wait,
                    output=self._output(running, journals),
                    control=self._house.control,
                    running=running,
                )
            )

    def _wait(self, wanted: "ReceiveOptions") -> int:
        from securecp.net import attend

        finished = False
        try:
            code = attend.receive(wanted, self._emit, self._consent.ask)
            finished = True
        except KeyboardInterrupt:
            error = InterruptedTransferError("interrupted", self._going_on())
            self._house.record(error)
            raise error from None
        except SecurecpError as error:
            self._house.record(error)
            narrator = self._narrator
            if not narrator.peer:
                raise
            stream = any(stream for _, stream in narrator.underway)
            raise to_receiver(error, narrator.peer_name, stream=stream) from None
        finally:
            self._consent.leave()
            self._narrator.close()
            self._house.close(wait=finished)
        return code

    def _emit(self, event: "Event") -> None:
        from securecp.events import Done, Failed, Waiting

        if isinstance(event, Failed | Done | Waiting):
            self._consent.withdraw(event.transfer)
        self._house(event)
        if isinstance(event, Done) and self._wishes.output is not None:
            event = event._replace(renamed=())  # that name was asked for
        self._narrator(event)

    def _going_on(self) -> str:
        """The hint for who has stopped us."""
        underway = self._narrator.underway
        if not underway:
            typed = again.command()
            return f"to wait again: {typed}" if typed else "the same command waits again"
        return again.going_on(stream=all(stream for _, stream in underway))

    # what is put together

    def _output(self, running: "Running", journals: "Journals") -> "Output | None":
        wishes = self._wishes
        if wishes.output is None:
            return None
        return onefile.place(
            wishes.output,
            overwrite=wishes.typed_conflict == "overwrite",
            ring=lambda: running.call(lambda: None),
            reserve=wishes.reserve,
            journals=journals,
            verify=wishes.verify,
        )

    def _asked_conflict(self, peer: bytes) -> "Conflict | Literal['ask']":
        """What would happen to names that are taken, as the question says it."""
        return "ask" if self._wishes.conflict == "ask" else self._conflict(peer)

    def _conflict(self, peer: bytes) -> "Conflict":
        """What was answered, typed, or set: for all of them, for the contact, or in general."""
        typed, contact = self._wishes.typed_conflict, self._book.contact(peer)
        known = contact.on_conflict if contact is not None else None
        answered = self._consent.chosen(peer)
        for word in (answered, typed, known, self._wishes.conflict):
            if word is not None and word != "ask":
                return word
        return "rename"

    def _household(self) -> "Household":
        from securecp.daemon import notify
        from securecp.daemon.hook import Hook
        from securecp.daemon.household import Household
        from securecp.daemon.logfile import LogFile

        wishes, face = self._wishes, self._face
        try:
            hook = Hook(wishes.hook) if wishes.hook else None
        except ValueError as error:
            raise UsageError(
                f"--exec cannot be used: {error}", "it is a program and its arguments; no shell"
            ) from None
        return Household(
            contact=self._book.contact,
            name_of=self._book.name_of,
            text_of=self._book.text_of,
            state=face.home.state,
            otherwise=self._consent.policy,
            tell=face.output.note,
            show=safe_text,
            amount=units.size,
            folder_of=self._choose,
            hook=hook,
            notifier=notify.find() if wishes.notify else None,
            log=LogFile(wishes.log, show=safe_text) if wishes.log is not None else None,
        )

    def _teller(self) -> "Narrator":
        from securecp.cli.narrate import Narrator

        return Narrator(
            self._face.output,
            sending=False,
            name_of=self._book.name_of,
            text_of=self._book.text_of,
            where=self._where,
        )

    def _where(self, peer: bytes) -> str:
        """Where this peer's files are, in words."""
        output = self._wishes.output
        if output is None:
            return f"they are in {quoted(os.fsencode(self._choose(peer)), 1000)}"
        return "" if output == "-" else f"it is {quoted(output, 1000)}"


def callers(book: "Book", only: bytes | None) -> list[bytes]:
    """Who may find us now."""
    keys = [bytes(contact.key) for contact in book.contacts if not contact.blocked]
    return keys if only is None else [key for key in keys if key == only]
