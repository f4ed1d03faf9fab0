"""The client's own links with a running `securecp serve`: letters, circuits, a restart."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from securecp.endpoint import Burst, Endpoint
from securecp.nat import serveraddress
from securecp.nat.rendezvous import (
    Deliver,
    FromServer,
    Join,
    Joined,
    Open,
    Post,
    Subscribe,
    parse_from_server,
)
from securecp.nat.serveraddress import ServerAddress
from securecp.net.link import Down, Message, ServerLink, Up
from tests.cli.program import Background
from tests.server.people import claim, tag

T = TypeVar("T")
PATIENCE = 15.0


class Person:
    """A link, and what came by it."""

    def __init__(self, address: ServerAddress) -> None:
        self.bell = threading.Event()
        self.link = ServerLink(address, self.bell.set)
        self.heard: list[FromServer] = []
        self.ups = self.downs = 0

    def turn(self) -> None:
        for event in self.link.events():
            if isinstance(event, Message):
                self.heard.append(parse_from_server(event.data))
            self.ups += isinstance(event, Up)
            self.downs += isinstance(event, Down)

    def until(self, wanted: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + PATIENCE
        while not (found := wanted()):
            assert time.monotonic() < deadline, self.heard
            self.bell.wait(0.05)
            self.bell.clear()
            self.turn()
        return found

    def hears(self, kind: type[T]) -> T:
        return self.until(lambda: next((m for m in self.heard if isinstance(m, kind)), None))


@contextmanager
def people(address: ServerAddress) -> Iterator[tuple[Person, Person]]:
    alice, bob = Person(address), Person(address)
    try:
        yield alice, bob
    finally:
        alice.link.close()
        bob.link.close()


def serving(home: Path, listen: str = "127.0.0.1:0") -> tuple[Background, ServerAddress]:
    server = Background("serve", "--listen", listen, home=home)
    return server, serveraddress.parse(server.until("serving")["url"])


def test_letters_and_datagrams_of_two_links(tmp_path: Path) -> None:
    server, address = serving(tmp_path)
    with server, people(address) as (alice, bob):
        letter = bytes(range(256)) * 4
        bob.link.tell(Subscribe((claim(1),)).encode())
        alice.link.tell(Post(tag(1), letter).encode())
        assert bob.hears(Deliver) == Deliver(tag(1), letter)
        for person in (alice, bob):
            person.link.tell(Join(7, bytes(16)).encode())
        doors = [person.link.circuit(7) for person in (alice, bob)]
        for via, door in enumerate(doors):
            door.via = via
        for person in (alice, bob):
            person.hears(Joined)
            person.hears(Open)
        data = b"\x50" * 12_000
        doors[0].send(Burst(Endpoint("127.0.0.1", 1, 0), memoryview(data), 1_200))
        burst = bob.until(doors[1].receive)
        assert (bytes(burst.data), burst.stride, burst.endpoint.via) == (data, 1_200, 1)


def test_links_come_back_by_themselves_after_a_restart(tmp_path: Path) -> None:
    server, address = serving(tmp_path)
    with people(address) as (alice, bob):
        with server:
            for person in (alice, bob):
                person.until(lambda person=person: person.ups)  # type: ignore[misc]
            server.process.kill()
        for person in (alice, bob):
            person.until(lambda person=person: person.downs)  # type: ignore[misc]
        begun = time.monotonic()
        server, again = serving(tmp_path, f"127.0.0.1:{address.port}")
        assert again == address
        with server:
            for person in (alice, bob):
                person.until(lambda person=person: person.ups == 2)  # type: ignore[misc]
            assert time.monotonic() - begun < 10.0
            bob.link.tell(Subscribe((claim(1),)).encode())
            alice.link.tell(Post(tag(1), bytes(1024)).encode())
            bob.hears(Deliver)
