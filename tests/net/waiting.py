"""Programs that send and receive, each in a thread of its own, over real sockets on loopback."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, Queue
from random import Random
from typing import Any, TypeVar

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.events import Event, Listening
from securecp.net import attend, dial
from securecp.net.attend import ReceiveOptions
from securecp.net.delivery import Outcome, Recipient
from securecp.net.dial import SendOptions
from securecp.net.running import Running, Transfer
from securecp.net.udp import UdpSocket
from securecp.session import Decision

PATIENCE = 30.0
HERE = Endpoint("127.0.0.1", 0)
E = TypeVar("E")


def identity(name: str) -> Identity:
    return Identity.generate(Random(name).randbytes)


def write(path: Path, size: int) -> Path:
    path.write_bytes(Random(path.name).randbytes(size))
    return path


class Program:
    """Something in a thread; its events, and what it ended with."""

    def __init__(self) -> None:
        self.running = Running()
        self.events: list[Event] = []
        self.result: Any = None
        self.error: BaseException | None = None
        self._queue: Queue[Event | None] = Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def work(self) -> Any:
        raise NotImplementedError

    def emit(self, event: Event) -> None:
        self._queue.put(event)

    def until(self, kind: type[E], when: Callable[[E], bool] = lambda _: True) -> E:
        """Read events until one of this kind."""
        while (event := self._queue.get(timeout=PATIENCE)) is not None:
            self.events.append(event)
            if isinstance(event, kind) and when(event):
                return event
        raise AssertionError(f"no {kind.__name__}: {self.events}, {self.error!r}")

    def ended(self, within: float = PATIENCE) -> Any:
        """Wait for the end; the result, or the error raised."""
        self._thread.join(within)
        assert not self._thread.is_alive(), self.events
        while True:
            try:
                event = self._queue.get_nowait()
            except Empty:
                break
            if event is not None:
                self.events.append(event)
        if self.error is not None:
            raise self.error
        return self.result

    def transfers(self) -> list[Transfer]:
        """The table, asked for from outside."""
        found: Queue[list[Transfer]] = Queue()
        self.running.call(lambda: found.put(self.running.transfers()))
        return found.get(timeout=PATIENCE)

    def cancel(self, number: int) -> bool:
        found: Queue[bool] = Queue()
        self.running.call(lambda: found.put(self.running.cancel(number)))
        return found.get(timeout=PATIENCE)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.running.stop()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error
        self._queue.put(None)


class Receiver(Program):
    """Takes what anybody offers, unless the options say otherwise."""

    def __init__(self, into: Path, name: str = "bob", **options: Any) -> None:
        super().__init__()
        into.mkdir(exist_ok=True)
        self.into = into
        self.ask: Callable[[Any], bool] = options.pop("ask", lambda _: True)
        self.udp = UdpSocket(HERE._replace(port=options.pop("port", 0)))
        self.endpoint = self.udp.endpoint
        self.options = ReceiveOptions(
            **{
                "identity": identity(name),
                "allowed": lambda _: True,
                "policy": lambda _: Decision.ACCEPT,
                "into": lambda _: into,
                "sockets": [self.udp],
                "running": self.running,
                **options,
            }
        )

    def work(self) -> int:
        with closing(self.udp):
            return attend.receive(self.options, self.emit, self.ask)


class Sender(Program):
    """Sends to whoever is given."""

    def __init__(self, *to: Receiver, name: str = "alice", **options: Any) -> None:
        super().__init__()
        self.options = SendOptions(
            **{
                "identity": identity(name),
                "recipients": tuple(
                    Recipient(bytes(one.options.identity.public), (one.endpoint,)) for one in to
                ),
                "timeout": PATIENCE,
                "running": self.running,
                **options,
            }
        )

    def work(self) -> list[Outcome]:
        return dial.deliver(self.options, self.emit)


@contextmanager
def started(*programs: Program) -> Iterator[None]:
    """Running; stopped in the end."""
    for program in programs:
        program.start()
        if isinstance(program, Receiver):
            program.until(Listening)
    try:
        yield
    finally:
        for program in programs:
            program.stop()
