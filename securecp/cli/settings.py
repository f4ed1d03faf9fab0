"""config.toml as a value: what may stand in it, and what holds where it is silent (SPEC §10.10).

    servers = ["ws://rendezvous.example.net:4480#…"]
    lan = true
    limit = "2M"

    [receive]
    into = "~/inbox"

Every setting has one name, `limit` or `receive.into`, and one row in `SETTINGS`. A name that is
not known is refused, not passed over: `reley = false` must not leave someone relayed. Nothing here
touches the disk (`cli.configfile` does), and reading needs no more than the standard library.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from securecp.cli.failures import UsageError, nearest
from securecp.cli.text import quoted, safe_text

if TYPE_CHECKING:
    from securecp.nat.serveraddress import ServerAddress
    from securecp.net.means import Means

MOST_SERVERS = 4
LOOKING = 60.0
"""Seconds for which a peer is looked for, unless the file says otherwise."""
Plain = bool | int | float | str | list[str] | None
"""A value as TOML has it; None stands for none, and is not written."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person wants unless the command line says otherwise."""

    servers: "tuple[ServerAddress, ...]" = ()
    lan: bool = True
    port_mapping: bool = True
    relay: bool = True
    limit: int | None = None
    """Bytes per second."""
    wait: float = 3600.0
    """Seconds for which a peer that has gone is waited for."""
    send_timeout: float = 10.0
    send_congestion: Literal["bbr", "cubic"] = "bbr"
    send_background: bool = False
    send_symlinks: bool = False
    receive_into: str | None = None
    """A whole path, perhaps one that begins with `~`."""
    receive_listen: str = "0.0.0.0:4400"
    receive_on_conflict: Literal["rename", "skip", "overwrite", "ask"] = "rename"
    receive_reserve: int | None = None
    """Bytes of the disk that stay free; None: what the store finds sensible."""
    receive_symlinks: bool = False
    receive_exec: str | None = None
    receive_log: str | None = None
    """A whole path, perhaps one that begins with `~`."""
    receive_notify: bool = True
    given: Mapping[str, Plain] = field(default_factory=dict)
    """What the file says, by name, as it stands there; all else is a default."""

    def means(self, *, relay: bool | None, lan: bool | None) -> "Means | None":
        """How peers may be found, if at all; what the command line says comes first."""
        from securecp.net.means import Means

        lan = self.lan if lan is None else lan
        relay = self.relay if relay is None else relay
        return Means(self.servers, lan, self.port_mapping, relay) if lan or self.servers else None

    def patience(self, *, typed: bool) -> float:
        """Seconds to wait for a peer; one that must be looked for may yet have to start."""
        if typed or "send.timeout" in self.given:
            return self.send_timeout
        return LOOKING


class SettingsError(UsageError):
    """The settings file is not wholly understood, so none of it counts."""


class Setting(NamedTuple):
    """One row of the table."""

    ordinary: Plain
    """What holds where the file is silent, as it would stand there."""
    read: Callable[[Any], Any]
    """From the file's value; `SettingsError` if it cannot be meant."""
    words: str
    """What it is, for --help."""


def parse(text: str) -> Settings:
    """From the text of the file; `SettingsError` names the line and the setting."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise SettingsError(f"not valid TOML: {_small(safe_text(reason, 120))}") from None
    try:
        return settings_from(_flat(document))
    except _WrongError as error:
        line = line_of(text, error.name)
        place = f"line {line}: " if line else ""
        raise SettingsError(f"{place}{error.message}", error.hint) from None


def settings_from(given: Mapping[str, Plain]) -> Settings:
    """From values by name; `SettingsError` if one is not known or cannot be meant."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        setting = lookup(name)
        try:
            found[name.replace(".", "_")] = setting.read(value)
        except SettingsError as error:
            raise _WrongError(name, f"{name} {error.message}", error.hint) from None
    return Settings(**found, given=dict(given))


def lookup(name: str) -> Setting:
    """The row of this name, or an error with the nearest."""
    if name in SETTINGS:
        return SETTINGS[name]
    if name in SECTIONS:
        own = ", ".join(known for known in SETTINGS if known.startswith(f"{name}."))
        raise _WrongError(name, f"{name} is a section, not a setting", f"in it are {own}")
    otherwise = "securecp config --help lists them"
    own = " or ".join(known for known in SETTINGS if known.endswith(f".{name}"))
    guess = f"did you mean {own}?" if own else nearest(name, [*SETTINGS, *SECTIONS]) or otherwise
    raise _WrongError(name, f"there is no setting {quoted(name, 60)}", guess)


def typed(name: str, text: str) -> Plain:
    """The value that someone means who typed `text` for this setting."""
    ordinary = lookup(name).ordinary
    if isinstance(ordinary, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(ordinary, float):
        try:
            number = float(text)
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
    return text


def server(text: str) -> "ServerAddress":
    """A server's URL, as `securecp serve` prints it."""
    from securecp.errors import ProtocolError
    from securecp.nat import serveraddress

    try:
        return serveraddress.parse(text)
    except ProtocolError as error:  # here it is the person's text, not a peer's
        raise SettingsError(error.message, error.hint) from None


def line_of(text: str, name: str) -> int:
    """On which line `name` is set, in TOML as people write it; 0 if that cannot be seen."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = f"{header[1]}."
            if header[1] == name:
                return number
        elif (key := _KEY.match(line)) and section + key[1] == name:
            return number
    return 0


class _WrongError(SettingsError):
    """The setting `name` is wrong; the message names it, too."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.name = name


def _flat(document: Mapping[str, Any]) -> dict[str, Plain]:
    """`[receive] into` becomes `receive.into`."""
    flat: dict[str, Plain] = {}
    for name, value in document.items():
        if name in SECTIONS and isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            flat[name] = value
    return flat


# How values are read. The messages go on after the name of the setting.


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise SettingsError("is true or false", "without quotes")
    return value


def _text(value: object, example: str) -> str:
    if type(value) is not str:
        raise SettingsError("is a text in quotes", f"write for example {example}")
    return value


def _one_of(*choices: str) -> Callable[[object], str]:
    known = " or ".join(f'"{choice}"' for choice in choices)

    def read(value: object) -> str:
        if value not in choices:
            raise SettingsError(
                f"is {known}", nearest(value, choices) if isinstance(value, str) else ""
            )
        return str(value)

    return read


def _seconds(value: object) -> float:
    if type(value) not in {int, float} or not 0.1 <= value <= 3600:  # type: ignore[operator]
        raise SettingsError("is a number of seconds, 0.1 to 3600")
    return float(value)  # type: ignore[arg-type]


def _rate(value: object) -> int:
    from securecp.cli import units

    try:
        return units.parse_rate(_text(value, '"2M"'))
    except ValueError as error:
        raise SettingsError(
            f"is not usable: {error}", 'write for example "500k", "1.5MB/s" or "20Mbit"'
        ) from None


def _duration(value: object) -> float:
    from securecp.cli import units

    try:
        return units.parse_duration(_text(value, '"1h"'))
    except ValueError as error:
        raise SettingsError(f"is not usable: {error}", '"0" does not wait') from None


def _size(value: object) -> int:
    from securecp.cli import units

    try:
        return units.parse_size(_text(value, '"10GB"'))
    except ValueError as error:
        raise SettingsError(f"is not usable: {error}") from None


def _command(value: object) -> str:
    text = _text(value, '"/usr/local/bin/arrived"')
    if not text.strip() or not text.isprintable() or len(text) > 4096:
        raise SettingsError(f"is {quoted(text, 60)}, not a command")
    return text


def _path(value: object) -> str:
    text = _text(value, '"~/inbox"')
    whole = text.startswith(("/", "~/")) or re.match(r"[A-Za-z]:[\\/]", text)
    if not whole or not text.isprintable() or len(text) > 4096:
        raise SettingsError(
            f"is {quoted(text, 60)}, not a whole path", 'write for example "/srv/in" or "~/inbox"'
        )
    return text


def _endpoint(value: object) -> str:
    from securecp.cli import endpoints

    text = _text(value, '"0.0.0.0:4400"')
    try:
        endpoints.split(text)
    except UsageError as error:
        raise SettingsError(f"is not usable: {error.message}", error.hint) from None
    return text


def _servers(value: object) -> "tuple[ServerAddress, ...]":
    if type(value) is not list:
        raise SettingsError("is a list", 'write for example ["ws://rendezvous.example.net:4480#…"]')
    if len(value) > MOST_SERVERS:
        raise SettingsError(f"has {len(value)} entries, and {MOST_SERVERS} are the most")
    found: list[ServerAddress] = []
    for number, text in enumerate(value, 1):
        try:
            address = server(_text(text, '"ws://rendezvous.example.net:4480#…"'))
        except SettingsError as error:
            raise SettingsError(f"number {number}: {error.message}", error.hint) from None
        if address in found:
            raise SettingsError(f"number {number} is there already")
        found.append(address)
    return tuple(found)


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


SECTIONS = ("send", "receive")
SETTINGS: dict[str, Setting] = {
    "servers": Setting([], _servers, "where people find each other, 4 at most"),
    "lan": Setting(True, _flag, "look for people on this network"),
    "port_mapping": Setting(True, _flag, "ask the router for a port"),
    "relay": Setting(True, _flag, "if nothing else works, go through a server's relay"),
    "limit": Setting(None, _rate, "at most this fast, as --limit"),
    "wait": Setting("1h", _duration, "how long to wait for who goes away, as --wait"),
    "send.timeout": Setting(
        10.0,
        _seconds,
        "how long to wait for an answer, in seconds (60 if the peer must be looked for)",
    ),
    "send.congestion": Setting("bbr", _one_of("bbr", "cubic"), "as --congestion"),
    "send.background": Setting(False, _flag, "give way to all other traffic"),
    "send.symlinks": Setting(False, _flag, "send symbolic links, as --symlinks"),
    "receive.into": Setting(None, _path, "where files go"),
    "receive.listen": Setting("0.0.0.0:4400", _endpoint, "where to wait"),
    "receive.on_conflict": Setting(
        "rename",
        _one_of("rename", "skip", "overwrite", "ask"),
        "if a file of that name is there",
    ),
    "receive.reserve": Setting(None, _size, "how much of the disk stays free, as --reserve"),
    "receive.symlinks": Setting(False, _flag, "make symbolic links, as --symlinks"),
    "receive.exec": Setting(None, _command, "what to run after each transfer, as --exec"),
    "receive.log": Setting(None, _path, "where to write what happens, as --log"),
    "receive.notify": Setting(True, _flag, "show a notification when something has come"),
}
_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]")
_KEY = re.compile(r'\s*"?([A-Za-z0-9_.-]+)"?\s*=')
