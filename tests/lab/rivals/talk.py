"""Lines of JSON between a rival's process and the laboratory.

To it: first {"leads": bool, "stun": [address, port] or null}, which is the start; then what the
other end says, as it was said. From it: {"event": "ready"}, then {"event": "signal", "signal": …}
for the other end, and {"event": "connected"} or {"event": "failed", "why": …}.
"""

import asyncio
import json
import sys
from typing import Any, Self

Start = dict[str, Any]


class Talk:
    """The rival's end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def open(cls) -> Self:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return cls(reader)

    async def start(self) -> Start:
        """When everything is loaded."""
        self._say(event="ready")
        return dict(await self.hear())

    async def hear(self) -> Any:
        """The next thing that is said to us; EOFError when nobody is there any more."""
        line = await self._reader.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def signal(self, signal: Any) -> None:
        self._say(event="signal", signal=signal)

    def connected(self, path: str = "") -> None:
        self._say(event="connected", path=path)

    def failed(self, why: object) -> None:
        self._say(event="failed", why=repr(why))

    def _say(self, **message: Any) -> None:
        print(json.dumps(message), flush=True)
