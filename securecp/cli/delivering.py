"""`securecp send` at work: calls everybody, tells what happens, keeps receipts, sums up."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from securecp.cli import again, options, outgoing, recipients
from securecp.cli.failures import UsageError
from securecp.cli.outgoing import Missing, Wanted
from securecp.cli.personal import to_sender
from securecp.cli.text import quoted
from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    NotReachedError,
    PartialError,
    SecurecpError,
    TrustError,
)
from securecp.events import Done, Event

if TYPE_CHECKING:
    from keys.policy import Contact
    from securecp.cli.narrate import Narrator
    from securecp.cli.passphrase import Passphrase
    from securecp.daemon.diary import Diary
    from securecp.endpoint import Endpoint
    from securecp.net.delivery import Outcome
    from securecp.net.dial import SendOptions
    from securecp.net.means import Means
    from securecp.net.pace import Pace
    from securecp.net.sources import Sources
    from securecp.net.traversal import Traversal

MEMORY = b"securecp 1 memory"
_WORST = (6, 1, 5, 3, 4)
"""If nobody got anything, and for different reasons: what most needs the person comes first."""


_KINDS: dict[int, type[SecurecpError]] = {
    kind.exit_code: kind
    for kind in (TrustError, InterruptedTransferError, DeclinedError, NotReachedError)
}


class Delivering:
    """One run of the command."""

    def __init__(self, face: options.Face, wanted: Wanted, passphrase: "Passphrase") -> None:
        from securecp.cli.book import Book

        self._face = face
        self._wanted = wanted
        self._stream = outgoing.is_stream(wanted.paths)
        self._present: list[Path] = []
        self._missing: Missing = []
        if not self._stream:
            self._present, self._missing = outgoing.look(wanted.paths)
        self._identity = face.home.identity(passphrase)
        self._book = Book(face.home.contacts_file, self._identity.public)
        self._contacts = recipients.find(self._book.contacts, wanted.names, face.output)

    def run(
        self, *, at: str | None, means: "Means | None", pace: "Pace", timeout: float, wait: float
    ) -> int:
        """The exit code; raises what keeps everybody from getting anything."""
        from securecp.cli.narrate import Narrator
        from securecp.net.dial import Recipient, SendOptions

        output, names = self._face.output, [contact.name for contact in self._contacts]
        if at is not None and len(names) > 1:
            raise UsageError("--at says where one contact waits", "send to the others without it")
        places = [whereabouts(contact, at) for contact in self._contacts]
        for name, endpoints in zip(names, places, strict=True):
            if not endpoints and means is None:
                raise _no_way(name)
        for path, reason in self._missing:
            output.warning(f"left out: {quoted(path)}: {reason}")
        narrator = Narrator(
            output,
            sending=True,
            name_of=self._book.name_of,
            text_of=self._book.text_of,
            left_out=self._missing,
            several=len(names) > 1,
        )
        narrator.peer = bytes(self._contacts[0].key)
        called = [name for name, found in zip(names, places, strict=True) if found]
        if called:
            output.note(f"calling {', '.join(called)} …")
        self._diary = self._keep_diary()
        outcomes = self._deliver(
            SendOptions(
                identity=self._identity,
                recipients=tuple(
                    Recipient(bytes(contact.key), tuple(endpoints))
                    for contact, endpoints in zip(self._contacts, places, strict=True)
                ),
                timeout=timeout,
                pace=pace,
                means=means,
                explain=lambda traversal: explain(self._face, traversal, means),
                wait=wait,
                sources=self._sources(),
                control=self._diary.control,
            ),
            narrator,
        )
        return self._summed_up(outcomes)

    def _deliver(self, wanted: "SendOptions", narrator: "Narrator") -> "list[Outcome]":
        from securecp.net import dial

        def emit(event: Event) -> None:
            self._diary(event)
            narrator(event)
            if isinstance(event, Done):
                self._keep_receipt(event)

        try:
            outcomes = dial.deliver(wanted, emit)
            if len(outcomes) == 1 and outcomes[0].error is not None:
                self._diary.record(outcomes[0].error)
            return outcomes
        except KeyboardInterrupt:
            hint = again.going_on(resumable=bool(narrator.underway), stream=self._stream)
            error = InterruptedTransferError("interrupted", hint)
            self._diary.record(error)
            raise error from None
        except SecurecpError as error:
            self._diary.record(error)
            raise
        finally:
            narrator.close()
            self._diary.close()

    def _sources(self) -> "Sources":
        """Standard input or files, with what is known of files that were sent before."""
        from securecp.disk.memory import Memories
        from securecp.net.sources import Files, Stream

        name = self._wanted.stream_name
        if self._stream and name is not None:
            return Stream(0, os.fsencode(name))
        return Files(
            self._present,
            scanning=self._wanted.scanning.arguments(),
            memories=Memories(self._face.home.transfers / "sent", self._identity.derive(MEMORY)),
            verify=self._wanted.verify,
        )

    def _keep_diary(self) -> "Diary":
        from securecp.daemon.diary import Diary

        return Diary(
            state=self._face.home.state,
            sending=True,
            name_of=self._book.name_of,
            text_of=self._book.text_of,
        )

    def _summed_up(self, outcomes: "Sequence[Outcome]") -> int:
        """The exit code, if it is not an error."""
        if len(outcomes) == 1:
            (one,) = outcomes
            if one.error is not None:
                raise to_sender(one.error, self._name(one), stream=self._stream) from None
        failed = [one for one in outcomes if one.error is not None]
        if failed:
            raise self._not_to_all(outcomes, failed)
        left_out = len(self._missing) + max(len(one.done.failed) for one in outcomes if one.done)
        if left_out:
            them = "1 was" if left_out == 1 else f"{left_out:,} were"
            raise PartialError(
                f"delivered, but {them} left out", "the lines above say which and why"
            )
        return 0

    def _not_to_all(
        self, outcomes: "Sequence[Outcome]", failed: "Sequence[Outcome]"
    ) -> SecurecpError:
        """Everyone's own failure has been told; this is what it comes to."""
        codes = {one.error.exit_code for one in failed if one.error is not None}
        names = ", ".join(map(self._name, failed))
        hint = again.going_on(resumable=5 in codes, stream=self._stream)
        if len(failed) < len(outcomes):
            return PartialError(f"not delivered to {names}", hint)
        worst = next(code for code in (*_WORST, *codes) if code in codes)
        return _KINDS.get(worst, SecurecpError)(f"delivered to nobody: {names}", hint)

    def _name(self, outcome: "Outcome") -> str:
        return self._book.name_of(outcome.peer)

    def _keep_receipt(self, done: Done) -> None:
        """A receipt that cannot be kept does not undo the delivery."""
        from securecp.cli import receipts
        from securecp.cli.failures import explain as explained

        if not done.receipt:
            return
        try:
            path = receipts.keep(self._face.home.receipts, done.receipt)
        except OSError as error:
            reason = explained(error).message
            self._face.output.warning(f"the receipt could not be kept: {reason}")
        else:
            self._face.output.detail(f"receipt in {path}")


def whereabouts(contact: "Contact", at: str | None) -> "list[Endpoint]":
    """The endpoints that are known; there may be none."""
    from securecp.cli import endpoints

    if at is not None:
        return endpoints.to_reach(at)
    return [found for text in contact.endpoints for found in endpoints.to_reach(text)]


def explain(face: options.Face, traversal: "Traversal", means: "Means | None") -> None:
    """Nobody was reached: what stands in between, as `securecp doctor` shows it."""
    from securecp.cli.diagnosis import lines
    from securecp.net.doctor import report

    if means is not None and not face.output.as_json:
        for line in lines(report(traversal, means)):
            face.output.note(line)


def _no_way(name: str) -> UsageError:
    return UsageError(
        f"no way to find {name}: no server, no address, and not on this network",
        "securecp config add-server URL, or --at HOST:PORT, or: securecp contacts set"
        f" {name} --endpoint HOST:PORT",
    )
