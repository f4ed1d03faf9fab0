"""Edits to what transfer decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
