"""The Noise Protocol Framework: handshakes from pattern tables; no I/O (SPEC §4)."""
