"""The last look at an offer before it touches the disk: defence in depth behind the manifest.

`securecp.transfer.manifest` has refused all this while parsing. Should it ever let something
through, or another caller hand us entries of its own making, the destination is still safe.
"""

from collections.abc import Sequence

from securecp.disk.names import is_component, shown
from securecp.errors import StorageError
from securecp.transfer import links
from securecp.transfer.entries import DIRECTORY, FILE, LINK, Entry

_DEPTH_LIMIT = 64
_SIZE_LIMIT = 1 << 63


def check(entries: Sequence[Entry]) -> None:
    """Raise StorageError for any entry that could leave its directory; about 0.5 µs each."""
    depths = {0: 0}
    for key, entry in enumerate(entries, 1):
        depth = depths.get(entry.parent)
        if depth is None or depth >= _DEPTH_LIMIT:
            raise StorageError(f"the offer puts {shown(entry.name)} where nothing can be")
        if not is_component(entry.name):
            raise StorageError(f"the offer holds a name that is not stored: {shown(entry.name)}")
        if entry.kind == DIRECTORY:
            depths[key] = depth + 1
        elif entry.kind == LINK:
            if links.problem(entry.target, depth + 1) is not None:
                raise StorageError(f"the offer holds a link that leads out: {shown(entry.name)}")
        elif entry.kind != FILE or not 0 <= entry.size < _SIZE_LIMIT:
            raise StorageError(f"the offer holds something that is no file: {shown(entry.name)}")
