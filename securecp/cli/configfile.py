"""config.toml on disk: read by everyone, changed by one at a time, by hand as well (SPEC §10.10).

    load      text → `Settings`; without a file, the defaults, and nothing is imported for them
    edit      lock → read → new values → new text → replace

Comments and order survive an edit. tomlkit does that, and can be led astray by the many ways to
write one thing in TOML; so the result is read back by the other parser, and if it does not say
exactly what was wanted, the file stays as it was. The file is no secret, but who may write in it
decides which servers we trust with our address: `keys.files` refuses one that others can write.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keys.files import PrivateDirectory
from securecp.cli import settings
from securecp.cli.settings import Plain, Settings, SettingsError
from securecp.errors import SecurecpError

LARGEST_FILE = 64 << 10
MOST_ATTEMPTS = 5
BEGINNING = """\
# Settings of securecp. Edit them, or use `securecp config`. The command line wins over this file.
"""


class ConfigFile:
    """The settings file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Settings:
        """The settings as the file has them now, defaults without a file; else `SettingsError`."""
        if not self.path.parent.is_dir():
            return Settings()
        with PrivateDirectory(self.path.parent) as directory:
            return self._parse(self._read(directory))

    def edit(self, change: Callable[[Settings], Mapping[str, Plain]]) -> Settings:
        """Let the file say what `change` makes of it, by name; it may be called more than once.

        What `change` raises comes through, and the file stays as it was. The directory is made,
        0700, if there is none.
        """
        with PrivateDirectory(self.path.parent, create=True) as directory, directory.locked():
            for _ in range(MOST_ATTEMPTS):
                before = self._read(directory)
                old = self._parse(before)
                new = settings.settings_from(change(old))
                if new == old:
                    return new
                after = self._rewritten(before, new)
                if self._save(directory, before, after.encode()):
                    return new
        raise SecurecpError(
            f"{self.path} is being changed all the time", "close it in the editor first"
        )

    def _parse(self, data: bytes | None) -> Settings:
        if data is None:
            return Settings()
        try:
            return settings.parse(data.decode())
        except UnicodeDecodeError:
            raise SettingsError(f"{self.path} is not usable: it is not UTF-8") from None
        except SettingsError as error:
            raise SettingsError(f"{self.path} is not usable: {error.message}", error.hint) from None

    def _rewritten(self, before: bytes | None, new: Settings) -> str:
        text = BEGINNING if before is None else before.decode()
        after = rewritten(text, new)
        if after is None:
            raise SecurecpError(
                f"cannot make this change in {self.path} without disturbing what is written there",
                "make it by hand, in an editor",
            )
        return after

    def _save(self, directory: PrivateDirectory, before: bytes | None, after: bytes) -> bool:
        """Replace the file unless it is no longer `before`; whether it was replaced."""
        if len(after) > LARGEST_FILE:
            raise SecurecpError(f"{self.path} would be larger than {LARGEST_FILE} bytes")
        return directory.replace(
            self.path.name,
            after,
            overwrite=before is not None,
            unchanged=lambda: self._read(directory) == before,
        )

    def _read(self, directory: PrivateDirectory) -> bytes | None:
        return directory.read(self.path.name, limit=LARGEST_FILE, secret=False)


def rewritten(text: str, new: Settings) -> str | None:
    """The text changed to say `new`; None if that cannot be done faithfully."""
    import tomlkit  # slow to import, and reading does not need it

    try:
        document: Any = tomlkit.parse(text)
        for name in settings.SETTINGS:
            section, _, key = name.rpartition(".")
            _write(document, section, key, new.given.get(name))
        result = tomlkit.dumps(document)
        if not result.endswith("\n"):
            result += "\n"
        faithful = settings.parse(result) == new
    except Exception:  # tomlkit raises many kinds; whichever it is, nothing has been written
        return None
    return result if faithful else None


def _write(document: Any, section: str, key: str, value: Plain) -> None:
    """Only what differs, so that the rest stays as it was written."""
    table = document.get(section, {}) if section else document
    if value is None:
        if key in table:
            del table[key]
            if section and not _says_anything(table):
                del document[section]
    elif key not in table:
        if section not in document and section:
            document[section] = {}
        (document[section] if section else document)[key] = _item(value)
    elif table[key] != value and not _list_edited(table[key], value):
        table[key] = _item(value)


def _says_anything(table: Any) -> bool:
    """Whether there is a setting or a comment in it."""
    from tomlkit.items import Table

    return not isinstance(table, Table) or bool(table.as_string().strip())


def _list_edited(array: Any, value: Plain) -> bool:
    """Take out what is gone and add what is new, so that comments between the rest stay."""
    from tomlkit.items import Array

    if not isinstance(array, Array) or not isinstance(value, list):
        return False
    for at in reversed([at for at, item in enumerate(array) if item not in value]):
        del array[at]
    for item in value[len(array) :]:
        if "\n" in array.as_string():
            array.add_line(item)
        else:
            array.append(item)
    return list(array) == value


def _item(value: Plain) -> Any:
    """A list stands with one entry a line: an address is long."""
    import tomlkit

    return tomlkit.item(value).multiline(True) if isinstance(value, list) else value
