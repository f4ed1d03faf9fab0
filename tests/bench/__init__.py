"""Whole transfers of securecp and of what people use instead, side by side.

`make bench` (loopback and veth), `make bench-wan` (emulated links), `make report` (docs).

items.py     what is sent, over which link, and the project's goals for it
links.py     loopback, a veth pair, an emulated WAN: where both ends run
process.py   a program that we start and that the kernel accounts for
jobs.py      one timed job
peers/       the commands of each program; minimal/ the senders that libraries lack
machine.py   what else the machine is doing, and settings that a job borrows
results.py   JSON lines: written after every job, read again to go on or to report
figures.py   medians, ratios and verdicts: pure
tables.py    figures as text and as Markdown; svg.py as a picture
report.py    docs/performance.md and its pictures from the JSON lines
__main__.py  the alternation
"""
