"""The command that goes on is printed so that a shell runs it, and so that nothing obeys it."""

import os
import subprocess
import sys

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.cli import again
from securecp.cli.again import shell_word
from securecp.cli.personal import to_receiver, to_sender
from securecp.cli.text import safe_text
from securecp.errors import FullError, InterruptedTransferError

ODD = [
    "", "a b", "it's", "$HOME", "-x", "*", "a\nb", "\x1b[2J", "caf\u00e9", "\udcff",
    "a\\b'\u202e", "!x",
]  # fmt: skip


def read_back(words: list[str]) -> list[bytes]:
    """What a shell makes of these words."""
    script = f'for word in {" ".join(words)}; do printf "%s\\0" "$word"; done'
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.split(b"\0")[:-1]


@pytest.fixture
def utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "_shows_all", lambda: True)


def test_cl01_every_argument_is_harmless_and_comes_back_exactly(utf8: None) -> None:
    words = [shell_word(text) for text in ODD]
    assert all(safe_text(word, 1000) == word for word in words)
    assert read_back(words) == [os.fsencode(text) for text in ODD]


def test_where_only_ascii_is_shown_the_rest_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "_shows_all", lambda: False)
    word = shell_word("caf\u00e9 2")
    assert word.isascii()
    assert read_back([word]) == ["caf\u00e9 2".encode()]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name), max_size=9)
)
def test_any_name_survives_the_shell(names: list[bytes]) -> None:
    words = [shell_word(os.fsdecode(name)) for name in names]
    assert all(safe_text(word, 1000) == word for word in words)
    assert read_back(words) == names


def typed(*arguments: str) -> str:
    """The command as `again` knows it while these arguments run."""
    from securecp.cli.commands import LazyGroup

    found: list[str] = []

    class Group(LazyGroup):
        def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command:
            params: list[click.Parameter] = [
                click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
            ]
            return click.Command(
                cmd_name,
                params=params,
                callback=lambda rest: found.append(again.command()),
                context_settings={"ignore_unknown_options": True},
            )

    Group("securecp").main(list(arguments), standalone_mode=False)
    return found[0]


def test_what_was_typed_is_known_to_the_command_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert typed("send", "a b", "--to", "bob", "--", "-x") == "securecp send 'a b' --to bob -- -x"
    assert typed("send", *["x" * 99] * 10) == "", "nobody reads that"
    assert again.command() == ""


def test_a_command_that_is_not_in_the_path_is_named_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("b in")
    program = folder / "securecp"
    program.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed("send") == f"'{program}' send"
    monkeypatch.setenv("PATH", str(folder))
    assert typed("send") == "securecp send"


def test_the_hint_says_what_typing_it_again_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "command", lambda: "securecp send x --to bob")
    assert again.going_on() == "to go on where it stopped: securecp send x --to bob"
    assert again.going_on(resumable=False) == "to try again: securecp send x --to bob"
    assert again.going_on(stream=True).startswith("a stream cannot be resumed")
    for kind in (InterruptedTransferError, FullError):
        assert to_sender(kind("x"), "bob").hint == again.going_on()
        assert to_sender(kind("x"), "bob", stream=True).hint == again.going_on(stream=True)
        assert to_receiver(kind("x"), "bob").hint == "it goes on when bob sends the same again"
        assert to_receiver(kind("x"), "bob", stream=True).hint == "bob must send it again"
    monkeypatch.setattr(again, "command", lambda: "")
    assert again.going_on() == "the same command goes on where it stopped"
