"""securecp puts files into the hands of one named person and no one else.

import securecp                      costs nothing; what is used is imported then
securecp.Person, Transfer, Inbox     the library, for asyncio: see `securecp.api`
securecp.events, securecp.errors     what they tell, and what they raise
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securecp import errors, events
    from securecp.api import Inbox, Offer, Person, Transfer
    from securecp.errors import SecurecpError

__all__ = [
    "VERSION",
    "Inbox",
    "Offer",
    "Person",
    "SecurecpError",
    "Transfer",
    "errors",
    "events",
]

VERSION = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what somebody asks for, when they do."""
    if name in {"Inbox", "Offer", "Person", "Transfer"}:
        return getattr(import_module("securecp.api"), name)
    if name == "SecurecpError":
        return import_module("securecp.errors").SecurecpError
    if name in {"errors", "events"}:
        return import_module(f"securecp.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
