"""What came of many rides, as a table."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.torture.base import Outcome


def table(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Points by kind, what was sent again, memory, and each failure with what repeats it."""
    lost: defaultdict[str, list[int]] = defaultdict(list)
    unknown: Counter[str] = Counter()
    for outcome in outcomes:
        for kill, bytes_lost in outcome.points:
            if bytes_lost is None:
                unknown[kill.kind] += 1
            else:
                lost[kill.kind].append(bytes_lost)
    lines = [f"{'killed':<28}{'points':>8}{'sent again, median':>22}{'most':>14}"]
    for kind in sorted({*lost, *unknown}):
        known = lost[kind]
        middle = f"{int(statistics.median(known)):,}" if known else "-"
        most = f"{max(known):,}" if known else "-"
        lines.append(f"{kind:<28}{len(known) + unknown[kind]:>8}{middle:>22}{most:>14}")
    points = sum(len(outcome.points) for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.failure]
    missed = sum(1 for o in outcomes if not o.failure and len(o.points) < len(o.plan.kills))
    peak = max((outcome.peak for outcome in outcomes), default=0)
    lines.append(
        f"{points} points in {len(outcomes)} rides, {missed} were over before their last death, "
        f"{len(failed)} failed, memory at most {peak >> 20} MiB, {seconds:.1f} s"
    )
    lines += map(failure, failed)
    return "\n".join(lines)


def failure(outcome: Outcome) -> str:
    """One that failed: what is broken, and the command that repeats it."""
    return f"{outcome.failure}\n    python -m tests.torture --repeat {str(outcome.plan)!r}\n"
