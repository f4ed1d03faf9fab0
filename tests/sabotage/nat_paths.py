"""Edits to what nobody may have the traversal do: where it sends, whom it answers, how much."""

from tests.sabotage.edit import Edit

ATTACKS = "tests/nat/test_reach_attacks.py"
REACH = "tests/nat/test_reach.py"
PAIRS = "tests/nat/test_pairs.py"
GUESSING = "tests/nat/test_guessing.py"
PUNCHER = "tests/nat/test_puncher.py"
LEG = "tests/nat/test_leg.py"
MAIL = "tests/nat/test_mail.py"
ROUNDS = "tests/nat/test_rounds.py"
TARGETS = "tests/nat/test_targets.py"
SITUATION = "tests/nat/test_situation.py"
SURROUNDINGS = "tests/nat/test_surroundings.py"
LAN = "tests/nat/test_lansearch.py"
SIMULATION = "tests/simulation/test_reach.py"

EDITS = (
    # before the peer is there
    Edit(
        "openers go all the way",
        "securecp/nat/puncher.py",
        "            self._ping(now, pair.endpoint, LOW_TTL)\n\n    def start",
        "            self._ping(now, pair.endpoint)\n\n    def start",
        (f"{ATTACKS}::test_rv09_before_sync_nothing_goes_beyond_two_hops",),
    ),
    Edit(
        "a candidate that comes later is probed before SYNC",
        "securecp/nat/puncher.py",
        "                self._ping(now, endpoint, LOW_TTL)",
        "                self._ping(now, endpoint)",
        (f"{PUNCHER}::test_openers_die_early_and_are_sent_once",),
    ),
    Edit(
        "a CALL is reason enough to probe",
        "securecp/nat/meeting.py",
        "        self._meet(now).open(now)\n",
        "        self._meet(now).start(now)\n",
        (f"{ATTACKS}::test_rv09_a_recorded_call_makes_us_send_openers_and_no_more",),
    ),
    Edit(
        "a SYNC of any round starts probes",
        "securecp/nat/meeting.py",
        "self._to_answer or sync.round != self.round:",
        "self._to_answer:",
        (f"{REACH}::test_a_sync_of_another_round_starts_nothing",),
    ),
    Edit(
        "an ANSWER of any round is taken",
        "securecp/nat/meeting.py",
        "if answer.round != self.round or self.ours is None:",
        "if self.ours is None:",
        (f"{REACH}::test_other_letters_at_the_wrong_time_are_dropped",),
    ),
    Edit(
        "a CALL of an earlier round begins again",
        "securecp/nat/letters.py",
        "        if not self._their_secret or call.round > self.round:\n",
        "        if not self._their_secret or call.secret != self._their_secret:\n",
        (f"{ATTACKS}::test_an_earlier_round_does_not_come_again",),
    ),
    Edit(
        "all rounds have one secret",
        "securecp/nat/letters.py",
        "        self.round = number\n        self._secret = self._entropy(SECRET_LENGTH)\n",
        "        self.round = number\n",
        (f"{MAIL}::test_each_round_has_other_keys_and_another_ticket",),
    ),
    # to whom
    Edit(
        "whoever was a contact once is still answered",
        "securecp/nat/reach.py",
        "if session in self._ended or not self.mail.welcome(pair.peer):",
        "if session in self._ended:",
        (f"{ATTACKS}::test_rv04_a_contact_that_was_removed_is_not_answered",),
    ),
    Edit(
        "a session that is over may begin again",
        "securecp/nat/reach.py",
        "if session in self._ended or not",
        "if not",
        (f"{ATTACKS}::test_a_session_that_is_over_does_not_begin_again",),
    ),
    Edit(
        "a session may be continued by another contact",
        "securecp/nat/reach.py",
        "        elif meeting.peer != pair.peer:\n",
        "        elif not pair.peer:\n",
        (f"{ATTACKS}::test_rv04_a_session_belongs_to_who_began_it",),
    ),
    Edit(
        "anything may come to a tag of the day",
        "securecp/nat/mail.py",
        "        if not isinstance(letter, Call):\n",
        "        if letter is None:\n",
        (f"{ATTACKS}::test_only_a_call_comes_to_a_tag_of_the_day",),
    ),
    Edit(
        "a letter about any session comes to the tag of one",
        "securecp/nat/mail.py",
        "            if letter.session != session:\n",
        "            if not session:\n",
        (f"{MAIL}::test_rv04_another_session_at_the_tag_of_one_is_refused",),
    ),
    Edit(
        "who does not wait answers in the LAN",
        "securecp/nat/reach.py",
        "callers = self.mail.callers if waiting else None",
        "callers = self.mail.callers",
        (f"{REACH}::test_a_beacon_is_for_who_waits",),
    ),
    Edit(
        "who does not wait subscribes to its contacts",
        "securecp/nat/reach.py",
        "contacts if waiting else tuple)",
        "contacts)",
        (f"{REACH}::test_who_does_not_wait_is_nowhere",),
    ),
    Edit(
        "without relays there are relays",
        "securecp/nat/reach.py",
        "if known is None or not self._relays:",
        "if known is None:",
        (f"{SIMULATION}::test_rl11_without_relays_nothing_is_relayed",),
    ),
    # where to
    Edit(
        "private addresses are probed in any network",
        "securecp/nat/targets.py",
        "    chosen = screen(candidates, same_public=ours.neighbours(known), refused=refused)\n",
        "    chosen = screen(candidates, same_public=True, refused=refused)\n",
        (f"{TARGETS}::test_rv05_private_ones_only_among_neighbours", ATTACKS),
    ),
    Edit(
        "our own endpoints and the servers' are probed",
        "securecp/nat/targets.py",
        "    refused = [*own, *(Endpoint(one.address, one.port) for one in ours.candidates)]\n",
        "    refused: list[Endpoint] = []\n",
        (f"{TARGETS}::test_rl10_not_our_own_and_not_a_servers", ATTACKS),
    ),
    Edit(
        "ports are guessed wherever the peer says",
        "securecp/nat/targets.py",
        "if one.kind in {Kind.REFLEXIVE, Kind.PREDICTED}\n",
        "if one.kind is not None\n",
        (f"{TARGETS}::test_rv05_ports_are_guessed_where_servers_see_the_peer",),
    ),
    Edit(
        "ports are guessed at servers and at us",
        "securecp/nat/targets.py",
        "        and one.address not in others\n",
        "",
        (f"{TARGETS}::test_rl10_no_ports_are_guessed_at_a_server_or_at_us",),
    ),
    Edit(
        "a caller may begin any number of rounds",
        "securecp/nat/meeting.py",
        "if len(self._heard) == ROUNDS_HEARD and now - self._heard[0] < HEARD_WITHIN:",
        "if False:",
        ("tests/nat/test_reach_attacks.py::test_rv05_a_caller_may_not_begin_rounds_without_end",),
    ),
    Edit(
        "ports are guessed in our own network",
        "securecp/nat/targets.py",
        "for one in screen(theirs, same_public=ours.neighbours(theirs))",
        "for one in screen(theirs, same_public=True)",
        (f"{TARGETS}::test_rv05_ports_are_guessed_where_servers_see_the_peer",),
    ),
    Edit(
        "whoever names our address by any kind of candidate is a neighbour",
        "securecp/nat/situation.py",
        "for one in candidates if one.kind in {Kind.REFLEXIVE, Kind.PREDICTED}}",
        "for one in candidates}",
        (f"{SITUATION}::test_rv05_neighbours_are_seen_at_one_address",),
    ),
    Edit(
        "a peer with a private address is a neighbour",
        "securecp/nat/situation.py",
        "for side in (ours, others)\n",
        "for side in (others,)\n",
        (f"{SITUATION}::test_rv05_neighbours_are_seen_at_one_address",),
    ),
    Edit(
        "a server has us ask anybody",
        "securecp/nat/reach.py",
        "stun = [one for one in named if may_ask(one, dialled)]",
        "stun = list(named)",
        (f"{ATTACKS}::test_dg04_a_server_cannot_have_us_ask_anybody",),
    ),
    Edit(
        "a public server may name private endpoints",
        "securecp/nat/surroundings.py",
        "allowed(there, same_public=is_private(ours))",
        "allowed(there, same_public=True)",
        (f"{SURROUNDINGS}::test_rv05_a_server_may_not_name_just_anybody",),
    ),
    Edit(
        "a PONG from anywhere makes a path",
        "securecp/nat/puncher.py",
        "            if asked[0] == endpoint:\n",
        "            if asked:\n",
        (f"{PUNCHER}::test_a_pong_from_elsewhere_is_no_path_but_another_endpoint",),
    ),
    Edit(
        "a PONG needs no PING",
        "securecp/nat/puncher.py",
        "            asked = self._pings.pop(probe.txid, None)\n",
        "            asked = self._pings.get(probe.txid, (endpoint, now))\n",
        (f"{PUNCHER}::test_a_pong_is_counted_once_and_only_for_a_ping_of_ours",),
    ),
    # how much
    Edit(
        "whoever sends from a false address has us probe there",
        "securecp/nat/pairs.py",
        "                pair.credit = 0\n",
        "                pass\n",
        (f"{PAIRS}::test_dg05_where_only_a_probe_came_from_gets_three_times_as_much", ATTACKS),
    ),
    Edit(
        "a PONG does not count against what came",
        "securecp/nat/puncher.py",
        "            pair.credit -= 1\n",
        "",
        (f"{ATTACKS}::test_dg05_a_peer_with_a_false_source_address_gains_nothing",),
    ),
    Edit(
        "any number of endpoints is tried",
        "securecp/nat/pairs.py",
        "        if len(self._pairs) >= MOST:\n",
        "        if not MOST:\n",
        (f"{PAIRS}::test_rv05_there_is_room_for_so_many_and_the_vainest_gives_way",),
    ),
    Edit(
        "many endpoints make many probes a second",
        "securecp/nat/pairs.py",
        "return now + max(pace, len(self._pairs) / RATE)",
        "return now + pace",
        (f"{PAIRS}::test_rv05_all_together_stay_below_the_rate",),
    ),
    Edit(
        "guesses have no end",
        "securecp/nat/guessing.py",
        "allowed = min(int(slow * SLOW + fast * FAST) + 2, GUESSES)",
        "allowed = int(slow * SLOW + fast * FAST) + 2",
        (f"{GUESSING}::test_rv05_guesses_are_bounded_in_rate_and_number",),
    ),
    Edit(
        "guesses catch up at once",
        "securecp/nat/guessing.py",
        "handful = min(max(allowed - self._made, 0), int(FAST * TICK) * 4)",
        "handful = max(allowed - self._made, 0)",
        (f"{GUESSING}::test_a_guesser_that_was_not_woken_does_not_catch_up_at_once",),
    ),
    Edit(
        "rounds of guesses have no budget",
        "securecp/nat/guessing.py",
        "        if len(recent) >= ROUNDS:\n",
        "        if not ROUNDS:\n",
        (f"{ATTACKS}::test_rv05_ports_of_one_peer_are_guessed_in_few_rounds_only",),
    ),
    Edit(
        "a path in use does not stop the guesses",
        "securecp/nat/puncher.py",
        "        self.pairs.rest(but)\n        self._stop_guessing()\n",
        "        self.pairs.rest(but)\n",
        (f"{PUNCHER}::test_at_rest_nothing_goes_but_answers",),
    ),
    Edit(
        "a silent path makes rounds without pause",
        "securecp/nat/rounds.py",
        "at = now if at_once else max(now, self._began_at + self._pause)",
        "at = now",
        (f"{ROUNDS}::test_f06_a_path_that_stays_silent_asks_less_and_less_often",),
    ),
    Edit(
        "pauses between rounds do not grow",
        "securecp/nat/rounds.py",
        "self._pause = min(self._pause * 2, LONGEST_PAUSE)",
        "self._pause = PAUSE",
        (f"{ROUNDS}::test_f06_a_path_that_stays_silent_asks_less_and_less_often",),
    ),
    Edit(
        "a contact has any number of meetings",
        "securecp/nat/reach.py",
        "with_peer = sum(one.peer == pair.peer for one in self.meetings.values())",
        "with_peer = 0",
        (f"{ATTACKS}::test_meetings_that_nobody_uses_end_and_are_few",),
    ),
    Edit(
        "a new call pushes out a meeting in use",
        "securecp/nat/reach.py",
        "and one.in_use is None\n",
        "\n",
        (f"{ATTACKS}::test_a_meeting_in_use_is_not_pushed_out",),
    ),
    Edit(
        "candidates of a peer pile up",
        "securecp/nat/meeting.py",
        "(*candidates, *self.theirs)))[:MOST_CANDIDATES]",
        "(*candidates, *self.theirs)))",
        (f"{ATTACKS}::test_rv05_at_most_32_endpoints_are_tried_at_once_and_400_times_a_second",),
    ),
    # the relay and the LAN
    Edit(
        "anybody may speak for the relay",
        "securecp/nat/leg.py",
        "if endpoint != self._udp or self.gone or self._attach_id is None:",
        "if self.gone or self._attach_id is None:",
        (f"{LEG}::test_what_is_not_the_relays_is_refused",),
    ),
    Edit(
        "each COOKIE is answered",
        "securecp/nat/leg.py",
        "            if not self._asked:\n",
        "            if self.gone:\n",
        (f"{LEG}::test_dg05_one_attach_for_each_cookie_that_was_asked_for",),
    ),
    Edit(
        "a relay that is silent is a way for ever",
        "securecp/nat/leg.py",
        "        self._attached = self._attaching = False\n        self._cookie, self._tries",
        "        self._attaching = False\n        self._cookie, self._tries",
        (f"{LEG}::test_a_relay_that_has_forgotten_us_is_no_way",),
    ),
    Edit(
        "ways in the LAN pile up",
        "securecp/nat/lansearch.py",
        "if endpoint not in known and len(known) < MOST_WAYS:",
        "if endpoint not in known:",
        (f"{LAN}::test_ways_of_one_peer_are_few",),
    ),
    Edit(
        "any ANSWER in the LAN is believed",
        "securecp/nat/lansearch.py",
        "            except ProtocolError:\n                continue\n",
        "            except ProtocolError:\n                pass\n",
        (f"{LAN}::test_a_forged_answer_is_nothing",),
    ),
)
