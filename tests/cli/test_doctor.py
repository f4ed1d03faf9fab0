"""doctor: what it says about each state of affairs, and the one thing that it advises to change."""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from securecp.cli.advice import NOTHING, advice
from securecp.cli.diagnosis import as_fields, lines
from securecp.endpoint import Endpoint
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.report import (
    Attempt,
    Encounter,
    Family,
    Interface,
    Lan,
    PortMapping,
    Report,
    Server,
    Side,
    WayKind,
)
from securecp.nat.sampling import Nat
from tests.cli.program import call, is_one_line_and_a_hint, keygen, meet
from tests.cli.test_config import URLS
from tests.cli.test_main import HEAVY, loaded

OUTER = Endpoint("203.0.113.7", 50_123)
SERVER = Server("rendezvous.example.net:4480", True, 0.023, True, 0.4, True)
WELL = Report(
    families=(Family(4, ("192.168.1.20",), 50_123, Nat.EASY, OUTER, True), Family(6)),
    servers=(SERVER,),
    lan=Lan(possible=True),
    interfaces=(Interface("eth0", ("192.168.1.20",), 1_500, True),),
)
V6 = Family(6, ("2001:db8::20",), 50_123, Nat.EASY, Endpoint("2001:db8::20", 50_123), True)
HARD = replace(
    WELL, families=(Family(4, ("192.168.1.20",), 50_123, Nat.HARD, OUTER, False), Family(6))
)
BLOCKED = replace(WELL, families=(Family(4, ("192.168.1.20",), 50_123, Nat.NO_UDP), Family(6)))
DOWN = replace(SERVER, up=False, key_ok=None, clock=None)
IMPOSTOR = replace(DOWN, key_ok=False)


def met(way: WayKind | None = None, theirs: Nat | None = Nat.EASY) -> Encounter:
    return Encounter("alice", Side(), None if theirs is None else Side(theirs), way=way)


def mapped(address: str) -> PortMapping:
    return PortMapping(protocol="PCP", external=Endpoint(address, 4_000))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (WELL, NOTHING),
        (Report(), "connect this machine to a network"),
        (replace(WELL, interfaces=(Interface("wlan0"),)), "connect this machine to a network"),
        # the clock counts from half a day on, and only that of a server with the right key
        (replace(WELL, servers=(replace(SERVER, clock=-172_800.0),)), "it is 2 days ahead of the"),
        (replace(WELL, servers=(replace(SERVER, clock=50_000.0),)), "it is 13 h 53 min behind the"),
        (replace(WELL, servers=(replace(SERVER, clock=40_000.0),)), NOTHING),
        (replace(WELL, servers=(replace(SERVER, clock=1e9, key_ok=False), SERVER)), "another key"),
        (replace(WELL, interfaces=(Interface("ppp0", ("10.0.0.1",), 1_200, True),)), "MTU of ppp0"),
        (replace(WELL, interfaces=(Interface("ppp0", ("10.0.0.1",), 1_200),)), NOTHING),
        (replace(HARD, encounter=met("direct")), NOTHING),
        (replace(WELL, servers=(), encounter=met("lan")), NOTHING),
        (replace(WELL, servers=()), "securecp config add-server URL"),
        (replace(WELL, servers=(DOWN, DOWN)), "does `securecp serve` run there"),
        (replace(WELL, servers=(DOWN, IMPOSTOR)), "ask who runs rendezvous.example.net:4480"),
        (replace(BLOCKED, encounter=met(None, None)), "ask alice to run `securecp receive`"),
        (BLOCKED, "use a network that lets UDP through"),
        (replace(BLOCKED, firewall="ufw"), "firewall of this machine (ufw)"),
        (replace(BLOCKED, relay=False), "UDP is blocked here: securecp config set relay true"),
        (replace(BLOCKED, families=(*BLOCKED.families[:1], V6)), NOTHING),
        (replace(WELL, encounter=met("relayed", Nat.NO_UDP)), "here nothing is amiss"),
        (replace(WELL, relay=False, encounter=met(None, Nat.NO_UDP)), "where alice is: securecp"),
        (HARD, "turn on port mapping in your router"),
        (replace(HARD, encounter=met("relayed", Nat.HARD)), "turn on port mapping in your router"),
        (replace(HARD, mapping=PortMapping(asked=False)), "securecp config set port_mapping true"),
        (replace(HARD, mapping=mapped("100.64.0.9")), "ask your provider for IPv6"),
        (replace(HARD, mapping=mapped("198.51.100.1")), "ask your provider for IPv6"),
        (replace(HARD, mapping=mapped("203.0.113.7")), NOTHING),
        (replace(HARD, families=(*HARD.families[:1], V6)), NOTHING),
        (replace(WELL, encounter=met("relayed", Nat.HARD)), "ask alice to turn on port mapping"),
        (replace(WELL, encounter=met(None), relay=False), "the relay help: securecp config set"),
        (
            replace(WELL, encounter=met("relayed"), firewall="ufw"),
            "let UDP in through the firewall",
        ),
        (replace(WELL, encounter=met("relayed")), "a firewall that drops UDP, here or where alice"),
        (replace(WELL, servers=(SERVER, IMPOSTOR)), "has another key"),
        (replace(WELL, servers=(SERVER, DOWN)), "securecp config remove-server 2"),
        (replace(WELL, lan=Lan(possible=False)), "multicast by UDP port 4401"),
        (replace(WELL, lan=Lan(asked=False)), NOTHING),
    ],
)
def test_the_one_thing_to_change(report: Report, words: str) -> None:
    said = advice(report)
    assert said == NOTHING if words == NOTHING else words in said
    assert " ".join(" ".join(lines(report)).split()).endswith(f" to change {said}")


FULL = replace(
    HARD,
    servers=(SERVER, replace(DOWN, trouble="refused\x1b[2J"), IMPOSTOR),
    mapping=PortMapping(trouble="the router does not answer"),
    encounter=Encounter(
        "alice",
        Side(Nat.HARD, False, (Candidate(Kind.HOST, "192.168.1.20", 50_123),)),
        Side(Nat.SEQUENTIAL, True, (Candidate(Kind.HOST, "2001:db8::5", 9),)),
        (
            Attempt("host", Endpoint("10.0.0.5", 50_001)),
            Attempt("reflexive", Endpoint("198.51.100.9", 40_001), sent=1),
            Attempt("reflexive", Endpoint("198.51.100.9", 40_001), "fan", sent=256),
            Attempt("learnt", Endpoint("198.51.100.9", 40_777), sent=12, heard=True),
            Attempt("", None, "lan", sent=3),
            Attempt("", Endpoint("203.0.113.99", 4_480), "relay", 1, True, 1, 0.061),
        ),
        "relayed",
        Endpoint("203.0.113.99", 4_480),
        0.061,
        1.04,
    ),
)


def test_the_table_says_what_both_ends_see_and_how_far_each_attempt_got() -> None:
    told = lines(FULL)
    assert all(len(line) <= 79 and line.isprintable() for line in told)
    text = " ".join(" ".join(told).split())
    for words in (
        "udp gets through",
        "ipv4 hard NAT: another port for each peer",
        "port 50123 is seen as 203.0.113.7:50123, port changed",
        "ipv6 none",
        "port mapping none: the router does not answer",
        "server 1 rendezvous.example.net:4480: up, 23 ms, key ok, answers UDP, clocks agree",
        "down: refused\\x1b[2J",
        "server 3 rendezvous.example.net:4480: not used",
        "eth0: 192.168.1.20, MTU 1,500, to the internet",
        "meeting alice: relayed, by 203.0.113.99:4480, 61 ms, after 1.0 s",
        "here hard NAT, no IPv6 own 192.168.1.20:50123",
        "there sequential NAT, with IPv6 own [2001:db8::5]:9",
        "10.0.0.5:50001 (own): not tried",
        "198.51.100.9:40001 (seen): 1 probe, no answer",
        "256 ports opened towards it, no answer",
        "198.51.100.9:40777 (learnt): 12 probes, no answer, though theirs arrive here",
        "3 queries on this network, no answer",
        "203.0.113.99:4480: 1 try by the relay, answered, 61 ms",
        "to change turn on port mapping",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(), "not tested"),
        (BLOCKED, "is blocked"),
        (replace(WELL, families=(V6,)), "no NAT: reached directly"),
        (replace(WELL, families=(replace(V6, nat=Nat.UNKNOWN),)), "not known"),
        (replace(WELL, families=(replace(V6, nat=Nat.SEQUENTIAL, step=2),)), "sequential NAT"),
        (replace(WELL, mapping=PortMapping(asked=False)), "port_mapping is false"),
        (replace(HARD, mapping=mapped("100.64.0.9")), "PCP opened 100.64.0.9:4000, but another"),
        (replace(WELL, servers=(replace(SERVER, udp=False),)), "no answer by UDP"),
        (replace(WELL, servers=(replace(SERVER, clock=-7_200.0),)), "is 2 h 00 min behind ours"),
        (replace(WELL, servers=(replace(SERVER, proxied=True, rtt=0.0021),)), "2.1 ms, key ok, by"),
        (replace(WELL, lan=Lan(asked=False)), "lan is false in the settings"),
        (replace(WELL, lan=Lan(trouble="no multicast")), "cannot be found: no multicast"),
        (replace(WELL, encounter=met(None, None)), "no word from alice"),
    ],
)
def test_each_state_has_words(report: Report, words: str) -> None:
    assert words in " ".join(" ".join(lines(report)).split())


def test_the_json_has_every_field_and_what_follows_from_it() -> None:
    found: dict[str, Any] = json.loads(json.dumps(as_fields(FULL)))
    assert found["udp"] is True and found["families"][0]["nat"] == "hard"
    assert found["families"][0]["seen"] == "203.0.113.7:50123"
    assert found["servers"][0]["rtt"] == 0.023
    assert found["mapping"]["external"] is None
    encounter = found["encounter"]
    assert encounter["way"] == "relayed" and encounter["theirs"]["nat"] == "sequential"
    assert encounter["theirs"]["candidates"] == [{"kind": "host", "endpoint": "[2001:db8::5]:9"}]
    stages = [attempt["stage"] for attempt in encounter["attempts"]]
    assert stages == ["untried", "silent", "silent", "heard", "silent", "answered"]
    assert found["advice"] == advice(FULL)
    assert json.loads(json.dumps(as_fields(Report())))["encounter"] is None


# The command, with an examination that was made up


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command wants examined; `report` in it is the answer."""
    seen: dict[str, Any] = {"report": WELL}

    def examine(**wanted: Any) -> Report:
        seen.update(wanted)
        wanted["tell"]("asking the servers …")
        report: Report = seen["report"]
        return report

    module = types.ModuleType("securecp.net.doctor")
    module.examine = examine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "securecp.net.doctor", module)
    return seen


def test_the_settings_say_what_is_examined(tmp_path: Path, asked: dict[str, Any]) -> None:
    for command in (["add-server", URLS[0]], ["set", "lan", "false"], ["set", "relay", "false"]):
        assert call("config", *command, home=tmp_path).returncode == 0
    done = call("doctor", home=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == lines(WELL)
    assert done.stderr == "asking the servers …\n"
    assert [str(one) for one in asked["servers"]] == URLS[:1]
    assert (asked["lan"], asked["port_mapping"], asked["relay"]) == (False, True, False)
    assert asked["whom"] is None, "no identity is needed to look at the network"


def test_with_to_the_exit_code_says_whether_they_were_reached(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    keygen(tmp_path / "a")
    key = keygen(tmp_path / "b")
    meet(tmp_path / "a", "alice", key)
    for way, code in (("relayed", 0), ("direct", 0), (None, 4)):
        asked["report"] = replace(WELL, encounter=met(way))  # type: ignore[arg-type]
        done = call("doctor", "--to", "Alice", "--json", home=tmp_path / "a")
        assert done.returncode == code
        assert json.loads(done.stdout)["encounter"]["way"] == way
        assert done.stderr == ""
    identity, name, peer = asked["whom"]
    assert name == "alice" and len(peer) == 32
    assert str(identity.public) == call("id", home=tmp_path / "a").stdout.strip()
    unknown = call("doctor", "--to", "alce", home=tmp_path / "a")
    assert unknown.returncode == 6
    assert is_one_line_and_a_hint(unknown.stderr)


def test_help_has_examples_and_takes_no_heavy_import() -> None:
    assert "securecp doctor --to alice" in call("doctor", "--help").stdout
    assert loaded("doctor", "--help").isdisjoint(HEAVY)
