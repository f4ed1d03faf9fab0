"""What a server has in memory, to be searched for what it must not know."""

import re
from collections.abc import Iterator


def memory(pid: int) -> Iterator[bytes]:
    """All that a process has in memory and may write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as image:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is None:
                continue
            begin, end = (int(text, 16) for text in match.groups())
            try:
                image.seek(begin)
                yield image.read(end - begin)
            except OSError:
                continue
