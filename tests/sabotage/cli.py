"""Edits to what a person sees, and to what foreign text may do to it."""

from tests.sabotage.edit import Edit

TEXT = "tests/cli/test_text.py"

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
        """.replace('"', '\\\\"')""",
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
)
