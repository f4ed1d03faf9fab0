"""Edits to what counts as a key, a signature, a passphrase, a private file, a contact."""

from tests.sabotage.edit import Edit

IDENTITY = "tests/keys/test_identity.py"
ENCODING = "tests/keys/test_encoding.py"
BECH32 = "tests/keys/test_bech32.py"
XEDDSA = "tests/keys/test_xeddsa.py"
PASSPHRASE = "tests/keys/test_passphrase.py"
KEYFILE = "tests/keys/test_keyfile.py"
CONTACTS = "tests/keys/test_contacts.py"
CONTACTSFILE = "tests/keys/test_contactsfile.py"

EDITS = (
    Edit(
        "the high bit of a public key is ignored",
        "keys/identity.py",
        'u = int.from_bytes(data, "little")\n    if',
        'u = int.from_bytes(data, "little") % 2**255\n    if',
        (f"{IDENTITY}::test_hs05_the_high_bit_makes_no_second_spelling",),
    ),
    Edit(
        "a public key may be a multiple of the field beside the canonical one",
        "keys/identity.py",
        "if u >= _P:",
        "if u >= 2**255:",
        (f"{IDENTITY}::test_hs05_a_multiple_of_the_field_makes_no_second_spelling",),
    ),
    Edit(
        "points of low order are public keys",
        "keys/identity.py",
        "if u in _LOW_ORDER:",
        "if u is _LOW_ORDER:",
        (f"{IDENTITY}::test_hs04_points_of_low_order_are_no_public_keys",),
    ),
    Edit(
        "one point of order 8 is forgotten",
        "keys/identity.py",
        ("        325606250916557431795983626356110631294008115727848805560023387167927233504,\n"),
        "",
        (
            f"{IDENTITY}::test_hs04_points_of_low_order_are_no_public_keys",
            f"{IDENTITY}::test_hs04_our_list_holds_exactly_what_gives_zero",
        ),
    ),
    Edit(
        "a shared secret of zero is used",
        "keys/identity.py",
        'raise MalformedKeyError("the public key is a weak one", _ASK) from None',
        "return bytes(32)",
        (f"{IDENTITY}::test_hs04_a_zero_result_is_refused_even_if_the_list_missed_it",),
    ),
    Edit(
        "a card's ML-KEM key is not checked",
        "keys/identity.py",
        "        _check_kem(self._data[:-KEY_LENGTH])\n",
        "",
        (f"{ENCODING}::test_kc04_a_card_with_coefficients_out_of_range_is_refused",),
    ),
    Edit(
        "a secret prints itself",
        "keys/secret.py",
        'return "<redacted>"',
        "return repr(self.__value)",
        (f"{IDENTITY}::test_cl08_secrets_print_as_redacted",),
    ),
    Edit(
        "an identity can be pickled",
        "keys/identity.py",
        'raise TypeError("an identity is not copied, pickled or sent elsewhere")',
        "return object.__reduce_ex__(self, 2)  # type: ignore[return-value]",
        (f"{IDENTITY}::test_cl08_secrets_are_not_copied_or_pickled",),
    ),
    Edit(
        "the checksum of a key is not checked",
        "keys/bech32.py",
        "if _polymod(_expand(kind) + values) != 1:",
        "if _polymod(_expand(kind) + values) < 0:",
        (
            BECH32,
            f"{ENCODING}::test_kc04_one_wrong_place_is_always_refused",
        ),
    ),
    Edit(
        "stray bits after the last byte of a key are dropped",
        "keys/bech32.py",
        "if left >= 5 or number & ((1 << left) - 1):",
        "if left >= 5:",
        (f"{BECH32}::test_kc04_bits_past_the_last_byte_must_be_zero",),
    ),
    Edit(
        "a key may be written in mixed case",
        "keys/bech32.py",
        "if text != text.lower() and text != text.upper():",
        "if not text:",
        (
            BECH32,
            ENCODING,
        ),
    ),
    Edit(
        "a signature has a second form with s beyond the order",
        "keys/xeddsa.py",
        'if int.from_bytes(s, "little") >= Q:',
        'if int.from_bytes(s, "little") >= 2**256:',
        (f"{XEDDSA}::test_a_signature_has_one_form",),
    ),
    Edit(
        "any signature verifies",
        "keys/xeddsa.py",
        "return hmac.compare_digest(commitment, expected)",
        "return True",
        (f"{XEDDSA}::test_every_changed_bit_of_a_signature_is_noticed",),
    ),
    Edit(
        "the hash of a signature leaves the message out",
        "keys/xeddsa.py",
        "h = _hash_to_scalar(commitment, edwards, message)\n    try",
        "h = _hash_to_scalar(commitment, edwards)\n    try",
        (
            f"{XEDDSA}::test_signal_s_vector_is_met_byte_for_byte",
            f"{XEDDSA}::test_an_identity_signs_and_its_public_key_verifies",
        ),
    ),
    Edit(
        "two signatures of one message use the same nonce",
        "keys/xeddsa.py",
        "message, entropy(RANDOM_LENGTH))",
        "message, bytes(RANDOM_LENGTH))",
        (XEDDSA,),
    ),
    Edit(
        "a sealed key may ask for 2 GiB",
        "keys/passphrase.py",
        "LARGEST_WORK_FACTOR = 20",
        "LARGEST_WORK_FACTOR = 21",
        (f"{PASSPHRASE}::test_kc03_the_cap_is_one_gibibyte",),
    ),
    Edit(
        "a sealed key may have any length",
        "keys/passphrase.py",
        "if len(data) > LARGEST_FILE:",
        "if not data:",
        (f"{PASSPHRASE}::test_kc03_a_file_over_the_size_cap_is_refused_before_any_work",),
    ),
    Edit(
        "the header of a sealed key is not authenticated",
        "keys/passphrase.py",
        "if not hmac.compare_digest(mac, _mac(file_key, header[0])):",
        "if not mac:",
        (PASSPHRASE,),
    ),
    Edit(
        "a work factor has several spellings",
        "keys/passphrase.py",
        "(?P<factor>[1-9][0-9]{0,9})",
        "(?P<factor>[0-9]{1,10})",
        (f"{PASSPHRASE}::test_kc03_a_work_factor_has_one_spelling",),
    ),
    Edit(
        "an empty passphrase seals",
        "keys/passphrase.py",
        "if not passphrase:",
        "if passphrase is None:",
        (f"{PASSPHRASE}::test_an_empty_passphrase_is_refused",),
    ),
    Edit(
        "a key file that others can read is used",
        "keys/files.py",
        "if _POSIX and secret and status.st_mode & 0o077:",
        "if _POSIX and secret and status.st_mode & 0o022:",
        (f"{KEYFILE}::test_kc01_a_file_that_others_can_open_is_refused_with_the_remedy",),
    ),
    Edit(
        "a directory that others can write is used",
        "keys/files.py",
        (
            "        if status.st_mode & 0o022:\n            raise "
            'FileRefusedError(\n                f"other users may write in'
        ),
        (
            "        if status.st_mode < 0:\n            raise "
            'FileRefusedError(\n                f"other users may write in'
        ),
        (f"{KEYFILE}::test_kc01_a_directory_that_others_can_write_is_refused_with_the_remedy",),
    ),
    Edit(
        "a key file of another owner is used",
        "keys/files.py",
        "if _POSIX and status.st_uid != os.geteuid():",
        "if _POSIX and status.st_uid < 0:",
        (
            f"{KEYFILE}::test_kc01_another_owner_s_file_or_directory_is_refused",
            f"{KEYFILE}::test_kc01_another_owner_s_file_in_our_directory_is_refused",
        ),
    ),
    Edit(
        "a key file is followed through a link",
        "keys/files.py",
        '_FLAGS = getattr(os, "O_NOFOLLOW", 0) | ',
        "_FLAGS = ",
        (f"{KEYFILE}::test_kc01_a_symbolic_link_is_refused",),
    ),
    Edit(
        "what is no file is read as a key file",
        "keys/files.py",
        "if not stat.S_ISREG(status.st_mode):",
        "if stat.S_ISDIR(status.st_mode):",
        (f"{KEYFILE}::test_kc01_what_is_no_regular_file_is_refused_without_waiting",),
    ),
    Edit(
        "a temporary key file is made over what is there",
        "keys/files.py",
        "os.O_CREAT | os.O_EXCL | _FLAGS",
        "os.O_CREAT | _FLAGS",
        ("tests/disk/test_doors.py::test_kc02_a_temporary_name_that_is_taken_is_not_written_to",),
    ),
    Edit(
        "a key file is born readable",
        "keys/files.py",
        "os.O_EXCL | _FLAGS\n        descriptor = os.open(self._at(name), flags, 0o600,",
        "os.O_EXCL | _FLAGS\n        descriptor = os.open(self._at(name), flags, 0o644,",
        (f"{KEYFILE}::test_kc01_the_file_is_born_private",),
    ),
    Edit(
        "a key file gets its name before its content is on the disk",
        "keys/files.py",
        "            os.fsync(descriptor)\n",
        "            pass\n",
        (
            f"{KEYFILE}::test_kc02_content_is_on_the_disk_before_its_name_and_the_name_before_success",
        ),
    ),
    Edit(
        "the name of a key file is not made durable",
        "keys/files.py",
        "            if self._fd is not None:\n                os.fsync(self._fd)\n",
        "",
        (
            f"{KEYFILE}::test_kc02_content_is_on_the_disk_before_its_name_and_the_name_before_success",
        ),
    ),
    Edit(
        "an existing identity is overwritten",
        "keys/files.py",
        "        if not overwrite:\n            try:",
        "        if overwrite is None:\n            try:",
        (f"{KEYFILE}::test_kc01_an_existing_identity_is_not_overwritten_without_force",),
    ),
    Edit(
        "a blocked contact is answered",
        "keys/contacts.py",
        "return contact is not None and not contact.blocked",
        "return contact is not None",
        (f"{CONTACTS}::test_only_contacts_who_are_not_blocked_are_allowed",),
    ),
    Edit(
        "a changed key replaces the known one",
        "keys/contacts.py",
        "        if not replace_key:\n",
        "        if replace_key is None:\n",
        (f"{CONTACTS}::test_kc06_another_key_for_a_known_name_is_refused_with_both_fingerprints",),
    ),
    Edit(
        "the proof of the old key holds for the new one",
        "keys/contacts.py",
        "            verified=None,\n",
        "",
        (
            f"{CONTACTS}::test_kc06_an_explicit_replacement_drops_the_proof_and_the_trust_in_the_old_key",
        ),
    ),
    Edit(
        "a new key keeps the old one's consent",
        "keys/contacts.py",
        'accept="ask" if known.accept == "always" else known.accept',
        "accept=known.accept",
        (
            f"{CONTACTS}::test_kc06_an_explicit_replacement_drops_the_proof_and_the_trust_in_the_old_key",
        ),
    ),
    Edit(
        "a new key may overwrite as the old one might",
        "keys/contacts.py",
        'on_conflict=None if known.on_conflict == "overwrite" else known.on_conflict,',
        "on_conflict=known.on_conflict,",
        (
            f"{CONTACTS}::test_kc06_an_explicit_replacement_drops_the_proof_and_the_trust_in_the_old_key",
        ),
    ),
    Edit(
        "any word says what happens to names that are taken",
        "keys/policy.py",
        "if on_conflict not in get_args(OnConflict):",
        "if not on_conflict:",
        (f"{CONTACTS}::test_kc08_text_that_is_not_wholly_understood_is_refused",),
    ),
    Edit(
        "a bound may be below nothing",
        "keys/policy.py",
        "if count is not None and not 0 <= count < 1 << 63:",
        "if count is not None and not count < 1 << 63:",
        (f"{CONTACTS}::test_kc08_text_that_is_not_wholly_understood_is_refused",),
    ),
    Edit(
        "a quota is written behind the key, where a cut loses it",
        "keys/policy.py",
        'RESTRICTIONS = {"blocked", "accept", "max_size", "daily_quota", "on_conflict"}',
        'RESTRICTIONS = {"blocked", "accept", "max_size"}',
        (f"{CONTACTSFILE}::test_kc08_a_file_cut_short_anywhere_never_allows_more",),
    ),
    Edit(
        "a group without members stands for nobody",
        "keys/contacts.py",
        "        if not self.groups[group]:\n",
        "        if self.groups[group] is None:\n",
        (f"{CONTACTS}::test_a_group_that_lost_all_its_members_stands_for_an_error_not_for_nobody",),
    ),
    Edit(
        "one key may have two names",
        "keys/contacts.py",
        "            if other is not contact:\n",
        "            if other is None:\n",
        (f"{CONTACTS}::test_kc05_one_key_has_one_name",),
    ),
    Edit(
        "names may look alike",
        "keys/contacts.py",
        "        if alike in seen:\n",
        "        if alike is seen:\n",
        (f"{CONTACTS}::test_kc05_names_that_look_alike_are_refused",),
    ),
    Edit(
        "our own key may be a contact",
        "keys/contacts.py",
        "if self.own is not None and key == self.own:",
        "if key is None:",
        (f"{CONTACTS}::test_kc04_our_own_key_is_no_contact",),
    ),
    Edit(
        "a contacts file of another version is read",
        "keys/contacts.py",
        "if type(version) is not int or version != VERSION:",
        "if version is None:",
        (f"{CONTACTS}::test_kc08_text_that_is_not_wholly_understood_is_refused",),
    ),
    Edit(
        "parts of a contacts file that are unknown are skipped",
        "keys/contacts.py",
        "        for name in document:\n            raise",
        "        for name in ():\n            raise",
        (f"{CONTACTS}::test_kc08_text_that_is_not_wholly_understood_is_refused",),
    ),
)
