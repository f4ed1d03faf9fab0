"""Who we are and whom we know: identities, public keys, contacts; no network, no click."""
