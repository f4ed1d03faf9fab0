"""ML-KEM-768 encapsulation from given randomness, straight from FIPS 203; for vectors only.

`cryptography` draws its own randomness, so recorded handshakes need this one step by hand. Slow and
not constant-time. Algorithm numbers are those of FIPS 203.
"""

from collections.abc import Callable
from hashlib import sha3_256, sha3_512, shake_128, shake_256

from securecp.noise.keypairs import MlKem768

Q = 3329
Poly = list[int]


def _bit_reversed(i: int) -> int:
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, _bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _bit_reversed(i) + 1, Q) for i in range(128)]


def encapsulate(public: bytes, m: bytes) -> tuple[bytes, bytes]:
    """ML-KEM.Encaps_internal (17): the secret and the ciphertext for randomness `m` (32 bytes)."""
    hashed = sha3_512(m + sha3_256(public).digest()).digest()
    return hashed[:32], _encrypt(public, m, hashed[32:])


def _encrypt(public: bytes, m: bytes, r: bytes) -> bytes:
    """K-PKE.Encrypt (14)."""
    t = [_unpack(public[384 * i : 384 * (i + 1)], 12) for i in range(3)]
    rho = public[1152:]
    y = [_ntt(_noise(r, i)) for i in range(3)]
    u = []
    for i in range(3):
        row = [_multiply(_uniform(rho, i, j), y[j]) for j in range(3)]
        u.append(_add(_inverse_ntt(_sum(row)), _noise(r, 3 + i)))
    message = [(Q + 1) // 2 * bit for bit in _unpack(m, 1)]
    v = _add(_inverse_ntt(_sum([_multiply(t[i], y[i]) for i in range(3)])), _noise(r, 6))
    return b"".join(_pack(_compress(p, 10), 10) for p in u) + _pack(
        _compress(_add(v, message), 4), 4
    )


def _uniform(rho: bytes, i: int, j: int) -> Poly:
    """SampleNTT (7), for the transposed matrix: seeds end in column, row."""
    stream = shake_128(rho + bytes([i, j])).digest(1344)
    poly: Poly = []
    for k in range(0, len(stream), 3):
        a, b, c = stream[k : k + 3]
        poly += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return poly[:256]


def _noise(r: bytes, n: int) -> Poly:
    """SamplePolyCBD (8) with eta 2."""
    bits = _unpack(shake_256(r + bytes([n])).digest(128), 1)
    return [(bits[k] + bits[k + 1] - bits[k + 2] - bits[k + 3]) % Q for k in range(0, len(bits), 4)]


def _ntt(poly: Poly) -> Poly:
    """NTT (9)."""
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length] % Q
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:
    """NTT inverse (10)."""
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = ZETAS[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def _multiply(f: Poly, g: Poly) -> Poly:
    """MultiplyNTTs (11)."""
    product: Poly = []
    for i in range(128):
        (a0, a1), (b0, b1) = f[2 * i : 2 * i + 2], g[2 * i : 2 * i + 2]
        product += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return product


def _add(f: Poly, g: Poly) -> Poly:
    return [(a + b) % Q for a, b in zip(f, g, strict=True)]


def _sum(polys: list[Poly]) -> Poly:
    return [sum(column) % Q for column in zip(*polys, strict=True)]


def _compress(poly: Poly, d: int) -> Poly:
    return [((x << d) + Q // 2) // Q % (1 << d) for x in poly]


def _pack(poly: Poly, d: int) -> bytes:
    """ByteEncode (5)."""
    return sum(x << d * i for i, x in enumerate(poly)).to_bytes(32 * d, "little")


def _unpack(data: bytes, d: int) -> Poly:
    """ByteDecode (6), any length."""
    number = int.from_bytes(data, "little")
    return [number >> d * i & (1 << d) - 1 for i in range(8 * len(data) // d)]


class SeededKem(MlKem768):
    """The product's ML-KEM-768, but for the randomness of encapsulation."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return encapsulate(public, self._entropy(32))
