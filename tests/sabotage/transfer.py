"""Edits to what may be offered, in what order messages come, and what a receipt proves."""

from tests.sabotage.edit import Edit

NAMES = "tests/transfer/test_names.py"
MANIFEST = "tests/transfer/test_manifest.py"
MESSAGES = "tests/transfer/test_messages.py"
STATES = "tests/transfer/test_states.py"
TRANSFER = "tests/transfer/test_transfer.py"
REFUSALS = "tests/transfer/test_refusals.py"
RECEIPT = "tests/transfer/test_receipt.py"

EDITS = (
    Edit(
        "a restart does not wait for what is under way",
        "securecp/transfer/sender.py",
        "if not gone or self._digesting.busy_with(entry):",
        "if self._digesting.busy_with(entry):",
        (
            "tests/transfer/test_states.py"
            "::test_a_restart_waits_until_no_content_of_the_old_state_is_under_way",
        ),
    ),
    Edit(
        "names that mean another place pass",
        "securecp/transfer/names.py",
        "if name in _SPECIAL:",
        "if name in _SPECIAL[:1]:",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "an empty name passes",
        "securecp/transfer/names.py",
        '_SPECIAL = (b"", b".",',
        '_SPECIAL = (b".", b".",',
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "a home folder by its sign passes",
        "securecp/transfer/names.py",
        'b"..", b"~")',
        'b"..", b"..")',
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "a backslash passes",
        "securecp/transfer/names.py",
        "\\x7f/\\\\]",
        "\\x7f/]",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "control characters pass",
        "securecp/transfer/names.py",
        "[\\x00-\\x1f\\x7f/",
        "[\\x00\\x7f/",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "control characters beyond ASCII pass",
        "securecp/transfer/names.py",
        "|\\xc2[\\x80-\\x9f]",
        "",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "a drive letter passes",
        "securecp/transfer/names.py",
        'if name[1:2] == b":" and _DRIVE.match(name):',
        'if name[:1] == b":" and _DRIVE.match(name):',
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "percent forms pass",
        "securecp/transfer/names.py",
        'if b"%" in name and _leads_elsewhere(name):',
        'if b"%%%" in name and _leads_elsewhere(name):',
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "percent forms are unescaped only once",
        "securecp/transfer/names.py",
        "for _ in range(2):",
        "for _ in range(1):",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "overlong spellings in percent forms pass",
        "securecp/transfer/names.py",
        "name = name.replace(overlong, plain)",
        "name = name.replace(overlong, overlong)",
        (f"{NAMES}::test_fs01_hostile_names_are_refused",),
    ),
    Edit(
        "a component may have any length",
        "securecp/transfer/names.py",
        "if len(name) > COMPONENT_LIMIT:",
        "if len(name) > 1 << 20:",
        (f"{MANIFEST}::test_fs11_long_components_are_refused_by_name",),
    ),
    Edit(
        "one name may stand twice in a folder",
        "securecp/transfer/entries.py",
        "        if taken in self._taken:\n",
        "        if taken is self._taken:\n",
        (f"{MANIFEST}::test_fs10_one_name_twice_in_a_folder_is_refused",),
    ),
    Edit(
        "an offer may have any number of entries",
        "securecp/transfer/entries.py",
        "if len(self.kinds) >= ENTRY_LIMIT:",
        "if len(self.kinds) >= 1 << 40:",
        (f"{MANIFEST}::test_mf03_entries_are_capped",),
    ),
    Edit(
        "an entry may be of any kind",
        "securecp/transfer/entries.py",
        "if kind not in (FILE, DIRECTORY):",
        "if kind < 0:",
        (f"{MANIFEST}::test_bad_entries_refuse_the_whole_offer",),
    ),
    Edit(
        "a size may be negative",
        "securecp/transfer/entries.py",
        "if size < 0 or self.starts",
        "if self.starts",
        (f"{MANIFEST}::test_bad_entries_refuse_the_whole_offer",),
    ),
    Edit(
        "sizes may add up to anything",
        "securecp/transfer/entries.py",
        "self.starts[-1] + size > SIZE_LIMIT",
        "size > SIZE_LIMIT",
        (f"{MANIFEST}::test_mf04_the_sum_of_sizes_is_below_2_to_63",),
    ),
    Edit(
        "pages may come in any order",
        "securecp/transfer/manifest.py",
        "codec.integer(message[1], self._pages, self._pages)",
        "codec.integer(message[1], 0, 1 << 32)",
        (f"{MANIFEST}::test_pages_have_one_form",),
    ),
    Edit(
        "the digest of a manifest is over what we would write",
        "securecp/transfer/manifest.py",
        "        manifest._digest = digest\n",
        "        manifest._digest = blake3(b''.join(manifest.pages())).digest()\n",
        (f"{MANIFEST}::test_mf02_the_digest_is_over_the_pages_as_sent",),
    ),
    Edit(
        "a message of the control stream may have any length",
        "securecp/transfer/framing.py",
        "if not 0 < length <= MESSAGE_LIMIT:",
        "if not length:",
        (f"{MESSAGES}::test_dg10_a_length_out_of_range_is_refused_at_once",),
    ),
    Edit(
        "a message may come out of its place",
        "securecp/transfer/party.py",
        "            if handler is None:\n",
        (
            "            if handler is None and raw:\n                "
            "continue\n            if handler is None:\n"
        ),
        (f"{STATES}::test_mf15_no_message_is_taken_out_of_its_place",),
    ),
    Edit(
        "a message of a peer that is done is still read",
        "securecp/transfer/party.py",
        "                self._inbox.clear()\n                return\n",
        "                continue\n",
        (f"{REFUSALS}::test_what_follows_an_abort_in_the_same_piece_is_not_read",),
    ),
    Edit(
        "the manifest may differ from the offer",
        "securecp/transfer/receiver.py",
        "if (len(manifest.entries), manifest.files, manifest.size, manifest.digest) != told:",
        "if not told:",
        (f"{STATES}::test_mf02_a_manifest_that_is_not_the_offered_one_is_refused",),
    ),
    Edit(
        "the manifest's digest may differ from the offer's",
        "securecp/transfer/receiver.py",
        "manifest.size, manifest.digest) != told:",
        "manifest.size, offer.digest) != told:",
        (f"{STATES}::test_mf02_a_manifest_that_is_not_the_offered_one_is_refused",),
    ),
    Edit(
        "more entries may come than were told",
        "securecp/transfer/receiver.py",
        "if self._reader.read > self._offer.entries:",
        "if self._reader.read < 0:",
        (f"{STATES}::test_mf03_more_entries_than_told_are_refused_at_the_page",),
    ),
    Edit(
        "our limit of entries is not held",
        "securecp/transfer/receiver.py",
        "if message.entries > min(limits.entries, ENTRY_LIMIT):",
        "if message.entries < 0:",
        (f"{STATES}::test_mf03_a_thousand_million_entries_are_declined",),
    ),
    Edit(
        "our limit of bytes is not held",
        "securecp/transfer/receiver.py",
        "elif message.size > limits.size:",
        "elif message.size < 0:",
        (f"{TRANSFER}::test_mf03_more_than_the_limit_is_declined_with_the_count",),
    ),
    Edit(
        "a chunk that does not match is good",
        "securecp/transfer/receiver.py",
        "elif digest != self._arrivals.digests.of(number):",
        "elif not digest:",
        (
            f"{TRANSFER}::test_a_damaged_chunk_is_sent_once_more",
            f"{STATES}::test_mf12_chunks_that_change_places_do_not_match",
        ),
    ),
    Edit(
        "a wrong content digest is published",
        "securecp/transfer/receiver.py",
        '!= message.digest:\n            raise ProtocolError("the content digest',
        "== b'':\n            raise ProtocolError(\"the content digest",
        (f"{STATES}::test_mf06_a_wrong_content_digest_publishes_nothing",),
    ),
    Edit(
        "FINISHED may come before all digests",
        "securecp/transfer/receiver.py",
        "if self._finished is not None or self._arrivals.untold:",
        "if self._finished is not None:",
        (f"{STATES}::test_mf06_finished_before_all_digests_is_refused",),
    ),
    Edit(
        "files are published before FINISHED",
        "securecp/transfer/receiver.py",
        "if self._unsettled == 0 and self._finished is not None:",
        "if self._unsettled == 0:",
        (
            STATES,
            TRANSFER,
        ),
    ),
    Edit(
        "files are published before all are settled",
        "securecp/transfer/receiver.py",
        "if self._unsettled == 0 and self._finished is not None:",
        "if self._finished is not None:",
        (f"{STATES}::test_mf05_fewer_bytes_than_declared_are_not_published",),
    ),
    Edit(
        "a chunk may have a second digest",
        "securecp/transfer/chunks.py",
        "            if self._flags[number] & TOLD:\n                raise",
        "            if self._flags[number] & TOLD and not digests:\n                raise",
        (f"{STATES}::test_tr06_a_second_digest_for_a_chunk_is_refused",),
    ),
    Edit(
        "digests may go past the end",
        "securecp/transfer/chunks.py",
        "if last > len(self._flags):",
        "if last < 0:",
        (f"{STATES}::test_tr07_digests_past_the_end_are_refused",),
    ),
    Edit(
        "the content digest leaves failed files out",
        "securecp/transfer/chunks.py",
        "                    whole.update(bytes(DIGEST_LENGTH))\n",
        "",
        (
            STATES,
            TRANSFER,
            MESSAGES,
        ),
    ),
    Edit(
        "content leaves before consent",
        "securecp/transfer/sender.py",
        "        self.state = State.LISTING\n",
        (
            "        self.state = State.LISTING\n        "
            "self._effects.append(SendContent(0, manifest.size))\n"
        ),
        (f"{STATES}::test_no_content_leaves_before_consent",),
    ),
    Edit(
        "consent may come before the offer is out",
        "securecp/transfer/sender.py",
        "State.LISTING: {messages.Decline: _declined,",
        "State.LISTING: {messages.Accept: _accepted, messages.Decline: _declined,",
        (f"{STATES}::test_acceptance_before_the_offer_is_out_is_refused",),
    ),
    Edit(
        "a receipt may be early or for other content",
        "securecp/transfer/sender.py",
        "        if failed is None:\n            raise ProtocolError",
        (
            "        if failed is None:\n            failed = 0\n        if failed < "
            "0:\n            raise ProtocolError"
        ),
        (f"{STATES}::test_mf14_an_early_receipt_is_refused",),
    ),
    Edit(
        "a receipt may be for more than was sent",
        "securecp/transfer/sender.py",
        "            or message.size > manifest.size\n",
        "",
        (f"{REFUSALS}::test_mf14_a_receipt_for_more_bytes_than_were_offered_is_refused",),
    ),
    Edit(
        "the signature of a receipt is not checked",
        "securecp/transfer/sender.py",
        "if not receipt.verified(self._verify):",
        "if receipt is None:",
        (f"{STATES}::test_mf14_forged_and_replayed_receipts_are_refused",),
    ),
    Edit(
        "a receipt is not bound to the transfer",
        "securecp/transfer/receipt.py",
        "            + self.transfer_id\n",
        "",
        (RECEIPT,),
    ),
    Edit(
        "a receipt is not bound to the sender",
        "securecp/transfer/receipt.py",
        "            + self.sender\n",
        "",
        (RECEIPT,),
    ),
    Edit(
        "a receipt is not bound to the content",
        "securecp/transfer/receipt.py",
        "            + self.content_digest\n",
        "",
        (RECEIPT,),
    ),
    Edit(
        "a receipt is not bound to its figures",
        "securecp/transfer/receipt.py",
        "            + _FIGURES.pack(self.files, self.skipped, self.size, self.time)\n",
        "",
        (RECEIPT,),
    ),
    Edit(
        "a file that restarted once restarts again",
        "securecp/transfer/sender.py",
        "        if entry in self._restarted:\n            self.fail",
        "        if entry in self._failed:\n            self.fail",
        (f"{STATES}::test_retries_make_a_file_restart_once_then_fail",),
    ),
    Edit(
        "AGAIN may come for any file",
        "securecp/transfer/sender.py",
        "        if message.entry not in self._forgetting:\n            raise",
        "        if message.entry < 0:\n            raise",
        (f"{STATES}::test_again_without_a_restart_is_refused",),
    ),
    Edit(
        "a file is looked at with the chunk at its end, whatever is read after that",
        "securecp/transfer/digesting.py",
        "return self._open.get(entry) == 1",
        "return entry in self._open",
        ("tests/transfer/test_passing.py",),
    ),
    Edit(
        "what passed of a file before it was sent anew counts",
        "securecp/transfer/passing.py",
        "            self._ready.pop(number, None)\n        if",
        "            pass\n        if",
        ("tests/transfer/test_passing.py",),
    ),
    Edit(
        "a chunk with a gap in it passes for a whole one",
        "securecp/transfer/passing.py",
        "self._begin(chunk.number + (chunk.offset < offset))",
        "self._begin(chunk.number)",
        ("tests/transfer/test_passing.py",),
    ),
)
