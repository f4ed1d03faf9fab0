"""What is sent: manifest, consent, chunks, digests, receipt; no I/O (SPEC §8)."""
