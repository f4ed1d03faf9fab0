"""Sizes, times, endpoints and destinations: what people type and read."""

from pathlib import Path

import pytest

from securecp.cli import destination, endpoints, units
from securecp.cli.failures import UsageError
from securecp.endpoint import Endpoint
from securecp.errors import NotReachedError, StorageError


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"),
        (123_456_789, "123 MB"), (999_600_000, "1.0 GB"), (2**63, "9223 PB"),
    ],
)  # fmt: skip
def test_sizes_are_short(number: int, words: str) -> None:
    assert units.size(number) == words


def test_rates_and_durations_are_short() -> None:
    assert units.rate(0) == "0 kB/s"
    assert units.rate(12_345_678) == "12.3 MB/s"
    assert [units.duration(s) for s in (0.04, 9.96, 59.4, 75, 3 * 3600 + 61)] == [
        "0.0 s", "10 s", "59 s", "1 min 15 s", "3 h 01 min",
    ]  # fmt: skip


def test_sizes_are_read_as_people_write_them() -> None:
    assert units.parse_size("256MiB") == 256 << 20
    assert units.parse_size("1.5 GB") == 1_500_000_000
    assert units.parse_size("4096") == 4096
    for wrong in ("", "x", "5x", "-1", "5i", "1e9", "9" * 40, "\x1b"):
        with pytest.raises(ValueError, match="is no size"):
            units.parse_size(wrong)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:4400", Endpoint("127.0.0.1", 4400)),
        ("127.0.0.1", Endpoint("127.0.0.1", 4400)),
        ("[::1]:9", Endpoint("::1", 9)),
        ("::1", Endpoint("::1", 4400)),
        ("[::1]", Endpoint("::1", 4400)),
    ],
)
def test_endpoints_are_read_as_people_write_them(text: str, endpoint: Endpoint) -> None:
    assert endpoints.to_listen(text) == endpoint
    assert endpoints.to_reach(text) == [endpoint]


@pytest.mark.parametrize(
    "text",
    ["", ":1", "a b:1", "host:", "host:x", "1.2.3.4:99999", "[::1", "-x:1", "h\x1b:1", "::1:x"],
)
def test_what_is_no_endpoint_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        endpoints.to_listen(text)
    assert caught.value.hint
    assert "\x1b" not in caught.value.message


def test_a_host_that_does_not_exist_is_not_reached() -> None:
    with pytest.raises(NotReachedError):
        endpoints.to_reach("no-such-host.invalid:1")


def test_port_0_can_be_listened_at_and_not_reached() -> None:
    assert endpoints.to_listen("127.0.0.1:0").port == 0
    with pytest.raises(UsageError):
        endpoints.to_reach("127.0.0.1:0")


def test_fs13_home_hidden_and_system_folders_need_the_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "me"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "link").symlink_to(home)
    for folder in (
        home,
        home / ".ssh",
        home / ".config" / "x",
        Path("/etc"),
        Path("/"),
        tmp_path / "link",
    ):
        with pytest.raises(UsageError, match="not receiving into"):
            destination.check(folder)
    destination.check(home / "Downloads")
    destination.check(home / ".local" / "x", ours=home / ".local" / "x")


def test_a_destination_that_cannot_be_written_is_found_out_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        destination.prepare(tmp_path / "file")
    with pytest.raises(StorageError):
        destination.prepare(Path("/proc/securecp"))
    destination.prepare(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_a_destination_that_is_a_file_is_named_as_such(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    for folder in (taken, taken / "below"):
        with pytest.raises(StorageError, match=r"cannot write to .*: it is not a folder"):
            destination.prepare(folder)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("90", 90.0), ("90s", 90.0), ("1.5 m", 90.0), ("10m", 600.0), ("10min", 600.0),
        ("1h", 3600.0), ("2D", 172_800.0),
    ],
)  # fmt: skip
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1w", "1e3", "9999999999", "400d", "٣", "1h30m"]
)
def test_what_is_no_duration_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; write for example 90s, 10m or 1h"):
        units.parse_duration(text)
