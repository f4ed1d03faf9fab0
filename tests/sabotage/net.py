"""Edits to what the sockets, the loop and the connection on them must not let happen."""

from tests.sabotage.edit import Edit

UDP = "tests/net/test_udp.py"
ERRORS = "tests/net/test_udp_errors.py"
DRIVER = "tests/net/test_driver.py"
WORKSHOP = "tests/net/test_workshop.py"
FRAMES = "tests/transport/test_frames.py"
SEAL = "tests/transport/test_seal.py"
CONNECTION = "tests/transport/test_connection.py"
RECOVERY = "tests/transport/test_recovery.py"
CONTENT = "tests/transport/test_content.py"
ATTEND = "tests/net/test_attend.py"
DELIVERY = "tests/net/test_delivery.py"
RESUMING = "tests/net/test_resuming.py"
STREAMS = "tests/net/test_streams.py"
RATCHET = "tests/transport/test_ratchet.py"

EDITS = (
    Edit(
        "the kernel may fragment",
        "securecp/net/udp.py",
        "self._socket.setsockopt(level, option, IP_PMTUDISC_PROBE)",
        "self._socket.setsockopt(level, option, 0)",
        (f"{UDP}::test_the_socket_does_not_fragment",),
    ),
    Edit(
        "empty datagrams wake us",
        "securecp/net/udp.py",
        "            self._refuse_short()\n",
        "            pass\n",
        (f"{UDP}::test_dg01_what_is_too_short_for_anything_does_not_even_wake_us",),
    ),
    Edit(
        "an error of a datagram sent before is an error of reading",
        "securecp/net/udp.py",
        "# An ICMP error of an earlier send: reading has cleared it, so once more.\n",
        "raise\n",
        (f"{ERRORS}::test_dg16_an_icmp_error_on_receiving_is_passed_over",),
    ),
    Edit(
        "errors of reading are passed over without end",
        "securecp/net/udp.py",
        "for _ in range(2):",
        "for _ in range(1_000):",
        (f"{ERRORS}::test_dg16_a_storm_of_errors_ends_the_turn_and_not_the_program",),
    ),
    Edit(
        "a network that is down ends the program",
        "securecp/net/udp.py",
        "                self.errors += 1\n                self.too_long",
        "                raise\n                self.too_long",
        (f"{ERRORS}::test_tr22_any_other_error_of_one_datagram_is_the_loss_of_that_one",),
    ),
    Edit(
        "what a full socket did not take is forgotten",
        "securecp/net/udp.py",
        "                    return burst._replace(data=data[at:])\n                self.errors",
        "                    return None\n                self.errors",
        (f"{ERRORS}::test_tr22_a_socket_that_fills_up_half_way_keeps_the_rest",),
    ),
    Edit(
        "what a full socket did not take of a volley is forgotten",
        "securecp/net/udp.py",
        "                    return burst._replace(data=data[at:])\n                if",
        "                    return None\n                if",
        (f"{ERRORS}::test_tr22_a_socket_that_fills_up_in_a_volley_keeps_the_rest",),
    ),
    Edit(
        "reading has no budget",
        "securecp/net/driver.py",
        "READS = 32",
        "READS = 1 << 20",
        (f"{DRIVER}::test_tr21_neither_reading_nor_writing_starves_the_other",),
    ),
    Edit(
        "writing has no budget",
        "securecp/net/driver.py",
        "WRITES = 16",
        "WRITES = 1 << 20",
        (f"{DRIVER}::test_tr21_neither_reading_nor_writing_starves_the_other",),
    ),
    Edit(
        "a burst is asked for while another waits",
        "securecp/net/driver.py",
        "burst = self._unsent or self._machine.transmit(self._clock())",
        "burst = self._machine.transmit(self._clock())",
        (f"{DRIVER}::test_tr22_a_burst_that_the_socket_did_not_take_is_sent_before_any_other",),
    ),
    Edit(
        "jobs are begun after the end",
        "securecp/net/workshop.py",
        "if item.last or self._shut_at is None:",
        "if item:",
        (f"{WORKSHOP}::test_closing_waits_for_the_job_at_hand_and_begins_no_other",),
    ),
    Edit(
        "a datagram may hold any number of frames",
        "securecp/transport/frames.py",
        "codec.decode_all(data, most=MOST_FRAMES)",
        "codec.decode_all(data)",
        (f"{FRAMES}::test_tr11_a_datagram_holds_at_most_32_frames",),
    ),
    Edit(
        "a datagram may hold any number of ACKs",
        "securecp/transport/frames.py",
        "if sum(type(frame) is Ack for frame in frames) > 1:",
        "if not frames:",
        (f"{FRAMES}::test_tr04_a_datagram_holds_at_most_one_ack",),
    ),
    Edit(
        "padding may say something",
        "securecp/transport/frames.py",
        "if data == bytes(len(data)):",
        "if data is not None:",
        (f"{FRAMES}::test_dg12_fields_that_do_not_fit_are_refused",),
    ),
    Edit(
        "a RESPONSE asks for an ACK",
        "securecp/transport/frames.py",
        "isinstance(frame, Control | Window | Ping | Challenge)",
        "isinstance(frame, Control | Window | Ping | Challenge | Response)",
        (f"{CONNECTION}::test_tr11_replies_that_nobody_acknowledges_do_not_pile_up",),
    ),
    Edit(
        "counters go on for ever",
        "securecp/transport/seal.py",
        "if counter + count >= COUNTER_LIMIT:",
        "if counter < 0:",
        (f"{SEAL}::test_hs14_counters_end_before_they_repeat",),
    ),
    Edit(
        "a key is used for ever",
        "securecp/transport/seal.py",
        "counter - self._phase_counter >= PHASE_DATAGRAMS",
        "counter < 0",
        (f"{SEAL}::test_tr18_the_key_turns_after_its_datagrams",),
    ),
    Edit(
        "a key has no age",
        "securecp/transport/seal.py",
        "or now - self._phase_since >= PHASE_SECONDS",
        "or now < 0",
        (f"{SEAL}::test_tr18_the_key_turns_after_its_time",),
    ),
    Edit(
        "all keys follow from what is kept",
        "securecp/transport/ratchet.py",
        '        self._chain = _expand(self._chain, b"next")\n',
        "",
        (f"{RATCHET}::test_no_two_keys_are_alike",),
    ),
    Edit(
        "a counter is sent under two keys",
        "securecp/transport/seal.py",
        "self.next_counter = counter + count",
        "self.next_counter = counter + count - (self._phase > 0)",
        (f"{SEAL}::test_every_datagram_has_a_nonce_of_its_own",),
    ),
    Edit(
        "control piles up unread",
        "securecp/transport/control.py",
        "return self._consumed + self._window",
        "return self.taken + self._window",
        (f"{CONNECTION}::test_tr09_control_that_nobody_reads_stays_within_a_window",),
    ),
    Edit(
        "a peer that acknowledges nothing is borne with",
        "securecp/transport/waiting.py",
        "return -1, parts.delivered",
        "return None",
        (f"{CONNECTION}::test_tr09_even_when_there_is_nothing_to_send",),
    ),
    Edit(
        "pings count as progress of content",
        "securecp/transport/waiting.py",
        "if (content.unfinished and not content.held) or not control.idle:",
        "if content.acked < 0:",
        (f"{CONNECTION}::test_tr09_pings_that_get_through_are_no_progress_of_content",),
    ),
    Edit(
        "a lie spoils the ledger before it is found out",
        "securecp/transport/recovery.py",
        "        self._check(ack.ranges, next_counter)\n        outcome = Outcome()\n",
        "        outcome = Outcome()\n        self.flight.acknowledge(ack.ranges)\n"
        "        self._check(ack.ranges, next_counter)\n",
        (f"{RECOVERY}::test_tr01_what_was_never_sent_is_a_breach_and_changes_nothing",),
    ),
    Edit(
        "a datagram with too many gaps earns credit",
        "securecp/transport/content.py",
        "        fresh = self._received.add_new(offset, end)\n        self.came += end - offset\n",
        "        self.came += end - offset\n        fresh = self._received.add_new(offset, end)\n",
        (f"{CONTENT}::test_tr05_too_many_gaps_store_nothing_and_give_no_credit",),
    ),
    Edit(
        "who has only answered is shown as connected",
        "securecp/hub.py",
        "            if session not in self._early:\n",
        "            if session:\n",
        ("tests/test_hub.py",),
    ),
    Edit(
        "who is blocked meanwhile stays",
        "securecp/net/attend.py",
        "if not session.over and not self._options.allowed(session.peer):",
        "if False:",
        (f"{ATTEND}::test_kc10_who_is_blocked_meanwhile_is_cut_off",),
    ),
    Edit(
        "a bug in one session ends the program",
        "securecp/net/guard.py",
        "        except Exception as error:\n",
        "        except MemoryError as error:\n",
        (f"{ATTEND}::test_mb07_a_bug_in_one_session_does_not_take_the_others_with_it",),
    ),
    Edit(
        "an output takes whatever is offered",
        "securecp/net/attend.py",
        "if self._options.output is not None and not one:",
        "if False and not one:",
        (f"{STREAMS}::test_an_output_takes_no_folder_and_waits_for_what_it_takes",),
    ),
    Edit(
        "two programs take a transfer from each other for ever",
        "securecp/net/delivery.py",
        "return self._calls <= 0",
        "return False",
        (f"{DELIVERY}::test_two_programs_that_send_the_same_do_not_take_turns",),
    ),
    Edit(
        "who stops a transfer is called again",
        "securecp/net/delivery.py",
        "return session.cancelled or session.code not in {None, CODE_FULL}",
        "return False",
        (f"{DELIVERY}::test_f43_who_stops_the_transfer_there_is_not_called_again",),
    ),
    Edit(
        "who never had room is asked again and again",
        "securecp/net/delivery.py",
        "if isinstance(error, FullError) and not self._accepted:",
        "if False:",
        (f"{DELIVERY}::test_who_never_had_room_is_not_asked_again",),
    ),
    Edit(
        "a stream is begun a second time",
        "securecp/net/delivery.py",
        " and not (self._once and self._flowed)",
        "",
        (f"{DELIVERY}::test_a_stream_that_has_begun_to_flow_cannot_go_on",),
    ),
    Edit(
        "the last checkpoint is left out on leaving",
        "securecp/net/workshop.py",
        "if item.last or self._shut_at is None:",
        "if self._shut_at is None:",
        (
            f"{WORKSHOP}::test_cl13_the_last_jobs_are_done_all_the_same",
            f"{RESUMING}::test_cl13_a_stop_takes_less_than_two_seconds_and_keeps_what_came",
        ),
    ),
    Edit(
        "leaving waits for a job however long it takes",
        "securecp/net/workshop.py",
        "self._thread.join(max(0.0, self._shut_at + LAST_PATIENCE - time.monotonic()))",
        "self._thread.join()",
        (f"{WORKSHOP}::test_cl13_leaving_does_not_wait_for_a_job_without_end",),
    ),
    Edit(
        "an older session of the same transfer goes on beside the new one",
        "securecp/net/visits.py",
        "                other.session.supersede()\n",
        "                pass\n",
        (f"{RESUMING}::test_a_newer_session_of_the_same_transfer_takes_over",),
    ),
)
