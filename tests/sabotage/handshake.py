"""Edits to what handshake decides."""

from tests.sabotage.edit import Edit

EDITS: tuple[Edit, ...] = ()
