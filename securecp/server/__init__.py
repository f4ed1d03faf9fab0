"""What `securecp serve` runs: rendezvous, STUN and relay (SPEC §13)."""
