"""kill -9 of real processes at any moment, and proof that no byte is lost (`make torture`).

    program      the command as it is installed, with small intervals, so that little data will do
    homes        Alice and Bob, who know each other
    trees        what is sent, and what is at the destination already
    nursery      processes without the time that imports take
    side         one process: its events, its death, its memory
    plan         which process is killed when, as text that repeats it
    ride         one transfer, killed and begun again until it is done
    debt         what a death has cost: content that had to come again
    invariants   what must hold after each end
    straces      the n-th call, by strace
    report       the table

`python -m tests.torture` runs as many points as are asked for.
"""
