"""A secret for stateless cookies that is renewed now and then; the one before still counts."""

from securecp.noise.keypairs import Entropy


class Rotation:
    """What is made with the newest secret is good for a life at least, and for two at most."""

    def __init__(self, life: float, entropy: Entropy) -> None:
        self._life = life
        self._entropy = entropy
        self._secrets: list[bytes] = []
        self._renewed_at = 0.0

    def valid(self, now: float) -> list[bytes]:
        """Those that count, the newest first: 32 bytes each."""
        age = now - self._renewed_at
        if not self._secrets or age >= self._life:
            # A cookie given just before is good for a whole life: its secret stays for one more.
            kept = self._secrets[:1] if age < 2 * self._life else []
            self._secrets = [self._entropy(32), *kept]
            self._renewed_at = now
        return self._secrets
