"""The library: send and receive from an asyncio program.

    me = securecp.Person.load()                        # as `securecp keygen` made it

    transfer = me.send(["holiday"], to="bob")          # begins at once
    async for event in transfer:                       # if you want to watch
        ...
    done = await transfer                              # `Done`, or a SecurecpError

    async with me.receive("inbox") as inbox:
        async for offer in inbox:
            transfer = offer.accept()                  # or offer.decline()

A transfer is cancelled by `transfer.cancel()`, and when the task that awaits it is: the peer is
told, and what is there stays, so that the same call goes on from it, today or next week.

    your task ◄── events, results ── call_soon_threadsafe ◄── thread: the loop of `securecp.net`
        └──────── cancel, answers ── Running.call, stop ────────► │

The same engine (`net.dial`, `net.attend`) runs under the command line, which uses it directly:
importing asyncio takes longer than all that a short command does before its first datagram leaves.
"""

from securecp.api.inbox import Inbox, Offer
from securecp.api.person import Person
from securecp.api.transfer import Transfer

__all__ = ["Inbox", "Offer", "Person", "Transfer"]
