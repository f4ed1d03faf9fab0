"""The laboratory is what it says: routers map and filter by their kind, and the internet is slow,
lossy or cut as told. What is measured elsewhere is worth as much as this."""

import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab import namespaces, tinystun
from tests.lab.namespaces import NAMED, requirements
from tests.lab.needs import needs_lab
from tests.lab.programs import Program
from tests.lab.routers import KINDS, Kind
from tests.lab.services import connect_proxy, port_mapping, tls_proxy
from tests.lab.topology import CARRIER, SRV, SRV6, Lab

pytestmark = needs_lab()

ANY, ADDRESS, BOTH = (
    "endpoint-independent",
    "address-dependent",
    "address-and-port-dependent",
)
CLASSES: dict[Kind, tuple[str, str]] = {
    "easy": (ANY, BOTH),
    "remap": (ANY, BOTH),
    "fullcone": (ANY, ANY),
    "hard": (BOTH, BOTH),
    "hard-addr": (ADDRESS, BOTH),
    "hard-seq": (BOTH, BOTH),
}
SILENCE = 0.2
"""Seconds until we believe that nothing comes."""


@pytest.fixture
def slow() -> Iterator[Lab]:
    """A home and a server, 20 ms apart."""
    with Lab(delay=0.020) as lab:
        lab.nat("na")
        lab.host("a", "na")
        yield lab


def hears(door: socket.socket, within: float = SILENCE) -> bytes | None:
    """The next datagram, if one comes."""
    return door.recv(2048) if select.select([door], [], [], within)[0] else None


def passes(source: socket.socket, target: socket.socket, to: tuple[str, int]) -> bool:
    source.sendto(b"here", to)
    return hears(target) is not None


@contextmanager
def opened(lab: Lab, *nodes: str) -> Iterator[list[tuple[socket.socket, tuple[str, int]]]]:
    """For each node a socket, and its endpoint as the server sees it."""
    with ExitStack() as stack:
        doors = [stack.enter_context(lab.udp(node)) for node in nodes]
        seen = [tinystun.ask(door) for door in doors]
        yield [(door, each) for door, each in zip(doors, seen, strict=True) if each]


@pytest.mark.parametrize("kind", KINDS)
def test_a_router_maps_and_filters_by_its_kind(kind: Kind) -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind=kind)
        lab.host("a", "na")
        with lab.udp("a") as door, lab.udp("a") as fresh:
            seen = tinystun.samples(door)
            inner = door.getsockname()[1]
            filtering = tinystun.filtering(fresh, 1.0 if kind == "fullcone" else 0.15)
            assert (tinystun.mapping(seen), filtering) == CLASSES[kind]
            ports = [port for _, port in seen]
            if kind in {"easy", "fullcone"}:
                assert ports == [inner] * 4
            if kind == "remap":
                assert ports[0] != inner
            if kind == "hard-seq":
                assert ports == list(range(ports[0], ports[0] + 4))


def test_a_port_block_bounds_outer_ports() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind="hard", ports=(30_000, 30_511))
        lab.host("a", "na")
        with lab.udp("a") as door:
            assert all(30_000 <= port <= 30_511 for _, port in tinystun.samples(door))


def test_the_hardest_router_on_the_way_decides() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("ca", kind="hard", network=CARRIER)
        lab.nat("na", parent="ca")
        lab.host("a", "na")
        with lab.udp("a") as door:
            assert tinystun.mapping(tinystun.samples(door)) == BOTH


@pytest.mark.parametrize("hairpin", [False, True])
def test_two_hosts_of_one_home_meet_outside_only_by_hairpin(hairpin: bool) -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", hairpin=hairpin)
        lab.host("a", "na")
        lab.host("b", "na")
        with opened(lab, "a", "b") as ((a, a_seen), (b, b_seen)):
            a.sendto(b"open", b_seen)
            assert passes(b, a, a_seen) == hairpin
            assert passes(a, b, (lab.nodes["b"].address, b.getsockname()[1]))


def test_homes_of_one_carrier_meet_in_its_network() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("ca", network=CARRIER)
        for one in "ab":
            lab.nat(f"n{one}", parent="ca")
            lab.host(one, f"n{one}")
        with opened(lab, "a", "b") as ((a, a_seen), (b, b_seen)):
            a.sendto(b"open", b_seen)
            assert not passes(b, a, a_seen)
            a.sendto(b"open", (lab.nodes["nb"].address, b_seen[1]))
            assert passes(b, a, (lab.nodes["na"].address, a_seen[1]))


def test_an_early_packet_spoils_the_port_where_the_router_accepts() -> None:
    """And only there: this is the race that the punch must not lose."""
    spoilt = {}
    for policy in ("drop", "accept"):
        with Lab() as lab, tinystun.Server(lab):
            for one in "ab":
                lab.nat(f"n{one}", policy=policy)
                lab.host(one, f"n{one}")
            with opened(lab, "a", "b") as ((a, a_seen), (b, b_seen)):
                a.sendto(b"early", b_seen)
                assert hears(b) is None
                spoilt[policy] = not passes(b, a, a_seen)
    assert spoilt == {"drop": False, "accept": True}


def test_blocked_homes_reach_the_server_by_what_is_left() -> None:
    with Lab() as lab, tinystun.Server(lab):
        for kind, blocks in (("u", "udp"), ("t", "all but 443"), ("e", "everything")):
            lab.nat(f"n{kind}", blocks=blocks)
            lab.host(kind, f"n{kind}")
        reached = {kind: [reaches(lab, kind, port) for port in (443, 4480)] for kind in "ute"}
        assert reached == {"u": [True, True], "t": [True, False], "e": [False, False]}
        for kind in "ute":
            with lab.udp(kind) as door:
                assert tinystun.ask(door, within=SILENCE / 2) is None


def reaches(lab: Lab, node: str, port: int) -> bool:
    with lab.inside("srv"):
        listening = socket.create_server((SRV, port))
    with listening, lab.inside(node):
        try:
            socket.create_connection((SRV, port), SILENCE / 2).close()
        except TimeoutError:
            return False
    return True


def test_mappings_die_young_and_can_be_forgotten() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind="hard", udp_timeout=120, udp_stream=1)
        lab.host("a", "na")
        with lab.udp("a") as door:
            first = tinystun.ask(door)
            assert first == tinystun.ask(door)
            lab.forget("na")
            assert not [line for line in lab.mappings("na") if "dport=3478" in line]
            assert first != tinystun.ask(door)


def test_ipv6_has_a_firewall_and_no_nat() -> None:
    with Lab() as lab:
        for one in "ab":
            lab.nat(f"n{one}", kind="hard", v6="firewall")
            lab.host(one, f"n{one}")
        a6, b6 = (lab.nodes[one].address6 for one in "ab")
        with lab.udp("a", 5000, a6) as a, lab.udp("b", 5000, b6) as b:
            assert not passes(a, b, (b6, 5000))
            assert passes(b, a, (a6, 5000))
            with lab.udp("srv", 5000, SRV6) as server:
                assert passes(a, server, (SRV6, 5000))


def test_a_switch_leads_nowhere_but_to_its_hosts() -> None:
    with Lab(server=False) as lab:
        lab.switch("lan")
        lab.host("a", "lan")
        lab.host("b", "lan")
        with lab.udp("a") as a, lab.udp("b", 5000) as b:
            assert passes(a, b, (lab.nodes["b"].address, 5000))
            with pytest.raises(OSError, match="unreachable"):
                a.sendto(b"out", (SRV, 5000))


def test_multicast_stays_in_the_home() -> None:
    group = "239.255.83.67"
    with Lab() as lab:
        lab.nat("na")
        for one in "ab":
            lab.host(one, "na")
        with lab.udp("a") as a, lab.udp("b", 4401) as b:
            own = [socket.inet_aton(lab.nodes[one].address) for one in "ab"]
            joined = socket.inet_aton(group) + own[1]
            b.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            a.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own[0])
            assert passes(a, b, (group, 4401))


def test_the_internet_takes_its_time(slow: Lab) -> None:
    with slow.udp("srv", 9) as server, slow.udp("a") as door:
        took = []
        for _ in range(5):
            before = time.monotonic()
            assert passes(door, server, (SRV, 9))
            took.append(time.monotonic() - before)
        assert 0.020 <= min(took) < 0.030
        slow.weather(delay=0.050)
        before = time.monotonic()
        assert passes(door, server, (SRV, 9))
        assert time.monotonic() - before >= 0.050


def test_a_link_can_be_cut_and_mended(slow: Lab) -> None:
    with slow.udp("srv", 9) as server, slow.udp("a") as door:
        for up in (True, False, True):
            slow.link("na", up=up)
            assert passes(door, server, (SRV, 9)) == up


def test_a_link_of_the_kernel_can_be_cut_and_loses() -> None:
    with Lab() as lab:
        lab.public("p")
        with lab.udp("srv", 9) as server, lab.udp("p") as door:
            for up in (True, False, True):
                lab.link("p", up=up)
                assert passes(door, server, (SRV, 9)) == up
            lab.weather(loss=1.0)
            assert not passes(door, server, (SRV, 9))


def test_loss_takes_single_datagrams_out_of_bursts(slow: Lab) -> None:
    slow.weather(loss=0.3, delay=0.0)
    bursts, count, stride = 40, 20, 600
    sent = [n.to_bytes(2) * (stride // 2) for n in range(bursts * count)]
    with slow.udp("srv", 9) as server, slow.udp("a") as door:
        door.setsockopt(socket.SOL_UDP, 103, stride)  # UDP_SEGMENT
        came: list[bytes | None] = []
        for first in range(0, len(sent), count):
            door.sendto(b"".join(sent[first : first + count]), (SRV, 9))
            came += iter(lambda: hears(server, 0.005), None)
        came += iter(lambda: hears(server), None)
    assert set(came) < set(sent)
    assert 0.6 < len(came) / len(sent) < 0.8


def test_a_rate_is_kept_and_more_is_dropped() -> None:
    with Lab(rate=1e6) as lab:
        lab.public("p")
        with lab.udp("srv", 9) as server, lab.udp("p") as door:
            start = time.monotonic()
            for _ in range(300):
                door.sendto(bytes(1000), (SRV, 9))
            came = len(list(iter(lambda: hears(server), None)))
            took = time.monotonic() - start - SILENCE
        assert 90 < came < 130
        assert took >= 0.09


def test_an_early_end_of_ttl_is_short_of_the_far_router(slow: Lab) -> None:
    slow.public("p")
    with slow.udp("srv", 9) as server, slow.udp("a") as door:
        for ttl, reached in ((2, False), (3, True)):
            door.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            assert passes(door, server, (SRV, 9)) == reached


def test_addresses_change_and_cables_come_out(slow: Lab) -> None:
    with tinystun.Server(slow):
        with slow.udp("a") as door:
            before = tinystun.ask(door)
            new = slow.renumber("na")
            after = tinystun.ask(door)
        assert before is not None and after is not None
        assert before[0] != after[0] == new
        slow.renumber("a")
        slow.unplug("a")
        with slow.udp("a") as door:
            with pytest.raises(OSError, match="unreachable"):
                tinystun.ask(door)
            slow.replug("a")
            assert tinystun.ask(door) is not None


def test_a_second_server_and_a_plain_host_are_on_the_internet() -> None:
    with Lab() as lab:
        too, plain = lab.public("srv2"), lab.public("p")
        lab.renumber("srv2")
        for address in (too.address, too.address6):
            here = plain.address6 if ":" in address else plain.address
            with lab.udp("srv2", 9, address) as server, lab.udp("p", 0, here) as door:
                assert passes(door, server, (address, 9))


def needs(*tools: str) -> pytest.MarkDecorator:
    lacking = requirements(*tools)
    return pytest.mark.skipif(bool(lacking), reason=f"not tested: {lacking}")


@needs("miniupnpd")
def test_a_router_with_port_mapping_lets_strangers_in() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind="hard")
        lab.host("a", "na")
        port_mapping(lab, "na")
        with lab.udp("a", 5000) as door, lab.udp("a") as asking, lab.udp("srv") as stranger:
            request = bytes([0, 1, 0, 0]) + (5000).to_bytes(2) * 2 + (600).to_bytes(4)
            asking.sendto(request, ("192.168.1.1", 5351))
            answer = hears(asking, 2.0)
            assert answer is not None and answer[:4] == b"\0\x81\0\0"
            outer = int.from_bytes(answer[10:12])
            assert passes(stranger, door, (lab.nodes["na"].address, outer))


@needs("nginx")
def test_tls_ends_at_a_proxy_that_the_client_can_check() -> None:
    with Lab() as lab:
        lab.nat("na", blocks="all but 443")
        lab.host("a", "na")
        proxy = tls_proxy(lab, "srv", to=4480)
        assert proxy.url == f"wss://{SRV}"
        trust = ssl.create_default_context(cafile=proxy.authority)
        with lab.inside("srv"):
            behind = socket.create_server(("127.0.0.1", 4480))
        with behind, lab.inside("a"):
            plain = socket.create_connection((SRV, 443), 2.0)
            with plain, trust.wrap_socket(plain, server_hostname=SRV) as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
                with behind.accept()[0] as peer:
                    assert b"upgrade: websocket\r\n" in peer.recv(4096).lower()


def test_a_home_behind_a_proxy_has_that_way_only() -> None:
    with Lab() as lab:
        lab.nat("na", blocks="everything")
        lab.host("a", "na")
        proxy = connect_proxy(lab, "na")
        assert proxy.url == "http://192.168.1.1:3128"
        with lab.inside("srv"):
            server = socket.create_server((SRV, 443))
        with server, lab.inside("a"):
            door = socket.create_connection(("192.168.1.1", 3128), 2.0)
            with door:
                door.sendall(f"CONNECT {SRV}:443 HTTP/1.1\r\n\r\n".encode())
                peer, source = server.accept()
                with peer:
                    assert source[0] == lab.nodes["na"].address
                    peer.sendall(b"hello")
                    peer.shutdown(socket.SHUT_WR)
                    words = b"".join(iter(lambda: door.recv(100), b""))
        assert words == b"HTTP/1.1 200 Connection established\r\n\r\nhello"


def test_programs_have_a_home_and_events_with_their_time() -> None:
    with Lab() as lab:
        lab.public("p")
        with Program(lab, "p", "keygen", "--no-passphrase") as program:
            seen = program.until(lambda event: "public_key" in str(event))
            assert program.started < seen.at < time.monotonic()
            assert program.ended() == 0
            assert (program.home / "identity.key").exists()
        with (
            Program(lab, "p", "send", "nothing", "--to", "nobody") as program,
            pytest.raises(AssertionError, match="delivered never came"),
        ):
            program.until("delivered")


def test_what_a_killed_lab_leaves_is_removed_by_the_next() -> None:
    script = (
        "import signal\nfrom tests.lab.topology import Lab\n"
        "with Lab(delay=0.0) as lab:\n"
        "    lab.public('p')\n    sleeper = lab.popen('p', ['sleep', '60'])\n"
        "    print(lab.folder, sleeper.pid, lab.nodes['p'].space.name, flush=True)\n"
        "    signal.pause()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder, sleeper, name = owner.stdout.readline().split()
    handle = os.pidfd_open(int(sleeper))
    owner.stdout.close()
    with Lab():
        assert (NAMED / name).exists(), "it is alive"
    owner.kill()
    owner.wait()
    namespaces.sweep()
    assert not (NAMED / name).exists()
    assert not Path(folder).exists()
    assert select.select([handle], [], [], 5.0)[0], "its program has ended"
    os.close(handle)


def test_two_labs_do_not_see_each_other() -> None:
    with Lab() as one, Lab(delay=0.0) as other:
        for lab in (one, other):
            lab.public("p")
        with one.udp("srv", 9) as server, other.udp("srv", 9) as stranger, one.udp("p") as door:
            assert passes(door, server, (SRV, 9))
            assert hears(stranger, 0.05) is None
    assert not list(NAMED.glob(f"*-{os.getpid()}-*"))
