"""Edits to what cli decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
