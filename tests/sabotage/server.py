"""Edits to the server, and to what its clients say to it: rendezvous, STUN, relay."""

from tests.sabotage.edit import Edit

CHANNEL = "tests/nat/test_channel.py"
RENDEZVOUS = "tests/nat/test_rendezvous.py"
RELAY = "tests/nat/test_relay.py"
ADDRESS = "tests/nat/test_serveraddress.py"
LIMITS = "tests/server/test_limits.py"
SLOTS = "tests/server/test_mailslots.py"
CIRCUITS = "tests/server/test_circuits.py"
DESK = "tests/server/test_desk.py"
GATE = "tests/server/test_udpgate.py"
APP = "tests/server/test_app.py"

EDITS = (
    Edit(
        "a path with stray characters is a hello",
        "securecp/nat/channel.py",
        "    if path_of(hello) != path:\n",
        "    if len(hello) > 48:\n",
        (f"{CHANNEL}::test_rl06_a_hello_has_no_second_spelling",),
    ),
    Edit(
        "both directions of the channel have one key",
        "securecp/nat/channel.py",
        "self._receiving = CipherState(_CIPHER, to_server)",
        "self._receiving = CipherState(_CIPHER, to_client)",
        (f"{CHANNEL}::test_messages_go_both_ways_in_order",),
    ),
    Edit(
        "an address needs no key",
        "securecp/nat/serveraddress.py",
        "?/?#(?P<key>[!-~]{1,100})",
        "?/?#?(?P<key>[!-~]{1,100})",
        (ADDRESS,),
    ),
    Edit(
        "any key may stand in an address",
        "securecp/nat/serveraddress.py",
        "if kind != KEY_PREFIX or len(key) != KEY_LENGTH:",
        "if len(key) != KEY_LENGTH:",
        (f"{ADDRESS}::test_what_is_no_address_is_refused",),
    ),
    Edit(
        "a posted envelope may have any length",
        "securecp/nat/rendezvous.py",
        "    _check_length(data, 1 + TAG_LENGTH + ENVELOPE_LENGTH)\n",
        "",
        (f"{RENDEZVOUS}::test_rv11_lengths_are_exact",),
    ),
    Edit(
        "a message may have any number of claims",
        "securecp/nat/rendezvous.py",
        "if rest or not 1 <= count <= CLAIMS_PER_MESSAGE:",
        "if rest or not 1 <= count:",
        (f"{RENDEZVOUS}::test_rv11_lengths_are_exact",),
    ),
    Edit(
        "whoever names a tag may listen there",
        "securecp/server/desk.py",
        "dict.fromkeys(tag_of(claim) for claim in claims)",
        "dict.fromkeys([*claims, *(tag_of(claim) for claim in claims)])",
        (f"{DESK}::test_rv02_a_tag_that_was_seen_does_not_let_anybody_listen_there",),
    ),
    Edit(
        "the poster is told that nobody was there",
        "securecp/server/desk.py",
        "        return [Tell(one, Deliver(tag, envelope)) for one in there]\n",
        "        if not there:\n"
        "            return self._refuse(visitor, What.POST, Code.FULL, 60)\n"
        "        return [Tell(one, Deliver(tag, envelope)) for one in there]\n",
        (f"{DESK}::test_rv01_unknown_offline_full_and_online_are_the_same_nothing_for_the_poster",),
    ),
    Edit(
        "only posts to nobody count",
        "securecp/server/desk.py",
        "            if not budget.take(now):\n",
        "            if not self.slots._waiting.get(tag) and not budget.take(now):\n",
        (f"{DESK}::test_rv01_unknown_offline_full_and_online_are_the_same_nothing_for_the_poster",),
    ),
    Edit(
        "what others get is sent before the poster's message is done",
        "securecp/server/app.py",
        "self._do_later(self.desk.receive(self.now(), client.visitor, plain))",
        "self._do(self.desk.receive(self.now(), client.visitor, plain))",
        (f"{APP}::test_rv01_the_poster_gets_the_same_nothing_and_others_get_theirs_later",),
    ),
    Edit(
        "a client that left still waits on its tags",
        "securecp/server/desk.py",
        "        self.slots.unsubscribe(visitor, visitor.tags)\n",
        "",
        (f"{DESK}::test_a_client_that_leaves_is_forgotten",),
    ),
    Edit(
        "a client may have any number of claims",
        "securecp/server/desk.py",
        "> rendezvous.CLAIMS_PER_CLIENT",
        "> 10 * rendezvous.CLAIMS_PER_CLIENT",
        (f"{DESK}::test_claims_are_limited",),
    ),
    Edit(
        "a network may have any number of claims",
        "securecp/server/desk.py",
        "if many or not self._tags.enter(visitor.where, new):",
        "if many:",
        (f"{DESK}::test_rv06_one_network_waits_on_so_many_tags_and_gets_them_back",),
    ),
    Edit(
        "messages have no limit",
        "securecp/server/desk.py",
        "if not visitor.messages.take(now):",
        "if not visitor.messages.take(now, 0.0):",
        (f"{DESK}::test_rv06_messages_of_any_kind_are_limited",),
    ),
    Edit(
        "one network may come as often as it likes",
        "securecp/server/desk.py",
        "if not self._arrivals.of(now, where).take(now):",
        "if not self._arrivals.of(now, where).take(now, 0.0):",
        (f"{DESK}::test_rv06_one_network_cannot_come_as_often_as_it_likes",),
    ),
    Edit(
        "one network may take all places",
        "securecp/server/limits.py",
        "return self._taken[where] >= self.most_of_one",
        "return self._taken[where] >= self.most",
        (f"{LIMITS}::test_rl04_places_are_limited_in_all_and_for_each_network",),
    ),
    Edit(
        "the table of networks grows without end",
        "securecp/server/limits.py",
        "if len(self._buckets) >= self._most and not self._make_room(now):",
        "if len(self._buckets) < 0:",
        (f"{LIMITS}::test_rv06_a_flood_from_many_networks_takes_nothing_from_those_who_are_there",),
    ),
    Edit(
        "a flood evicts the envelopes of others",
        "securecp/server/mailslots.py",
        "own = self._networks[where] * len(self._networks) >= self._most_held",
        "own = False",
        (f"{SLOTS}::test_rv06_a_network_that_floods_loses_its_own_envelopes_first",),
    ),
    Edit(
        "envelopes are held for ever",
        "securecp/server/mailslots.py",
        ".until <= now:",
        ".until <= -now:",
        (f"{SLOTS}::test_rv10_what_has_ended_is_kept_nowhere",),
    ),
    Edit(
        "a third leg replaces one that is there",
        "securecp/server/circuits.py",
        "orphans = [leg for leg in circuit.legs if leg.owner is None]",
        "orphans = circuit.legs[:]",
        (f"{CIRCUITS}::test_rl05_a_third_leg_is_refused_while_both_are_there",),
    ),
    Edit(
        "a ticket waits for ever",
        "securecp/server/circuits.py",
        "return now - circuit.began_at >= JOIN_LIFE",
        "return False",
        (f"{CIRCUITS}::test_rl05_a_ticket_waits_60_s_for_its_second_leg",),
    ),
    Edit(
        "a socket attaches without proof of the ticket",
        "securecp/server/circuits.py",
        "if leg is None or not attach.proves(leg.circuit.ticket):",
        "if leg is None:",
        (f"{CIRCUITS}::test_rl05_a_socket_attaches_with_the_ticket_of_the_leg_only",),
    ),
    Edit(
        "the proof does not cover what it proves",
        "securecp/nat/relay.py",
        "return hmac.compare_digest(_mac(ticket, self.body), self.mac)",
        "return hmac.compare_digest(_mac(ticket, self.body), self.mac) or any(self.mac)",
        (f"{RELAY}::test_rl05_a_proof_covers_every_byte_before_it",),
    ),
    Edit(
        "a leg may speak to the other as the relay does",
        "securecp/server/circuits.py",
        "        if not carriable(stride, data):\n            return None\n",
        "",
        (f"{CIRCUITS}::test_rl06_what_the_relay_says_passes_no_circuit",),
    ),
    Edit(
        "datagrams of 1 byte pass",
        "securecp/server/circuits.py",
        "if stride < SHORTEST:",
        "if stride < 1:",
        (f"{CIRCUITS}::test_rl06_a_leg_says_to_the_other_nothing_that_only_the_relay_may_say",),
    ),
    Edit(
        "a circuit has no rate",
        "securecp/server/circuits.py",
        "if not leg.budget.spend(now, cost) or not shares.spend(now, account, cost):",
        "if not leg.budget.spend(now, cost):",
        (f"{CIRCUITS}::test_rl04_a_circuit_is_held_to_its_rate_in_both_directions_together",),
    ),
    Edit(
        "a cookie is good for every endpoint",
        "securecp/server/udpgate.py",
        'where = f"{endpoint} {endpoint.via}".encode()',
        'where = b""',
        (f"{CIRCUITS}::test_rv08_rl02_a_cookie_is_good_for_its_endpoint_alone_and_for_two_minutes",),
    ),
    Edit(
        "a cookie of the relay is good for ever",
        "securecp/transport/rotation.py",
        "if not self._secrets or age >= self._life:",
        "if not self._secrets:",
        (f"{CIRCUITS}::test_rv08_rl02_a_cookie_is_good_for_its_endpoint_alone_and_for_two_minutes",),
    ),
    Edit(
        "an ATTACH needs no cookie",
        "securecp/server/udpgate.py",
        "if not any(received) or not self",
        "if not self",
        (f"{CIRCUITS}::test_rv08_rl02_a_cookie_is_good_for_its_endpoint_alone_and_for_two_minutes",),
    ),
    Edit(
        "a COOKIE-REQUEST may be short",
        "securecp/server/udpgate.py",
        "if first == relay.COOKIE_REQUEST and relay.is_cookie_request(datagram):",
        "if first == relay.COOKIE_REQUEST:",
        (f"{GATE}::test_rl02_dg05_bytes_out_never_exceed_bytes_in_for_who_has_not_shown_a_cookie",),
    ),
    Edit(
        "bare STUN requests have no budget",
        "securecp/server/udpgate.py",
        "if len(answer) > len(datagram) and not self._may_exceed(now, endpoint):",
        "if not answer:",
        (f"{GATE}::test_dg05_bare_stun_requests_have_a_small_budget",),
    ),
    Edit(
        "connections without a request stay",
        "securecp/server/app.py",
        "if now - line.connected_at < HEADER_PATIENCE:",
        "if now - line.connected_at < HEADER_PATIENCE * 1e6:",
        (f"{APP}::test_rv07_who_sends_no_request_or_slowly_is_closed",),
    ),
    Edit(
        "silent connections stay",
        "securecp/server/app.py",
        "if now - client.line.heard_at >= SILENCE:",
        "if now < 0:",
        (f"{APP}::test_rv07_who_was_silent_for_long_is_closed",),
    ),
    Edit(
        "any proxy is believed",
        "securecp/server/app.py",
        "if line.peer.address in self._settings.proxies:",
        "if self._settings.proxies:",
        (f"{APP}::test_behind_a_proxy_the_forwarded_address_counts",),
    ),
    Edit(
        "what a client says it was forwarded for is believed",
        "securecp/server/app.py",
        'values[-1].rpartition(",")[2].strip()',
        'values[0].partition(",")[0].strip()',
        (f"{APP}::test_behind_a_proxy_the_forwarded_address_counts",),
    ),
    Edit(
        "datagrams pile up for a slow leg",
        "securecp/server/line.py",
        "self._transport.get_write_buffer_size() > QUEUED:",
        "self._transport.get_write_buffer_size() < 0:",
        (f"{APP}::test_rl07_a_slow_leg_loses_datagrams_and_nothing_piles_up",),
    ),
    Edit(
        "everything piles up for a client that does not read",
        "securecp/server/line.py",
        "if transport.get_write_buffer_size() > STUCK:",
        "if transport.get_write_buffer_size() < 0:",
        (f"{APP}::test_a_client_that_reads_nothing_is_closed",),
    ),
    Edit(
        "a message may have any number of fragments",
        "securecp/server/line.py",
        "if len(parts) > MOST_FRAGMENTS:",
        "if len(parts) > 1e9:",
        (f"{APP}::test_rl06_fragments_are_put_together_and_are_not_without_end",),
    ),
    Edit(
        "a request may have any length",
        "securecp/server/line.py",
        "if self._before <= LARGEST_REQUEST:",
        "if self._before <= LARGEST_REQUEST * 1_000:",
        (f"{APP}::test_rv07_a_request_without_end_is_closed",),
    ),
    Edit(
        "the log has a line for each event",
        "securecp/server/tally.py",
        "if count and (last is None or now - last >= self.INTERVAL):",
        "if count:",
        ("tests/server/test_tally.py",),
    ),
)  # fmt: skip
