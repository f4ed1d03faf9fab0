"""Edits to the handshake: its keys, its transcript, its gates, and who may call."""

from tests.sabotage.edit import Edit

VECTORS = "tests/noise/test_noise_vectors.py"
NOISE = "tests/noise/test_noise.py"
HANDSHAKE = "tests/transport/test_handshake.py"
COOKIE = "tests/transport/test_cookie.py"
FLOOD = "tests/transport/test_exchange_flood.py"
CALLED = "tests/transport/test_exchange_called.py"
CROSSING = "tests/transport/test_exchange_crossing.py"
REFUSALS = "tests/transport/test_refusals.py"
RECORDED = "tests/transport/test_handshake_vectors.py"

EDITS = (
    Edit(
        "ciphertexts are left out of the transcript",
        "securecp/noise/symmetric.py",
        "        self.mix_hash(sealed)\n",
        "",
        (VECTORS,),
    ),
    Edit(
        "the transcript leaves the prologue out",
        "securecp/noise/state.py",
        "self._now.symmetric.mix_hash(prologue)",
        'self._now.symmetric.mix_hash(b"")',
        (
            f"{NOISE}::test_hs09_a_different_prologue_does_not_complete",
            VECTORS,
        ),
    ),
    Edit(
        "the last nonce is used",
        "securecp/noise/symmetric.py",
        "if self.n >= LAST_NONCE:",
        "if self.n > LAST_NONCE:",
        (f"{NOISE}::test_hs14_the_last_nonce_is_never_used",),
    ),
    Edit(
        "a bad ciphertext advances the nonce",
        "securecp/noise/symmetric.py",
        '            raise ProtocolError("a handshake message is not authentic") from None',
        (
            '            self.n += 1\n            raise ProtocolError("a handshake '
            'message is not authentic") from None'
        ),
        (f"{NOISE}::test_hs14_a_bad_ciphertext_does_not_advance_the_nonce",),
    ),
    Edit(
        "a failed read leaves its trace in the state",
        "securecp/noise/state.py",
        "        state = self._now.copy()\n        rest, payload",
        "        state = self._now\n        rest, payload",
        (f"{NOISE}::test_hs11_a_failed_read_leaves_no_trace",),
    ),
    Edit(
        "ephemeral keys are not checked",
        "securecp/noise/state.py",
        "state.re = _canonical(piece)",
        "state.re = piece",
        (
            f"{NOISE}::test_hs04_low_order_ephemeral_keys_are_refused_before_any_exchange",
            f"{NOISE}::test_hs05_other_encodings_of_a_key_are_refused",
        ),
    ),
    Edit(
        "static keys are not checked",
        "securecp/noise/state.py",
        "state.rs = _canonical(symmetric.decrypt_and_hash(piece))",
        "state.rs = symmetric.decrypt_and_hash(piece)",
        (
            f"{NOISE}::test_hs04_low_order_static_keys_are_refused_though_sealed",
            f"{NOISE}::test_hs05_other_encodings_of_a_key_are_refused",
        ),
    ),
    Edit(
        "the handshake goes without ss",
        "securecp/noise/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s payload -> e1 <- e ee ekem1 se payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the handshake goes without se, the proof of the caller",
        "securecp/noise/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the handshake goes without ee, its forward secrecy",
        "securecp/noise/patterns.py",
        '"<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload"',
        '"<- s ... -> e es s ss payload -> e1 <- e ekem1 se payload"',
        (f"{RECORDED}::test_recorded_handshake",),
    ),
    Edit(
        "the parameters stand before the key that authenticates them",
        "securecp/noise/patterns.py",
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
        "if rest[: _INDEX.size] != _INDEX.pack(index):",
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
    Edit(
        "a HELLO needs no mac1",
        "securecp/transport/cookie.py",
        "if not hmac.compare_digest(mac(self._mac1_key, body), mac1):",
        "if not mac1:",
        (f"{COOKIE}::test_mac1_says_that_the_sender_knows_our_key",),
    ),
    Edit(
        "a cookie is good at any endpoint",
        "securecp/transport/cookie.py",
        'return mac(secret, f"{endpoint}{door}".encode())',
        'return mac(secret, b"")',
        (f"{COOKIE}::test_a_cookie_comes_back_as_proof_of_the_endpoint",),
    ),
    Edit(
        "a cookie is good for ever",
        "securecp/transport/rotation.py",
        "if not self._secrets or age >= self._life:",
        "if not self._secrets:",
        (
            f"{COOKIE}::test_a_cookie_is_good_for_its_whole_life_and_not_for_three",
            f"{COOKIE}::test_an_old_secret_dies_though_nobody_called_meanwhile",
        ),
    ),
    Edit(
        "a cookie opens for any HELLO",
        "securecp/transport/cookie.py",
        "decrypt(nonce, sealed, mac1)",
        "decrypt(nonce, sealed, None)",
        (COOKIE,),
    ),
    Edit(
        "any mac2 passes for a proof",
        "securecp/transport/cookie.py",
        "return Proof.RIGHT if any(right) else Proof.WRONG",
        "return Proof.RIGHT if right else Proof.WRONG",
        (
            f"{COOKIE}::test_a_cookie_comes_back_as_proof_of_the_endpoint",
            f"{FLOOD}::test_hs01_without_the_right_cookie_under_load_nothing_but_a_cookie",
        ),
    ),
    Edit(
        "cookies are sealed under one nonce",
        "securecp/transport/cookie.py",
        "nonce = self._entropy(12)",
        "nonce = bytes(12)",
        (f"{COOKIE}::test_every_cookie_datagram_has_a_nonce_of_its_own",),
    ),
    Edit(
        "under load no cookie is asked for",
        "securecp/transport/reception.py",
        "if not self._load.high(now) and not self.table.busy(where):",
        "if hello:",
        (f"{FLOOD}::test_hs01_a_flood_is_computed_up_to_the_threshold_and_then_gets_cookies",),
    ),
    Edit(
        "a HELLO under load is computed without a proof",
        "securecp/transport/reception.py",
        "        if proof is not Proof.RIGHT:\n",
        "        if proof is Proof.WRONG:\n",
        (
            f"{FLOOD}::test_hs01_a_flood_is_computed_up_to_the_threshold_and_then_gets_cookies",
            f"{FLOOD}::test_hs01_without_the_right_cookie_under_load_nothing_but_a_cookie",
        ),
    ),
    Edit(
        "who has a cookie may try without end",
        "securecp/transport/reception.py",
        "        if not self._load.may_try(now, where):\n",
        "        if not where:\n",
        (f"{FLOOD}::test_hs01_one_network_with_cookies_gets_few_tries",),
    ),
    Edit(
        "HELLO-B needs no cookie",
        "securecp/transport/reception.py",
        "elif self._admit(now, endpoint, index, hello, half.where):",
        "elif hello:",
        (f"{FLOOD}::test_hs01_hello_b_needs_the_cookie_too",),
    ),
    Edit(
        "mac1 of HELLO-A is not checked",
        "securecp/transport/reception.py",
        (
            "        index = check_head(hello, HELLO_A, HELLO_A_LENGTH)\n        "
            "self._gate.check_mac1(hello)\n"
        ),
        "        index = check_head(hello, HELLO_A, HELLO_A_LENGTH)\n",
        (f"{FLOOD}::test_hs01_garbage_costs_no_exchange_and_is_no_load",),
    ),
    Edit(
        "half-open handshakes pile up",
        "securecp/transport/halfopen.py",
        "return len(self) >= HALF_OPEN or self._networks[where] >= HALF_OPEN_PER_NETWORK",
        "return self._networks[where] >= HALF_OPEN_PER_NETWORK",
        (f"{FLOOD}::test_hs01_hs17_at_most_256_half_open_in_all_and_they_expire",),
    ),
    Edit(
        "one network may have all half-open handshakes",
        "securecp/transport/halfopen.py",
        "return len(self) >= HALF_OPEN or self._networks[where] >= HALF_OPEN_PER_NETWORK",
        "return len(self) >= HALF_OPEN",
        (f"{FLOOD}::test_hs01_hs17_at_most_8_half_open_of_one_network",),
    ),
    Edit(
        "half-open handshakes do not expire",
        "securecp/transport/halfopen.py",
        "takewhile(lambda half: now >= half.opened_at + HALF_OPEN_LIFE, self)",
        "takewhile(lambda half: now < 0, self)",
        (
            f"{CALLED}::test_hs17_a_half_open_handshake_lives_5_seconds_whatever_comes",
            f"{FLOOD}::test_hs01_hs17_at_most_256_half_open_in_all_and_they_expire",
        ),
    ),
    Edit(
        "an IPv6 address counts by itself",
        "securecp/transport/load.py",
        "int(address) >> 64 << 64",
        "int(address)",
        (f"{COOKIE}::test_hs01_caps_count_by_slash_32_and_slash_64",),
    ),
    Edit(
        "anyone may call",
        "securecp/transport/exchange.py",
        "if peer == self._public or not self._allowed(peer) or self._full(now, peer):",
        "if peer == self._public or self._full(now, peer):",
        (f"{CALLED}::test_hs07_an_unknown_caller_gets_the_silence_that_garbage_gets",),
    ),
    Edit(
        "we may call ourselves",
        "securecp/transport/exchange.py",
        "if peer == self._public or not self._allowed(peer)",
        "if not self._allowed(peer)",
        (f"{CALLED}::test_hs08_our_own_key_is_refused_as_a_caller_even_if_it_is_a_contact",),
    ),
    Edit(
        "a contact may have any number of sessions",
        "securecp/transport/exchange.py",
        "return len(standing) >= SESSIONS or len(lively) >= SESSIONS_PER_PEER",
        "return len(standing) >= SESSIONS",
        (f"{CALLED}::test_a_contact_has_at_most_four_sessions",),
    ),
    Edit(
        "a HELLO confirms itself",
        "securecp/transport/exchange.py",
        "        if not half.channel.established:\n",
        "        if half.channel is None:\n",
        (
            f"{CALLED}::test_hs02_a_recorded_call_leads_to_a_half_open_handshake_and_no_further",
            f"{CALLED}::test_hs02_a_recorded_first_data_does_not_confirm_a_replayed_call",
        ),
    ),
    Edit(
        "a half-open handshake is confirmed after its time",
        "securecp/transport/exchange.py",
        " or now >= half.opened_at + HALF_OPEN_LIFE:",
        ":",
        (f"{CALLED}::test_hs17_confirmation_after_expiry_is_silence_even_before_wake",),
    ),
    Edit(
        "more goes out than came in",
        "securecp/transport/reception.py",
        "paid = half.credit >= REPLY_LENGTH",
        "paid = half.credit > 0",
        (
            f"{CALLED}::test_dg05_never_more_bytes_out_than_in",
            f"{CALLED}::test_every_retransmission_gets_the_same_reply_once",
        ),
    ),
    Edit(
        "a REPLY costs no credit",
        "securecp/transport/reception.py",
        "half.credit -= REPLY_LENGTH if self._send(half.endpoint, half.reply) else 0",
        "half.credit -= 0 if self._send(half.endpoint, half.reply) else 0",
        (
            f"{CALLED}::test_dg05_never_more_bytes_out_than_in",
            f"{CALLED}::test_every_retransmission_gets_the_same_reply_once",
        ),
    ),
    Edit(
        "a REPLY goes out that could not be used in time",
        "securecp/transport/reception.py",
        "if half.reply and paid and now < half.opened_at + REPLY_LIFE:",
        "if half.reply and paid:",
        (f"{CALLED}::test_hs17_no_reply_is_sent_that_could_not_be_used_in_time",),
    ),
    Edit(
        "both calls stay when two cross",
        "securecp/transport/exchange.py",
        "        return not (\n            self._public < peer\n",
        "        return not (\n            not peer\n",
        (CROSSING,),
    ),
    Edit(
        "an index in use is drawn",
        "securecp/transport/exchange.py",
        "                index not in self._calls\n                and index not in",
        "                index not in",
        (
            "tests/transport/test_exchange.py::test_dg08_an_index_in_use_is_drawn_again",
            (
                "tests/transport/test_exchange.py::test_dg08_the_responder_draws_again_too_for_calls_half_open_and_sessions"
            ),
        ),
    ),
    Edit(
        "answers pile up",
        "securecp/transport/exchange.py",
        "if len(self._queue) >= REPLY_QUEUE:",
        "if len(self._queue) >= 1 << 30:",
        (f"{CALLED}::test_answers_wait_in_a_short_queue",),
    ),
    Edit(
        "mac1 of a REPLY is not checked",
        "securecp/transport/exchange.py",
        "        self._gate.check_mac1(datagram)\n",
        "",
        (f"{REFUSALS}::test_hs11_a_reply_whose_mac1_was_edited_is_dropped",),
    ),
)
