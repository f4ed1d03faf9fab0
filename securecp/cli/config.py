"""`securecp config`: what holds unless the command line says otherwise."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from securecp.cli import destination, options, settings
from securecp.cli.commands import refuse_unknown
from securecp.cli.failures import UsageError
from securecp.cli.settings import SETTINGS, Plain, Settings, SettingsError
from securecp.cli.text import quoted, safe_text

if TYPE_CHECKING:
    from securecp.cli.configfile import ConfigFile

NO_SERVER = "no server is set: run `securecp serve`, and give its URL to config add-server"
_WIDTH = max(map(len, SETTINGS))
_WITHOUT = {"receive.into": "the usual folder", "receive.reserve": "5 % of the disk"}
"""What holds where nothing is set."""


class _Group(click.Group):
    """Names the nearest command for one that does not exist, and lists the settings."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            otherwise = "securecp config --help lists them"
            refuse_unknown(args[0], "config command", list(self.commands), otherwise)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        with formatter.section("Settings"):
            formatter.write_dl([(name, row.words) for name, row in SETTINGS.items()])


@click.group(
    cls=_Group,
    epilog="""\b
Examples:
  securecp config show
  securecp config add-server ws://rendezvous.example.net:4480#scpserver1…
  securecp config set receive.into ~/inbox
  securecp config set limit 2M
  securecp config unset limit
""",
)
def config() -> None:
    """What holds unless the command line says otherwise.

    The file is config.toml in the home; it may also be edited by hand.
    """


@config.command(
    epilog="""\b
Examples:
  securecp config show
  securecp config show --json
"""
)
@options.common
def show(face: options.Face) -> None:
    """Show every setting, and where it is from."""
    now = _file(face).load()
    if face.output.as_json:
        fields = {name: _as_fields(now, name) for name in SETTINGS}
        face.output.document({"path": str(face.home.config_file), "settings": fields})
        return
    for line in overview(now):
        face.output.result(line)
    if not now.servers:
        face.output.note(NO_SERVER)


@config.command(
    epilog="""\b
Example:
  $EDITOR "$(securecp config path)"
"""
)
@options.common
def path(face: options.Face) -> None:
    """Show where the file is, or would be."""
    if face.output.as_json:
        face.output.document({"path": str(face.home.config_file)})
    else:
        face.output.result(str(face.home.config_file))


@config.command(
    "add-server",
    epilog="""\b
Example:
  securecp config add-server ws://rendezvous.example.net:4480#scpserver1…
""",
)
@click.argument("url")
@options.common
def add_server(face: options.Face, *, url: str) -> None:
    """Meet others at this server, too.

    URL is the line that `securecp serve` prints. Both sides need one server in common.
    """
    address = settings.server(url)

    def add(now: Settings) -> Mapping[str, Plain]:
        if address in now.servers:
            return now.given
        return {**now.given, "servers": [*_servers(now), str(address)]}

    before, after = _edit(face, add)
    there = len(before.servers) == len(after.servers)
    _told(face, after, "servers", "is there already" if there else "added", str(address))


@config.command(
    "remove-server",
    epilog="""\b
Examples:
  securecp config remove-server 2                   the second that `config show` lists
  securecp config remove-server ws://rendezvous.example.net:4480#scpserver1…
""",
)
@click.argument("which", metavar="URL|N")
@options.common
def remove_server(face: options.Face, *, which: str) -> None:
    """Forget a server, by its URL or its number."""
    gone = ""

    def remove(now: Settings) -> Mapping[str, Plain]:
        nonlocal gone
        number = _number(now, which)
        gone = str(now.servers[number])
        left = [url for at, url in enumerate(_servers(now)) if at != number]
        rest = {name: value for name, value in now.given.items() if name != "servers"}
        return {**rest, "servers": left} if left else rest

    _, after = _edit(face, remove)
    _told(face, after, "servers", "removed", gone)


@config.command(
    "set",
    epilog="""\b
Examples:
  securecp config set receive.into ~/inbox
  securecp config set relay false          never through a relay
  securecp config set limit 2M             at most 2 MB/s (20Mbit counts bits)
""",
)
@click.argument("name")
@click.argument("value")
@options.common
def change(face: options.Face, *, name: str, value: str) -> None:
    """Set one setting; `securecp config --help` lists them."""
    plain = settings.typed(name, value)
    if name == "servers":
        raise UsageError("servers come one at a time", "securecp config add-server URL")
    if name == "receive.into":
        plain = _folder(value)
    elif name == "receive.log":
        plain = _whole(value)
    _, after = _edit(face, lambda now: {**now.given, name: plain})
    _told(face, after, name, "is now", _shown(after, name))


@config.command(
    epilog="""\b
Example:
  securecp config unset limit
"""
)
@click.argument("name")
@options.common
def unset(face: options.Face, *, name: str) -> None:
    """Go back to the default of one setting."""
    settings.lookup(name)
    _, after = _edit(face, lambda now: {key: now.given[key] for key in now.given if key != name})
    _told(face, after, name, "is now the default,", _shown(after, name))


def overview(now: Settings) -> list[str]:
    """A line for each setting: name, origin, value; the servers numbered."""
    lines = []
    for name in SETTINGS:
        origin = _origin(now, name)
        if name == "servers" and now.servers:
            lines += [
                f"{f'server {number}':{_WIDTH}}  {origin:7}  {server}"
                for number, server in enumerate(now.servers, 1)
            ]
        else:
            lines.append(f"{name:{_WIDTH}}  {origin:7}  {_shown(now, name)}")
    return lines


def _file(face: options.Face) -> "ConfigFile":
    from securecp.cli.configfile import ConfigFile

    return ConfigFile(face.home.config_file)


def _edit(
    face: options.Face, edit: Callable[[Settings], Mapping[str, Plain]]
) -> tuple[Settings, Settings]:
    """The settings before and after."""
    before = Settings()

    def noting(now: Settings) -> Mapping[str, Plain]:
        nonlocal before
        before = now
        return edit(now)

    after = _file(face).edit(noting)
    return before, after


def _told(face: options.Face, now: Settings, name: str, what: str, value: str) -> None:
    if face.output.as_json:
        face.output.document({"name": name, **_as_fields(now, name)})
    else:
        face.output.note(f"{name}: {what} {value}" if name != "servers" else f"{value}: {what}")


def _as_fields(now: Settings, name: str) -> dict[str, object]:
    return {"value": _plain(now, name), "origin": _origin(now, name)}


def _origin(now: Settings, name: str) -> str:
    return "file" if name in now.given else "default"


def _plain(now: Settings, name: str) -> Plain:
    return now.given.get(name, SETTINGS[name].ordinary)


def _shown(now: Settings, name: str) -> str:
    """The value as a person would type it."""
    value = _plain(now, name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or value == []:
        return _WITHOUT.get(name, "none")
    return safe_text(str(value), 1_000)


def _servers(now: Settings) -> list[str]:
    """As they stand in the file."""
    listed = now.given.get("servers", [])
    assert isinstance(listed, list)
    return listed


def _number(now: Settings, which: str) -> int:
    """The place in the list that is meant."""
    if which.isdecimal() and which.isascii():
        number = int(which) - 1
        if 0 <= number < len(now.servers):
            return number
    else:
        address = settings.server(which)
        if address in now.servers:
            return now.servers.index(address)
    raise SettingsError(
        f"there is no server {quoted(which, 60)} in the settings", "securecp config show lists them"
    )


def _folder(text: str) -> str:
    """A whole path, whatever folder the command runs in; one in the home keeps its `~`."""
    text = _whole(text)
    try:
        destination.check(Path(text).expanduser())
    except UsageError as error:
        raise UsageError(error.message, "choose a folder made for it") from None
    return text


def _whole(text: str) -> str:
    """A path that means the same in whatever folder a command runs."""
    return text if text.startswith("~/") else str(Path(text).absolute())
