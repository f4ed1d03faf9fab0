"""Who we are and whom we know: identities, public keys, contacts; no network, no click.

    errors        what can be wrong with a key, a key file, a contact: one tree
    secret        a value that never prints
    bech32        BIP 173: bytes as typed text with a checksum
    encoding      the three texts of a key: public key, card, secret key
    identity      PublicKey, Card, Identity
    xeddsa        signatures by an X25519 key
    fingerprint   keys as something two people can compare
    passphrase    a small secret sealed under a passphrase, in age's own format
    files         private files: safe to read, replaced whole or not at all
    keyfile       the identity on disk
    names         the alphabet of contact names
    policy        Contact: one person and what we let them do
    contacts      Contacts: all of them, as a value
    contactsfile  contacts.toml: read, changed by one at a time, never half
    rewrite       a change worked into its text, so that comments survive

Nothing here imports another of these before it is needed; import the module you mean.
"""

from keys.errors import KeysError

__all__ = ["KeysError"]
