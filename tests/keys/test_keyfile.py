"""The identity on disk: private, whole or not there, and never overwritten by accident."""

import os
import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from errno import EDQUOT, EIO, ENOLCK, ENOSPC, EPERM, EROFS
from pathlib import Path

import pytest

from keys import files, keyfile
from keys.errors import FileFailedError, FileRefusedError, KeyFileError, KeysError, PassphraseError
from keys.identity import Identity
from keys.passphrase import seal
from keys.secret import Secret
from tests.keys.faults import Faulty, dies_at, fails_at, in_child
from tests.keys.samples import Entropy, identity
from tests.keys.test_identity import told_with_locals

ALICE, BOB = identity("alice"), identity("bob")
MADE = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "identity.key"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal with little work."""
    monkeypatch.setattr(
        "keys.passphrase.seal", lambda text, word, entropy: seal(text, word, entropy, work_factor=3)
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_an_identity_comes_back_from_its_file(path: Path) -> None:
    keyfile.create(path, ALICE, created=MADE)
    assert keyfile.load(path) == ALICE
    assert not keyfile.is_sealed(path)


def test_the_file_is_what_age_keygen_would_write(path: Path) -> None:
    keyfile.create(path, ALICE, created=MADE)
    lines = path.read_text().splitlines()
    assert all(line.startswith("# ") for line in lines[:-1])
    assert lines[1:3] == ["# created: 2026-01-31T12:00:00+00:00", f"# public key: {ALICE.public}"]
    assert Secret(lines[-1]) == ALICE.secret_text()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_kc01_the_file_is_0600_in_a_0700_directory_under_any_umask(path: Path, umask: int) -> None:
    before = os.umask(umask & ~0o200)
    try:
        keyfile.create(path, ALICE)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert all(mode(entry) == 0o600 for entry in path.parent.iterdir())


def test_kc01_the_file_is_born_private(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not created readable and closed afterwards: at no moment could others open it."""
    seen: list[int] = []

    def look(number: int, name: str) -> None:
        seen.extend(mode(entry) for entry in path.parent.glob(".securecp-*.new"))

    before = os.umask(0)
    try:
        monkeypatch.setattr(files, "os", Faulty(look))
        keyfile.create(path, ALICE)
    finally:
        os.umask(before)
    assert set(seen) == {0o600}


def test_kc01_a_file_in_the_temporary_one_s_place_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = path.parent.parent / "victim"
    victim.write_bytes(b"precious")
    path.parent.mkdir(mode=0o700)
    taken = path.parent / f".securecp-{'ab' * 8}.new"
    monkeypatch.setattr("secrets.token_hex", lambda count: "ab" * count)

    def slip_in(number: int, name: str) -> None:
        if name == "open" and (path.parent / files.LOCK_NAME).exists() and not taken.exists():
            os.link(victim, taken)

    monkeypatch.setattr(files, "os", Faulty(slip_in))
    with pytest.raises(FileFailedError, match="exists"):
        keyfile.create(path, ALICE)
    assert victim.read_bytes() == b"precious"
    assert not path.exists()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610, 0o601])
def test_kc01_a_file_that_others_can_open_is_refused_with_the_remedy(path: Path, bits: int) -> None:
    keyfile.create(path, ALICE)
    path.chmod(bits)
    with pytest.raises(FileRefusedError) as caught:
        keyfile.load(path)
    assert caught.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert keyfile.load(path) == ALICE


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777, 0o1777])
def test_kc01_a_directory_that_others_can_write_is_refused_with_the_remedy(
    path: Path, bits: int
) -> None:
    keyfile.create(path, ALICE)
    path.parent.chmod(bits)
    for use in (lambda: keyfile.load(path), lambda: keyfile.create(path, BOB, force=True)):
        with pytest.raises(FileRefusedError) as caught:
            use()
        assert caught.value.hint == f"chmod 700 {path.parent}"


def test_kc01_a_symbolic_link_is_refused(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere" / "identity.key"
    keyfile.create(elsewhere, ALICE)
    keyfile.create(path, BOB)
    path.unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(FileRefusedError, match="symbolic link") as caught:
        keyfile.load(path)
    assert f"rm {path}" in caught.value.hint


@pytest.mark.parametrize("force", [False, True])
def test_kc01_nothing_is_written_through_a_symbolic_link(path: Path, force: bool) -> None:
    elsewhere = path.parent.parent / "victim"
    path.parent.mkdir(mode=0o700)
    path.symlink_to(elsewhere)
    if force:
        keyfile.create(path, ALICE, force=True)
        assert not path.is_symlink()
    else:
        with pytest.raises(KeyFileError, match="already"):
            keyfile.create(path, ALICE)
    assert not elsewhere.exists()


def test_kc01_another_owner_s_file_or_directory_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyfile.create(path, ALICE)
    someone_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: someone_else)
    with pytest.raises(FileRefusedError, match="belongs to another user") as caught:
        keyfile.load(path)
    assert caught.value.hint == f'sudo chown "$(id -u)" {path.parent}'


def test_kc01_another_owner_s_file_in_our_directory_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyfile.create(path, ALICE)
    real = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))

    monkeypatch.setattr(os, "fstat", foreign)
    with pytest.raises(FileRefusedError, match=r"identity\.key belongs to another user"):
        keyfile.load(path)


def make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_directory(path: Path) -> None:
    path.mkdir(mode=0o700)


@pytest.mark.parametrize("make", [make_fifo, make_directory])
def test_kc01_what_is_no_regular_file_is_refused_without_waiting(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir(mode=0o700)
    make(path)
    with pytest.raises(FileRefusedError, match="not a regular file"):
        keyfile.load(path)


def test_kc01_an_existing_identity_is_not_overwritten_without_force(path: Path) -> None:
    keyfile.create(path, ALICE)
    with pytest.raises(KeyFileError, match="already") as caught:
        keyfile.create(path, BOB)
    assert "--force" in caught.value.hint
    assert keyfile.load(path) == ALICE
    keyfile.create(path, BOB, force=True)
    assert keyfile.load(path) == BOB


def test_kc01_without_hard_links_an_identity_is_still_not_overwritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(number: int, name: str) -> None:
        if name == "link":
            raise PermissionError(EPERM, "no hard links here")

    monkeypatch.setattr(files, "os", Faulty(no_links))
    keyfile.create(path, ALICE)
    with pytest.raises(KeyFileError, match="already"):
        keyfile.create(path, BOB)
    assert keyfile.load(path) == ALICE


def test_a_home_deep_below_what_exists_is_made(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "three" / "identity.key"
    keyfile.create(path, ALICE)
    assert keyfile.load(path) == ALICE
    assert mode(path.parent) == 0o700


def test_kc02_nothing_is_written_where_nothing_can_be_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(ENOLCK, os.strerror(ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(FileFailedError, match="cannot lock"):
        keyfile.create(path, ALICE)
    assert not path.exists()


def test_an_armored_file_is_told_from_a_damaged_one(path: Path) -> None:
    keyfile.create(path, ALICE)
    path.write_bytes(BAD_CONTENT["armor"])
    with pytest.raises(KeyFileError, match="armored") as caught:
        keyfile.load(path)
    assert "age -d" in caught.value.hint


def test_a_missing_identity_names_the_command_that_makes_one(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyFileError, match="no identity") as caught:
            keyfile.load(path)
        assert caught.value.hint == "securecp keygen"
        path.parent.mkdir(mode=0o700, exist_ok=True)


BAD_CONTENT = {
    "empty": b"",
    "comments only": b"# nothing\n",
    "two keys": ALICE.secret_text().reveal() + b"\n" + BOB.secret_text().reveal(),
    "public key": str(ALICE.public).encode(),
    "cut": ALICE.secret_text().reveal()[:-1],
    "bytes": b"\xff\xfe\x00",
    "armor": b"-----BEGIN AGE ENCRYPTED FILE-----\n",
}


@pytest.mark.parametrize("content", BAD_CONTENT.values(), ids=BAD_CONTENT)
def test_kc04_a_file_without_one_good_key_is_refused(path: Path, content: bytes) -> None:
    keyfile.create(path, ALICE)
    path.write_bytes(content)
    with pytest.raises(KeysError):
        keyfile.load(path)


def test_kc03_of_a_huge_file_only_a_little_is_read(path: Path) -> None:
    keyfile.create(path, ALICE)
    os.truncate(path, 1 << 40)
    with pytest.raises(FileRefusedError, match="larger"):
        keyfile.load(path)


def test_kc03_a_file_that_grows_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyfile.create(path, ALICE)

    def grow(number: int, name: str) -> None:
        if name == "read":
            os.truncate(path, 1 << 20)

    monkeypatch.setattr(files, "os", Faulty(grow))
    with pytest.raises(FileRefusedError, match="larger"):
        keyfile.load(path)


@pytest.mark.usefixtures("quick")
def test_a_passphrase_is_asked_for_only_if_there_is_one(path: Path) -> None:
    def never() -> Secret:
        pytest.fail("asked for a passphrase")

    keyfile.create(path, ALICE)
    assert keyfile.load(path, never) == ALICE
    keyfile.create(path, ALICE, passphrase=Secret("word"), force=True, entropy=Entropy())
    assert keyfile.is_sealed(path)
    assert keyfile.load(path, lambda: Secret("word")) == ALICE
    with pytest.raises(PassphraseError, match="wrong passphrase"):
        keyfile.load(path, lambda: Secret("words"))
    with pytest.raises(KeyFileError, match="sealed under a passphrase"):
        keyfile.load(path)


@pytest.mark.usefixtures("quick")
def test_a_sealed_file_shows_nothing_of_the_identity(path: Path) -> None:
    keyfile.create(path, ALICE, passphrase=Secret("word"))
    assert str(ALICE.public).encode() not in path.read_bytes()
    assert b"AGE-SECRET" not in path.read_bytes()


@pytest.mark.usefixtures("quick")
def test_a_passphrase_can_be_changed_and_taken_away(path: Path) -> None:
    keyfile.create(path, ALICE)
    keyfile.change_passphrase(path, None, Secret("one"))
    keyfile.change_passphrase(path, lambda: Secret("one"), Secret("two"))
    with pytest.raises(PassphraseError):
        keyfile.change_passphrase(path, lambda: Secret("one"), None)
    assert keyfile.load(path, lambda: Secret("two")) == ALICE
    keyfile.change_passphrase(path, lambda: Secret("two"), None)
    assert keyfile.load(path) == ALICE


def test_cl08_a_damaged_key_file_stays_out_of_the_traceback(path: Path) -> None:
    keyfile.create(path, ALICE)
    text = path.read_bytes()
    path.write_bytes(text[:-2] + (b"Q" if text[-2:-1] != b"Q" else b"P") + b"\n")
    with pytest.raises(KeysError, match="checksum") as caught:
        keyfile.load(path)
    secret = ALICE.secret_text().reveal().decode()
    assert secret[20:40] not in told_with_locals(caught.value)


def error_of(work: Callable[[], object]) -> KeysError | None:
    try:
        work()
    except KeysError as error:
        return error
    return None


# KC-02: whatever happens while it is written, the old identity is there or the new one.

STEPS = 40  # more than there are calls; a run without a hit ends each loop


def works(path: Path, force: bool) -> Callable[[], None]:
    return lambda: keyfile.create(path, BOB, force=force, created=MADE)


@pytest.mark.parametrize("there_before", [False, True])
def test_kc02_killed_at_each_call_the_old_or_the_new_identity_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    outcomes = set()
    for step in range(1, STEPS):
        if there_before:
            keyfile.create(path, ALICE, force=True)
        elif path.exists():
            path.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", dies_at(step))
            ended = in_child(works(path, there_before))
        assert ended in (0, -signal.SIGKILL)
        found = keyfile.load(path) if path.exists() else None
        assert found in ((ALICE, BOB) if there_before else (None, BOB))
        outcomes.add(found)
        # and nothing stands in the way of the next attempt, which also cleans up
        keyfile.create(path, BOB, force=True)
        assert keyfile.load(path) == BOB
        assert {entry.name for entry in path.parent.iterdir()} == {path.name, files.LOCK_NAME}
        if ended == 0:
            break
    else:
        pytest.fail("the last step was never reached")
    assert outcomes == {ALICE if there_before else None, BOB}
    assert step > 9


@pytest.mark.parametrize("errno", [ENOSPC, EIO, EROFS, EDQUOT])
@pytest.mark.parametrize("there_before", [False, True])
def test_kc02_an_error_at_each_call_is_told_and_leaves_the_old_or_the_new(
    path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool, errno: int
) -> None:
    for step in range(1, STEPS):
        if there_before:
            keyfile.create(path, ALICE, force=True)
        elif path.exists():
            path.unlink()
        faulty = fails_at(step, errno)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", faulty)
            error = error_of(works(path, there_before))
        if error is not None:
            assert isinstance(error, FileFailedError)
            assert os.strerror(errno) in error.message
            assert error.exit_code == 1
        if set(faulty.log[step - 1 : step]) & {
            "open",
            "fchmod",
            "write",
            "fsync",
            "link",
            "replace",
        }:
            assert error is not None
        found = keyfile.load(path) if path.exists() else None
        assert found in ((ALICE, BOB) if there_before else (None, BOB))
        assert error is not None or found == BOB
        if "unlink" not in faulty.log[step - 1 : step]:
            assert not list(path.parent.glob(".securecp-*.new"))
        if len(faulty.log) < step:
            break
    else:
        pytest.fail("the last step was never reached")


@pytest.mark.parametrize("force", [False, True])
def test_kc02_content_is_on_the_disk_before_its_name_and_the_name_before_success(
    path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    keyfile.create(path, ALICE) if force else path.parent.mkdir(mode=0o700)
    faulty = Faulty()
    monkeypatch.setattr(files, "os", faulty)
    works(path, force)()
    log = [name for name in faulty.log if name not in ("close", "unlink", "open", "read")]
    publish = "replace" if force else "link"
    assert log[0] == "fchmod"
    assert set(log[1:-3]) == {"write"}
    assert log[-3:] == ["fsync", publish, "fsync"]


def test_kc02_two_who_generate_at_once_make_one_identity(path: Path) -> None:
    def generate(name: str) -> Callable[[], None]:
        return lambda: keyfile.create(path, identity(name))

    ends = [in_child(generate(name)) for name in ("alice", "bob")]
    assert sorted(ends) == [0, 1]
    assert keyfile.load(path) == ALICE


def test_kc02_a_waiting_writer_gives_up_with_a_word(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir(mode=0o700)
    monkeypatch.setattr(files, "LOCK_PATIENCE", 0.05)
    with (
        files.PrivateDirectory(path.parent) as held,
        held.locked(),
        pytest.raises(FileFailedError, match="another securecp is busy"),
    ):
        keyfile.create(path, ALICE)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open descriptors")
def test_no_descriptor_is_left_open_by_success_or_refusal(path: Path) -> None:
    keyfile.create(path, ALICE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        keyfile.create(path, BOB, force=True)
        keyfile.load(path)
        path.chmod(0o644)
        assert isinstance(error_of(lambda: keyfile.load(path)), FileRefusedError)
        path.chmod(0o600)
        path.parent.chmod(0o777)
        assert isinstance(error_of(lambda: keyfile.load(path)), FileRefusedError)
        path.parent.chmod(0o700)
        assert isinstance(error_of(lambda: keyfile.create(path, ALICE)), KeyFileError)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_fresh_identity_uses_the_system_s_randomness(path: Path) -> None:
    made = {Identity.generate(os.urandom).public for _ in range(5)}
    assert len(made) == 5
