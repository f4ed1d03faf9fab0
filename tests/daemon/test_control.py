"""The control socket: for our own user alone, bounded, and never in the way of the program."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.daemon import asking, control, controlfolder
from securecp.daemon.control import Control, Request, parse
from securecp.daemon.diary import Diary
from securecp.net.running import Transfer
from tests.daemon.samples import ALICE, BOB, ESCAPES, Loop, name_of, text_of

PATIENCE = 20.0
NOBODY = 65_534


class Program:
    """A program whose loop turns in a thread while the test asks."""

    def __init__(self, state: Path, *rows: Transfer) -> None:
        self.loop = Loop(*rows)
        diary = Diary(state=state, sending=False, name_of=name_of, text_of=text_of)
        self.control = diary.control
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._turn)

    def __enter__(self) -> "Program":
        self.control.begin(self.loop)  # type: ignore[arg-type]
        assert self.control.trouble == ""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self.control.end()

    def _turn(self) -> None:
        import select

        while not self._stopped.is_set():
            if select.select(list(self.loop.watched), [], [], 0.02)[0]:
                self.loop.turn()


def rows() -> list[Transfer]:
    return [
        Transfer(1, ALICE, False, "running", (b"a", ESCAPES), 2, 50, 100, 10.4, 1_790_000_000.0),
        Transfer(2, BOB, True, "waiting", message="bob is away\x1b[2J"),
    ]


def path_of(state: Path) -> Path:
    return state / "control" / f"{os.getpid()}.sock"


def speak(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        connection.sendall(data)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def test_a_status_tells_of_every_transfer(tmp_path: Path) -> None:
    with Program(tmp_path, *rows()):
        (answer,) = asking.ask(tmp_path, do="status")
    assert (answer["ok"], answer["pid"], answer["kind"]) == (True, os.getpid(), "receive")
    one, two = answer["transfers"]
    assert one["id"] == f"{os.getpid()}.1" and one["name"] == "alice" and one["state"] == "running"
    assert (one["bytes"], one["total"], one["rate"], one["files"]) == (50, 100, 10, 2)
    assert two["direction"] == "sent"
    assert not any(c in json.dumps(answer, ensure_ascii=False) for c in "\x1b\n\x9b\u202e")


def test_a_cancel_ends_the_one_that_is_named_or_all(tmp_path: Path) -> None:
    with Program(tmp_path, *rows()) as program:
        assert asking.ask(tmp_path, do="cancel", id="1.1")[0]["ok"] is False
        assert program.loop.cancelled == []
        (answer,) = asking.ask(tmp_path, do="cancel", id=f"{os.getpid()}.2")
        assert answer["ok"] and answer["cancelled"] == 1
        assert program.loop.cancelled == [(2, "cancelled")]
        assert asking.ask(tmp_path, do="cancel", all=True)[0]["cancelled"] == 2
        assert asking.ask(tmp_path, do="cancel")[0]["ok"] is False, "all only in so many words"


def test_cl14_the_socket_and_its_folder_are_ours_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    old = os.umask(0)
    try:
        with Program(state):
            assert (state / "control").stat().st_mode & 0o7777 == 0o700
            assert path_of(state).stat().st_mode & 0o7777 == 0o600
    finally:
        os.umask(old)
    assert list((state / "control").iterdir()) == []


def test_cl14_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir(mode=0o777)
    (tmp_path / "control").chmod(0o777)
    with Program(tmp_path):
        assert (tmp_path / "control").stat().st_mode & 0o7777 == 0o700


def test_cl14_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "control").symlink_to(tmp_path / "elsewhere")
    one = Diary(state=tmp_path, sending=True, name_of=name_of, text_of=text_of).control
    one.begin(Loop())  # type: ignore[arg-type]
    assert one.trouble != "" and list((tmp_path / "elsewhere").iterdir()) == []
    one.end()
    assert asking.ask(tmp_path, do="ping") == []


def as_nobody(job: Callable[[], int]) -> int:
    """Run in a child of another user; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        code = job()
    finally:
        os._exit(code)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A state folder that other users can reach."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="securecp-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@needs_root
def test_cl14_another_user_cannot_even_connect(open_to_all: Path) -> None:
    path = path_of(open_to_all)

    def connect() -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(path))
            except PermissionError:
                return 13
        return 0

    with Program(open_to_all, *rows()):
        assert as_nobody(connect) == 13


@needs_root
def test_cl14_another_user_who_could_connect_is_not_answered(open_to_all: Path) -> None:
    """The modes may be loosened by hand, or mean nothing on some file systems."""
    path = path_of(open_to_all)

    def ask() -> int:
        with contextlib.suppress(BrokenPipeError):
            return 1 if speak(path, b'{"do": "cancel", "all": true}\n') else 0
        return 0

    with Program(open_to_all, *rows()) as program:
        path.parent.chmod(0o755)
        path.chmod(0o666)
        assert as_nobody(ask) == 0
        assert program.loop.cancelled == [] and program.control.refused == 1
        assert asking.ask(open_to_all, do="ping")[0]["ok"], "we are answered all the same"


@needs_root
def test_cl14_we_believe_no_socket_of_another_user(open_to_all: Path) -> None:
    folder = open_to_all / "control"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    path = folder / "7.sock"
    ready = os.pipe()

    def pretend() -> int:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        os.write(ready[1], b"!")
        listener.settimeout(PATIENCE)
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b'{"pid": 7, "ok": true, "transfers": []}\n')
            return len(connection.recv(100))
        return 0

    thread: list[int] = []
    watcher = threading.Thread(target=lambda: thread.append(as_nobody(pretend)))
    watcher.start()
    os.read(ready[0], 1)
    assert asking.ask(open_to_all, do="ping") == []
    watcher.join()
    assert thread == [0], "nothing was said to it"
    for file in ready:
        os.close(file)


def test_cl14_nothing_listens_on_the_network(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        assert program.control._listener is not None
        assert program.control._listener.family == socket.AF_UNIX


def test_sockets_of_dead_programs_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    folder.mkdir(mode=0o700)
    for name in ("123.sock", "99999.sock"):
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        dead.bind(str(folder / name))
        dead.close()
    (folder / "notes.txt").write_text("not ours")
    with Program(tmp_path):
        names = sorted(path.name for path in folder.iterdir())
        assert names == sorted([f"{os.getpid()}.sock", "notes.txt"])
    (folder / "55.sock").write_text("no socket at all")
    assert asking.ask(tmp_path, do="ping") == []


def test_a_home_with_a_long_path_has_its_socket(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 100) / ("y" * 100)
    state.mkdir(parents=True)
    with Program(state):
        assert asking.ask(state, do="ping")[0]["pid"] == os.getpid()


def test_without_a_socket_the_program_runs_on(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.write_text("")
    one = Diary(state=state, sending=True, name_of=name_of, text_of=text_of).control
    loop = Loop()
    one.begin(loop)  # type: ignore[arg-type]
    assert one.trouble and loop.watched == {} and one.can_cancel
    one.turn(0.0)
    assert one.deadline() is None
    one.end()
    assert asking.ask(state, do="ping") == []


HOSTILE = [
    b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\n", b'{"do": "exec"}\n',
    b'{"do": ["status"]}\n',
    b'{"do": "cancel", "id": 5}\n', b'{"do": "cancel", "id": ""}\n', b'{"do": {}}\n',
    b'{"do": "cancel", "all": 1}\n', b"[" * 4_000 + b"\n", b"x" * 5_000, b"x" * 100_000,
    b'{"do": "cancel", "id": "' + b"1" * 65 + b'"}\n', b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_cl14_what_is_not_understood_does_nothing(tmp_path: Path, data: bytes) -> None:
    with Program(tmp_path, *rows()) as program:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path_of(tmp_path)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65_536)
                assert answer == b"" or json.loads(answer)["ok"] is False
        assert program.loop.cancelled == []
        assert asking.ask(tmp_path, do="ping")[0]["ok"]


def test_cl14_a_request_without_end_is_not_gathered(tmp_path: Path) -> None:
    with Program(tmp_path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path_of(tmp_path)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"x" * 100_000)
            assert connection.recv(100) == b"", "they hang up on us"


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9)
    | st.sampled_from(["do", "id", "all", "cancel", "status"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["do", "id", "all", "x"]), inner),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_cl14_any_bytes_are_a_request_or_none(data: bytes) -> None:
    found = parse(data)
    assert found is None or found.do in {"ping", "status", "cancel"}
    if found is not None and found.do == "cancel" and not found.id:
        assert json.loads(data)["all"] is True
    one = Control(Path("/nowhere"), lambda row: {}, dict)
    assert isinstance(one.answer(data), dict)
    one.end()


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_none(data: bytes) -> None:
    for text in (data, data + b"\n", b'{"pid": 1, "transfers": ' + data + b"}\n"):
        answer = asking.parse(text)
        assert answer is None or isinstance(answer["pid"], int)


def test_clients_who_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    with Program(tmp_path) as program, contextlib.ExitStack() as stack:
        for _ in range(3 * control.MOST_CLIENTS):
            silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            stack.enter_context(silent)
            silent.settimeout(PATIENCE)
            silent.connect(str(path_of(tmp_path)))
        assert asking.ask(tmp_path, patience=PATIENCE, do="ping")[0]["ok"]
        assert len(program.control._clients) <= control.MOST_CLIENTS


def test_an_answer_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    many = [rows()[0]._replace(number=n, names=(b"n" * 250,) * 9) for n in range(2_000)]
    with Program(tmp_path, *many), socket.socket(socket.AF_UNIX) as lazy:
        lazy.settimeout(PATIENCE)
        lazy.connect(str(path_of(tmp_path)))
        lazy.sendall(b'{"do": "status"}\n')
        (answer,) = asking.ask(tmp_path, patience=PATIENCE, do="status")
        assert len(answer["transfers"]) == control.MOST_ROWS
        assert answer["more"] == 2_000 - control.MOST_ROWS
        assert len(json.dumps(answer)) < control.LONGEST_ANSWER


def test_a_program_that_is_stopped_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(folder / "5.sock"))
        hung.listen()
        began = time.monotonic()
        assert asking.ask(tmp_path, patience=0.2, do="ping") == []
        assert time.monotonic() - began < 5


def test_an_error_of_ours_is_an_answer_not_the_end() -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("secret words")

    one = Control(Path("/nowhere"), lambda row: {}, fail)
    answer = one._answer(b'{"do": "status"}')
    assert answer["ok"] is False and "secret" not in str(answer)
    one.end()


def test_requests_are_what_they_say() -> None:
    assert parse(b'{"do": "ping"}') == Request("ping")
    assert parse(b'{"do": "cancel", "id": "1.2"}') == Request("cancel", "1.2")
    assert parse(b'{"do": "cancel", "all": true}') == Request("cancel")
    assert controlfolder.NAME == "control"
