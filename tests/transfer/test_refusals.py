"""Refusals of sender and receiver that wider tests would not miss."""

import pytest

from securecp.errors import ProtocolError
from securecp.transfer import effects as fx
from securecp.transfer import messages as m
from tests.transfer.pair import small_chunks
from tests.transfer.test_states import content_digest, finished, heard, ready, receipt, tell


def test_what_follows_an_abort_in_the_same_piece_is_not_read() -> None:
    receiver = ready()
    abort = m.encode(m.Abort(4, "stop"))
    piece = len(abort).to_bytes(4, "big") + abort
    receiver.control(piece + b"\xff" * 100)
    assert receiver.effects() == [fx.Aborted(4, "stop")]
    assert heard(receiver) == []


def test_mf14_a_receipt_for_more_bytes_than_were_offered_is_refused() -> None:
    with small_chunks(8):
        sender = finished()
        sender.fail(1, "gone")
        heard(sender)
        digest = content_digest(failed=(1,))
        with pytest.raises(ProtocolError):
            tell(sender, receipt(content_digest=digest, files=2, skipped=1, size=24))
