"""Which destinations deserve a second question (FS-13): pure, over resolved paths.

A file named `.bashrc` or `authorized_keys` is only bytes, unless it lands where some program obeys
it. So the home folder itself, hidden folders in it, and the system's own folders are refused unless
the user insists.
"""

from pathlib import PurePath

_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc"),
    *("/run", "/sbin", "/snap", "/srv", "/sys", "/usr"),
    *("/var/cache", "/var/db", "/var/lib", "/var/log", "/var/mail", "/var/run", "/var/spool"),
    *("/Applications", "/Library", "/System", "/private/etc", "/private/var/db"),
    *("C:/Windows", "C:/Program Files", "C:/Program Files (x86)", "C:/ProgramData"),
)
_MEMORY = PurePath("/dev/shm")  # noqa: S108
"""Anybody's files in memory: folders in it are ordinary ones, it alone is not."""
_OBEYED_IN_HOME = ("bin", "Library", "AppData", "Applications")


def objection(destination: PurePath, home: PurePath) -> str:
    """Why files should not be received there, or an empty string; both paths resolved before.

    >>> objection(PurePath("/home/ann/Downloads"), PurePath("/home/ann"))
    ''
    """
    if destination == home:
        return "it is your home folder, where programs obey files by their names"
    if destination in home.parents or len(destination.parts) <= 1:
        return "it holds other people's homes or the whole system"
    if destination.is_relative_to(home):
        return _objection_in_home(destination.relative_to(home).parts)
    if _MEMORY in destination.parents:
        return ""
    for place in _SYSTEM:
        if destination.is_relative_to(PurePath(place)):
            return f"{place} belongs to the system"
    if destination == PurePath("/var"):
        return "/var belongs to the system"
    return ""


def _objection_in_home(parts: tuple[str, ...]) -> str:
    if any(part.startswith(".") for part in parts):
        return "it is hidden in your home folder, where programs keep what they obey"
    if parts[0] in _OBEYED_IN_HOME:
        return f"programs obey what is in {parts[0]} of your home folder"
    return ""
