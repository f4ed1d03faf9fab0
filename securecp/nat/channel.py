"""The sealed channel between a client and its server: Noise NK inside a WebSocket (SPEC §13.2).

    client -> server    GET /v1/<64 characters>    Noise message 1: e, es            48 bytes
    server -> client    first WebSocket message    Noise message 2: e, ee, WELCOME
    then both           transport messages; nonces count up, since TCP keeps the order

The client knows the server's public key from its URL; the server does not learn who the client is.
Nothing here knows WebSockets: `seal` and `open` work on Noise messages, without the byte SEALED
that stands before them in a WebSocket message. After a ProtocolError the channel is of no more use.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64Error

from securecp.errors import ProtocolError
from securecp.noise.keypairs import Entropy, KeyPair
from securecp.noise.state import LARGEST_MESSAGE, HandshakeState
from securecp.noise.symmetric import TAGLEN, CipherState

PROTOCOL = "Noise_NK_25519_ChaChaPoly_SHA256"
PROLOGUE = b"securecp server 1"
HELLO_LENGTH = 48
PATH = "/v1/"
_PATH_LENGTH = len(PATH) + 64

# The first byte of a WebSocket message (SPEC §13.2).
SEALED = 0x00
CIRCUIT = 0x01
"""Datagrams of a circuit; they are sealed from end to end already."""

LARGEST_PLAINTEXT = LARGEST_MESSAGE - TAGLEN
_CIPHER = "ChaChaPoly"


def path_of(hello: bytes) -> str:
    """The path of the upgrade request that carries `hello`."""
    return PATH + urlsafe_b64encode(hello).decode()


def hello_in(path: str) -> bytes:
    """The hello that a path carries, or ProtocolError; the same hello has one path only."""
    if len(path) != _PATH_LENGTH or not path.startswith(PATH):
        raise ProtocolError("this path is not a hello")
    try:
        hello = urlsafe_b64decode(path[len(PATH) :])
    except (NotBase64Error, ValueError):
        raise ProtocolError("this path is not a hello") from None
    if path_of(hello) != path:
        raise ProtocolError("this path is not a hello")
    return hello


class _Sealed:
    """Transport messages in both directions, once the handshake is done."""

    _sending: CipherState | None = None
    _receiving: CipherState | None = None

    def seal(self, message: bytes) -> bytes:
        """Seal one message of ours; ValueError before the channel stands or if it is too long."""
        if self._sending is None:
            raise ValueError("the channel does not stand yet")
        if len(message) > LARGEST_PLAINTEXT:
            raise ValueError("the message is too long for the channel")
        return self._sending.encrypt_with_ad(b"", message)

    def open(self, sealed: bytes) -> bytes:
        """Open one message of theirs, in order, or raise ProtocolError."""
        if self._receiving is None:
            raise ProtocolError("a message came before the channel stood")
        if len(sealed) > LARGEST_MESSAGE:
            raise ProtocolError("a message is too long for the channel")
        return self._receiving.decrypt_with_ad(b"", sealed)


class ClientChannel(_Sealed):
    """Our end of the channel to the server that owns `server_key`."""

    def __init__(self, server_key: bytes, entropy: Entropy) -> None:
        self._handshake: HandshakeState | None = HandshakeState(
            PROTOCOL, initiator=True, entropy=entropy, prologue=PROLOGUE, rs=server_key
        )
        self.hello = self._handshake.write()
        """What opens the channel: 48 bytes, for `path_of`."""

    def welcome(self, message: bytes) -> bytes:
        """Read the server's first message: its payload; ProtocolError if another wrote it."""
        if self._handshake is None:
            raise ValueError("the channel stands already")
        payload = self._handshake.read(message)
        to_server, to_client = self._handshake.split()
        self._sending = CipherState(_CIPHER, to_server)
        self._receiving = CipherState(_CIPHER, to_client)
        self._handshake = None
        return payload


class ServerChannel(_Sealed):
    """The server's end of the channel to whoever sent `hello`."""

    def __init__(self, secret: KeyPair, hello: bytes, entropy: Entropy) -> None:
        """ProtocolError if the hello is none, or for another key."""
        handshake = HandshakeState(
            PROTOCOL, initiator=False, entropy=entropy, prologue=PROLOGUE, s=secret
        )
        if len(hello) != HELLO_LENGTH:
            raise ProtocolError("a hello has the wrong length")
        handshake.read(hello)
        self._handshake: HandshakeState | None = handshake

    def welcome(self, payload: bytes) -> bytes:
        """Write our first message; the channel stands."""
        if self._handshake is None:
            raise ValueError("the channel stands already")
        message = self._handshake.write(payload)
        to_server, to_client = self._handshake.split()
        self._sending = CipherState(_CIPHER, to_client)
        self._receiving = CipherState(_CIPHER, to_server)
        self._handshake = None
        return message
