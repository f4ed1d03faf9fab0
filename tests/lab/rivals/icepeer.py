"""One end of one ICE connection by aioice, with STUN and without TURN. Runs in the rivals' venv."""

import asyncio
from contextlib import suppress

from aioice import Candidate, Connection  # type: ignore[import-not-found]

from tests.lab.rivals.talk import Talk


async def main() -> None:
    talk = await Talk.open()
    start = await talk.start()
    stun = (start["stun"][0], start["stun"][1]) if start["stun"] else None
    connection = Connection(ice_controlling=start["leads"], stun_server=stun)
    await connection.gather_candidates()
    ours = [each.to_sdp() for each in connection.local_candidates]
    talk.signal([connection.local_username, connection.local_password, ours])
    connection.remote_username, connection.remote_password, theirs = await talk.hear()
    for each in theirs:
        await connection.add_remote_candidate(Candidate.from_sdp(each))
    await connection.add_remote_candidate(None)
    try:
        await connection.connect()
    except ConnectionError as error:
        talk.failed(error)
    else:
        talk.connected()
    with suppress(EOFError):  # it answers the other's checks until it is told to end
        await talk.hear()


if __name__ == "__main__":
    asyncio.run(main())
