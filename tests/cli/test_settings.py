"""config.toml: what is understood, what is refused and where, and what an edit leaves alone."""

import contextlib
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.cli import configfile, settings
from securecp.cli.settings import SETTINGS, Plain, Settings, SettingsError
from securecp.nat.serveraddress import ServerAddress

SERVERS = [ServerAddress(False, f"h{n}.example", 4480, bytes([n]) * 32) for n in range(6)]
URLS = [str(server) for server in SERVERS]

WHOLE = f"""\
servers = ["{URLS[0]}", "{URLS[1]}"]
lan = false
port_mapping = false
relay = false
limit = "2M"
wait = "10m"

[send]
timeout = 60
congestion = "cubic"
background = true
symlinks = true

[receive]
into = "~/inbox"
listen = "[::]:4400"
on_conflict = "skip"
reserve = "10GB"
symlinks = true
exec = "/usr/local/bin/arrived --quiet"
log = "~/log"
notify = false
"""


def test_everything_that_can_be_set_is_read() -> None:
    found = settings.parse(WHOLE)
    assert found == Settings(
        servers=(SERVERS[0], SERVERS[1]),
        lan=False,
        port_mapping=False,
        relay=False,
        limit=2_000_000,
        wait=600.0,
        send_timeout=60.0,
        send_congestion="cubic",
        send_background=True,
        send_symlinks=True,
        receive_into="~/inbox",
        receive_listen="[::]:4400",
        receive_on_conflict="skip",
        receive_reserve=10_000_000_000,
        receive_symlinks=True,
        receive_exec="/usr/local/bin/arrived --quiet",
        receive_log="~/log",
        receive_notify=False,
        given=found.given,
    )
    assert found.given.keys() == SETTINGS.keys()


def test_everything_is_optional_and_the_table_agrees_with_the_defaults() -> None:
    assert settings.parse("") == settings.parse("# nothing\n[send]\n") == Settings()
    ordinary = {name: row.ordinary for name, row in SETTINGS.items() if row.ordinary is not None}
    spelled_out = settings.settings_from(ordinary)
    for name in SETTINGS:
        field = name.replace(".", "_")
        assert getattr(spelled_out, field) == getattr(Settings(), field), name


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("reley = false", 'line 1: there is no setting "reley"', "did you mean relay?"),
        ("\n[receive]\nonconflict = 'skip'", 'line 3: there is no setting "receive.onco', "on_con"),
        ("into = '/x'", 'line 1: there is no setting "into"', "did you mean receive.into?"),
        ("[send]\nrelay = false", 'line 2: there is no setting "send.relay"', "mean relay?"),
        (
            "[reception]\ninto = '/x'",
            'line 1: there is no setting "reception"',
            "did you mean receive?",
        ),
        ("zzz = 1", 'there is no setting "zzz"', "securecp config --help"),
        ("receive = 1", "line 1: receive is a section", "receive.listen"),
        ("[[receive]]\ninto = '/x'", "receive is a section", "receive.listen"),
        ("[lan]", "line 1: lan is true or false", ""),
        ("lan = 1", "line 1: lan is true or false", "without quotes"),
        ('# lan = true\nrelay = "false"', "line 2: relay is true or false", "without quotes"),
        ("limit = 2000000", "limit is a text in quotes", '"2M"'),
        ('limit = "20Mb"', "limit is not usable", "20Mbit"),
        ("[send]\ntimeout = true", "line 2: send.timeout is a number of seconds", ""),
        ("send.timeout = nan", "line 1: send.timeout is a number of seconds", ""),
        ("send.timeout = 0", "send.timeout is a number of seconds", ""),
        ('send.congestion = "reno"', '"bbr" or "cubic"', ""),
        ('receive.on_conflict = "overwritten"', '"overwrite"', "did you mean overwrite?"),
        ('wait = "soon"', "line 1: wait is not usable: 'soon' is no time", '"0"'),
        ("wait = 60", "wait is a text in quotes", '"1h"'),
        ('receive.reserve = "much"', "line 1: receive.reserve is not usable", ""),
        ('receive.exec = " "', "receive.exec is", ""),
        ('receive.exec = "a\\u001b"', "not a command", ""),
        ('receive.log = "log"', "not a whole path", ""),
        ('receive.into = "inbox"', "not a whole path", "~/inbox"),
        ('receive.into = "/in\\u001bbox"', "not a whole path", ""),
        ('receive.listen = "a b"', "receive.listen is not usable", "[2001:db8::7]:4400"),
        (f'servers = "{URLS[0]}"', "servers is a list", ""),
        ("servers = [1]", "servers number 1: is a text", ""),
        ('servers = ["ws://h.example:1"]', "no key behind #", "securecp serve"),
        (f'servers = ["{URLS[0]}", "{URLS[1][:-1]}"]', "number 2", "securecp serve"),
        (f'servers = ["{URLS[0]}", "{URLS[0]}"]', "number 2 is there already", ""),
        (f"servers = {URLS[:5]}", "5 entries", ""),
        ("lan = true\nlan = true", "not valid TOML: cannot overwrite a value", ""),
        ("lan true", "not valid TOML: expected '='", ""),
        ("a = " + "[" * 5_000, "not valid TOML", ""),
    ],
)
def test_what_is_not_wholly_understood_is_refused_with_line_name_and_hint(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2
    assert caught.value.message.isprintable()


@given(st.text(max_size=200) | st.sampled_from(WHOLE.splitlines()).map(lambda line: line[:-1]))
def test_any_text_is_settings_or_one_error(text: str) -> None:
    with contextlib.suppress(SettingsError):
        assert settings.parse(text).given.keys() <= SETTINGS.keys()


def test_what_is_typed_becomes_what_stands_in_the_file() -> None:
    assert settings.typed("lan", "False") is False
    assert settings.typed("lan", "maybe") == "maybe", "and is then refused as a value"
    assert settings.typed("send.timeout", "60") == 60
    assert settings.typed("send.timeout", "0.5") == 0.5
    assert settings.typed("limit", "2M") == "2M"
    assert settings.typed("wait", "10") == "10"
    for odd in ("inf", "nan", "soon"):
        with pytest.raises(SettingsError):
            settings.settings_from({"send.timeout": settings.typed("send.timeout", odd)})


# Edits


def edited(text: str, **changes: Plain) -> str:
    """The text after some settings were changed; `receive__into` is `receive.into`."""
    old = settings.parse(text)
    named = {name.replace("__", "."): value for name, value in changes.items()}
    wanted = {key: value for key, value in {**old.given, **named}.items() if value is not None}
    after = configfile.rewritten(text, settings.settings_from(wanted))
    assert after is not None
    assert dict(settings.parse(after).given) == wanted
    return after


COMMENTED = f"""\
# mine
servers = [
    # at home
    "{URLS[0]}",  # the old one
    "{URLS[1]}"  # a friend's
]

[receive]  # what comes
# a disk of its own
into = "/srv/in"  # big
"""


def test_comments_and_order_survive_edits() -> None:
    after = edited(COMMENTED, lan=False, servers=[URLS[0], URLS[1], URLS[2]], receive__listen="::1")
    for comment in COMMENTED.split("\n"):
        if "#" in comment:
            assert comment.partition("#")[2].rpartition("#")[2] in after
    assert after.index(URLS[0]) < after.index(URLS[1]) < after.index(URLS[2])
    assert after.index("lan = false") < after.index("[receive]")
    gone = edited(COMMENTED, servers=[URLS[1]], receive__into=None)
    assert "# at home" in gone and "# a friend's" in gone and "# a disk of its own" in gone
    assert URLS[0] not in gone


def test_the_last_setting_of_a_section_takes_the_section_with_it() -> None:
    assert edited('lan = false\n[receive]\ninto = "/x"\n', receive__into=None) == "lan = false\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lan = true",
        'receive = {into = "/x"}',
        'receive.into = "/x"\n# end',
        '[receive]\ninto = "/x"',
        '"lan" = true\n[ receive ]\n"into" = "/x"',
        "[send]\n\n\n[receive]\n",
    ],
)
def test_an_edit_works_in_whatever_form_the_file_is_written(text: str) -> None:
    everything = dict(settings.parse(WHOLE).given)
    after = edited(text, **{name.replace(".", "__"): value for name, value in everything.items()})
    edited(after, **{name.replace(".", "__"): None for name in everything})


def test_an_unfaithful_edit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configfile, "_write", lambda *_: None)
    assert configfile.rewritten("", settings.settings_from({"lan": False})) is None


plain: Mapping[str, st.SearchStrategy[Plain]] = {
    "servers": st.permutations(URLS).flatmap(lambda all_: st.sampled_from([all_[:1], all_[:4]])),
    "lan": st.booleans(),
    "relay": st.booleans(),
    "limit": st.sampled_from(["2M", "500k"]),
    "send.timeout": st.floats(0.1, 3600).filter(math.isfinite),
    "receive.into": st.sampled_from(["/x", '/"\\', "~/ü"]),
    "receive.on_conflict": st.sampled_from(["skip", "rename"]),
}


@given(st.lists(st.fixed_dictionaries({}, optional=dict(plain)), min_size=1, max_size=3))
def test_any_sequence_of_edits_says_what_was_wanted(steps: list[dict[str, Plain]]) -> None:
    text = configfile.BEGINNING
    for step in steps:
        wanted = settings.settings_from(step)
        after = configfile.rewritten(text, wanted)
        assert after is not None
        assert after.startswith(configfile.BEGINNING)
        text = after
