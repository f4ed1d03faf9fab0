"""`securecp serve`: the rendezvous, STUN and relay server."""

import asyncio
import contextlib
import os
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from securecp.cli import options, process
from securecp.cli.failures import UsageError
from securecp.cli.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from securecp.cli.output import Output
    from securecp.cli.serversockets import Sockets
    from securecp.endpoint import Endpoint
    from securecp.noise.keypairs import KeyPair
    from securecp.server.app import Server, Settings
    from securecp.server.tally import Event

_SPARE_FILES = 1_088
"""Our own, and connections that have not said yet what they want."""


def _rate(_ctx: click.Context, param: click.Parameter, value: str) -> int:
    from securecp.cli import units

    try:
        return units.parse_rate(value)
    except ValueError as error:
        raise UsageError(
            f"--{str(param.name).replace('_', '-')}: {error}", "write for example 50MB/s"
        ) from None


@click.command(
    epilog="""\b
Examples:
  securecp serve --public reach.example.org
  securecp serve --listen 192.0.2.7:4480 --second-address 192.0.2.8
  securecp serve --public wss://reach.example.org --proxy 127.0.0.1
  securecp serve --metrics 127.0.0.1:9480 --max-total-rate 1Gbit

\b
docs/serve.md is the operator's guide, docs/securecp-serve.service a systemd unit.
"""
)
@click.option(
    "--listen", multiple=True, metavar="HOST:PORT",
    help="Where to serve, TCP and UDP; may be repeated.  [default: every address, port 4480]",
)  # fmt: skip
@click.option(
    "--stun-port", type=click.IntRange(1, 65_535), metavar="PORT",
    help="The second UDP port for STUN.  [default: the one after --listen's]",
)  # fmt: skip
@click.option(
    "--second-address", multiple=True, metavar="ADDRESS",
    help="Another address of this machine at which STUN answers, too.",
)  # fmt: skip
@click.option("--public", metavar="HOST", help="The name or address to print in the URL.")
@click.option(
    "--proxy", multiple=True, metavar="ADDRESS",
    help="Believe X-Forwarded-For of a TLS proxy at this address.",
)  # fmt: skip
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there.")
@click.option(
    "--max-clients", type=click.IntRange(1, 1_000_000), default=16_384, show_default=True,
    metavar="N", help="Clients at once.",
)  # fmt: skip
@click.option(
    "--max-clients-per-address", type=click.IntRange(1, 1_000_000), default=256, show_default=True,
    metavar="N", help="Clients at once from one IPv4 address or IPv6 /64.",
)  # fmt: skip
@click.option(
    "--max-circuits", type=click.IntRange(0, 1_000_000), default=4_096, show_default=True,
    metavar="N", help="Relayed connections at once.",
)  # fmt: skip
@click.option(
    "--max-rate", callback=_rate, default="50MB/s", show_default=True, metavar="RATE",
    help="Of one relayed connection, both directions together.",
)  # fmt: skip
@click.option(
    "--max-total-rate", callback=_rate, default="500MB/s", show_default=True, metavar="RATE",
    help="Of all relayed connections together.",
)  # fmt: skip
@options.common
def serve(
    face: options.Face,
    *,
    listen: tuple[str, ...],
    stun_port: int | None,
    second_address: tuple[str, ...],
    public: str | None,
    proxy: tuple[str, ...],
    metrics: str | None,
    max_clients: int,
    max_clients_per_address: int,
    max_circuits: int,
    max_rate: int,
    max_total_rate: int,
) -> int:
    """Help others meet: rendezvous, STUN and relay for everyone who knows the printed URL.

    It learns addresses and byte counts, and no key, name or file of anybody. Runs in the
    foreground until Ctrl-C or SIGTERM.
    """
    from securecp.cli.serversockets import open_sockets
    from securecp.server import circuits
    from securecp.server.app import Settings
    from securecp.server.desk import Caps
    from securecp.server.keyfile import load_or_create

    proxies = frozenset(_address(text) for text in proxy)
    page = _metrics(metrics)
    try:
        with closing(open_sockets(listen, second_address, stun_port)) as sockets:
            key = load_or_create(face.home.settings, os.urandom)
            url = _url(sockets, key, public)
            relay = circuits.Caps(
                circuits=max_circuits,
                rate=max_rate,
                network_rate=2 * max_rate,
                total_rate=max_total_rate,
            )
            caps = Caps(
                clients=_affordable(max_clients, face.output),
                clients_per_network=max_clients_per_address,
                circuits=relay,
            )
            settings = Settings(caps, tuple(sockets.stun), proxies, face.output.verbose)
            asyncio.run(_serve(face.output, settings, key, sockets, url, page))
    except KeyboardInterrupt:
        pass  # before there was anything to close
    if face.output.as_json:
        face.output.event("stopped")
    return 0


async def _serve(
    output: "Output",
    settings: "Settings",
    key: "KeyPair",
    sockets: "Sockets",
    url: str,
    metrics: "Endpoint | None",
) -> None:
    from securecp.server.app import Server

    stop = asyncio.Event()
    _stop_on_signals(stop)
    server = Server(
        settings, key, sockets.udp, entropy=os.urandom, wall_clock=time.time, tell=_teller(output)
    )
    page = await _open_metrics(server, metrics)
    _announce(output, sockets, url)
    try:
        await server.run(sockets.tcp, stop)
    finally:
        if page is not None:
            page.close()


async def _open_metrics(server: "Server", where: "Endpoint | None") -> asyncio.Server | None:
    if where is None:
        return None
    from securecp.errors import SecurecpError
    from securecp.server.metrics import Page

    try:
        return await asyncio.get_running_loop().create_server(lambda: Page(server), *where[:2])
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "no such address"
        raise SecurecpError(
            f"cannot serve metrics at {where}: {reason}", "choose another with --metrics HOST:PORT"
        ) from error


def _announce(output: "Output", sockets: "Sockets", url: str) -> None:
    if output.as_json:
        listening = [f"{one.endpoint}" for one in sockets.udp]
        output.event("serving", url=url, port=sockets.port, udp=listening)
        return
    output.result(url)
    output.note("serving; clients meet here after:  securecp config add-server URL")
    output.note("stop with Ctrl-C")


def _teller(output: "Output") -> "Callable[[Event, int, str], None]":
    def tell(event: "Event", count: int, words: str) -> None:
        if output.as_json:
            output.event("log", what=event.value, count=count, message=words)
        else:
            output.note(words)

    return tell


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal stops in order, the second at once."""

    def stopped() -> None:
        if stop.is_set():
            process.leave_now(process.INTERRUPTED)
        stop.set()

    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stopped)


def _affordable(clients: int, output: "Output") -> int:
    """How many clients the open files allow; as many are asked for as the system may grant."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return clients
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + _SPARE_FILES
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(1, soft - _SPARE_FILES)
    if room < clients:
        output.warning(f"this system allows {room:,} clients at once: see `ulimit -n`")
    return min(room, clients)


def _url(sockets: "Sockets", key: "KeyPair", public: str | None) -> str:
    from securecp.cli.endpoints import split
    from securecp.cli.serversockets import own_address
    from securecp.nat.serveraddress import ServerAddress

    scheme, _, name = (public or "").rpartition("://")
    if scheme not in {"", "ws", "wss"} or "/" in name or (public is not None and not name):
        raise UsageError("--public is a host", "for example --public wss://reach.example.org")
    if public is None:
        name = sockets.tcp[0].getsockname()[0]
        host = own_address() if name in {"0.0.0.0", "::"} else name  # noqa: S104
        return str(ServerAddress(False, host, sockets.port, key.public))
    host, port = split(name)
    if not name.endswith(f":{port}"):
        port = 443 if scheme == "wss" else sockets.port
    return str(ServerAddress(scheme == "wss", host, port, key.public))


def _metrics(text: str | None) -> "Endpoint | None":
    if text is None:
        return None
    from securecp.cli.endpoints import to_listen

    return to_listen(text)


def _address(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{quoted(text)} is no IP address", "see --proxy") from None
