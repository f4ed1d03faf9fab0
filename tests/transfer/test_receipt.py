"""The receipt: one signature over one delivery, kept in a form that proves itself."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import xeddsa
from keys.identity import Identity
from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer import effects as fx
from securecp.transfer.receipt import Receipt
from tests.transfer.pair import ALICE, BOB, NOW, TRANSFER, Pair, file, sign_as, verify

RECEIPT = Receipt(ALICE, BOB, TRANSFER, bytes(32), b"c" * 32, 3, 1, 100, NOW)


def test_mf14_the_statement_is_as_specified() -> None:
    figures = b"".join(number.to_bytes(8, "big") for number in (3, 1, 100, NOW))
    expected = b"securecp 1 receipt" + ALICE + BOB + TRANSFER + bytes(32) + b"c" * 32 + figures
    assert RECEIPT.statement() == expected


def test_mf14_any_other_value_is_another_statement() -> None:
    signed = RECEIPT.signed(lambda message: sign_as(BOB, message))
    assert signed.verified(verify)
    for field in Receipt._fields:
        value = getattr(signed, field)
        other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
        changed: Any = {field: other}
        assert not signed._replace(**changed).verified(verify)


def test_mf14_with_real_keys() -> None:
    bob = Identity.generate(lambda length: b"b" * length)
    receipt = RECEIPT._replace(receiver=bytes(bob.public)).signed(
        lambda message: bob.sign(message, lambda length: b"r" * length)
    )
    assert receipt.verified(xeddsa.verify)
    kept = Receipt.parse(receipt.encode())
    assert kept == receipt and kept.verified(xeddsa.verify)
    assert not receipt._replace(files=4).verified(xeddsa.verify)


def test_a_kept_receipt_has_one_form() -> None:
    good = RECEIPT.encode()
    assert Receipt.parse(good) == RECEIPT
    fields = codec.decode(good)
    wrong = [b"securecp 2 receipt", b"", b"x" * 31, b"", b"x", None, -1, "1", 2**63, True, b"x"]
    for index, value in enumerate(wrong):
        changed = [*fields[:index], value, *fields[index + 1 :]]
        with pytest.raises(ProtocolError):
            Receipt.parse(codec.encode(changed))
    for bad in (good[:-1], good + b"\0", b"", codec.encode(fields[:-1])):
        with pytest.raises(ProtocolError):
            Receipt.parse(bad)


@given(st.integers(0, 300), st.integers(0, 255))
def test_dg11_a_changed_receipt_parses_or_raises(where: int, byte: int) -> None:
    data = bytearray(RECEIPT.encode())
    data[where % len(data)] = byte
    with contextlib.suppress(ProtocolError):
        assert Receipt.parse(bytes(data)).encode() == data


def test_mf14_a_receipt_of_one_transfer_is_none_of_another() -> None:
    """The same files between the same people a second time: the old receipt does not count."""
    first = Pair([file("a", 3)]).run()
    told = first.of(fx.Delivered)[0].receipt
    second = Pair([file("a", 3)])
    second.receiver._sign = lambda message: told.signature
    second.sender._transfer_id = b"another transfer"
    with pytest.raises(ProtocolError, match="signed"):
        second.run()
    assert not second.delivered
