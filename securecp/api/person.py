"""Somebody on this machine: an identity, the contacts, and how peers are found."""

import os
import socket
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from keys.contacts import Contacts
from keys.contactsfile import ContactsFile
from keys.identity import Identity
from keys.secret import Secret
from securecp.api.engine import Engine
from securecp.api.inbox import Inbox
from securecp.api.transfer import Transfer
from securecp.endpoint import Endpoint
from securecp.errors import NotReachedError, SecurecpError
from securecp.events import Event, Offered
from securecp.net.delivery import Outcome, Recipient
from securecp.net.means import Means

if TYPE_CHECKING:
    from keys.policy import Contact
    from securecp.net.attend import ReceiveOptions
    from securecp.net.dial import SendOptions
    from securecp.net.udp import UdpSocket

Address = tuple[str, int]
"""Host and port, as in `socket`."""
PathLike = str | os.PathLike[str]


class Person:
    """Who we are and whom we know. Everything else begins with `send` or `receive`."""

    def __init__(
        self,
        identity: Identity,
        contacts: Contacts | ContactsFile,
        *,
        state: Path | None = None,
        means: Means | None = None,
    ) -> None:
        """`state`: a private folder for what resuming needs; without it nothing can be resumed.

        `means`: the servers that peers are found by, and whether this network is searched; without
        them we call, and are called, at addresses only.
        """
        self.identity = identity
        self._contacts = contacts
        self._state = state
        self._means = means

    @classmethod
    def load(cls, home: PathLike | None = None, *, passphrase: str | None = None) -> Self:
        """Who `securecp keygen` made on this machine, with contacts and servers as the command has.

        `home` is what `--home` would be; else it is where the command finds it.
        """
        from keys import keyfile

        settings, state = _folders(home)
        secret = None if passphrase is None else Secret(passphrase)
        identity = keyfile.load(
            settings / "identity.key", None if secret is None else lambda: secret
        )
        contacts = ContactsFile(settings / "contacts.toml", identity.public)
        contacts.load()
        return cls(
            identity, contacts, state=state / "transfers", means=_means(settings / "config.toml")
        )

    @property
    def key(self) -> str:
        """Our public key, for others to add us as a contact."""
        return str(self.identity.public)

    @property
    def contacts(self) -> Contacts:
        """Whom we know, as the file says now."""
        contacts = self._contacts
        return contacts.current() if isinstance(contacts, ContactsFile) else contacts

    def send(
        self,
        paths: PathLike | Iterable[PathLike],
        to: str,
        *,
        at: Address | None = None,
        timeout: float = 60.0,
        wait: float = 3600.0,
    ) -> Transfer:
        """Begin to give files and folders to a contact; call it in a running asyncio loop.

        `at`: where they wait; else they are looked for. `timeout`: seconds for an answer. `wait`:
        seconds for which a contact who has gone is called again.
        """
        (transfer,) = _send(self, _listed(paths), [self.contacts.lookup(to)], at, timeout, wait)
        return transfer

    def send_all(
        self,
        paths: PathLike | Iterable[PathLike],
        to: Iterable[str],
        *,
        at: Address | None = None,
        timeout: float = 60.0,
        wait: float = 3600.0,
    ) -> list[Transfer]:
        """The same to several contacts or groups at once; a transfer for each of them."""
        found = [contact for name in to for contact in self.contacts.resolve(name)]
        return _send(self, _listed(paths), list(dict.fromkeys(found)), at, timeout, wait)

    def receive(self, into: PathLike, *, at: Address | None = None) -> Inbox:
        """Wait for offers of contacts, in `async with`; what is accepted goes into the folder.

        `at`: where to wait; else at any port, to be found by `means`.
        """
        folder = Path(into).absolute()

        def options(sockets: "list[UdpSocket]", inbox: Inbox) -> "ReceiveOptions":
            from securecp.net.attend import ReceiveOptions

            folder.mkdir(parents=True, exist_ok=True)
            return ReceiveOptions(
                identity=self.identity,
                allowed=self._allows,
                policy=inbox._decide,
                into=lambda _: folder,
                sockets=sockets,
                means=self._means if at is None else None,
                contacts=lambda: [bytes(one.key) for one in self.contacts if not one.blocked],
                **self._journals(),
            )

        return Inbox(lambda: _sockets(at), options, self.name_of, self._refuses)

    def name_of(self, public_key: bytes) -> str:
        """What the contact with this key is called here; the key's text for anybody else."""
        from keys.identity import PublicKey

        contact = self.contacts.by_key(public_key)
        return contact.name if contact is not None else str(PublicKey(public_key))

    # inside

    def _allows(self, public_key: bytes) -> bool:
        """Whether they may speak with us, as the contacts say now."""
        return self.contacts.allowed(public_key)

    def _refuses(self, offered: Offered) -> bool:
        """What the contact may not do at all."""
        contact = self.contacts.by_key(offered.peer)
        if contact is None or contact.blocked or contact.accept == "never":
            return True
        return contact.max_size is not None and offered.size > contact.max_size

    def _journals(self) -> dict[str, Any]:
        if self._state is None:
            return {}
        from securecp.disk.journal import Journals

        return {"journals": Journals(self._state, self.identity.derive(b"securecp 1 journal"))}

    def _memories(self) -> Any:
        if self._state is None:
            return None
        from securecp.disk.memory import Memories

        return Memories(self._state / "sent", self.identity.derive(b"securecp 1 memory"))


def _send(
    person: Person,
    paths: Sequence[PathLike],
    people: "list[Contact]",
    at: Address | None,
    timeout: float,
    wait: float,
) -> list[Transfer]:
    """One engine, a transfer for each contact."""
    transfers: dict[bytes, Transfer] = {}

    def work(engine: Engine) -> None:
        from securecp.net import dial

        def emit(event: Event) -> None:
            peer = getattr(event, "peer", b"")
            if peer in transfers:
                engine.tell(transfers[peer]._on_event, event)

        options = _options(person, paths, people, at, timeout, wait)
        dial.deliver(
            options._replace(
                settled=lambda outcome: engine.tell(_settle, transfers, outcome),
                running=engine.running,
            ),
            emit,
        )

    def finish(result: object) -> None:
        error = result if isinstance(result, BaseException) else SecurecpError("it has ended")
        for transfer in transfers.values():
            transfer._on_error(error)

    engine = Engine(work, finish)
    for number, contact in enumerate(people, 1):
        transfers[bytes(contact.key)] = Transfer(
            bytes(contact.key), contact.name, _canceller(engine, number)
        )
    engine.start()
    return list(transfers.values())


def _listed(paths: PathLike | Iterable[PathLike]) -> list[PathLike]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def _canceller(engine: Engine, number: int) -> Callable[[], None]:
    running = engine.running
    return lambda: running.call(lambda: running.cancel(number))


def _settle(transfers: dict[bytes, Transfer], outcome: Outcome) -> None:
    transfer = transfers[outcome.peer]
    if outcome.done is not None:
        transfer._on_done(outcome.done)
    elif outcome.error is not None:
        transfer._on_error(outcome.error)


def _options(
    person: Person,
    paths: Sequence[PathLike],
    people: "list[Contact]",
    at: Address | None,
    timeout: float,
    wait: float,
) -> "SendOptions":
    from securecp.net.dial import SendOptions
    from securecp.net.sources import Files

    for contact in people:
        if contact.blocked:
            raise SecurecpError(f"{contact.name} is blocked")
    return SendOptions(
        identity=person.identity,
        recipients=tuple(
            Recipient(bytes(contact.key), tuple(_places(contact, at))) for contact in people
        ),
        timeout=timeout,
        wait=wait,
        means=person._means if at is None else None,
        sources=Files([Path(path) for path in paths], memories=person._memories()),
    )


def _places(contact: "Contact", at: Address | None) -> Iterable[Endpoint]:
    """Where a contact can be called."""
    if at is not None:
        return _resolved(*at)
    found = []
    for text in contact.endpoints:
        host, _, port = text.rpartition(":")
        found += _resolved(host.strip("[]"), int(port))
    return found


def _resolved(host: str, port: int) -> list[Endpoint]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise NotReachedError(f"there is no host {host!r}") from None
    return list(dict.fromkeys(Endpoint(str(item[4][0]), port) for item in found))


def _sockets(at: Address | None) -> "list[UdpSocket]":
    from securecp.net.bind import bind, bind_both

    return bind_both() if at is None else [bind(_resolved(*at)[0])]


def _folders(home: PathLike | None) -> tuple[Path, Path]:
    """Settings and state, as the command has them."""
    chosen = home if home is not None else os.environ.get("SECURECP_HOME")
    if chosen:
        folder = Path(chosen).absolute()
        return folder, folder
    from platformdirs import PlatformDirs

    places = PlatformDirs("securecp", appauthor=False)
    return places.user_config_path, places.user_state_path


def _means(config: Path) -> Means | None:
    """What the command's settings say of finding peers."""
    from securecp.nat import serveraddress

    said: dict[str, Any] = {}
    try:
        said = tomllib.loads(config.read_text("utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise SecurecpError(f"{config} cannot be read: {error}") from None
    servers = tuple(serveraddress.parse(text) for text in said.get("servers", ()))
    lan = bool(said.get("lan", True))
    if not servers and not lan:
        return None
    return Means(servers, lan, bool(said.get("port_mapping", True)), bool(said.get("relay", True)))
