"""A receiver in one process and thousands of transfers:  python -m tests.soak --transfers 2000

Senders are threads of this process, for speed, and every so often a process of its own. By chance
one of them is cut off and begins again, is killed, changes its files meanwhile, or sends what is
there already. After a warm-up the memory, descriptors and threads of both processes must stay as
they are. Ends with 1 if something grew, was lost, or failed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.soak.soak import Soak, Story


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--transfers", type=int, default=2_000)
    parser.add_argument("--warm-up", type=int, default=700, help="measured before, it does not"
                        " count: heaps find their size")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=3, help="senders at once")
    parser.add_argument("--memory", type=int, default=6, metavar="MIB", help="how much more may be"
                        " held in the end: a heap in pieces is no leak")  # fmt: skip
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="securecp-soak-") as name:
        soak = Soak(Path(name), options.seed)
        try:
            story = soak.run(options.transfers, options.warm_up, options.jobs, options.memory << 20)
        finally:
            soak.close()
    print(table(story))
    return int(bool(story.problems))


def table(story: Story) -> str:
    """The series, what happened, and what is wrong."""
    lines = [f"{'transfers':>10}{'receiver: MiB':>15}{'files':>7}{'tasks':>7}"
             f"{'senders: MiB':>15}{'files':>7}{'tasks':>7}"]  # fmt: skip
    for count, receiver, senders in story.series:
        lines.append(
            f"{count:>10}{receiver.memory / (1 << 20):>15.1f}{receiver.files:>7}{receiver.tasks:>7}"
            f"{senders.memory / (1 << 20):>15.1f}{senders.files:>7}{senders.tasks:>7}"
        )
    lines += [f"{count:>10}  {name}" for name, count in sorted(story.happened.items())]
    lines.append(f"{story.transfers} transfers in {story.seconds:.1f} s, "
                 f"{len(story.problems)} problems")  # fmt: skip
    return "\n".join([*lines, *story.problems])


if __name__ == "__main__":
    sys.exit(main())
