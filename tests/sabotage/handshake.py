"""Edits to the handshake: its keys, its transcript, its gates, and who may call."""

from tests.sabotage.edit import Edit

VECTORS = "tests/transport/test_noise_vectors.py"
NOISE = "tests/transport/test_noise.py"
HANDSHAKE = "tests/transport/test_handshake.py"
RECORDED = "tests/transport/test_handshake_vectors.py"

EDITS = (
    Edit(
        "ciphertexts are left out of the transcript",
        "securecp/transport/symmetric.py",
        "        self.mix_hash(sealed)\n",
        "",
        (VECTORS,),
    ),
    Edit(
        "the transcript leaves the prologue out",
        "securecp/transport/noise.py",
        "self._now.symmetric.mix_hash(prologue)",
        'self._now.symmetric.mix_hash(b"")',
        (
            f"{NOISE}::test_hs09_a_different_prologue_does_not_complete",
            VECTORS,
        ),
    ),
    Edit(
        "the last nonce is used",
        "securecp/transport/symmetric.py",
        "if self.n >= LAST_NONCE:",
        "if self.n > LAST_NONCE:",
        (f"{NOISE}::test_hs14_the_last_nonce_is_never_used",),
    ),
    Edit(
        "a bad ciphertext advances the nonce",
        "securecp/transport/symmetric.py",
        '            raise ProtocolError("a handshake message is not authentic") from None',
        (
            '            self.n += 1\n            raise ProtocolError("a handshake '
            'message is not authentic") from None'
        ),
        (f"{NOISE}::test_hs14_a_bad_ciphertext_does_not_advance_the_nonce",),
    ),
    Edit(
        "a failed read leaves its trace in the state",
        "securecp/transport/noise.py",
        "        state = self._now.copy()\n        rest, payload",
        "        state = self._now\n        rest, payload",
        (f"{NOISE}::test_hs11_a_failed_read_leaves_no_trace",),
    ),
    Edit(
        "ephemeral keys are not checked",
        "securecp/transport/noise.py",
        "state.re = _canonical(piece)",
        "state.re = piece",
        (
            f"{NOISE}::test_hs04_low_order_ephemeral_keys_are_refused_before_any_exchange",
            f"{NOISE}::test_hs05_other_encodings_of_a_key_are_refused",
        ),
    ),
    Edit(
        "static keys are not checked",
        "securecp/transport/noise.py",
        "state.rs = _canonical(symmetric.decrypt_and_hash(piece))",
        "state.rs = symmetric.decrypt_and_hash(piece)",
        (
            f"{NOISE}::test_hs04_low_order_static_keys_are_refused_though_sealed",
            f"{NOISE}::test_hs05_other_encodings_of_a_key_are_refused",
        ),
    ),
    Edit(
        "the handshake goes without ss",
        "securecp/transport/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s payload -> e1 <- e ee ekem1 se payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the handshake goes without se, the proof of the caller",
        "securecp/transport/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the handshake goes without ee, its forward secrecy",
        "securecp/transport/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s ss payload -> e1 <- e ekem1 se payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the parameters stand before the key that authenticates them",
        "securecp/transport/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es payload s ss -> e1 <- e ee ekem1 se payload"',
        (
            f"{RECORDED}::test_recorded_handshake",
            f"{NOISE}::test_our_pattern_puts_e1_behind_the_payload",
        ),
    ),
    Edit(
        "the name of the protocol is that of another",
        "securecp/transport/handshake.py",
        "Noise_IKsecurecp1_25519+MLKEM768_ChaChaPoly_SHA256",
        "Noise_IKsecurecp1_25519+MLKEM768_ChaChaPoly_BLAKE2s",
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "an index may be edited on the way",
        "securecp/transport/handshake.py",
        "if payload[_PARAMETERS_LENGTH:][: _INDEX.size] != _INDEX.pack(index):",
        "if not payload:",
        (
            f"{HANDSHAKE}::test_hs11_every_flip_of_hello_a_fails_behind_mac1",
            f"{HANDSHAKE}::test_hs11_every_flip_of_a_reply_fails_without_trace_behind_mac1",
        ),
    ),
    Edit(
        "a REPLY may be for another call",
        "securecp/transport/handshake.py",
        "if receiver != self._index:",
        "if receiver < 0:",
        (f"{HANDSHAKE}::test_hs11_every_flip_of_a_reply_fails_without_trace_behind_mac1",),
    ),
    Edit(
        "a HELLO-B may be of another handshake",
        "securecp/transport/handshake.py",
        "if check_head(hello_b, HELLO_B, HELLO_B_LENGTH) != self._their_index:",
        "if check_head(hello_b, HELLO_B, HELLO_B_LENGTH) < 0:",
        (f"{HANDSHAKE}::test_hs11_every_flip_of_hello_b_fails_without_trace_behind_mac1",),
    ),
    Edit(
        "a bad REPLY spoils the call",
        "securecp/transport/handshake.py",
        "        noise = self._noise.fork()\n        theirs",
        "        noise = self._noise\n        theirs",
        (f"{HANDSHAKE}::test_hs11_every_flip_of_a_reply_fails_without_trace_behind_mac1",),
    ),
    Edit(
        "a bad HELLO-B spoils the handshake",
        "securecp/transport/handshake.py",
        "        noise = self._noise.fork()\n        noise.read",
        "        noise = self._noise\n        noise.read",
        (f"{HANDSHAKE}::test_hs11_every_flip_of_hello_b_fails_without_trace_behind_mac1",),
    ),
    Edit(
        "any version is spoken",
        "securecp/transport/handshake.py",
        " or version != VERSION or zero",
        " or zero",
        (
            f"{HANDSHAKE}::test_hs10_parameters_are_authenticated_both_ways_and_versions_exact",
            f"{HANDSHAKE}::test_hs11_every_flip_of_hello_a_fails_behind_mac1",
        ),
    ),
    Edit(
        "reserved bytes may be anything",
        "securecp/transport/handshake.py",
        " or version != VERSION or zero:",
        " or version != VERSION:",
        (f"{HANDSHAKE}::test_hs11_every_flip_of_hello_a_fails_behind_mac1",),
    ),
)
