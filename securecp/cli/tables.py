"""Contacts as lines of text and as JSON fields."""

from typing import TYPE_CHECKING

from securecp.cli import units
from securecp.cli.text import safe_text

if TYPE_CHECKING:
    from keys.policy import Contact

_KEY_SHOWN = 12


def overview(contacts: "list[Contact]") -> list[str]:
    """One line a contact: name, start of the key, what they may do."""
    rows = [(one.name, f"{str(one.key)[:_KEY_SHOWN]}…", _standing(one)) for one in contacts]
    width = max((len(row[0]) for row in rows), default=0)
    return [f"{name:{width}}  {key}  {standing}" for name, key, standing in rows]


def details(contact: "Contact", code: str | None, groups: list[str]) -> list[str]:
    """Everything that is known of one contact, a field a line."""
    verified = contact.verified
    fields = [
        ("name", contact.name),
        ("key", str(contact.key)),
        ("fingerprint", contact.key.fingerprint),
        ("pair code", code or "none: there is no identity here"),
        ("verified", f"{verified.on} by {verified.how}" if verified else "no"),
        ("accept", "blocked" if contact.blocked else contact.accept),
        ("endpoints", ", ".join(contact.endpoints) or "none"),
        ("into", safe_text(contact.into, 1_000) if contact.into else "the usual folder"),
        ("max size", _bound(contact.max_size)),
        ("daily quota", _bound(contact.daily_quota)),
        ("on conflict", contact.on_conflict or "the usual"),
        ("groups", ", ".join(groups) or "none"),
        ("card", "known" if contact.card else "not known"),
    ]
    return [f"{field:12} {value}" for field, value in fields]


def _bound(size: int | None) -> str:
    return "any" if size is None else units.size(size)


def code_lines(code: str) -> list[str]:
    """The pair code in two halves, one for each voice."""
    groups = code.split(" ")
    half = len(groups) // 2
    return ["", f"    {'  '.join(groups[:half])}", f"    {'  '.join(groups[half:])}", ""]


def as_fields(contact: "Contact") -> dict[str, object]:
    """One contact as JSON fields."""
    verified = contact.verified
    return {
        "name": contact.name,
        "key": str(contact.key),
        "fingerprint": contact.key.fingerprint,
        "card": None if contact.card is None else str(contact.card),
        "endpoints": list(contact.endpoints),
        "accept": contact.accept,
        "into": contact.into,
        "max_size": contact.max_size,
        "daily_quota": contact.daily_quota,
        "on_conflict": contact.on_conflict,
        "verified": verified and {"on": verified.on.isoformat(), "how": verified.how},
        "blocked": contact.blocked,
    }


def _standing(contact: "Contact") -> str:
    words = ["blocked"] if contact.blocked else [f"accept {contact.accept}"]
    words.append("verified" if contact.verified else "not verified")
    words.extend(contact.endpoints[:1])
    return ", ".join(words)
