"""contacts.toml: edited by people and programs together, replaced whole, never half trusted."""

import shutil
import signal
from collections.abc import Callable
from datetime import date
from errno import EIO, ENOSPC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keys import files
from keys.contacts import Contacts
from keys.contactsfile import ContactsFile
from keys.errors import ContactsError, FileFailedError, FileRefusedError, KeysError
from keys.policy import Contact
from tests.keys.faults import Faulty, dies_at, ended, fails_at, in_child, start
from tests.keys.samples import contact, identity

ALICE, BOB, CAROL = (identity(name).public for name in ("alice", "bob", "carol"))

WRITTEN = f"""\
# my people
version = 1    # of the format

# Alice from the choir
[contacts.alice]
accept = "always"   # I know her
key = "{ALICE}"  # she read it to me
endpoints = [
    "alice.example.org:4400",   # at home
]

[contacts.bob]
# owes me a book
key = "{BOB}"

[groups]
choir = ["alice", "bob"]  # Thursdays
"""


@pytest.fixture
def book(tmp_path: Path) -> ContactsFile:
    return ContactsFile(tmp_path / "home" / "contacts.toml")


@pytest.fixture
def written(book: ContactsFile) -> ContactsFile:
    book.path.parent.mkdir(mode=0o700)
    book.path.write_text(WRITTEN)
    book.path.chmod(0o600)
    return book


def test_without_a_file_there_is_nobody(book: ContactsFile) -> None:
    assert book.load() == Contacts()
    assert book.current() == Contacts()
    assert not book.path.parent.exists()


def test_a_contact_that_was_added_is_there(book: ContactsFile) -> None:
    book.edit(lambda known: known.add(contact("alice", accept="never", max_size=1 << 40)))
    assert book.load().lookup("alice").max_size == 1 << 40
    assert book.path.stat().st_mode & 0o777 == 0o600
    assert book.path.parent.stat().st_mode & 0o777 == 0o700


def test_every_field_comes_back(book: ContactsFile) -> None:
    everything = Contact(
        "alice", ALICE, card=identity("alice").card, endpoints=("h:1", "[::1]:2"), accept="never",
        into="~/in box/ü", max_size=0, daily_quota=5, on_conflict="skip", blocked=True,
    )  # fmt: skip
    book.edit(lambda known: known.add(everything).verify("alice", date(2026, 1, 31), "pair-code"))
    expected = Contacts().add(everything).verify("alice", date(2026, 1, 31), "pair-code")
    assert book.load() == expected


def test_what_people_wrote_stays_as_they_wrote_it(written: ContactsFile) -> None:
    for _ in range(3):
        written.edit(lambda known: known.block("bob"))
        assert written.path.read_text() == WRITTEN.replace(
            "# owes me a book\n", "blocked = true\n# owes me a book\n"
        )
        written.edit(lambda known: known.unblock("bob"))
        assert written.path.read_text() == WRITTEN


def test_comments_and_order_survive_each_kind_of_change(written: ContactsFile) -> None:
    written.edit(lambda known: known.add(contact("carol")))
    written.edit(lambda known: known.verify("alice", date(2026, 1, 31), "qr"))
    written.edit(lambda known: known.rename("alice", "alicia"))
    written.edit(lambda known: known.update("alicia", accept="ask"))
    written.edit(lambda known: known.remove("bob"))
    written.edit(lambda known: known.group("work", ("carol",)))
    text = written.path.read_text()
    for words in ("# my people", "# of the format", "# Alice from the choir", "# at home",
                  "# she read it to me", "# Thursdays"):  # fmt: skip
        assert words in text
    assert text.index("[contacts.alicia]") < text.index("[contacts.carol]")
    assert written.load().groups == {"choir": ("alicia",), "work": ("carol",)}


HAND_WRITTEN = {
    "inline": f'version = 1\n[contacts]\nalice = {{ key = "{ALICE}" }} # here\n',
    "dotted": f'version = 1\n[contacts]\nalice.key = "{ALICE}" # here\n',
    "inline whole": f'version = 1\ncontacts = {{ alice = {{ key = "{ALICE}" }} }} # here\n',
    "scattered": f'version = 1\n[contacts.alice]\nkey = "{ALICE}" # here\n'
    f'[groups]\nus = ["alice"]\n[contacts.zoe]\nkey = "{CAROL}"\n',
    "quoted": f'version = 1\n["contacts"."alice"]\n"key" = "{ALICE}" # here\n',
    "indented": f'version = 1\n  [contacts.alice]\n    key = "{ALICE}" # here\n',
    "windows": f'version = 1\r\n[contacts.alice]\r\nkey = "{ALICE}" # here\r\n',
    "verified below": f'version = 1\n[contacts.alice]\nkey = "{ALICE}" # here\n'
    '[contacts.alice.verified]\non = 2026-01-31\nhow = "qr"\n',
}
CHANGES: dict[str, Callable[[Contacts], Contacts]] = {
    "add": lambda known: known.add(contact("bob")),
    "block": lambda known: known.block("alice"),
    "rename": lambda known: known.rename("alice", "alicia"),
    "remove": lambda known: known.remove("alice"),
    "verify": lambda known: known.verify("alice", date(2026, 2, 1), "pair-code"),
    "replace": lambda known: known.add(
        Contact("alice", identity("new").public), replace_key=True
    ),
    "group": lambda known: known.group("new", ("alice",)),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("text", HAND_WRITTEN.values(), ids=HAND_WRITTEN)
def test_kc08_any_way_to_write_it_is_changed_exactly_or_not_at_all(
    written: ContactsFile, text: str, change: Callable[[Contacts], Contacts]
) -> None:
    written.path.write_bytes(text.encode())
    before = written.load()
    try:
        after = written.edit(change)
    except ContactsError as error:
        after, hint = before, error.hint
    else:
        assert after == change(before)
        hint = ""
    assert hint == "" or ("by hand" in hint and written.path.read_bytes() == text.encode())
    assert written.load() == after


def test_a_refused_change_writes_nothing(written: ContactsFile) -> None:
    before = written.path.stat()
    with pytest.raises(KeysError):
        written.edit(CHANGES["add"])
    with pytest.raises(KeysError):
        written.edit(lambda known: known.remove("nobody"))
    written.edit(lambda known: known.unblock("bob"))  # who is not blocked
    assert written.path.stat() == before
    assert not written.backup.exists()


def test_a_file_that_could_not_be_read_again_is_not_written(
    written: ContactsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keys.contactsfile.LARGEST_FILE", len(WRITTEN) + 5)
    with pytest.raises(ContactsError, match="larger"):
        written.edit(lambda known: known.block("bob"))
    assert written.load() == Contacts.parse(WRITTEN)


# KC-08: fails closed, keeps a backup


def test_kc08_the_previous_content_is_kept_once(written: ContactsFile) -> None:
    written.edit(lambda known: known.block("bob"))
    assert written.backup.read_text() == WRITTEN
    blocked = written.path.read_text()
    written.edit(lambda known: known.remove("alice"))
    assert written.backup.read_text() == blocked
    assert written.backup.stat().st_mode & 0o777 == 0o600


DAMAGE = {
    "empty": b"",
    "truncated": WRITTEN.encode()[: len(WRITTEN) // 2 - 20],
    "zeros": bytes(len(WRITTEN)),
    "not UTF-8": WRITTEN.encode() + b"\xff\n",
    "unknown version": WRITTEN.encode().replace(b"version = 1", b"version = 9"),
}


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_kc08_a_damaged_file_allows_nobody_and_is_not_written_over(
    written: ContactsFile, data: bytes
) -> None:
    written.edit(lambda known: known.block("bob"))
    written.path.write_bytes(data)
    for use in (written.load, written.current, lambda: written.edit(CHANGES["block"])):
        with pytest.raises(ContactsError, match="not usable") as caught:
            use()
        assert f"cp {written.backup} {written.path}" in caught.value.hint
    assert written.path.read_bytes() == data
    assert written.backup.read_text() == WRITTEN


def test_kc08_the_hint_brings_the_contacts_back(written: ContactsFile) -> None:
    written.edit(lambda known: known.block("bob"))
    written.path.write_bytes(b"")
    shutil.copy(written.backup, written.path)
    assert written.load().allowed(bytes(ALICE))


def test_kc08_a_file_that_is_gone_while_its_backup_is_there_is_told(written: ContactsFile) -> None:
    written.edit(lambda known: known.block("bob"))
    written.path.unlink()
    with pytest.raises(ContactsError, match="is gone"):
        written.load()
    with pytest.raises(ContactsError, match="is gone"):
        written.edit(lambda known: known.add(contact("carol")))
    written.backup.unlink()
    assert written.load() == Contacts()


def test_kc08_what_was_cached_counts_no_more_once_the_file_is_damaged(
    written: ContactsFile,
) -> None:
    assert written.current().allowed(bytes(ALICE))
    written.path.write_bytes(b"version = 9\n")
    for _ in range(2):
        with pytest.raises(ContactsError):
            written.current()
    written.path.write_text(WRITTEN)
    assert written.current().allowed(bytes(ALICE))


def test_a_change_by_another_program_is_seen(written: ContactsFile) -> None:
    assert written.current() is written.current()
    ContactsFile(written.path).edit(lambda known: known.block("alice"))
    assert not written.current().allowed(bytes(ALICE))


def test_kc08_a_file_that_others_can_write_is_refused(written: ContactsFile) -> None:
    written.path.chmod(0o664)
    with pytest.raises(FileRefusedError) as caught:
        written.load()
    assert caught.value.hint == f"chmod go-w {written.path}"
    written.path.chmod(0o644)
    assert len(written.load()) == 2


def test_kc08_a_link_in_its_place_is_refused(written: ContactsFile) -> None:
    other = written.path.with_name("other.toml")
    written.path.rename(other)
    written.path.symlink_to(other)
    with pytest.raises(FileRefusedError, match="symbolic link"):
        written.load()
    with pytest.raises(FileRefusedError, match="symbolic link"):
        written.edit(CHANGES["block"])


def test_our_own_key_is_refused_from_hand_and_command(written: ContactsFile) -> None:
    with pytest.raises(ContactsError, match="your own key"):
        ContactsFile(written.path, own=ALICE).load()
    with pytest.raises(ContactsError, match="your own key"):
        ContactsFile(written.path, own=CAROL).edit(lambda known: known.add(contact("carol")))


STEPS = 60


def block(book: ContactsFile) -> Callable[[], None]:
    def work() -> None:
        book.edit(lambda known: known.block("bob"))

    return work


def test_kc08_killed_at_each_call_the_old_or_the_new_contacts_are_there(
    written: ContactsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Contacts.parse(WRITTEN)
    outcomes = []
    for step in range(1, STEPS):
        written.path.write_text(WRITTEN)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", dies_at(step))
            end = in_child(block(written))
        assert end in (0, -signal.SIGKILL)
        found = written.load()
        assert found in (old, old.block("bob"))
        outcomes.append(found)
        if end == 0:
            break
    else:
        pytest.fail("the last step was never reached")
    assert outcomes[0] == old
    assert outcomes[-1] == old.block("bob")


@pytest.mark.parametrize("errno", [ENOSPC, EIO])
def test_kc08_an_error_at_each_call_leaves_the_old_or_the_new_contacts(
    written: ContactsFile, monkeypatch: pytest.MonkeyPatch, errno: int
) -> None:
    old = Contacts.parse(WRITTEN)
    for step in range(1, STEPS):
        written.path.write_text(WRITTEN)
        faulty = fails_at(step, errno)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", faulty)
            try:
                block(written)()
            except FileFailedError as error:
                told = error.message
            else:
                told = ""
        assert written.load() in (old, old.block("bob"))
        assert told or written.load() != old
        if len(faulty.log) < step:
            break
    else:
        pytest.fail("the last step was never reached")


# KC-09: several at once


def test_kc09_several_processes_lose_no_change(book: ContactsFile) -> None:
    names = [[f"p{process}x{number}" for number in range(4)] for process in range(4)]

    def adding(mine: list[str]) -> Callable[[], None]:
        def work() -> None:
            for name in mine:
                book.edit(lambda known, name=name: known.add(contact(name)))  # type: ignore[misc]

        return work

    children = [start(adding(mine)) for mine in names]
    assert [ended(child) for child in children] == [0, 0, 0, 0]
    assert {person.name for person in book.load()} == {name for mine in names for name in mine}


def test_kc09_an_editor_that_saves_meanwhile_loses_nothing(written: ContactsFile) -> None:
    calls = 0

    def change(known: Contacts) -> Contacts:
        nonlocal calls
        calls += 1
        if calls == 1:  # after we read, before we write
            written.path.write_text(WRITTEN + f'\n[contacts.carol]\nkey = "{CAROL}"\n')
        return known.block("bob")

    written.edit(change)
    assert calls == 2
    after = written.load()
    assert after.lookup("carol").key == CAROL
    assert after.lookup("bob").blocked


def test_kc09_a_file_that_appears_meanwhile_is_not_written_over(book: ContactsFile) -> None:
    calls = 0

    def change(known: Contacts) -> Contacts:
        nonlocal calls
        calls += 1
        if calls == 1:
            book.path.write_text(WRITTEN)
            book.path.chmod(0o600)
        return known.add(contact("carol"))

    book.edit(change)
    assert [person.name for person in book.load()] == ["alice", "bob", "carol"]


def test_kc09_a_file_that_never_rests_is_given_up(written: ContactsFile) -> None:
    calls = 0

    def change(known: Contacts) -> Contacts:
        nonlocal calls
        calls += 1
        written.path.write_text(WRITTEN + f"# {calls}\n")
        return known.block("bob")

    with pytest.raises(ContactsError, match="all the time"):
        written.edit(change)
    assert written.path.read_text() == WRITTEN + f"# {calls}\n"


def test_kc09_writers_hold_the_lock_from_reading_to_writing(
    written: ContactsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_PATIENCE", 0.02)

    def change(known: Contacts) -> Contacts:
        with pytest.raises(FileFailedError, match="busy"):
            ContactsFile(written.path).edit(lambda inner: inner.block("alice"))
        return known.block("bob")

    written.edit(change)
    assert not written.load().lookup("alice").blocked


def test_kc09_readers_need_no_lock(written: ContactsFile) -> None:
    def change(known: Contacts) -> Contacts:
        assert ContactsFile(written.path).load() == known
        return known.block("bob")

    written.edit(change)


def test_kc08_the_backup_is_on_the_disk_before_the_file_changes(
    written: ContactsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = Faulty()
    monkeypatch.setattr(files, "os", faulty)
    written.edit(lambda known: known.block("bob"))
    log = [name for name in faulty.log if name in ("fsync", "replace", "link")]
    assert log == ["fsync", "replace", "fsync"] * 2


def allows_no_more(text: str, whole: Contacts) -> bool:
    """Whether `text` is refused, or lets everybody do at most what `whole` lets them do."""
    try:
        part = Contacts.parse(text)
    except KeysError:
        return True
    for person in part:
        original = whole.by_key(bytes(person.key))
        if original is None or part.allowed(bytes(person.key)) > (not original.blocked):
            return False
        for field in ("max_size", "daily_quota", "on_conflict"):
            if getattr(person, field) is None and getattr(original, field) is not None:
                return False
        if (
            original.accept == "never" != person.accept
            or person.accept == "always" != original.accept
        ):
            return False
    return True


def test_kc08_a_file_cut_short_anywhere_never_allows_more(book: ContactsFile) -> None:
    for name in ("alice", "bob", "carol"):
        book.edit(lambda known, name=name: known.add(contact(name)))  # type: ignore[misc]
    book.edit(lambda known: known.verify("bob", date(2026, 1, 31), "qr"))
    book.edit(lambda known: known.update("alice", accept="never", max_size=77_000))
    book.edit(lambda known: known.update("carol", daily_quota=88_000, on_conflict="skip"))
    book.edit(lambda known: known.block("bob").group("us", ("alice", "carol")))
    book.edit(lambda known: known.update("carol", accept="always", endpoints=("h:1", "h:2")))
    text, whole = book.path.read_text(), book.load()
    understood = 0
    for length in range(len(text)):
        assert allows_no_more(text[:length], whole), text[:length]
        understood += text[:length].endswith("\n")
    assert understood > 10


@pytest.mark.parametrize("cut", range(1, 200))
def test_kc08_a_last_line_without_its_end_is_refused(written: ContactsFile, cut: int) -> None:
    cut_short = WRITTEN[:-cut]
    written.path.write_text(cut_short)
    if not cut_short.endswith("\n"):
        with pytest.raises(ContactsError, match="not usable"):
            written.load()


# Any sequence of changes, against the value


class ContactsOnDisk(RuleBasedStateMachine):
    """The file always says what the same changes make of the value, and comments stay."""

    names = st.sampled_from(["ann", "ben", "cat", "dan", "Eve"])

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.book = ContactsFile(Path(self.folder.name) / "contacts.toml")
        self.book.path.write_text("# kept\nversion = 1 # kept too\n")
        self.value = self.book.load()

    def teardown(self) -> None:
        self.folder.cleanup()

    def both(self, change: Callable[[Contacts], Contacts]) -> None:
        try:
            expected = change(self.value)
        except KeysError as error:
            with pytest.raises(type(error)):
                self.book.edit(change)
            return
        assert self.book.edit(change) == expected
        self.value = expected

    @rule(
        name=names, key=names, replace_key=st.booleans(), accept=st.sampled_from(["ask", "always"])
    )
    def add(self, name: str, key: str, replace_key: bool, accept: str) -> None:
        new = Contact(name, identity(key).public, accept=accept)  # type: ignore[arg-type]
        self.both(lambda known: known.add(new, replace_key=replace_key))

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.both(lambda known: known.remove(name))

    @rule(name=names, new=names)
    def rename(self, name: str, new: str) -> None:
        self.both(lambda known: known.rename(name, new))

    @rule(name=names, blocked=st.booleans())
    def block(self, name: str, blocked: bool) -> None:
        self.both(lambda known: known.update(name, blocked=blocked))

    @rule(name=names, endpoints=st.lists(st.sampled_from(["h:1", "[::1]:2"]), max_size=3))
    def reach(self, name: str, endpoints: list[str]) -> None:
        self.both(
            lambda known: known.update(name, endpoints=tuple(endpoints), max_size=len(endpoints))
        )

    @rule(
        name=names,
        quota=st.none() | st.integers(0, 9),
        on_conflict=st.sampled_from([None, "rename", "skip", "overwrite"]),
    )
    def bind(self, name: str, quota: int | None, on_conflict: str | None) -> None:
        self.both(lambda known: known.update(name, daily_quota=quota, on_conflict=on_conflict))

    @rule(name=names)
    def verify(self, name: str) -> None:
        self.both(lambda known: known.verify(name, date(2026, 1, 31), "qr"))

    @rule(name=st.sampled_from(["us", "them"]), members=st.sets(names, max_size=3))
    def group(self, name: str, members: set[str]) -> None:
        self.both(lambda known: known.group(name, tuple(sorted(members))))

    @precondition(lambda self: len(self.value) > 0)
    @rule()
    def nothing(self) -> None:
        before = self.book.path.read_bytes()
        self.book.edit(lambda known: known)
        assert self.book.path.read_bytes() == before

    @invariant()
    def file_says_the_value(self) -> None:
        assert self.book.load() == self.value
        text = self.book.path.read_text()
        assert "# kept\n" in text
        assert "# kept too\n" in text
        lines = text.splitlines(keepends=True)
        for count in range(len(lines)):
            assert allows_no_more("".join(lines[:count]), self.value)


ContactsOnDisk.TestCase.settings = settings(max_examples=12, stateful_step_count=20)
TestContactsOnDisk = ContactsOnDisk.TestCase


@given(st.binary(max_size=120), st.integers(0, len(WRITTEN)), st.integers(0, 8))
@settings(max_examples=60)
def test_kc08_a_file_with_any_damage_is_understood_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged" / "contacts.toml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    whole = WRITTEN.encode()
    path.write_bytes(whole[:place] + data + whole[place + length :])
    try:
        found = ContactsFile(path).load()
    except ContactsError:
        return
    assert {person.key for person in found} <= {ALICE, BOB}
