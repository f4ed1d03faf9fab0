"""Send files to a contact: python send_a_file.py bob holiday.jpg …"""

import asyncio
import sys

import securecp


async def main(name: str, *paths: str) -> None:
    me = securecp.Person.load()
    transfer = me.send(paths, to=name)
    async for event in transfer:
        print(event)
    done = await transfer
    print(f"{name} has {done.files} files, {done.size} bytes, and has signed for them")


asyncio.run(main(*sys.argv[1:]))
