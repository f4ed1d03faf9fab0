"""The three datagrams themselves: what an editor, a key thief or an archivist can do with them."""

import ast
import gc
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import securecp.transport
from keys.identity import Identity
from securecp.endpoint import Burst
from securecp.errors import ProtocolError
from securecp.noise.keypairs import KeyPair, MlKem768
from securecp.noise.patterns import parse_name
from securecp.noise.state import HandshakeState
from securecp.noise.symmetric import SymmetricState
from securecp.transport.handshake import PROLOGUE, PROTOCOL, Initiator, Responder
from securecp.transport.wire import Parameters
from tests.transport.handshakes import (
    ALICE,
    BOB,
    EVE,
    OTHER_PARAMETERS,
    PARAMETERS,
    identity,
    initiator,
    pair,
    public,
    responder,
    same_session,
    seeded,
    with_new_mac1,
)


def test_both_ends_agree() -> None:
    call = initiator()
    hello_a, hello_b = call.hello()
    answer = responder(hello_a)
    assert answer.peer == public(ALICE)
    reply, theirs = answer.answer(hello_b, 0xB0B)
    ours = call.read_reply(reply)
    assert same_session(ours, theirs)
    assert ours.theirs == OTHER_PARAMETERS
    assert theirs.theirs == PARAMETERS


def flips(datagram: bytes, start: int, end: int, *, all_bits: bool) -> list[bytes]:
    """The datagram with one bit changed, for every bit or for one bit of every byte."""
    changed = []
    for i in range(start, end):
        for bit in range(8) if all_bits else [i % 8]:
            edited = bytearray(datagram)
            edited[i] ^= 1 << bit
            changed.append(bytes(edited))
    return changed


def test_hs11_every_flip_of_a_reply_fails_without_trace_behind_mac1() -> None:
    """All bits of heads, e and payload, one of each byte of the 1,104 of ekem1."""
    call = initiator()
    hello_a, hello_b = call.hello()
    reply, _ = responder(hello_a).answer(hello_b, 0xB0B)
    edited = flips(reply, 0, 44, all_bits=True)
    edited += flips(reply, 44, 1148, all_bits=False)
    edited += flips(reply, 1148, 1184, all_bits=True)
    for datagram in edited:
        with pytest.raises(ProtocolError):
            call.read_reply(with_new_mac1(datagram, ALICE))
    assert call.read_reply(reply).peer == public(BOB)


def test_hs11_every_flip_of_hello_b_fails_without_trace_behind_mac1() -> None:
    call = initiator()
    hello_a, hello_b = call.hello()
    answer = responder(hello_a)
    for datagram in flips(hello_b, 0, 176, all_bits=True):
        with pytest.raises(ProtocolError):
            answer.answer(with_new_mac1(datagram, BOB), 1)
    reply, _ = answer.answer(hello_b, 0xB0B)
    assert call.read_reply(reply).peer == public(BOB)


def test_hs11_every_flip_of_hello_a_fails_behind_mac1() -> None:
    """At once in what HELLO-A authenticates, with HELLO-B in the head of e1."""
    hello_a, hello_b = initiator().hello()
    for datagram in flips(hello_a, 0, 136, all_bits=True):
        with pytest.raises(ProtocolError):
            responder(with_new_mac1(datagram, BOB))
    for datagram in flips(hello_a, 136, 1168, all_bits=False):
        answer = responder(with_new_mac1(datagram, BOB))
        with pytest.raises(ProtocolError):
            answer.answer(hello_b, 1)


@pytest.mark.parametrize("cut", [0, 1, 8, 135, 207, 1199, 1201])
def test_wrong_lengths_are_protocol_errors(cut: int) -> None:
    call = initiator()
    hello_a, hello_b = call.hello()
    answer = responder(hello_a)
    reply, _ = answer.answer(hello_b, 1)

    def sized(datagram: bytes) -> bytes:
        return (datagram + b"\0")[:cut] if cut != len(datagram) else b""

    with pytest.raises(ProtocolError):
        responder(sized(hello_a))
    with pytest.raises(ProtocolError):
        answer.answer(sized(hello_b), 2)
    with pytest.raises(ProtocolError):
        call.read_reply(sized(reply))


@pytest.mark.parametrize("field", ["session id", "responder", "initiator", "name", "role"])
def test_hs09_both_keys_roles_name_and_session_are_in_the_transcript(field: str) -> None:
    """The same handshake in all but one field: the other side does not follow."""
    hello_a, _ = initiator().hello()
    session_id = b"\1" * 16 if field == "session id" else bytes(16)
    called = EVE if field == "responder" else BOB
    if field == "initiator":
        # Eve puts her own key in the place of Alice's: nothing of Alice's hello opens it.
        theirs, _ = initiator(EVE).hello()
        hello_a = hello_a[:40] + theirs[40:88] + hello_a[88:]
    if field == "role":
        hello_a = with_new_mac1(hello_a, ALICE)
        called = ALICE
    other = "Noise_IK_25519+MLKEM768_ChaChaPoly_SHA256"
    with pytest.raises(ProtocolError):
        if field == "name":
            state = HandshakeState(
                other,
                initiator=False,
                entropy=seeded(0),
                prologue=PROLOGUE + bytes(16),
                s=KeyPair(public(BOB), identity(BOB).exchange),
            )
            state.read(hello_a[8:136])
        Responder(
            identity(called),
            hello_a,
            parameters=PARAMETERS,
            entropy=seeded(0),
            session_id=session_id,
        )


def test_hs10_parameters_are_authenticated_both_ways_and_versions_exact() -> None:
    """Edits of the sealed parameters are HS-11's; here: a peer that declares nonsense."""
    for nonsense in (
        PARAMETERS._replace(largest_datagram=0),
        PARAMETERS._replace(largest_datagram=65_508),
    ):
        call = Initiator(
            identity(ALICE), public(BOB), index=1, parameters=nonsense, entropy=seeded(0)
        )
        with pytest.raises(ProtocolError):
            responder(call.hello()[0])
    encoded = bytearray(PARAMETERS.encode())
    encoded[0] = 2
    with pytest.raises(ProtocolError):
        Parameters.parse(bytes(encoded))


def test_hs10_counters_start_anew_with_each_session() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    world.call(alice, bob)
    world.run(2.0)
    first, second = alice.connected
    roots = {first.keys.send_root, first.keys.receive_root}
    assert not roots & {second.keys.send_root, second.keys.receive_root}
    data = [flight.data for flight in world.sent if flight.data[0] == 0x50]
    starts = {flight[4:8]: flight[8:16] for flight in reversed(data)}
    assert set(starts.values()) == {bytes(8)}


def test_hs03_a_thief_of_the_called_key_gets_no_further_than_noise_ik_allows() -> None:
    """With Bob's secret key Eve can make a HELLO-A in Alice's name, but no session.

    Only `se`, which needs Alice's secret or the responder's ephemeral one, leads to the keys.
    """
    bobs = identity(BOB)
    # ss is the same from Bob's side: the thief puts it in the place of Alice's secret key.
    alice = KeyPair(public(ALICE), lambda peer: bobs.exchange(public(ALICE)))
    forged = forge(alice)
    hello_a, hello_b = forged.hello()
    answer = responder(hello_a)
    assert answer.peer == public(ALICE)
    reply, theirs = answer.answer(hello_b, 0xB0B)
    with pytest.raises(ProtocolError):
        forged.read_reply(reply)
    assert theirs.peer == public(ALICE)


def forge(static: KeyPair) -> Initiator:
    """An initiator whose static key pair is whatever the forger has."""

    class Forged:
        public = static.public

        def exchange(self, peer: bytes) -> bytes:
            return static.exchange(peer)

    impostor: Any = Forged()
    return Initiator(
        impostor, public(BOB), index=7, parameters=PARAMETERS, entropy=seeded("forger")
    )


def test_hs03_nothing_is_announced_to_the_thief_of_the_called_key() -> None:
    """The same against the exchange: half-open, then silence, then nothing is left."""
    world, alice, bob = pair()
    bobs = identity(BOB)
    forged = forge(KeyPair(public(ALICE), lambda peer: bobs.exchange(public(ALICE))))
    for datagram in forged.hello():
        world.put(alice.endpoint, bob.endpoint, datagram)
    world.run(0.1)
    # The best the thief can do: data under keys from every secret that it has.
    (reply,) = [flight.data for flight in world.sent if flight.data[0] == 0x43]
    for secret in (bytes(32), bobs.exchange(public(ALICE)), bobs.exchange(reply[12:44])):
        header = b"\x50\0\0\0" + reply[4:8] + bytes(8)
        world.put(alice.endpoint, bob.endpoint, header + secret[:16])
    world.run(20.0)
    assert not bob.connected
    assert not alice.connected
    assert bob.exchange.deadline() is None


def attacker(
    hello_a: bytes, hello_b: bytes, secrets: dict[str, bytes]
) -> tuple[SymmetricState, bytes, bytes]:
    """Redo the transcript up to the first `ee` with given Diffie-Hellman results, by hand."""
    state = SymmetricState(parse_name(PROTOCOL))
    state.mix_hash(PROLOGUE + bytes(16))
    state.mix_hash(public(BOB))
    state.mix_hash(hello_a[8:40])
    state.mix_key(secrets["es"])
    static = state.decrypt_and_hash(hello_a[40:88])
    state.mix_key(secrets["ss"])
    payload = state.decrypt_and_hash(hello_a[88:136])
    state.decrypt_and_hash(hello_a[136:1168] + hello_b[8:176])
    return state, static, payload


def finish(state: SymmetricState, reply: bytes, ee: bytes, kem: Any, se: bytes) -> bytes:
    state.mix_hash(reply[12:44])
    state.mix_key(ee)
    state.mix_key(kem(state.decrypt_and_hash(reply[44:1148])))
    state.mix_key(se)
    state.decrypt_and_hash(reply[1148:1184])
    return state.split()[0]


def test_hs20_recorded_traffic_and_both_static_keys_open_nothing_later() -> None:
    """All that both identities can compute is tried; with the ephemeral secrets it would open."""
    drawn: dict[int, bytes] = {}
    entropy = seeded("recorded")

    def remembering(n: int) -> bytes:
        drawn[n] = entropy(n)
        return drawn[n]

    call = Initiator(
        identity(ALICE), public(BOB), index=1, parameters=PARAMETERS, entropy=remembering
    )
    hello_a, hello_b = call.hello()
    reply, theirs = responder(hello_a).answer(hello_b, 2)
    e, re = hello_a[8:40], reply[12:44]
    secrets = {
        "es": identity(BOB).exchange(e),
        "ss": identity(BOB).exchange(public(ALICE)),
        "se": identity(ALICE).exchange(re),
    }
    # IK says of itself that the caller's identity and first payload do not outlive Bob's key.
    _, static, payload = attacker(hello_a, hello_b, secrets)
    assert static == public(ALICE)
    assert payload[:16] == PARAMETERS.encode()
    guesses = [bytes(32), *secrets.values()]
    for ee in guesses:
        with pytest.raises(ProtocolError):
            finish(attacker(hello_a, hello_b, secrets)[0], reply, ee, lambda _: b"", bytes(32))
    # A quantum computer that has ee as well still lacks what ML-KEM gave.
    ephemeral = KeyPair.from_seed(drawn[32])
    for guess in guesses:
        with pytest.raises(ProtocolError):
            finish(
                attacker(hello_a, hello_b, secrets)[0],
                reply,
                ephemeral.exchange(re),
                lambda _, guess=guess: guess,
                secrets["se"],
            )
    # The same steps with every secret: the attempt above failed for want of keys, not of care.
    _, decapsulate = MlKem768().generate(lambda _: drawn[64])
    root = finish(
        attacker(hello_a, hello_b, secrets)[0],
        reply,
        ephemeral.exchange(re),
        decapsulate,
        secrets["se"],
    )
    assert root == theirs.receive_root


def reachable(root: object) -> list[object]:
    """Everything that is kept alive by `root`, without modules and classes."""
    seen: dict[int, object] = {}
    stack = [root]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or (
            isinstance(thing, ModuleType | type | dict)
            and ("__builtins__" in thing if isinstance(thing, dict) else True)
        ):
            continue
        seen[id(thing)] = thing
        stack += gc.get_referents(thing)
    return list(seen.values())


def test_hs20_ephemeral_keys_are_dropped_when_there_is_a_session() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    kinds = X25519PrivateKey | MLKEM768PrivateKey
    during = [thing for thing in reachable(alice.exchange) if isinstance(thing, kinds)]
    assert len(during) >= 3
    world.run(1.0)
    assert len(alice.connected) == 1
    for node in (alice, bob):
        left = [
            thing
            for thing in reachable(node.exchange)
            if isinstance(thing, kinds | HandshakeState | Initiator | Responder)
        ]
        assert len(left) == 1, "the identity's own only"
        assert isinstance(left[0], X25519PrivateKey)


def test_hs20_the_responder_drops_them_with_its_reply() -> None:
    world, alice, bob = pair()
    world.route = lambda flight: [] if flight.data[0] == 0x43 else [flight]
    world.call(alice, bob)
    world.run(0.1)
    assert bob.exchange.deadline() is not None
    left = [
        thing
        for thing in reachable(bob.exchange)
        if isinstance(thing, X25519PrivateKey | MLKEM768PrivateKey | HandshakeState)
    ]
    assert len(left) == 1
    assert isinstance(left[0], X25519PrivateKey)


FORK = """
import os
from keys.identity import Identity
from securecp.transport.exchange import Exchange
from securecp.transport.handshake import Initiator, Responder
from securecp.endpoint import Burst, Endpoint
from securecp.transport.wire import Parameters

parameters = Parameters(True, 1452, 1 << 20, 1 << 24)
ours, theirs = Identity.generate(os.urandom), Identity.generate(os.urandom)
def initiator():
    return Initiator(ours, bytes(theirs.public), index=1, parameters=parameters, entropy=os.urandom)
hello_a, hello_b = initiator().hello()
responder = Responder(theirs, hello_a, parameters=parameters, entropy=os.urandom)
responder.answer(hello_b, 1)     # all libraries have drawn randomness before the fork
for _ in range(2):
    reading, writing = os.pipe()
    if os.fork() == 0:
        a, b = initiator().hello()
        os.write(writing, a + b + responder.answer(hello_b, 1)[0])
        os._exit(0)
    print(os.read(reading, 4096).hex())
    os.wait()
"""


def test_hs19_forked_workers_draw_different_ephemeral_keys() -> None:
    """e and e1 of two forks of one process, and what both write to one HELLO."""
    run = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60
    )
    one, two = (bytes.fromhex(line) for line in run.stdout.split())
    assert len(one) == len(two) == 2608
    assert one[8:40] != two[8:40], "e"
    assert one[136:1168] != two[136:1168], "e1"
    assert one[1408 + 12 : 1408 + 44] != two[1408 + 12 : 1408 + 44], "e of the REPLY"


OURS = (
    *("noise/state", "noise/symmetric", "noise/keypairs", "noise/patterns"),
    *("transport/handshake", "transport/cookie", "transport/load", "transport/halfopen"),
    *("transport/reception", "transport/calls", "transport/exchange", "transport/validation"),
)
DIRECTORY = Path(securecp.transport.__file__).parent.parent
SECRETS = {
    *("mac", "mac1", "mac2", "cookie", "secret", "tag", "key"),
    *("h", "k", "ck", "psk", "proof", "token"),
}


def compared_secrets(source: str) -> list[str]:
    """Comparisons with == or != that name a secret."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            names |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
            if {name.strip("_").lower() for name in names} & SECRETS:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", OURS)
def test_hs16_no_secret_is_compared_with_the_equals_sign(module: str) -> None:
    assert compared_secrets((DIRECTORY / f"{module}.py").read_text()) == []


def test_hs16_the_check_would_find_one() -> None:
    assert compared_secrets("if mac1 == self._mac1: pass") == ["mac1 == self._mac1"]
    assert "hmac.compare_digest" in (DIRECTORY / "transport" / "cookie.py").read_text()


@pytest.mark.parametrize("module", OURS)
def test_hs18_no_key_log_no_environment_no_printing(module: str) -> None:
    tree = ast.parse((DIRECTORY / f"{module}.py").read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert not names & {"print", "open", "environ", "getenv", "logging", "logger"}
    assert not imported & {"os", "logging", "sys", "pathlib", "time", "random", "socket"}


def test_hs18_session_keys_do_not_print() -> None:
    call = initiator()
    hello_a, hello_b = call.hello()
    reply, theirs = responder(hello_a).answer(hello_b, 0xB0B)
    ours = call.read_reply(reply)
    for keys in (ours, theirs):
        for secret in (keys.send_root, keys.receive_root):
            for form in (repr(keys), str(keys), f"{keys}"):
                assert secret.hex() not in form
                assert repr(secret) not in form


def test_dg09_no_msgpack_before_authentication() -> None:
    """Importing all that runs before authentication loads neither msgpack nor our codec."""
    modules = ["transport.wire", *(name.replace("/", ".") for name in OURS)]
    imports = "; ".join(f"import securecp.{name}" for name in modules)
    script = f"{imports}; import sys; print([m for m in sys.modules if m.startswith(BAD)])"
    script = "BAD = ('msgpack', 'securecp.codec', 'securecp.transport.frames'); " + script
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


def test_hs15_time_is_only_ever_the_argument() -> None:
    """A clock that stands still, or is years off, changes nothing: all is relative to `now`."""
    for start in (-1e9, 0.0, 4e9):
        world, alice, bob = pair(seed=start)
        world.now = start
        world.call(alice, bob)
        burst = Burst(alice.endpoint, memoryview(b"".join(f.data for f in world.sent)), 1200)
        bob.exchange.receive(start, burst)
        reply = bob.exchange.transmit(start)
        assert reply is not None
        alice.exchange.receive(start, reply._replace(endpoint=bob.endpoint))
        data = alice.exchange.transmit(start)
        assert data is not None
        bob.exchange.receive(start, data._replace(endpoint=alice.endpoint))
        (event,) = bob.exchange.events()
        assert event.__class__.__name__ == "Connected"


def test_identity_is_the_real_one() -> None:
    assert isinstance(identity(ALICE), Identity)
