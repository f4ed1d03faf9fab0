"""Edits to what transport decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
