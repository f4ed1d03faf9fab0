"""A report as a table a person can read, and as JSON: what is, what it means, what to change.

    udp            gets through
    ipv4           easy NAT: the same port for everyone; direct paths are the rule
                   port 50123 is seen as 203.0.113.7:50123, port kept
    server 1       rendezvous.example.net:4480: up, 23 ms, key ok
    …
    to change      nothing

Fields of the JSON are those of `nat.report`: fields may be added, never changed.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import IntEnum

from securecp.cli import units
from securecp.cli.advice import advice, off
from securecp.cli.text import safe_text
from securecp.endpoint import Endpoint
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.report import (
    Attempt,
    Encounter,
    Family,
    Interface,
    PortMapping,
    Report,
    Server,
    Side,
)
from securecp.nat.sampling import Nat

_LABEL = 15
_WIDTH = 79
_SLIGHT = 5.0
"""Seconds by which clocks may differ without a word."""
_MEANING = {
    Nat.UNKNOWN: "not known, as too few servers answered by UDP",
    Nat.EASY: "easy NAT: the same port for everyone; direct paths are the rule",
    Nat.SEQUENTIAL: "sequential NAT: another port for each peer, but one that can be told "
    "beforehand: direct paths to most",
    Nat.HARD: "hard NAT: another port for each peer, which nobody can tell: direct paths to those "
    "behind easy NATs, the relay for others",
    Nat.NO_UDP: "blocked: nothing comes back; everything goes through the relay",
}
_SHORT = {
    Nat.UNKNOWN: "NAT not known",
    Nat.EASY: "easy NAT or none",
    Nat.SEQUENTIAL: "sequential NAT",
    Nat.HARD: "hard NAT",
    Nat.NO_UDP: "UDP blocked",
}
_TRIES = {
    # one, many
    "probe": ("probe", "probes"),
    "fresh": ("probe from a fresh port", "probes from a fresh port"),
    "guess": ("port guessed", "ports guessed"),
    "fan": ("port opened towards it", "ports opened towards it"),
    "lan": ("query on this network", "queries on this network"),
    "relay": ("try by the relay", "tries by the relay"),
}
_KINDS = {
    Kind.HOST: "own",
    Kind.REFLEXIVE: "seen",
    Kind.MAPPED: "mapped",
    Kind.PREDICTED: "predicted",
}


def lines(report: Report) -> list[str]:
    """The table, at most 79 columns wide where words can be broken."""
    return [line for label, text in _rows(report) for line in _row(label, text)]


def as_fields(report: Report) -> dict[str, object]:
    """The report as one JSON object, with what follows from it."""
    plain = _plain(report)
    assert isinstance(plain, dict)
    return {"udp": report.udp, **plain, "advice": advice(report)}


def _row(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{label:{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    yield "udp", {True: "gets through", False: "is blocked", None: "not tested"}[report.udp]
    for version in (4, 6):
        yield from _family(version, report.family(version))
    yield "port mapping", _mapping(report.mapping, carrier=report.carrier)
    yield from _servers(report)
    yield "lan", _lan(report)
    for interface in report.interfaces:
        yield "interface", _interface(interface)
    yield "firewall", safe_text(report.firewall, 40) or "none noticed on this machine"
    if report.encounter is not None:
        yield from _encounter(report.encounter)
    yield "to change", advice(report)


def _family(version: int, family: Family | None) -> Iterator[tuple[str, str]]:
    label = f"ipv{version}"
    if family is None or not family.local:
        yield label, "none: this machine has no such address"
        return
    direct = family.nat is Nat.EASY and not family.translated
    yield (
        label,
        "no NAT: reached directly unless a firewall objects" if direct else (_MEANING[family.nat]),
    )
    if family.seen is not None:
        kept = {True: ", port kept", False: ", port changed", None: ""}[family.preserved]
        yield "", f"port {family.port} is seen as {family.seen}{kept}"


def _mapping(mapping: PortMapping, *, carrier: bool) -> str:
    if not mapping.asked:
        return "not asked for: port_mapping is false in the settings"
    if not mapping.protocol:
        reason = f": {safe_text(mapping.trouble, 80)}" if mapping.trouble else ""
        return f"none{reason}"
    beyond = ", but another NAT stands beyond the router" if carrier else ""
    return f"{mapping.protocol} opened {mapping.external}{beyond}"


def _servers(report: Report) -> Iterator[tuple[str, str]]:
    if not report.servers:
        yield "servers", "none in the settings"
    for number, server in enumerate(report.servers, 1):
        yield f"server {number}", f"{safe_text(server.where, 80)}: {_server(server)}"


def _server(server: Server) -> str:
    if server.key_ok is False:
        return "not used: it has another key than its URL says"
    if not server.up:
        return f"down{f': {safe_text(server.trouble, 80)}' if server.trouble else ''}"
    words = ["up"]
    if server.rtt is not None:
        words.append(_ms(server.rtt))
    if server.key_ok:
        words.append("key ok")
    if server.proxied:
        words.append("by a proxy")
    if server.udp is not None:
        words.append("answers UDP" if server.udp else "no answer by UDP")
    if server.clock is not None:
        slight = abs(server.clock) < _SLIGHT
        words.append("clocks agree" if slight else f"its clock is {off(server.clock)} ours")
    return ", ".join(words)


def _lan(report: Report) -> str:
    if not report.lan.asked:
        return "not asked: lan is false in the settings"
    if report.lan.possible:
        return "people on this network can be found"
    reason = f": {safe_text(report.lan.trouble, 80)}" if report.lan.trouble else ""
    return f"people on this network cannot be found{reason}"


def _interface(interface: Interface) -> str:
    addresses = ", ".join(safe_text(one, 60) for one in interface.addresses) or "no address"
    mtu = f", MTU {interface.mtu:,}" if interface.mtu is not None else ""
    outward = ", to the internet" if interface.outward else ""
    return f"{safe_text(interface.name, 40)}: {addresses}{mtu}{outward}"


def _encounter(met: Encounter) -> Iterator[tuple[str, str]]:
    yield "meeting", f"{met.name}: {_outcome(met)}"
    yield from _side("  here", met.ours)
    if met.theirs is None:
        yield "  there", f"no word from {met.name}"
    else:
        yield from _side("  there", met.theirs)
    for number, attempt in enumerate(met.attempts):
        yield "" if number else "  tried", _attempt(attempt)


def _outcome(met: Encounter) -> str:
    if met.way is None:
        return "not connected"
    words: list[str] = [met.way]
    if met.endpoint is not None:
        words.append(f"by {met.endpoint}")
    if met.rtt is not None:
        words.append(_ms(met.rtt))
    if met.took is not None:
        words.append(f"after {units.duration(met.took)}")
    return ", ".join(words)


def _side(label: str, side: Side) -> Iterator[tuple[str, str]]:
    yield label, f"{_SHORT[side.nat]}, {'with' if side.ipv6 else 'no'} IPv6"
    for kind, word in _KINDS.items():
        found = [_at(one) for one in side.candidates if one.kind == kind]
        if found:
            yield f"    {word}", ", ".join(found)


def _attempt(attempt: Attempt) -> str:
    kind = f" ({_of_kind(attempt.kind)})" if attempt.kind else ""
    where = f"{attempt.endpoint}{kind}: " if attempt.endpoint is not None else ""
    return where + _how_far(attempt)


def _how_far(attempt: Attempt) -> str:
    one, many = _TRIES[attempt.what]
    sent = f"{attempt.sent:,} {one if attempt.sent == 1 else many}"
    match attempt.stage:
        case "untried":
            return "not tried"
        case "silent":
            return f"{sent}, no answer"
        case "heard":
            return f"{sent}, no answer, though theirs arrive here"
        case "answered":
            rtt = f", {_ms(attempt.rtt)}" if attempt.rtt is not None else ""
            return f"{sent}, answered{rtt}"


def _of_kind(kind: str) -> str:
    return {"host": "own", "reflexive": "seen"}.get(kind, safe_text(kind, 20))


def _at(candidate: Candidate) -> str:
    return str(Endpoint(candidate.address, candidate.port))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.0095 else f"{seconds * 1e3:.1f} ms"


def _plain(value: object) -> object:
    """As JSON has it: endpoints as people write them, kinds of things by their names."""
    match value:
        case Endpoint():
            return str(value)
        case Candidate():
            return {"kind": value.kind.name.lower(), "endpoint": _at(value)}
        case IntEnum():
            return value.name.lower()
        case tuple():
            return [_plain(item) for item in value]
        case Attempt():
            return {**_fields(value), "stage": value.stage}
        case _:
            return _fields(value) if is_dataclass(value) else value


def _fields(value: object) -> dict[str, object]:
    assert is_dataclass(value)
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
