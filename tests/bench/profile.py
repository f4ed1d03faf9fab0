"""Where the CPU time of a real transfer goes, by side and stage, per datagram and per MiB.

    python -m tests.bench.profile --link loopback|veth --size 256M --mtu 1500

Two programs run as ever, each with stopwatches around the functions of a few stages (`stages.py`).
Times are CPU time of the thread, so other programs on the machine add none. The stopwatches' own
cost is measured, taken off, and told. veth needs root.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from securecp.cli.units import parse_size
from tests.bench import links, machine
from tests.bench.stages import STAGES, THREAD

IP_AND_UDP = 28
ETHERNET = 1_500
PORT = 4_433
REST = "start, imports, looking at files, end"
PATIENCE = 300.0


def main() -> int:
    options = parse()
    link = links.LOOPBACK if options.link == "loopback" else links.veth()
    if not link.local and not links.permitted():
        print("a veth pair needs root")
        return 1
    os.environ["WAN_MTU"] = str(options.mtu or ETHERNET)
    size = parse_size(options.size)
    with tempfile.TemporaryDirectory(
        prefix="securecp-profile-", dir=machine.memory(size * 5 // 2)
    ) as name:
        folder = Path(name)
        write_content(folder / "content", size)
        link.up(0, "")
        try:
            sides = run(link, folder, options)
        finally:
            link.down()
    print(f"{machine.describe()}\n{options.link}, {size:,} bytes")
    for name, told in sides.items():
        print(table(name, told, size))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--link", choices=["loopback", "veth"], default="loopback")
    parser.add_argument("--size", default="256M", help="of the file, such as 64M or 1G")
    parser.add_argument(
        "--mtu", type=int, default=0, metavar="BYTES",
        help="of the link; over loopback it bounds datagrams, which otherwise grow to 65,507",
    )  # fmt: skip
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="more options for send")
    return parser.parse_args()


def write_content(path: Path, size: int) -> None:
    """Bytes that no file system can leave out."""
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for at in range(0, size, len(block)):
            file.write(block[: size - at])


def run(link: links.Link, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Transfer the content; what each side told of itself."""
    keys = {side: cli(folder, side, "keygen", "--no-passphrase") for side in ("sender", "receiver")}
    cli(folder, "sender", "contacts", "add", "peer", keys["receiver"])
    cli(folder, "receiver", "contacts", "add", "peer", keys["sender"])
    at = f"{link.receiver}:{PORT}"
    bound = max(options.mtu - IP_AND_UDP, 0) if link.local else 0

    def start(side: str, end: str, *words: str) -> "subprocess.Popen[str]":
        wrapped = [sys.executable, "-m", "tests.bench.stages", str(folder / f"{side}.json")]
        argv = [*link.inside(end), *wrapped, str(bound), "--home", str(folder / side), *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    receiver = start(
        "receiver", "b", "receive", "--listen", at, "--into", str(folder / "into"),
        "--once", "--yes", "--json",
    )  # fmt: skip
    with receiver:
        try:
            assert receiver.stdout is not None
            receiver.stdout.readline()  # "listening"
            words = ("send", str(folder / "content"), "--to", "peer", "--at", at, "--json")
            with start("sender", "a", *words, *options.options) as sender:
                sender.communicate(timeout=PATIENCE)
            receiver.communicate(timeout=PATIENCE)
        finally:
            receiver.kill()
    if sender.returncode or receiver.returncode:
        raise SystemExit("the transfer failed")
    return {side: json.loads((folder / f"{side}.json").read_text()) for side in keys}


def cli(folder: Path, side: str, *words: str) -> str:
    """Run the installed command for one side."""
    command = [str(Path(sys.executable).with_name("securecp")), "--home", str(folder / side)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def table(side: str, told: dict[str, Any], size: int) -> str:
    """One side's stages, the costliest first."""
    stages = {name: row for name, row in told["stages"].items() if row[1]}
    key = "system calls: send" if side == "sender" else "system calls: receive"
    datagrams = max(stages.get(key, [0, 0, 1])[2], 1)
    mebibytes = max(size / (1 << 20), 1e-9)
    total = told["user"] + told["system"] - told["overhead"]
    stages[REST] = [max(total - sum(row[0] for row in stages.values()), 0.0), 1, 0]
    lines = [
        "",
        f"{side}: {datagrams:,} datagrams, {size / datagrams:,.0f} bytes of content each; "
        f"CPU {total:.2f} s ({told['user']:.2f} user, {told['system']:.2f} system; "
        f"stopwatches {told['overhead']:.2f} s, taken off); peak {told['memory'] >> 20} MiB",
        f"{'stage':40} {'calls':>9} {'µs/datagram':>12} {'µs/MiB':>9} {'share':>6}",
    ]
    for name, (seconds, calls, _) in sorted(stages.items(), key=lambda item: -item[1][0]):
        shown = f"{calls:,}" if name in STAGES or name == THREAD else ""
        lines.append(
            f"{name:40} {shown:>9} {seconds / datagrams * 1e6:12.3f} "
            f"{seconds / mebibytes * 1e6:9.1f} {seconds / total:6.1%}"
        )
    lines.append(
        f"{'all':40} {'':>9} {total / datagrams * 1e6:12.3f} {total / mebibytes * 1e6:9.1f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
