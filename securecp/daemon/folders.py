"""Where the files of a contact go who has no folder of their own (MB-10).

    accept = "ask"       the common folder: somebody looks at each offer, and is told where it goes
    accept = "always"    COMMON/<name>: what comes in unseen stays apart from everything else

The alphabet of names makes a name harmless as a folder's name, on every system (`keys.names`).
"""

import itertools
import os
import stat
from pathlib import Path

from keys.policy import Contact


def destination(common: Path, contact: Contact) -> Path:
    """The folder; it need not be there yet.

    Somebody else's file in the common folder may have just that name: then another is taken.
    """
    if contact.accept != "always":
        return common
    names = itertools.chain([contact.name], (f"{contact.name}.{n}" for n in itertools.count(2)))
    return next(folder for name in names if _usable(folder := common / name))


def _usable(folder: Path) -> bool:
    """Whether it is a folder, no link to one, or can become one."""
    try:
        return stat.S_ISDIR(os.lstat(folder).st_mode)
    except OSError:  # it is not there, or nobody can say: who makes it will see
        return True
