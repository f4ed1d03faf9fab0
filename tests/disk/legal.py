"""Names that Linux file systems hold and that may be offered: odd ones of every kind."""

import unicodedata


def legal_names() -> list[bytes]:
    """All different, byte for byte."""
    nfc = "caf\u00e9-\u00fc"
    texts = [
        *("plain", ".hidden", "..two", "...", "-rf", "--help", "-", "~user"),
        *("a b", " lead", "end ", "dot.", "dots..", "con", "NUL.txt", "aux"),
        *("aa:b", "a*b?", "<>|\"'", "$HOME", "`id`", "%41", "100%", "a%2fb"),
        *("#", "!", "@", "[x]", "{a,b}", "\u202eevil", "zero\u200bwidth", "\ufeffbom"),
        *("\U0001f600", "\U0001f468\u200d\U0001f469", "full\uff0fwidth", "日本語", "русский"),
        *("I", "i", "\u0130", "\u0131", "ß", "SS", "ss", "K", "\u212a", "\u00a0nbsp"),
        *("a" * 255, "é" * 127, "\U0001f600" * 63),
        *(nfc, unicodedata.normalize("NFD", nfc)),
    ]
    raw = [b"\xff", b"\xfe\xff", b"caf\xe9", b"\xc0\xae", b"\xed\xa0\x80", b"\xff" * 255]
    return [text.encode() for text in texts] + raw
