"""What the source of the server shows: which doors it has at all."""

import ast
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "securecp" / "server"
CORES = ("circuits", "desk", "limits", "mailslots", "shares", "tally", "udpgate")
OUTWARD = {
    "connect", "connect_ex", "create_connection", "create_datagram_endpoint", "create_task",
    "getaddrinfo", "open_connection", "run_in_executor", "subprocess", "urlopen",
}  # fmt: skip
SHELL = {"asyncio", "os", "pathlib", "random", "secrets", "select", "socket", "threading", "time"}


def names(path: Path) -> set[str]:
    """Every name, attribute and imported module in a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
            case ast.ImportFrom(module=str(module)):
                found.add(module)
    return found


@pytest.mark.parametrize("path", sorted(SERVER.glob("*.py")), ids=lambda path: path.stem)
def test_rl01_the_server_has_no_way_to_open_a_connection(path: Path) -> None:
    assert not names(path) & OUTWARD


@pytest.mark.parametrize("core", CORES)
def test_the_state_of_the_server_knows_no_socket_clock_or_chance(core: str) -> None:
    assert not names(SERVER / f"{core}.py") & SHELL
