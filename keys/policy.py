"""Contact: one person, their key, and what we let them do (SPEC §3.3).

Every field is checked here, whether it comes from the file or from a command. A field that is
not known is refused, not passed over: `blokced = true` must not leave someone unblocked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Literal, get_args

from keys.errors import ContactsError, KeysError, printable
from keys.identity import Card, PublicKey
from keys.names import check_name, nearest

Accept = Literal["ask", "always", "never"]
OnConflict = Literal["rename", "skip", "overwrite"]
Proof = Literal["pair-code", "qr"]

MOST_ENDPOINTS = 16
LONGEST_PATH = 4096
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]")


@dataclass(frozen=True, slots=True)
class Verified:
    """That the key was compared with its owner: when, and how."""

    on: date
    how: Proof


@dataclass(frozen=True, slots=True)
class Contact:
    """A petname and a public key, and what its owner may do."""

    name: str
    key: PublicKey
    card: Card | None = None
    endpoints: tuple[str, ...] = ()
    accept: Accept = "ask"
    into: str | None = None
    max_size: int | None = None
    """Largest transfer in bytes that we take from them."""
    daily_quota: int | None = None
    """Bytes that we take from them within 24 hours."""
    on_conflict: OnConflict | None = None
    """What happens to a file of theirs whose name is taken; None: what happens to anybody's."""
    verified: Verified | None = None
    blocked: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        check_accept(self.accept)
        for endpoint in self.endpoints:
            check_endpoint(endpoint)
        if len(self.endpoints) > MOST_ENDPOINTS:
            raise ContactsError(f"more than {MOST_ENDPOINTS} endpoints")
        if self.into is not None:
            check_into(self.into)
        check_bytes("max_size", self.max_size)
        check_bytes("daily_quota", self.daily_quota)
        if self.on_conflict is not None:
            check_on_conflict(self.on_conflict)
        if self.card is not None and self.card.key != self.key:
            raise ContactsError("the card belongs to another public key than this contact's")


def check_accept(accept: str) -> None:
    """One of the three words."""
    if accept not in get_args(Accept):
        raise ContactsError(f"accept is {printable(accept)}", 'It is "ask", "always" or "never".')


def check_on_conflict(on_conflict: str) -> None:
    """One of the three words."""
    if on_conflict not in get_args(OnConflict):
        raise ContactsError(
            f"on_conflict is {printable(on_conflict)}", 'It is "rename", "skip" or "overwrite".'
        )


def check_bytes(field: str, count: int | None) -> None:
    """A bound that a file can hold, or none."""
    if count is not None and not 0 <= count < 1 << 63:
        raise ContactsError(f"{field} is a number of bytes, below 2^63")


def check_endpoint(endpoint: str) -> None:
    """`host:port`, `1.2.3.4:port` or `[v6]:port`; nothing is looked up."""
    host, _, port = endpoint.rpartition(":")
    good = _PORT.fullmatch(port) is not None and int(port) < 1 << 16
    if not good or not (_is_bracketed(host) or _HOST.fullmatch(host)):
        raise ContactsError(
            f"{printable(endpoint)} is not an endpoint", "Write HOST:PORT, or [IPV6]:PORT."
        )


def _is_bracketed(host: str) -> bool:
    inside = _BRACKETED.fullmatch(host)
    if inside is None:
        return False
    try:
        IPv6Address(inside[1])
    except AddressValueError:
        return False
    return True


def check_into(into: str) -> None:
    """An absolute folder, or one in the home directory, whatever folder the command runs in."""
    absolute = into.startswith(("/", "~/")) or into == "~" or re.match(r"[A-Za-z]:[\\/]", into)
    if not absolute or not into.isprintable() or len(into) > LONGEST_PATH:
        raise ContactsError(
            f"into is {printable(into)}", "It is a whole path: /srv/in, or ~/Downloads."
        )


def contact_from(name: str, table: Mapping[str, Any]) -> Contact:
    """A contact from its table in the file; `ContactsError` names the contact and the field."""
    if "key" not in table:
        raise ContactsError(f"contact {printable(name)} has no key")
    found: dict[str, Any] = {}
    for field, value in table.items():
        if field not in _READERS:
            guess = nearest(field, _READERS)
            raise ContactsError(
                f"contact {printable(name)} has the unknown field {printable(field)}",
                f"Did you mean {guess}?" if guess else "",
            )
        try:
            found[field] = _READERS[field](value)
        except (KeysError, TypeError) as error:
            message = error.message if isinstance(error, KeysError) else str(error)
            hint = error.hint if isinstance(error, KeysError) else ""
            raise ContactsError(
                f"contact {printable(name)}, field {field}: {message}", hint
            ) from None
    return Contact(name, **found)


RESTRICTIONS = {"blocked", "accept", "max_size", "daily_quota", "on_conflict"}
"""What we write before the key, so that a file cut short loses the key before the restriction."""


def table_from(contact: Contact) -> dict[str, Any]:
    """The fields as they stand in the file; those with their ordinary value are left out."""
    table: dict[str, Any] = {}
    for field in _ORDER:
        value = getattr(contact, field)
        if value != _ORDINARY[field]:
            table[field] = _WRITERS.get(field, _as_it_is)(value)
    return table


def _as_it_is(value: object) -> object:
    return value


def _exactly(kind: type) -> Callable[[object], Any]:
    """Refuses what merely passes for `kind`: true is no number, a date with time no date."""

    def read(value: object) -> Any:
        if type(value) is not kind:
            raise TypeError(f"this should be a {_WORDS[kind]}")
        return value

    return read


_WORDS = {str: "text", int: "whole number", bool: "true or false", list: "list", date: "date"}
_text = _exactly(str)


def _read_endpoints(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _exactly(list)(value))


def _read_verified(value: object) -> Verified:
    if not isinstance(value, dict) or set(value) != {"on", "how"}:
        raise TypeError('this should look like { on = 2026-01-31, how = "pair-code" }')
    how = _text(value["how"])
    if how not in get_args(Proof):
        raise TypeError('how is "pair-code" or "qr"')
    return Verified(_exactly(date)(value["on"]), how)


_READERS: dict[str, Callable[[object], Any]] = {
    "key": lambda value: PublicKey.parse(_text(value)),
    "card": lambda value: Card.parse(_text(value)),
    "endpoints": _read_endpoints,
    "accept": _text,
    "into": _text,
    "max_size": _exactly(int),
    "daily_quota": _exactly(int),
    "on_conflict": _text,
    "verified": _read_verified,
    "blocked": _exactly(bool),
}
_WRITERS: dict[str, Callable[[Any], object]] = {
    "key": str,
    "card": str,
    "endpoints": list,
    "verified": lambda value: {"on": value.on, "how": value.how},
}
_ORDER = (
    "blocked", "accept", "max_size", "daily_quota", "on_conflict",
    "key", "card", "endpoints", "into", "verified",
)  # fmt: skip
"""How we write them: restrictions before the key."""
_ORDINARY = {field.name: field.default for field in fields(Contact)}
