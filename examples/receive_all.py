"""Take everything that contacts offer: python receive_all.py inbox"""

import asyncio
import sys

import securecp


async def take(offer: securecp.Offer) -> None:
    try:
        done = await offer.accept()
        print(f"{done.files} files, {done.size} bytes from {offer.name}", flush=True)
    except securecp.SecurecpError as error:
        print(f"nothing from {offer.name}: {error}", flush=True)


async def main(folder: str) -> None:
    me = securecp.Person.load()
    async with me.receive(folder) as inbox, asyncio.TaskGroup() as tasks:
        print(f"{me.key} waits at {inbox.endpoint}", flush=True)
        async for offer in inbox:
            tasks.create_task(take(offer))


asyncio.run(main(sys.argv[1]))
