"""The vectors of what client and server say to each other, each with its expected outcome."""

import json
from pathlib import Path
from typing import Any

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import relay, rendezvous, serveraddress
from securecp.nat.channel import ClientChannel, ServerChannel, hello_in, path_of
from securecp.nat.tags import tag_of
from securecp.noise.keypairs import KeyPair

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "server.json").read_text())
PARSE = {"client": rendezvous.parse_from_client, "server": rendezvous.parse_from_server}


def plain(value: object) -> Any:
    """A field as the vectors write it."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case Endpoint():
            return [value.address, value.port]
        case tuple():
            return [plain(one) for one in value]
        case _:
            return value


def test_rv14_the_channel_is_as_the_vectors_say() -> None:
    vector = VECTORS["channel"]
    ephemeral = {side: bytes.fromhex(vector[f"{side}_ephemeral"]) for side in ("client", "server")}
    key = KeyPair.from_seed(bytes.fromhex(vector["server_secret"]))
    client = ClientChannel(key.public, lambda count: ephemeral["client"][:count])
    assert client.hello.hex() == vector["hello"] and path_of(client.hello) == vector["path"]
    hello = hello_in(vector["path"])
    server = ServerChannel(key, hello, lambda count: ephemeral["server"][:count])
    message = server.welcome(bytes.fromhex(vector["payload"]))
    assert message.hex() == vector["welcome"]
    assert client.welcome(message).hex() == vector["payload"]
    for way, sealer, opener in (("to_server", client, server), ("to_client", server, client)):
        for one in vector[way]:
            assert sealer.seal(bytes.fromhex(one["plain"])).hex() == one["sealed"]
            assert opener.open(bytes.fromhex(one["sealed"])).hex() == one["plain"]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["type"])
def test_messages_are_as_the_vectors_say(vector: dict[str, Any]) -> None:
    message = PARSE[vector["from"]](bytes.fromhex(vector["hex"]))
    assert type(message).__name__ == vector["type"]
    assert {name: plain(value) for name, value in message._asdict().items()} == vector["fields"]
    assert message.encode().hex() == vector["hex"]


@pytest.mark.parametrize("vector", VECTORS["refused_messages"], ids=lambda vector: vector["why"])
def test_rl06_refused_messages_are_as_the_vectors_say(vector: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        PARSE[vector["from"]](bytes.fromhex(vector["hex"]))


def test_datagrams_of_the_relay_are_as_the_vectors_say() -> None:
    vector = VECTORS["relay"]
    ticket, attach, cookie = (
        bytes.fromhex(vector[name]) for name in ("ticket", "attach_id", "cookie")
    )
    assert relay.encode_cookie_request().hex() == vector["COOKIE-REQUEST"]
    assert relay.encode_cookie(cookie).hex() == vector["COOKIE"]
    assert relay.encode_attach(attach, cookie, ticket).hex() == vector["ATTACH"]
    assert relay.parse_attach(bytes.fromhex(vector["ATTACH"])).proves(ticket)
    assert relay.encode_attached(attach).hex() == vector["ATTACHED"]
    circuit = vector["circuit"]
    data = bytes.fromhex(circuit["data"])
    message = relay.encode_circuit(circuit["leg"], circuit["stride"], data)
    assert message.hex() == circuit["message"]


def test_tags_are_as_the_vectors_say() -> None:
    assert tag_of(bytes.fromhex(VECTORS["tag"]["claim"])).hex() == VECTORS["tag"]["tag"]


def test_addresses_are_as_the_vectors_say() -> None:
    vector = VECTORS["address"]
    address = serveraddress.parse(vector["url"])
    assert (address.tls, address.host, address.port) == (
        vector["tls"], vector["host"], vector["port"],
    )  # fmt: skip
    assert address.key.hex() == vector["key"] and str(address) == vector["url"]
    for text in VECTORS["refused_addresses"]:
        with pytest.raises(ProtocolError):
            serveraddress.parse(text)
