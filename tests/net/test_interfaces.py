"""Our addresses and the router next to us, from what the system tells."""

import ipaddress
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from securecp.net import interfaces
from securecp.net.interfaces import Gateway, parse_routes

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def route(name: str, to: str, by: str, flags: str, metric: int, mask: str) -> str:
    return f"{name}\t{to}\t{by}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0   \n"


def test_the_default_route_with_the_lowest_metric_is_taken() -> None:
    text = (
        HEAD
        + route("wlan0", "00000000", "0102A8C0", "0003", 600, "00000000")
        + route("eth0", "00000000", "0101A8C0", "0003", 100, "00000000")
        + route("eth0", "0001A8C0", "00000000", "0001", 100, "00FFFFFF")
    )
    assert parse_routes(text) == ("eth0", "192.168.1.1")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "eth0\n",
        route("tun0", "00000000", "00000000", "0001", 0, "00000000"),  # no router there
        route("eth0", "00000000", "0101A8C0", "0002", 0, "00000000"),  # down
        route("eth0", "00000000", "0101A8C0", "0003", 0, "00000080"),  # half of the world
    ],
)
def test_other_routes_lead_to_no_router(line: str) -> None:
    assert parse_routes(HEAD + line) is None


def fake(monkeypatch: pytest.MonkeyPatch, **addresses: list[tuple[int, str]]) -> None:
    """Interfaces by name; those that end in "down" are."""
    names = {name.replace("_", "-"): entries for name, entries in addresses.items()}
    monkeypatch.setattr(
        psutil,
        "net_if_addrs",
        lambda: {
            name: [SimpleNamespace(family=f, address=a, netmask="255.0.0.0") for f, a in entries]
            for name, entries in names.items()
        },
    )
    monkeypatch.setattr(
        psutil,
        "net_if_stats",
        lambda: {
            name: SimpleNamespace(
                isup=not name.endswith("down"),
                mtu=1_400,
                flags="up,loopback" if name == "lo" else "up",
            )
            for name in names
        },
    )
    monkeypatch.setattr("socket.if_nametoindex", lambda name: 7)


V4, V6, PACKET = 2, 10, 17


def test_loopback_downed_and_virtual_interfaces_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake(
        monkeypatch,
        lo=[(V4, "127.0.0.1"), (V4, "10.9.9.9"), (V6, "::1")],
        eth0=[(V4, "192.168.1.10"), (V6, "fe80::1%eth0"), (V6, "2600:ab8::1"), (PACKET, "02:00")],
        wlan_down=[(V4, "192.168.2.10")],
        docker0=[(V4, "172.17.0.1")],
        br_12=[(V4, "172.18.0.1")],
        veth9=[(V6, "fe80::2%veth9")],
        virbr0=[(V4, "192.168.122.1")],
        tun0=[(V4, "10.8.0.2")],
    )
    found = interfaces.interfaces()
    assert [(one.name, one.family, one.address, one.link_local) for one in found] == [
        ("eth0", 4, "192.168.1.10", False),
        ("eth0", 6, "fe80::1", True),
        ("eth0", 6, "2600:ab8::1", False),
        ("tun0", 4, "10.8.0.2", False),
    ]
    assert {(one.number, one.mtu, one.netmask) for one in found} == {(7, 1_400, "255.0.0.0")}
    more = {one.name for one in interfaces.interfaces(virtual=True)}
    assert more == {"eth0", "tun0", "docker0", "br-12", "veth9", "virbr0"}


def test_a_snapshot_changes_with_address_and_router(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [("eth0", "192.168.1.1")]
    monkeypatch.setattr(interfaces, "_default_route", lambda: routes[0])
    fake(monkeypatch, eth0=[(V4, "192.168.1.10")], docker0=[(V4, "172.17.0.1")])
    first = interfaces.snapshot()
    assert interfaces.snapshot() == first
    fake(monkeypatch, eth0=[(V4, "192.168.1.10")])  # containers come and go
    assert interfaces.snapshot() == first
    routes[0] = ("eth0", "192.168.1.254")
    assert interfaces.snapshot() != first
    routes[0] = ("eth0", "192.168.1.1")
    fake(monkeypatch, eth0=[(V4, "192.168.1.11")])
    assert interfaces.snapshot() != first


def test_an_interface_that_goes_while_we_look_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> int:
        raise OSError

    fake(monkeypatch, eth0=[(V4, "192.168.1.10")])
    monkeypatch.setattr("socket.if_nametoindex", gone)
    assert interfaces.interfaces() == []


def test_a_router_without_a_way_to_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "_default_route", lambda: ("eth0", "127.0.0.9"))
    assert interfaces.default_gateway() == Gateway("127.0.0.9", "127.0.0.1", "eth0")
    monkeypatch.setattr(interfaces, "_source_towards", lambda address: None)
    assert interfaces.default_gateway() is None
    monkeypatch.setattr(interfaces, "_default_route", lambda: None)
    assert interfaces.default_gateway() is None


def test_this_machine_can_be_read() -> None:
    for one in interfaces.interfaces(virtual=True):
        assert ipaddress.ip_address(one.address).version == one.family
        assert one.number > 0
    assert interfaces.snapshot() == interfaces.snapshot()
    gateway = interfaces.default_gateway()
    assert gateway is None or ipaddress.ip_address(gateway.address).version == 4


def test_psutil_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, securecp.net.interfaces; print('psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
