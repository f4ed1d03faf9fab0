"""Authenticated, reliable, congestion-controlled datagrams; no I/O (SPEC §4 to §7)."""
