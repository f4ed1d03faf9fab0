"""How a peer is found and reached: tags, envelopes, probes, paths; no I/O (SPEC §11 to §13)."""
