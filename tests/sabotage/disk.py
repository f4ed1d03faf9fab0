"""Edits to what disk decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
