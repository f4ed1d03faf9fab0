"""The library: real transfers over loopback, watched, cancelled, declined, many at once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import securecp
from keys.contacts import Contacts
from keys.identity import Identity
from keys.policy import Contact
from securecp.api import Inbox, Offer, Person
from securecp.errors import DeclinedError, InterruptedTransferError, NotReachedError, SourceError
from securecp.events import Connected, Done, Offered, Progress
from tests.cli.program import keygen, meet

PATIENCE = 30.0
EXAMPLES = Path(__file__).parent.parent / "examples"

Names = tuple[str, ...]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await work

    asyncio.run(bounded())


class World:
    """People who know each other, each with a place for state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("alice", "bob", "carol")
        self._identities = {
            name: Identity.generate(Random(name).randbytes)
            for name in names  # the same keys each time
        }

    def person(self, name: str, **changes: Any) -> Person:
        """One of them; `changes` are what their contacts may not do."""
        own = self._identities[name].public
        contacts = Contacts(own=own)
        for other, identity in self._identities.items():
            if other != name:
                contacts = contacts.add(Contact(other, identity.public, **changes))
        state = self.folder / f"state of {name}"
        return Person(self._identities[name], contacts, state=state)

    def write(self, name: str, size: int) -> Path:
        path = self.folder / name
        path.write_bytes(Random(name).randbytes(size))
        return path

    @asynccontextmanager
    async def inbox(self, name: str, **changes: Any) -> AsyncIterator[tuple[Inbox, Any]]:
        """Somebody waits; the inbox, and where."""
        person = self.person(name, **changes)
        async with person.receive(self.folder / f"in {name}", at=("127.0.0.1", 0)) as inbox:
            host, _, port = inbox.endpoint.rpartition(":")
            yield inbox, (host, int(port))

    def arrived(self, name: str) -> Names:
        return tuple(sorted(os.listdir(self.folder / f"in {name}")))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def first_of(inbox: Inbox) -> Offer:
    async for offer in inbox:
        return offer
    raise AssertionError("no offer came")


def test_import_is_cheap_and_leaves_asyncio_alone() -> None:
    check = (
        "import sys, securecp; assert 'asyncio' not in sys.modules; "
        "assert not [name for name in sys.modules if name.startswith('securecp.')]; "
        "assert 'Person' in securecp.__all__; securecp.Person; assert 'asyncio' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
    with pytest.raises(AttributeError):
        _ = securecp.nothing


def test_the_command_does_without_asyncio() -> None:
    check = (
        "import sys; from securecp.cli import main, send; from securecp.net import dial, attend;"
        "assert 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_transfer_is_watched_and_awaited(world: World) -> None:
    async def both() -> None:
        path = world.write("holiday", 3_000_000)
        async with world.inbox("bob") as (inbox, at):
            transfer = world.person("alice").send(path, to="bob", at=at)
            offer = await first_of(inbox)
            assert (offer.name, offer.files, offer.size) == ("alice", 1, 3_000_000)
            assert offer.names == (b"holiday",) and not offer.resumed
            assert not (await peek(transfer)).over, "nothing comes before the answer"
            taking = offer.accept()
            events = [event async for event in transfer]
            done = await transfer
            assert (await taking).digest == done.digest
        assert [type(event) for event in events[:2]] == [Connected, Offered]
        assert isinstance(events[-1], Done) and isinstance(events[-2], Progress)
        assert transfer.progress is not None and transfer.progress.moved == 3_000_000
        assert (world.folder / "in bob" / "holiday").read_bytes() == path.read_bytes()
        assert done.names == (b"holiday",) or done.files == 1

    run(both())


async def peek(transfer: securecp.Transfer) -> securecp.Transfer:
    """After everything that is on its way has come."""
    await asyncio.sleep(0)
    return transfer


def test_a_declined_offer_is_an_error_on_both_sides(world: World) -> None:
    async def both() -> None:
        async with world.inbox("bob") as (inbox, at):
            transfer = world.person("alice").send(world.write("x", 10), to="bob", at=at)
            offer = await first_of(inbox)
            offer.decline()
            with pytest.raises(DeclinedError):
                await transfer
            with pytest.raises(DeclinedError):
                await offer.accept()
        assert world.arrived("bob") == ()

    run(both())


@pytest.mark.parametrize("changes", [{"accept": "never"}, {"max_size": 9}])
def test_what_the_contact_may_not_do_is_not_even_shown(
    world: World, changes: dict[str, Any]
) -> None:
    async def both() -> None:
        async with world.inbox("bob", **changes) as (inbox, at):
            transfer = world.person("alice").send(world.write("x", 10), to="bob", at=at)
            with pytest.raises(DeclinedError):
                await transfer
            assert not inbox._feed._waiting

    run(both())


def test_f43_cancelled_in_the_middle_it_goes_on_from_there(world: World) -> None:
    async def both() -> None:
        path = world.write("large", 100 << 20)
        async with world.inbox("bob") as (inbox, at):
            alice = world.person("alice")
            transfer = alice.send(path, to="bob", at=at)
            taking = (await first_of(inbox)).accept()
            async for event in transfer:
                if isinstance(event, Progress) and event.moved > 20 << 20:
                    transfer.cancel()
            with pytest.raises(InterruptedTransferError):
                await transfer
            with pytest.raises(InterruptedTransferError):
                await taking
            assert world.arrived("bob") == () or all(
                name.startswith(".") for name in world.arrived("bob")
            )
            again = alice.send(path, to="bob", at=at)
            offer = await first_of(inbox)
            assert offer.resumed, "nobody is asked twice"
            done = await again
            assert done.saved > 10 << 20
            await offer.accept()
        assert (world.folder / "in bob" / "large").read_bytes() == path.read_bytes()

    run(both())


def test_cancelling_the_task_cancels_the_transfer(world: World) -> None:
    async def both() -> None:
        path = world.write("large", 100 << 20)
        async with world.inbox("bob") as (inbox, at):
            transfer = world.person("alice").send(path, to="bob", at=at)
            taking = (await first_of(inbox)).accept()
            async for event in transfer:
                if isinstance(event, Progress):
                    break
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(transfer.wait(), 0.01)
            assert transfer.over
            with pytest.raises(InterruptedTransferError):
                await taking

    run(both())


def test_leaving_a_block_early_cancels_what_it_was_about(world: World) -> None:
    async def both() -> None:
        async with world.inbox("bob") as (inbox, at):
            async with world.person("alice").send(world.write("x", 10), to="bob", at=at) as one:
                offer = await first_of(inbox)
            assert one.over
            with pytest.raises(InterruptedTransferError):
                await offer.accept()

    run(both())


def test_leaving_the_inbox_ends_what_it_was_at(world: World) -> None:
    async def both() -> None:
        async with world.inbox("bob") as (inbox, at):
            transfer = world.person("alice").send(world.write("x", 10), to="bob", at=at, wait=0)
            offer = await first_of(inbox)
        with pytest.raises(InterruptedTransferError):
            await transfer
        assert [one async for one in inbox] == []
        with pytest.raises(InterruptedTransferError):
            await offer.accept()

    run(both())


def test_two_at_once_do_not_wait_for_each_other(world: World) -> None:
    async def both() -> None:
        async with world.inbox("bob") as (inbox, at):
            senders = [
                world.person(name).send(world.write(f"of {name}", 2_000_000), to="bob", at=at)
                for name in ("alice", "carol")
            ]
            offers = [await first_of(inbox), await first_of(inbox)]
            assert {offer.name for offer in offers} == {"alice", "carol"}
            offers[1].accept()
            other = next(one for one in senders if one.over or one is not senders[0])
            taken = [offers[1].accept()]
            await taken[0]
            taken.append(offers[0].accept())
            await asyncio.gather(*senders, *(one.wait() for one in taken))
            assert other.over
        assert world.arrived("bob") == ("of alice", "of carol")

    run(both())


def test_several_people_get_the_same_from_one_call(world: World) -> None:
    async def both() -> None:
        path = world.write("holiday", 2_000_000)
        async with world.inbox("bob") as (bob, at), world.inbox("carol") as (carol, there):
            alice = world.person("alice")
            people = [
                contact.__class__(contact.name, contact.key, endpoints=(f"{place[0]}:{place[1]}",))
                for contact, place in zip(alice.contacts, (at, there), strict=True)
            ]
            contacts = Contacts(own=alice.identity.public)
            for contact in people:
                contacts = contacts.add(contact)
            alice = Person(alice.identity, contacts)
            transfers = alice.send_all(path, to=["bob", "carol"])
            (await first_of(carol)).decline()
            with pytest.raises(DeclinedError):
                await transfers[1]
            (await first_of(bob)).accept()
            done = await transfers[0]
            assert done.size == 2_000_000
        assert world.arrived("bob") == ("holiday",)
        assert world.arrived("carol") == ()

    run(both())


def test_what_cannot_be_is_said(world: World) -> None:
    async def alone() -> None:
        alice = world.person("alice")
        nowhere = ("127.0.0.1", 9)
        with pytest.raises(NotReachedError):
            await alice.send(world.write("x", 10), to="bob", at=nowhere, timeout=0.2)
        with pytest.raises(SourceError):
            await alice.send(world.folder / "gone", to="bob", at=nowhere, timeout=0.2)
        with pytest.raises(OSError), open(world.folder / "gone"):
            pass

    run(alone())


def test_the_examples_work_as_they_stand(tmp_path: Path) -> None:
    keys = {name: keygen(tmp_path / name) for name in ("alice", "bob")}
    meet(tmp_path / "bob", "alice", keys["alice"])
    (tmp_path / "file").write_bytes(b"content")

    def start(name: str, example: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / example), *arguments],
            env={**os.environ, "SECURECP_HOME": str(tmp_path / name)},
            stdout=subprocess.PIPE,
            text=True,
        )

    with start("bob", "receive_all.py", str(tmp_path / "inbox")) as bob:
        assert bob.stdout is not None
        port = bob.stdout.readline().strip().rpartition(":")[2]
        meet(tmp_path / "alice", "bob", keys["bob"], "--endpoint", f"127.0.0.1:{port}")
        with start("alice", "send_a_file.py", "bob", str(tmp_path / "file")) as alice:
            said, _ = alice.communicate(timeout=PATIENCE)
        assert alice.returncode == 0
        assert said.endswith("bob has 1 files, 7 bytes, and has signed for them\n")
        assert bob.stdout.readline() == "1 files, 7 bytes from alice\n"
        bob.kill()
    assert (tmp_path / "inbox" / "file").read_bytes() == b"content"


def test_a_question_that_is_open_is_not_answered_by_another_session(world: World) -> None:
    """The same offer again, from the same contact's second program: the answer counts for both."""

    async def both() -> None:
        path = world.write("x", 10)
        async with world.inbox("bob") as (inbox, at):
            first = world.person("alice").send(path, to="bob", at=at)
            offer = await first_of(inbox)
            second = world.person("alice").send(path, to="bob", at=at)
            with pytest.raises(InterruptedTransferError):
                await first
            assert not second.over and world.arrived("bob") == ()
            taking = offer.accept()
            assert (await second).files == 1
            assert (await taking).files == 1

    run(both())
