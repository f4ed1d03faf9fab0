"""Commands, links and items are put together as asked; nothing is started."""

import shlex
from pathlib import Path

import pytest

from tests.bench.__main__ import suitable
from tests.bench.items import FAR, HERE, ITEMS
from tests.bench.jobs import bound
from tests.bench.links import LOOPBACK, counters, veth, wan
from tests.bench.minimal.tree import Sink, chunks, total
from tests.bench.peers import datagrams, plain, wormholes
from tests.bench.peers.found import candidates, how_to_get
from tests.bench.peers.own import with_buffers
from tests.bench.peers.peer import Job, Peer

JOB = Job(Path("/a b/source"), Path("/in to"), "192.0.2.2", "192.0.2.1", (4400, 4401))
OWN = Peer("securecp", lambda _: "", tcp=False)
TCP = Peer("scp", lambda _: "")


def test_commands_name_the_job_and_survive_odd_paths() -> None:
    python = Path("/peers/venv/bin/python")
    made = [
        plain.tar(),
        datagrams.iroh(python),
        datagrams.udx(Path("/peers/npm")),
        datagrams.srt(),
        wormholes.wormhole(python.parent),
    ]
    for peer in made:
        assert peer.receive
        for command in (peer.send(JOB), peer.receive(JOB)):
            words = shlex.split(command)
            assert any("4400" in word for word in words), command
            assert "b/source" not in words, command


def test_udx_is_told_both_ports() -> None:
    peer = datagrams.udx(Path("/peers/npm"))
    assert peer.receive
    assert shlex.split(peer.send(JOB))[-4:] == ["192.0.2.2", "4400", "/a b/source", "4401"]
    assert shlex.split(peer.receive(JOB))[-4:] == ["4400", "/in to/source", "192.0.2.1", "4401"]


def test_tcp_programs_run_once_for_each_congestion_control() -> None:
    chosen = suitable(ITEMS["64m-wan"], [OWN, TCP], ["cubic", "bbr"])
    assert [peer.label for peer in chosen] == ["securecp", "scp (cubic)", "scp (bbr)"]


def test_over_loopback_the_congestion_control_is_nobodys_concern() -> None:
    chosen = suitable(ITEMS["1g"], [OWN, TCP], ["cubic", "bbr"])
    assert [peer.label for peer in chosen] == ["securecp", "scp"]


def test_programs_for_single_files_send_no_trees() -> None:
    single = TCP._replace(name="socat-tls", trees=False)
    far = TCP._replace(name="william", local=False)
    assert suitable(ITEMS["tree"], [OWN, single, far], []) == [OWN]


def test_buffers_are_compared_only_where_asked() -> None:
    peers = [OWN, *with_buffers(OWN), TCP]
    assert [peer.name for peer in suitable(ITEMS["1g"], peers, [])] == ["securecp", "scp"]
    asked = suitable(ITEMS["1g-stock"], peers, ["cubic"])
    assert [peer.name for peer in asked] == ["securecp-large", "securecp-stock"]
    assert asked[1].settings["net.core.rmem_max"] == "212992"


def test_what_is_not_installed_is_named_in_one_line(tmp_path: Path) -> None:
    absent = [one._replace(here=False) for one in candidates(tmp_path, None)]
    line = how_to_get(absent)
    assert "\n" not in line
    assert "apt-get install openssh-server rsync" in line
    assert "npm install --prefix PEERS/npm hyperdht" in line
    assert not how_to_get([])


def test_links_say_how_they_are_made() -> None:
    assert LOOPBACK.inside("a") == []
    assert veth(1000).command(3)[1:] == ["up", "--veth", "1000"]
    assert wan("--loss", "1").command(3)[1:] == ["up", "--loss", "1", "--seed", "3"]


def test_every_item_is_well_formed_and_within_reach() -> None:
    assert {*HERE, *FAR} <= set(ITEMS)
    assert all(ITEMS[name].link.kind == "wan" for name in FAR)
    assert not any(ITEMS[name].link.kind == "wan" for name in HERE)


def test_the_counters_of_the_emulator_are_added_up() -> None:
    names = ["50", "100", "200", "500", "1000", "2000", "5000", "more"]
    way = {
        "in_bytes": 1000, "dropped_by_queue": 1, "lost_random": 2, "lost_burst": 3,
        "queue_ms_max": 4.0, "late_ms_max": 5.0,
        "late_histogram_us": dict(zip(names, [90, 0, 0, 0, 0, 5, 5, 0], strict=True)),
    }  # fmt: skip
    found = counters(
        {"cpu_seconds": 1.5, "directions": {"a_to_b": way, "b_to_a": way | {"in_bytes": 10}}}
    )
    assert (found.sent, found.answered, found.queue_drops, found.lost) == (1000, 10, 2, 10)
    assert found.late_share == pytest.approx(0.1)


def test_a_port_is_bound_when_the_kernels_table_says_so(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st\n"
    (tmp_path / "tcp").write_text(f"{head}   0: 0100007F:1130 00000000:0000 01\n")
    assert not bound(tmp_path, "tcp", 4400)
    (tmp_path / "tcp6").write_text(f"{head}   0: 00000000:1130 00000000:0000 0A\n")
    assert bound(tmp_path, "tcp", 4400)


@pytest.mark.parametrize("cut", [1, 7, 100, 1 << 16])
def test_the_stream_of_the_minimal_senders_carries_a_tree(tmp_path: Path, cut: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name, content in {"a/b": b"x" * 300, "a/empty": b"", "c": b"yz"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    stream = b"".join(chunks(source, 64))
    assert len(stream) == total(source)
    sink = Sink(target)
    for begin in range(0, len(stream), cut):
        sink.feed(stream[begin : begin + cut])
    sink.close()
    for path in source.rglob("*"):
        if path.is_file():
            assert (target / path.relative_to(source)).read_bytes() == path.read_bytes()
