"""Edits to what keys decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
