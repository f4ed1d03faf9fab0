"""The address of a server as people copy it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import bech32
from securecp.errors import ProtocolError
from securecp.nat.serveraddress import ServerAddress, key_text, parse, parse_key

KEY = bytes(range(32))
TEXT = key_text(KEY)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (f"ws://192.0.2.7:4480#{TEXT}", ServerAddress(False, "192.0.2.7", 4480, KEY)),
        (f"ws://[2001:db8::7]:4480#{TEXT}", ServerAddress(False, "2001:db8::7", 4480, KEY)),
        (f"wss://reach.example.org#{TEXT}", ServerAddress(True, "reach.example.org", 443, KEY)),
        (f"wss://a.example:8443#{TEXT}", ServerAddress(True, "a.example", 8443, KEY)),
        (f"ws://localhost#{TEXT}", ServerAddress(False, "localhost", 80, KEY)),
    ],
)  # fmt: skip
def test_addresses_are_read_and_written(text: str, address: ServerAddress) -> None:
    assert parse(text) == address
    assert str(address) == text


def test_a_slash_before_the_key_and_a_written_default_port_are_no_fault() -> None:
    assert parse(f"wss://a.example:443/#{TEXT}") == parse(f"wss://a.example#{TEXT}")


@pytest.mark.parametrize(
    "text",
    [
        "", "ws://", f"http://a.example#{TEXT}", f"ws://#{TEXT}", f"ws://a:0#{TEXT}",
        f"ws://a:65536#{TEXT}", f"ws://a:999999#{TEXT}", f"ws://[::1#{TEXT}", f"ws://::1#{TEXT}",
        f"ws://[:::::]#{TEXT}", f"ws://a/path#{TEXT}", f"ws://a?q#{TEXT}", f"ws://u@a#{TEXT}",
        f"ws://a\n#{TEXT}", f"ws://a#{TEXT} ", f"ws://a#{TEXT[:-1]}", f"ws://a#{TEXT.upper()}",
        f"ws://a#{bech32.encode('age', KEY)}", f"ws://a#{bech32.encode('scpserver', KEY[:-1])}",
        "ws://a#" + "x" * 2_000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text)
    assert caught.value.hint


def test_rv14_an_address_without_a_key_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no key"):
        parse("ws://192.0.2.7:4480")


@given(st.text(max_size=200), st.binary(max_size=40))
def test_any_text_parses_or_raises_the_one_error(text: str, key: bytes) -> None:
    for candidate in (text, f"ws://{text}#{TEXT}", f"ws://a#{bech32.encode('scpserver', key)}"):
        try:
            address = parse(candidate)
        except ProtocolError:
            continue
        assert parse(str(address)) == address


def test_a_mistyped_key_is_noticed() -> None:
    with pytest.raises(ProtocolError, match="damaged"):
        parse_key(TEXT[:20] + ("q" if TEXT[20] != "q" else "p") + TEXT[21:])
