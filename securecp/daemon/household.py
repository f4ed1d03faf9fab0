"""The receiving side that people can live with: who may bring how much, and what follows.

    offer  ─► Admission ─► declined, with the reason in words and log
           ─► what the face decides: `accept`, `--yes`, the person
    events ─► history, log, quota; a transfer that has come in ─► hook, notification

Nothing here fails a transfer: what goes wrong with a file, a program or a socket is told and
passed over.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securecp.daemon.admission import Admission
from securecp.daemon.chronicle import Ended
from securecp.daemon.control import Control
from securecp.daemon.diary import Diary
from securecp.daemon.plain import Show, plain
from securecp.daemon.quota import DAY, Quota, read_back
from securecp.daemon.record import Hooked, Record
from securecp.errors import DeclinedError
from securecp.events import Connected, Done, Event, Failed, Listening, Offered, Progress
from securecp.session import Decision

if TYPE_CHECKING:
    from keys.policy import Contact
    from securecp.daemon.hook import Hook
    from securecp.daemon.logfile import LogFile
    from securecp.daemon.notify import Notifier
    from securecp.daemon.process import Finished

_NAMES_TOLD = 3
_MOST_RESTING = 50
"""As many as a status shows."""


class Household:
    """Of one program that receives."""

    def __init__(
        self,
        *,
        contact: "Callable[[bytes], Contact | None]",
        name_of: Callable[[bytes], str],
        text_of: Callable[[bytes], str],
        state: Path,
        otherwise: Callable[[Offered], Decision],
        folder_of: Callable[[bytes], Path],
        tell: Callable[[str], None] = lambda _: None,
        show: Show = plain,
        amount: Callable[[int], str] = lambda count: f"{count:,} bytes",
        hook: "Hook | None" = None,
        notifier: "Notifier | None" = None,
        log: "LogFile | None" = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`otherwise` decides on what may come in; `amount` words a number of bytes."""
        self._contact = contact
        self._name_of = name_of
        self._otherwise = otherwise
        self._tell = tell
        self._show = show
        self._hook = hook
        self._notifier = notifier
        self._log = log
        self._declined = 0
        self._diary = diary = Diary(
            state=state, sending=False, name_of=name_of, text_of=text_of, folder_of=folder_of,
            show=show, about=self._about, wall=wall, clock=clock,
        )  # fmt: skip
        self._admission = Admission(
            self._read_back(wall() - DAY), text_of=text_of,
            ongoing=lambda: diary.chronicle.ongoing,
            show=show, amount=amount, wall=wall, clock=clock,
        )  # fmt: skip

    @property
    def control(self) -> Control:
        """For the loop."""
        return self._diary.control

    def policy(self, offered: Offered) -> Decision:
        """What becomes of an offer, as far as that can be said without the person."""
        contact = self._contact(offered.peer)
        if contact is None:
            return Decision.DECLINE
        can_cancel = self.control.can_cancel
        reason = self._admission.refusal(offered, contact, can_cancel=can_cancel)
        if reason is None:
            return self._otherwise(offered)
        self._declined += 1
        self._diary.chronicle.explain(offered.transfer, reason)
        self._note("declined", peer=contact.name, bytes=offered.size, reason=reason)
        self._tell(f"declined an offer from {contact.name}: {reason}")
        return Decision.DECLINE

    def __call__(self, event: Event) -> None:
        """Tell of every event, before the face does. Never waits, never raises."""
        ended = self._diary(event)
        if ended is not None:
            self._ended(ended)
            return
        match event:
            case Listening():
                self._note("listening", endpoint=event.endpoint)
            case Connected():
                self._note("connected", peer=self._name_of(event.peer), path=event.path)
            case Offered():
                names = b", ".join(event.names[:_NAMES_TOLD])
                self._note("offer", peer=self._name_of(event.peer), files=event.files,
                           bytes=event.size, names=names)  # fmt: skip
            case Progress():
                if self._admission.is_beyond(event):
                    self.control.cancel_soon(event.transfer, "more than may come")
            case Failed() if event.code != DeclinedError.exit_code:
                self._note("failed", code=event.code, reason=event.message)

    def record(self, error: BaseException) -> None:
        """The program ends by this error, and with it what goes on."""
        for ended in self._diary.record(error):
            self._ended(ended)

    def close(self, *, wait: bool) -> None:
        """End; with `wait` programs that run for a transfer may finish. Never raises."""
        if self._hook is not None and not self._hook.close(wait=wait):
            self._note("hook", result="still running")
        if self._notifier is not None:
            self._notifier.close()
        self._note("stopped")
        self._diary.close()
        if self._log is not None:
            self._log.close()

    # what follows

    def _ended(self, ended: Ended) -> None:
        record, event = ended.record, ended.event
        rests = self._admission.ended(ended)
        self._note(
            "failed" if isinstance(event, Failed) else "done",
            peer=record.name, result=record.result, code=record.code, files=record.files,
            bytes=record.bytes, seconds=record.seconds, digest=record.content,
            folder=record.folder, reason=record.reason,
        )  # fmt: skip
        if rests:
            self._note("resting", peer=record.name, reason=record.reason)
            self._tell(
                f"an offer of {record.name} has failed 3 times in a row and rests for an hour: "
                f"{self._show(record.reason)}"
            )
        if isinstance(event, Done):
            self._delivered(record, event, ended.offered)

    def _delivered(self, record: Record, event: Done, offered: Offered) -> None:
        renamed = dict(event.renamed)
        names = tuple(renamed.get(name, name) for name in event.names or offered.names)
        if self._notifier is not None:
            more = f" and {len(names) - _NAMES_TOLD:,} more" if len(names) > _NAMES_TOLD else ""
            shown = ", ".join(self._show(name) for name in names[:_NAMES_TOLD])
            self._notifier.tell(f"Files from {record.name}", shown + more)
        if self._hook is not None:
            self._start(self._hook, record, names)

    def _start(self, hook: "Hook", record: Record, names: tuple[bytes, ...]) -> None:
        from securecp.daemon.hook import Delivery

        delivery = Delivery(
            peer=record.name,
            key=record.key,
            files=record.files,
            size=record.bytes,
            digest=record.content,
            folder=record.folder,
            transfer=record.transfer,
            names=names,
        )
        if not hook.start(delivery, partial(self._hook_finished, record)):
            self._note("hook", peer=record.name, result="not run: too many are waiting")

    def _hook_finished(self, record: Record, finished: "Finished") -> None:
        """In another thread."""
        self._note(
            "hook", peer=record.name, transfer=record.transfer, code=finished.code,
            seconds=finished.seconds, result="timed out" if finished.timed_out else "ended",
            output=finished.output.strip(),
        )  # fmt: skip
        if finished.code is not None:
            self._diary.history.append(Hooked(record.id, finished.code))

    def _note(self, what: str, **fields: bytes | str | float | None) -> None:
        if self._log is not None:
            self._log.note(what, **fields)

    def _read_back(self, since: float) -> Quota:
        """What has come since then, of this program and of others before it."""
        records: list[Record] = []
        for record in self._diary.history.read():
            if record.time < since:
                break
            records.append(record)
        return read_back(records)

    def _about(self) -> dict[str, Any]:
        resting = [
            {
                "name": self._name_of(one.peer),
                "manifest": one.manifest.hex(),
                "reason": self._show(one.reason),
                "left": round(one.left),
            }
            for one in self._admission.resting()[:_MOST_RESTING]
        ]
        lost = self._log.lost if self._log is not None else 0
        return {"declined": self._declined, "resting": resting, "lost_log": lost}
