"""Tags, letters, probes and beacons against their recorded vectors, the refused ones included."""

import json
from typing import Any

import pytest

from securecp.errors import ProtocolError
from securecp.nat import beacon, envelope
from securecp.nat.probe import Ping, ProbeKeys
from tests.nat.reach_vectors import (
    CALLED_PAIR,
    CALLER_PAIR,
    FILE,
    IDENTITIES,
    make,
    probe_keys,
    verdict,
)

RECORDED: dict[str, Any] = json.loads(FILE.read_text())
BEACONS: dict[str, Any] = RECORDED["beacons"]


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def test_the_vectors_are_what_we_make() -> None:
    assert make() == RECORDED


@pytest.mark.parametrize("vector", RECORDED["envelopes"], ids=named)
def test_recorded_envelope(vector: dict[str, Any]) -> None:
    outcome = "opens"
    try:
        letter = envelope.open(
            IDENTITIES[vector["receiver"]],
            bytes(IDENTITIES[vector["sender"]].public),
            bytes.fromhex(vector["envelope"]),
            tag=bytes.fromhex(vector["tag"]),
        )
    except ProtocolError:
        outcome = "refused"
    else:
        assert envelope.encode(letter).hex() == vector.get("body", envelope.encode(letter).hex())
    assert outcome == vector["expect"]


@pytest.mark.parametrize("expected", RECORDED["addresses"])
def test_rv05_recorded_addresses(expected: str) -> None:
    for address in RECORDED["addresses"][expected]:
        assert verdict(address) == expected, address


def test_recorded_probes() -> None:
    caller, called = probe_keys()
    endpoints = {"caller": caller, "called": called}
    for keys in endpoints.values():  # what is answered here has been sent
        for _ in range(3):
            keys.ping()
    for vector in RECORDED["probes"]["in_order"]:
        found = read(endpoints[vector["receiver"]], bytes.fromhex(vector["datagram"]))
        assert found == vector["expect"], vector["name"]


def read(keys: ProbeKeys, datagram: bytes) -> str:
    """A probe as vectors name it."""
    try:
        probe = keys.open(datagram)
    except ProtocolError:
        return "refused"
    if isinstance(probe, Ping):
        return f"ping {probe.counter}"
    return f"pong {probe.txid} " + (
        "nowhere" if probe.seen is None else "{} {}".format(*probe.seen)
    )


@pytest.mark.parametrize("vector", BEACONS["queries_to_called"], ids=named)
def test_recorded_query(vector: dict[str, Any]) -> None:
    try:
        query = beacon.LanQuery.match(
            bytes.fromhex(vector["datagram"]), [CALLED_PAIR], vector["day"]
        )
        outcome = "caller" if query else "nobody"
    except ProtocolError:
        outcome = "refused"
    assert outcome == vector["expect"]


@pytest.mark.parametrize("vector", BEACONS["answers_to_caller"], ids=named)
def test_recorded_answer(vector: dict[str, Any]) -> None:
    asking = beacon.Asking(CALLER_PAIR, lambda _: bytes.fromhex(BEACONS["nonce"]))
    asking.query(0.0, 0)
    try:
        outcome = "{} {}".format(*asking.open(bytes.fromhex(vector["datagram"])))
    except ProtocolError:
        outcome = "refused"
    assert outcome == vector["expect"]


def test_recorded_here() -> None:
    beacon.check_here(bytes.fromhex(BEACONS["here"]))
