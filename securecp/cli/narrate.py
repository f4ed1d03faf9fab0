"""A session's events in words, as bars, or as JSON lines (`jsonlines.py`).

Many transfers may go on at once: each has a story of its own, and while there are several, what is
said of one begins with whom it is about.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence

from securecp.cli import jsonlines, units, whereabouts
from securecp.cli.failures import Failure
from securecp.cli.output import Output
from securecp.cli.personal import to_receiver, to_sender
from securecp.cli.text import safe_text
from securecp.cli.ui import Bars, progress_words
from securecp.cli.whereabouts import Servers
from securecp.cli.wording import done_lines, done_words, failed_lines, offer_words
from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    NotReachedError,
    SecurecpError,
)
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Listening,
    Offered,
    PathChanged,
    Paused,
    Progress,
    Reached,
    Reaching,
    Resumed,
    ServerState,
    Silent,
    Verifying,
    Waiting,
)

_JSON_PROGRESS = 0.25
_PLAIN_PROGRESS = 5.0
_SMOOTHING = 0.3
_TICK = 1.0
_KINDS: dict[int, type[SecurecpError]] = {
    kind.exit_code: kind for kind in (DeclinedError, NotReachedError, InterruptedTransferError)
}


class _Story:
    """What has been told of one transfer."""

    def __init__(self, peer: bytes) -> None:
        self.peer = peer
        self.words = whereabouts.Words()
        self.moving = False
        """Content was on its way: there may be something to go on with."""
        self.stream = False
        self.away_since: float | None = None
        self.full = False
        self.rate = 0.0
        self.told_at: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether the peer is waited for."""
        return self.away_since is not None

    def is_time(self, now: float, interval: float, *, first: bool) -> bool:
        """Whether `interval` has passed since the last telling; `first` says yes the first time."""
        if self.told_at is None:
            self.told_at = now
            return first
        if now - self.told_at < interval:
            return False
        self.told_at = now
        return True


class Narrator:
    """Told of every event; the shell's `emit`.

    `name_of` gives a contact's name for a public key, `text_of` the key's text.
    """

    def __init__(
        self,
        output: Output,
        *,
        sending: bool,
        name_of: Callable[[bytes], str],
        text_of: Callable[[bytes], str],
        left_out: Sequence[tuple[bytes, str]] = (),
        where: Callable[[bytes], str] = lambda _: "",
        several: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.output = output
        self.peer = b""
        """Whom the last event was about."""
        self._sending = sending
        self._name_of = name_of
        self._text_of = text_of
        self._where = where
        """Where a peer's files are, as a sentence; empty: not to be told."""
        self._left_out = tuple(left_out)
        """What was not even offered; the person was told before, scripts read it at the end."""
        self._always_several = several
        self._clock = clock
        self._stories: dict[tuple[int, bytes], _Story] = {}
        self._servers = Servers()
        self._bars: Bars | None = None
        self._screen = threading.RLock()
        """A question takes the bars off the screen from a thread of its own."""
        output.hide = self._hide
        self._counting = False
        self._closed = threading.Event()

    def __call__(self, event: Event) -> None:
        peer = getattr(event, "peer", b"")
        if peer and not isinstance(event, Reaching):
            self.peer = peer
        key = (getattr(event, "transfer", 0), peer or self.peer)
        story = self._story(key, event)
        if isinstance(event, Failed):
            event = self._personal(event, key[1])
        if isinstance(event, Done | Failed):
            self._drop(key)
        if self.output.as_json:
            self._as_json(event, story)
        else:
            self._in_words(event, story, key)
        if isinstance(event, Done | Failed):
            self._stories.pop(key, None)

    @property
    def peer_name(self) -> str:
        """Whom this is about, so far."""
        return self._name_of(self.peer)

    @property
    def underway(self) -> list[tuple[bytes, bool]]:
        """Whose transfers have content on its way, and whether it is a stream."""
        return [(one.peer, one.stream) for one in self._stories.values() if one.moving]

    def close(self) -> None:
        """We are leaving: take the bars off the screen for good."""
        self._closed.set()
        self._hide()

    def _hide(self) -> None:
        """Take the bars off the screen."""
        with self._screen:
            if self._bars is not None:
                self._bars.close()
                self._bars, self.output.above = None, None

    def _story(self, key: tuple[int, bytes], event: Event) -> _Story:
        """What was told of this transfer; a new one if it was nothing."""
        story = self._stories.get(key)
        if story is None:
            story = _Story(key[1])
            if isinstance(event, Connected | Offered | Progress | Waiting | Silent):
                self._stories[key] = story
        return story

    @property
    def _several(self) -> bool:
        return self._always_several or len(self._stories) > 1

    def _personal(self, event: Failed, peer: bytes) -> Failed:
        """Who goes on tells failures as events; they speak of the peer by name."""
        if not peer:
            return event
        plain = _KINDS.get(event.code, SecurecpError)
        personal = to_sender if self._sending else to_receiver
        story = self._stories.get((event.transfer, peer))
        stream = story is not None and story.stream
        error = personal(plain(event.message, event.hint), self._name_of(peer), stream=stream)
        return event._replace(message=error.message, hint=error.hint)

    def _as_json(self, event: Event, story: _Story) -> None:
        if isinstance(event, Progress | Verifying):
            done = event.moved if isinstance(event, Progress) else event.done
            rare = not story.is_time(self._clock(), _JSON_PROGRESS, first=True)
            if rare and not (done >= event.size > 0):
                return
        who: jsonlines.Fields = {}
        if story.peer:
            who = {"peer": self._name_of(story.peer), "key": self._text_of(story.peer)}
        self._note_state(event, story)
        line = jsonlines.fields(event, who, self._left_out)
        self.output.event(jsonlines.NAMES[type(event)], **line)

    def _note_state(self, event: Event, story: _Story) -> None:
        match event:
            case Offered():
                story.stream = event.stream
            case Progress() | Resumed():
                story.moving = True
            case _:
                pass

    # words

    def _in_words(self, event: Event, story: _Story, key: tuple[int, bytes]) -> None:
        self._note_state(event, story)
        match event:
            case Progress() | Verifying():
                self._tell_progress(event, story, key)
            case Waiting() | Paused():
                self._tell_waiting(event, story)
            case Done():
                self._tell_done(event, story)
            case Failed():
                self._tell_failed(event)
            case Reached() | PathChanged() | Silent() | Back():
                self._tell_path(event, story)
            case Connected() | Offered() | Resumed():
                self._tell_session(event, story)
            case ServerState() | Reaching() | Listening():
                self._tell_program(event)

    def _tell_program(self, event: ServerState | Reaching | Listening) -> None:
        """What is about no transfer."""
        match event:
            case ServerState():
                connected = any(one.words.is_connected for one in self._stories.values())
                self._both(*self._servers.of(event, connected=connected))
            case Reaching():
                self._both(*whereabouts.reaching(event, self._name_of(event.peer)))
            case Listening():
                self._tell_listening(event)

    def _tell_failed(self, event: Failed) -> None:
        message, hint = safe_text(event.message, 1000), safe_text(event.hint, 1000)
        self.output.failure(Failure(message, hint, event.code))

    def _both(self, note: str, detail: str) -> None:
        if note:
            self.output.note(note)
        if detail:
            self.output.detail(detail)

    def _of(self, story: _Story, text: str) -> str:
        """A line that does not say by itself whom it is about."""
        return f"{self._name_of(story.peer)}: {text}" if text and self._several else text

    def _tell_listening(self, event: Listening) -> None:
        self.output.note(f"waiting at {event.endpoint}; Ctrl-C ends it")
        port = event.endpoint.rpartition(":")[2]
        self.output.advice(f"they type: securecp send FILES --to NAME --at THIS-MACHINE:{port}")

    def _tell_session(self, event: Connected | Offered | Resumed, story: _Story) -> None:
        name = self._name_of(story.peer)
        match event:
            case Connected():
                story.words.connected(event.path)
                self.output.note(f"connected to {name} ({event.path}){self._after(story)}")
                self.output.detail(f"at {event.endpoint}, key {self._text_of(event.peer)}")
            case Offered() if self._sending:
                self.output.note(self._of(story, f"offered {offer_words(event)}"))
                self.output.note(f"waiting for {name} to accept …")
            case Offered():
                self.output.detail(self._of(story, f"is offered {offer_words(event)}"))
            case Resumed():
                kept, size = units.size(event.kept), units.size(event.size)
                self.output.note(self._of(story, f"resuming: {kept} of {size} are there"))

    def _after(self, story: _Story) -> str:
        """They were away; for how long."""
        since, story.away_since, story.full = story.away_since, None, False
        return "" if since is None else f" again, after {units.duration(self._clock() - since)}"

    def _tell_path(self, event: Reached | PathChanged | Silent | Back, story: _Story) -> None:
        if isinstance(event, Silent) and story.away_since is None:
            story.away_since = self._clock()
            self._show_time()
        elif isinstance(event, Back):
            story.away_since = None
        note, detail = story.words.of(event, self._name_of(story.peer))
        if isinstance(event, PathChanged):
            note = self._of(story, note)
        self._both(note, detail)

    def _tell_waiting(self, event: Waiting | Paused, story: _Story) -> None:
        """Once; after that only the bar counts the time."""
        name, now = self._name_of(story.peer), self._clock()
        if isinstance(event, Paused):
            if not story.full:
                story.full = True
                disk = f"{name}'s disk" if self._sending else self._of(story, "the disk")
                self.output.note(
                    f"{disk} is full: {units.size(event.needed)} more are needed;"
                    " it goes on by itself"
                )
            return
        if story.away_since is None and not story.full:
            reason = safe_text(event.reason.replace("the peer", name), 200)
            self.output.note(f"waiting for {name} …{f' ({reason})' if reason else ''}")
        if story.away_since is None:
            story.away_since = now
        story.words.over()
        self._show_time()

    def _show_time(self) -> None:
        """Beside the bars, for how long they have been away: no event tells of that time."""
        with self._screen:
            if self._counting or not self._tell_time():
                return
            self._counting = True
        threading.Thread(target=self._count, name="time away", daemon=True).start()

    def _count(self) -> None:
        while not self._closed.wait(_TICK):
            with self._screen:
                if not self._tell_time():
                    self._counting = False
                    return

    def _tell_time(self) -> bool:
        """Whether there is anything to count."""
        away = [(key, one) for key, one in list(self._stories.items()) if one.is_away]
        if self._bars is not None:
            for key, story in away:
                seconds = self._clock() - (story.away_since or 0.0)
                words = f"waiting for {self._name_of(story.peer)}, {units.duration(seconds)}"
                self._bars.say(key, words)
        return bool(away) and self._bars is not None

    def _tell_progress(
        self, event: Progress | Verifying, story: _Story, key: tuple[int, bytes]
    ) -> None:
        if self.output.quiet:
            return
        if isinstance(event, Progress):
            story.rate += _SMOOTHING * (event.rate - story.rate) if story.rate else event.rate
            moved = event.moved
            words = progress_words(moved, event.size, story.rate)
        else:
            moved = event.done
            words = f"verifying {units.size(moved)} of {units.size(event.size)}"
        if sys.stderr.isatty():
            self._draw(key, story, moved, event.size, words)
        elif story.is_time(self._clock(), _PLAIN_PROGRESS, first=False):
            self.output.note(self._of(story, words))

    def _draw(
        self, key: tuple[int, bytes], story: _Story, moved: int, size: int, words: str
    ) -> None:
        label = self._name_of(story.peer) if self._several else ""
        with self._screen:
            if self.output.is_held:
                return
            if self._bars is None:
                self._bars = Bars()
                self.output.above = self._bars.above
            self._bars.show(key, label, moved, size, words)

    def _drop(self, key: tuple[int, bytes]) -> None:
        with self._screen:
            if self._bars is not None:
                self._bars.drop(key)
                if not len(self._bars):
                    self._hide()

    def _tell_done(self, event: Done, story: _Story) -> None:
        for line in failed_lines(event.failed):
            self.output.warning(self._of(story, line))
        if self.output.quiet:
            return
        name = self._name_of(story.peer)
        self.output.result(done_words(event, name, sending=self._sending))
        for line in (self._where(story.peer), *done_lines(event)):
            if line:
                self.output.note(self._of(story, line))
