"""Edits to what a person sees and decides, and to what foreign text may do to it."""

from tests.sabotage.edit import Edit

TEXT = "tests/cli/test_text.py"
CONSENT = "tests/cli/test_consent.py"

EDITS = (
    Edit(
        "control characters are shown raw",
        "securecp/cli/text.py",
        '_REFUSED_CATEGORIES = {"Cc", "Cf"',
        '_REFUSED_CATEGORIES = {"Cf"',
        (TEXT,),
    ),
    Edit(
        "direction overrides are shown raw",
        "securecp/cli/text.py",
        '_REFUSED_CATEGORIES = {"Cc", "Cf"',
        '_REFUSED_CATEGORIES = {"Cc"',
        (TEXT,),
    ),
    Edit(
        "the short cut for plain text lets ESC pass",
        "securecp/cli/text.py",
        '_PLAIN = re.compile(r"[\\x20-\\x7e]*")',
        '_PLAIN = re.compile(r"[\\x1b-\\x7e]*")',
        (TEXT,),
    ),
    Edit(
        "blank characters are shown raw",
        "securecp/cli/text.py",
        "return not _INVISIBLE.match(character)",
        "return True",
        (TEXT,),
    ),
    Edit(
        "a quotation can be ended from inside",
        "securecp/cli/text.py",
        ".replace('\"', '\\\\\"')",
        "",
        (TEXT,),
    ),
    Edit(
        "long text is not cut",
        "securecp/cli/text.py",
        "if sum(map(len, tokens)) <= limit:",
        "if tokens:",
        (TEXT,),
    ),
    Edit(
        "a stranger may speak with us",
        "securecp/cli/consent.py",
        "return self._book.contact(public_key) is not None",
        "return True",
        (
            f"{CONSENT}::test_cl12_strangers_and_blocked_contacts_are_not_allowed_and_never_asked_about",
        ),
    ),
    Edit(
        "an offer of a stranger is considered",
        "securecp/cli/consent.py",
        'if contact is None or contact.accept == "never":',
        'if contact is not None and contact.accept == "never":',
        (CONSENT,),
    ),
    Edit(
        "a contact of whom nothing is wanted may ask",
        "securecp/cli/consent.py",
        'if contact is None or contact.accept == "never":',
        "if contact is None:",
        (f"{CONSENT}::test_the_contacts_word_and_yes_decide",),
    ),
    Edit(
        "a contact may send more than its limit",
        "securecp/cli/consent.py",
        "if contact.max_size is not None and offered.size > contact.max_size:",
        "if contact.max_size == -1:",
        (f"{CONSENT}::test_more_than_the_contact_may_send_is_declined_unasked",),
    ),
    Edit(
        "without a terminal the answer is yes",
        "securecp/cli/consent.py",
        'no terminal to ask, and no --yes")\n            return Decision.DECLINE',
        'no terminal to ask, and no --yes")\n            return Decision.ACCEPT',
        (f"{CONSENT}::test_cl12_without_a_terminal_the_answer_is_no",),
    ),
    Edit(
        "a contact may ask without end",
        "securecp/cli/consent.py",
        "if len(asked) >= QUESTIONS:",
        "if len(asked) >= 1 << 30:",
        (f"{CONSENT}::test_cl12_the_fourth_question_within_a_minute_is_not_asked",),
    ),
    Edit(
        "other contacts than the one named may give us files",
        "securecp/net/attend.py",
        "if options.only is not None and connection.peer != options.only:",
        "if options.only == b'':",
        ("tests/cli/test_transfer.py::test_from_another_contact_is_refused",),
    ),
    Edit(
        "home needs no flag",
        "securecp/cli/destination.py",
        "    if reason:\n",
        "    if reason is None:\n",
        ("tests/cli/test_words.py::test_fs13_home_hidden_and_system_folders_need_the_flag",),
    ),
    Edit(
        "others may read our memory",
        "securecp/cli/process.py",
        "ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)",
        "ctypes.CDLL(None)",
        ("tests/cli/test_main.py::test_cl08_the_process_leaves_no_core_and_is_not_dumpable",),
    ),
)
