"""The passphrase form: age's own, strict, and never more work than we agreed to."""

import base64
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import passphrase
from keys.errors import PassphraseError
from keys.passphrase import open_sealed, seal
from keys.secret import Secret
from tests.keys.samples import Entropy, identity
from tests.keys.test_identity import told_with_locals

TEXT = Secret("AGE-SECRET-KEY-PQ-1, say\n")
WORD = Secret("correct horse")
SEALED = seal(TEXT, WORD, Entropy(), work_factor=4)
KIT: list[dict[str, Any]] = json.loads(Path(__file__).with_name("age-scrypt.json").read_text())[
    "vectors"
]
AGE = shutil.which("age")


def test_what_was_sealed_opens_with_the_same_passphrase() -> None:
    entropy = Entropy()
    assert open_sealed(seal(TEXT, WORD, entropy, work_factor=4), WORD) == TEXT
    assert entropy.used == 48


def test_a_wrong_passphrase_is_told_as_such() -> None:
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        open_sealed(SEALED, Secret("correct horsE"))


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(PassphraseError, match="empty"):
        seal(TEXT, Secret(""), Entropy())


@pytest.mark.parametrize("vector", KIT, ids=lambda vector: vector["name"])
def test_kc03_age_s_test_kit_has_its_expected_outcome(vector: dict[str, Any]) -> None:
    data, word = base64.b64decode(vector["file"]), Secret(vector["passphrase"])
    if vector["expect"] == "success":
        content = open_sealed(data, word).reveal()
        assert sha256(content).hexdigest() == vector["payload_sha256"]
    else:
        with pytest.raises(PassphraseError):
            open_sealed(data, word)


class Refusing:
    """Stands for scrypt where no work may be done."""

    def __init__(self, **_: object) -> None:
        pytest.fail("work was done for a file that should be refused")


@pytest.mark.parametrize("factor", [21, 22, 30, 40, 63, 64, 9_999_999_999])
def test_kc03_a_work_factor_over_the_cap_is_refused_before_any_work(
    factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passphrase, "Scrypt", Refusing)
    greedy = SEALED.replace(b" 4\n", b" %d\n" % factor, 1)
    with pytest.raises(PassphraseError, match="work factor"):
        open_sealed(greedy, WORD)


def test_kc03_the_cap_is_one_gibibyte() -> None:
    assert 128 * 8 << passphrase.LARGEST_WORK_FACTOR == 1 << 30
    assert passphrase.WORK_FACTOR <= passphrase.LARGEST_WORK_FACTOR


@pytest.mark.parametrize("factor", [b"0", b"04", b"-4", b"+4", b" 4", b"4 ", b"0x4", b"", b"\xb2"])
def test_kc03_a_work_factor_has_one_spelling(
    factor: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passphrase, "Scrypt", Refusing)
    with pytest.raises(PassphraseError, match="form"):
        open_sealed(SEALED.replace(b" 4\n", b" " + factor + b"\n", 1), WORD)


def test_kc03_a_file_over_the_size_cap_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passphrase, "Scrypt", Refusing)
    with pytest.raises(PassphraseError, match="too long"):
        open_sealed(SEALED.ljust(passphrase.LARGEST_FILE + 1, b"x"), WORD)


def test_kc03_too_little_memory_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry(Refusing):
        def __init__(self, **_: object) -> None:
            """Nothing yet."""

        def derive(self, _: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(passphrase, "Scrypt", Hungry)
    with pytest.raises(PassphraseError, match="memory"):
        open_sealed(SEALED, WORD)


def test_every_changed_byte_is_noticed() -> None:
    for place in range(len(SEALED)):
        for change in (0x01, 0x20, 0x80):
            damaged = bytearray(SEALED)
            damaged[place] ^= change
            with pytest.raises(PassphraseError):
                open_sealed(bytes(damaged), WORD, largest_work_factor=8)


def test_every_truncation_and_any_tail_is_noticed() -> None:
    for length in range(len(SEALED)):
        with pytest.raises(PassphraseError):
            open_sealed(SEALED[:length], WORD)
    for tail in (b"\0", b"\n", bytes(16), SEALED):
        with pytest.raises(PassphraseError):
            open_sealed(SEALED + tail, WORD)


def test_a_header_sealed_for_another_payload_is_refused() -> None:
    """The MAC covers the header, the payload's key comes from the file key: no splicing."""
    other = seal(TEXT, WORD, Entropy(2), work_factor=4)
    cut = re.search(rb"\n--- [^\n]+\n", SEALED)
    other_cut = re.search(rb"\n--- [^\n]+\n", other)
    assert cut is not None
    assert other_cut is not None
    for spliced in (
        SEALED[: cut.start()] + other[other_cut.start() :],
        SEALED[: cut.end()] + other[other_cut.end() :],
    ):
        with pytest.raises(PassphraseError):
            open_sealed(spliced, WORD)


def test_a_header_altered_by_one_who_knows_only_the_wrapped_key_is_refused() -> None:
    """The work factor's line is under the MAC, not only the wrapped key."""
    original = passphrase._mac
    forged = seal(TEXT, WORD, Entropy(), work_factor=4)
    assert passphrase.open_sealed(forged, WORD) == TEXT
    altered = bytearray(forged)
    mac_at = forged.index(b"\n--- ") + 5
    altered[mac_at : mac_at + 43] = passphrase._to_base64(original(bytes(16), b"another header"))
    with pytest.raises(PassphraseError, match="header"):
        open_sealed(bytes(altered), WORD)


@given(st.binary(max_size=400))
def test_kc03_any_bytes_open_or_are_refused(data: bytes) -> None:
    with suppress(PassphraseError):
        open_sealed(data, WORD, largest_work_factor=4)
    with suppress(PassphraseError):
        open_sealed(passphrase.INTRODUCTION + data, WORD, largest_work_factor=4)


def test_cl08_a_wrong_passphrase_stays_out_of_the_traceback() -> None:
    with pytest.raises(PassphraseError) as caught:
        open_sealed(SEALED, Secret("canary-passphrase"))
    assert "canary" not in told_with_locals(caught.value)


def run_age(word: str, *arguments: str) -> int:
    """Run age in a pseudo-terminal of its own and type `word` whenever it asks."""
    assert AGE is not None
    main, side = pty.openpty()
    process = subprocess.Popen(
        [AGE, *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        preexec_fn=_controlling_terminal,  # noqa: PLW1509  # age asks on /dev/tty only
    )
    os.close(side)
    said = b""
    with suppress(OSError):  # EIO: the other side is closed
        while part := os.read(main, 1024):
            said += part
            if said.rstrip(b"\x1b[FK \r\n").endswith(b":"):
                os.write(main, word.encode() + b"\n")
                said = b""
    os.close(main)
    return process.wait(60)


def _controlling_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


needs_age: Callable[[Any], Any] = pytest.mark.skipif(
    AGE is None, reason="age is not installed: nobody but ourselves opened what we sealed"
)


@needs_age
def test_age_opens_what_we_seal(tmp_path: Path) -> None:
    content = identity("alice").secret_text()
    (tmp_path / "sealed").write_bytes(seal(content, WORD, Entropy(), work_factor=10))
    arguments = ("-d", "-o", str(tmp_path / "opened"), str(tmp_path / "sealed"))
    assert run_age("wrong", *arguments) != 0
    assert run_age("correct horse", *arguments) == 0
    assert (tmp_path / "opened").read_bytes() == content.reveal()


@needs_age
def test_we_open_what_age_seals(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(TEXT.reveal())
    arguments = ("-p", "-o", str(tmp_path / "sealed"), str(tmp_path / "plain"))
    assert run_age("correct horse", *arguments) == 0
    assert open_sealed((tmp_path / "sealed").read_bytes(), WORD) == TEXT
