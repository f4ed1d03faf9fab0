"""What is sent: manifest, consent, chunks, digests, receipt; no I/O (SPEC §8).

`Manifest` (manifest.py) is what is offered, `Sender` (sender.py) and `Receiver` (receiver.py) are
the two sides, and what they want done is in effects.py. Imported from there, so that who needs one
does not pay for all.
"""
