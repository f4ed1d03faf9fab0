"""Edits to who may bring how much, who may drive a running program, and what a hook is given."""

from tests.sabotage.edit import Edit

CONTROL = "tests/daemon/test_control.py"
HISTORY = "tests/daemon/test_history.py"
HOOK = "tests/daemon/test_hook.py"
HOUSEHOLD = "tests/daemon/test_household.py"
LOGFILE = "tests/daemon/test_logfile.py"
QUARANTINE = "tests/daemon/test_quarantine.py"
QUOTA = "tests/daemon/test_quota.py"
RECORD = "tests/daemon/test_record.py"
STATUS = "tests/cli/test_status.py"

EDITS = (
    Edit(
        "another user who can connect is answered",
        "securecp/daemon/control.py",
        "        if not is_ours(client):\n",
        "        if client is None:\n",
        (f"{CONTROL}::test_cl14_another_user_who_could_connect_is_not_answered",),
    ),
    Edit(
        "any user counts as ours",
        "securecp/daemon/control.py",
        "return user in {os.geteuid(), 0}",
        "return user >= 0",
        (
            f"{CONTROL}::test_cl14_another_user_who_could_connect_is_not_answered",
            f"{CONTROL}::test_cl14_we_believe_no_socket_of_another_user",
        ),
    ),
    Edit(
        "a socket of another user is believed",
        "securecp/daemon/asking.py",
        "        if not is_ours(connection):\n",
        "        if connection is None:\n",
        (f"{CONTROL}::test_cl14_we_believe_no_socket_of_another_user",),
    ),
    Edit(
        "the control folder is open to others",
        "securecp/daemon/controlfolder.py",
        "        if stat.S_IMODE(status.st_mode) & 0o077:\n",
        "        if stat.S_IMODE(status.st_mode) > 0o7777:\n",
        (f"{CONTROL}::test_cl14_a_folder_that_others_could_enter_is_closed",),
    ),
    Edit(
        "the control socket has the mode of the umask",
        "securecp/daemon/controlfolder.py",
        "        folder.protect(new)\n",
        "",
        (f"{CONTROL}::test_cl14_the_socket_and_its_folder_are_ours_alone",),
    ),
    Edit(
        "the control folder may be a link",
        "securecp/daemon/controlfolder.py",
        "os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_DIRECTORY | os.O_CLOEXEC",
        (f"{CONTROL}::test_cl14_a_link_in_its_place_is_not_followed",),
    ),
    Edit(
        "a request without an id cancels everything",
        "securecp/daemon/control.py",
        'if told["do"] == "cancel" and not number and told.get("all") is not True:',
        'if told["do"] == "cancel" and number is None:',
        (
            f"{CONTROL}::test_a_cancel_ends_the_one_that_is_named_or_all",
            f"{CONTROL}::test_cl14_any_bytes_are_a_request_or_none",
        ),
    ),
    Edit(
        "a request may be of any length",
        "securecp/daemon/control.py",
        "            return not data or len(client.request) > LONGEST_REQUEST\n",
        "            return not data\n",
        (f"{CONTROL}::test_cl14_a_request_without_end_is_not_gathered",),
    ),
    Edit(
        "silent clients keep everybody else out",
        "securecp/daemon/control.py",
        "            self._drop(next(iter(self._clients)))\n",
        "            return client.close()\n",
        (f"{CONTROL}::test_clients_who_say_nothing_keep_nobody_out",),
    ),
    Edit(
        "the size of an offer is not bounded",
        "securecp/daemon/admission.py",
        "if contact.max_size is not None and offered.size > contact.max_size:",
        "if contact.max_size is not None and offered.size < 0:",
        (f"{HOUSEHOLD}::test_never_and_max_size_decline_whatever_the_face_would_say",),
    ),
    Edit(
        "never is no reason to decline",
        "securecp/daemon/admission.py",
        'if contact.accept == "never":',
        'if contact.accept == "no":',
        (f"{HOUSEHOLD}::test_never_and_max_size_decline_whatever_the_face_would_say",),
    ),
    Edit(
        "a stranger's offer is for the face to decide",
        "securecp/daemon/household.py",
        "        if contact is None:\n            return Decision.DECLINE\n",
        "        if contact is None:\n            return self._otherwise(offered)\n",
        (f"{HOUSEHOLD}::test_mb10_who_is_not_in_the_contacts_is_declined",),
    ),
    Edit(
        "the quota forgets what is on its way",
        "securecp/daemon/admission.py",
        "return contact.daily_quota - used - in_flight",
        "return contact.daily_quota - used",
        (f"{HOUSEHOLD}::test_mf21_the_quota_counts_what_is_on_its_way",),
    ),
    Edit(
        "the quota forgets what has come",
        "securecp/daemon/admission.py",
        "return contact.daily_quota - used - in_flight",
        "return contact.daily_quota - in_flight",
        (f"{HOUSEHOLD}::test_mf21_the_quota_of_a_day_counts_what_has_come",),
    ),
    Edit(
        "the quota begins anew with the program",
        "securecp/daemon/household.py",
        "            records.append(record)\n",
        "",
        (f"{HOUSEHOLD}::test_mb06_the_quota_survives_a_restart_and_others_are_not_touched",),
    ),
    Edit(
        "what broke off costs no quota",
        "securecp/daemon/quota.py",
        "account.broken[record.manifest] = _Broken(record.time, size)",
        "account.broken[record.manifest] = _Broken(record.time, 0)",
        (f"{QUOTA}::test_mf21_a_part_that_broke_off_counts_and_once_only_when_it_goes_on",),
    ),
    Edit(
        "a stream has no bound",
        "securecp/daemon/admission.py",
        "        self._bounds[offered.transfer] = min(bounds)\n",
        "",
        (f"{HOUSEHOLD}::test_mf21_a_stream_is_stopped_where_it_may_not_go_on",),
    ),
    Edit(
        "an offer may fail for ever",
        "securecp/daemon/quarantine.py",
        "if trouble is None or trouble.times < TRIES:",
        "if trouble is None or trouble.times > 0:",
        (
            f"{QUARANTINE}::test_mb07_the_third_failure_in_a_row_is_the_last_for_an_hour",
            f"{HOUSEHOLD}::test_mb07_an_offer_that_keeps_failing_rests_and_says_so",
        ),
    ),
    Edit(
        "what is accepted unseen goes where everything goes",
        "securecp/daemon/folders.py",
        'if contact.accept != "always":',
        "if contact is not None:",
        (f"{HOUSEHOLD}::test_mb10_who_is_accepted_unseen_has_a_folder_of_their_own",),
    ),
    Edit(
        "a link in the place of a contact's folder is followed",
        "securecp/daemon/folders.py",
        "os.lstat(folder)",
        "os.stat(folder)",
        (f"{HOUSEHOLD}::test_mb10_what_another_contact_has_put_in_its_place_is_passed_by",),
    ),
    Edit(
        "names are arguments of the hook",
        "securecp/daemon/hook.py",
        '[*self.arguments, "--", delivery.folder]',
        '[*self.arguments, "--", delivery.folder, *map(os.fsdecode, delivery.names)]',
        (f"{HOOK}::test_fs21_names_are_in_no_argument_and_no_variable",),
    ),
    Edit(
        "a shell reads the hook",
        "securecp/daemon/process.py",
        "                list(arguments),\n",
        '                ["/bin/sh", "-c", " ".join(arguments)],\n',
        (f"{HOOK}::test_fs21_no_shell_reads_the_command",),
    ),
    Edit(
        "the hook's program is found anew each time",
        "securecp/daemon/hook.py",
        'self.arguments = (_whole_path(words[0], environ.get("PATH")), *words[1:])',
        'self.arguments = (_whole_path(words[0], environ.get("PATH")) and words[0], *words[1:])',
        (f"{HOOK}::test_fs21_the_program_is_found_once_by_its_whole_path",),
    ),
    Edit(
        "a hook may run for ever",
        "securecp/daemon/process.py",
        "if signals and (time.monotonic() >= until or",
        "if signals and (time.monotonic() < 0 or",
        (f"{HOOK}::test_fs21_a_program_that_never_ends_is_ended",),
    ),
    Edit(
        "a hook is asked to end and never made to",
        "securecp/daemon/process.py",
        "signals = [signal.SIGTERM, signal.SIGKILL]",
        "signals = [signal.SIGTERM]",
        (f"{HOOK}::test_fs21_one_that_will_not_end_is_killed_with_its_children",),
    ),
    Edit(
        "a hook's output is kept whole",
        "securecp/daemon/process.py",
        "kept += data[: KEPT - len(kept)]",
        "kept += data",
        (f"{HOOK}::test_fs21_endless_output_is_cut_and_costs_no_memory",),
    ),
    Edit(
        "any number of hooks at once",
        "securecp/daemon/process.py",
        "if self._threads < min(self._count, self._running):",
        "if self._threads < self._running:",
        (f"{HOOK}::test_fs21_so_many_at_once_and_no_more_wait_than_a_bound",),
    ),
    Edit(
        "a control character in a log stays",
        "securecp/daemon/plain.py",
        'line = _DANGEROUS.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text)',
        "line = text",
        (f"{LOGFILE}::test_cl06_any_text_is_one_line",),
    ),
    Edit(
        "whoever logs waits for the log",
        "securecp/daemon/outbox.py",
        "            if self._closed or full:\n",
        "            if self._closed:\n",
        (f"{LOGFILE}::test_f47_a_target_that_stands_still_costs_lines_and_no_time",),
    ),
    Edit(
        "lost lines are not said",
        "securecp/daemon/logfile.py",
        "        if lost:\n",
        "        if lost < 0:\n",
        (f"{LOGFILE}::test_f47_a_full_disk_costs_records_and_says_how_many",),
    ),
    Edit(
        "the history is written through a link",
        "securecp/daemon/history.py",
        "keep=keep, follow=False)",
        "keep=keep, follow=True)",
        (f"{HISTORY}::test_a_link_in_its_place_is_not_followed",),
    ),
    Edit(
        "the history is readable to others",
        "securecp/daemon/rotating.py",
        "self._flags | access, 0o600)",
        "self._flags | access, 0o644)",
        (f"{HISTORY}::test_it_is_ours_alone",),
    ),
    Edit(
        "a torn line takes the next one with it",
        "securecp/daemon/rotating.py",
        "self._torn = self._torn or _is_torn(file, size)",
        "self._torn = self._torn or size < 0",
        (f"{HISTORY}::test_a_torn_line_costs_itself_and_no_other",),
    ),
    Edit(
        "a line of the history is believed half",
        "securecp/daemon/record.py",
        "if type(value) is not int or not least <= value < _LARGEST:",
        "if not isinstance(value, int | float):",
        (f"{RECORD}::test_a_line_that_is_not_wholly_understood_is_passed_over",),
    ),
    Edit(
        "an unfinished transfer is given up without a yes",
        "securecp/cli/cancel.py",
        'if not yes and not ui.typed(f"Type yes to give up {what}:", "yes"):',
        "if not yes and not what:",
        (f"{STATUS}::test_what_was_cut_off_is_shown_and_given_up_only_after_a_yes",),
    ),
)
