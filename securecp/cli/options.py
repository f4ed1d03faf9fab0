"""Options that many commands share, and what they come to."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from securecp.cli import home as homes
from securecp.cli.failures import UsageError
from securecp.cli.home import Home
from securecp.cli.output import Output


@dataclass(frozen=True)
class Face:
    """Whom a command speaks for, and to whom."""

    home: Home
    output: Output


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--home`, `--json`, `--quiet`, `--verbose`; the command's first argument is a `Face`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
    @click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
    @click.option("-v", "--verbose", is_flag=True, help="Say more about what happens.")
    @click.option("--home", "own_home", metavar="DIR", hidden=True)
    @functools.wraps(command)
    def wrapped(
        *,
        as_json: bool,
        quiet: bool,
        verbose: bool,
        own_home: str | None,
        **rest: Any,
    ) -> Any:
        folder = own_home if own_home is not None else click.get_current_context().find_root().obj
        output = Output(as_json=as_json, quiet=quiet, verbose=verbose)
        return command(Face(homes.find(folder), output), **rest)

    return wrapped


def passphrase(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--passphrase-fd` and `--passphrase-file`; the command gets a `passphrase`."""

    @click.option(
        "--passphrase-fd", type=click.IntRange(0), metavar="N",
        help="Read the passphrase from file descriptor N.",
    )  # fmt: skip
    @click.option(
        "--passphrase-file", type=click.Path(path_type=Path), metavar="FILE",
        help="Read the passphrase from the first line of FILE.",
    )  # fmt: skip
    @functools.wraps(command)
    def wrapped(
        *args: Any, passphrase_fd: int | None, passphrase_file: Path | None, **rest: Any
    ) -> Any:
        from securecp.cli.passphrase import Passphrase

        return command(*args, passphrase=Passphrase(passphrase_fd, passphrase_file), **rest)

    return wrapped


def _rate(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    from securecp.cli import units

    try:
        return None if value is None else units.parse_rate(value)
    except ValueError as error:
        raise UsageError(
            f"--limit: {error}",
            "write for example 500k, 1.5MB/s or 20Mbit; it counts bytes unless you say bit",
        ) from None


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    from securecp.cli import units

    try:
        return None if value is None else units.parse_duration(value)
    except ValueError as error:
        raise UsageError(f"--wait: {error}", "0 does not wait") from None


def wait(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--wait`; the command gets `wait` in seconds, or None."""
    return click.option("--wait", callback=_duration, metavar="DURATION", help=help_text)


def _size(_ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    from securecp.cli import units

    try:
        return None if value is None else units.parse_size(value)
    except ValueError as error:
        raise UsageError(f"{param.opts[0]}: {error}") from None


def reserve(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--reserve`; the command gets `reserve` in bytes, or None."""
    return click.option(
        "--reserve", callback=_size, metavar="SIZE",
        help="Leave so much of the disk free, such as 10GB.",
    )(command)  # fmt: skip


def limit(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--limit`; the command gets `limit` in bytes per second, or None."""
    return click.option(
        "--limit", callback=_rate, metavar="RATE",
        help="At most this fast, such as 500k, 1.5MB/s or 20Mbit.",
    )(command)  # fmt: skip


def means(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--relay`, `--lan`: how peers may be found; the command gets None where nothing was said."""
    command = click.option(
        "--lan/--no-lan", default=None, help="Look on this network, too.  [default: lan]"
    )(command)
    return click.option(
        "--relay/--no-relay", default=None,
        help="Go through a server's relay if there is no direct path.  [default: relay]",
    )(command)  # fmt: skip
