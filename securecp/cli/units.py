"""Sizes, rates and times as people write and read them; decimal units, as disks have them."""

import re

from securecp.cli.text import safe_text

_STEPS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_FACTORS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_RATE = re.compile(
    r"(\d{1,12}(?:\.\d{1,6})?)\s*([kKmMgGtT]?)(i?)(B|[bB][iI][tT][sS]?|b(?=ps\Z))?(?:/s|ps)?",
    re.ASCII,
)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|min|m|h|d|)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
LONGEST = 366 * 86_400.0
"""Seconds: more than a year is never meant."""
SLOWEST = 1_000
"""Bytes per second: below it a single datagram takes longer than a person waits for a sign."""


def size(count: float) -> str:
    """`1234567` as `1.2 MB`."""
    value, step = float(count), 0
    while value >= 999.5 and step < len(_STEPS) - 1:
        value, step = value / 1000, step + 1
    if step == 0:
        return "1 byte" if count == 1 else f"{count:.0f} bytes"
    return f"{value:.0f} {_STEPS[step]}" if value >= 99.5 else f"{value:.1f} {_STEPS[step]}"


def rate(bytes_per_second: float) -> str:
    """Bytes per second as `12.3 MB/s`; never below kB, so that the unit does not jump."""
    if bytes_per_second < 999_500:
        return f"{bytes_per_second / 1e3:.0f} kB/s"
    return f"{size(bytes_per_second)}/s"


def duration(seconds: float) -> str:
    """`75` as `1 min 15 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def count(number: int, noun: str) -> str:
    """`1 file`, `2,345 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def parse_size(text: str) -> int:
    """`256MiB`, `1.5 GB`, `4096` as bytes; ValueError says what is wrong."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{safe_text(text, 40)!r} is no size; write for example 500MB or 2GiB")
    number, unit, binary = match.groups()
    if binary and not unit:
        raise ValueError(f"{safe_text(text, 40)!r} is no size; write for example 500MB or 2GiB")
    base = 1024 if binary else 1000
    return int(float(number) * base ** _FACTORS[unit.lower()])


def parse_rate(text: str) -> int:
    """`500k`, `1.5 MB/s`, `20Mbit` as bytes per second; ValueError says what is wrong.

    k, M, G, T are powers of 1000, with i of 1024; they count bytes unless `bit` or `bps` is said.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{safe_text(text, 40)!r} is no rate")
    number, unit, binary, what = match.groups()
    count = float(number) * (1024 if binary else 1000) ** _FACTORS[unit.lower()]
    bits = what is not None and what != "B"
    bytes_per_second = int(count / 8) if bits else int(count)
    if bytes_per_second < SLOWEST:
        raise ValueError(f"{safe_text(text, 40)!r} is too slow: at least 1 kB/s")
    return bytes_per_second


def parse_duration(text: str) -> float:
    """`90`, `90s`, `10m`, `1h`, `2d`, `0` as seconds; ValueError says what is wrong."""
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else LONGEST + 1
    if seconds > LONGEST:
        raise ValueError(f"{safe_text(text, 40)!r} is no time; write for example 90s, 10m or 1h")
    return seconds
