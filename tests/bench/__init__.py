"""Whole transfers of securecp and of what people use instead, side by side (`make bench`).

jobs.py      what is sent, and how one job is timed
peers.py     the commands of each program
__main__.py  the alternation, the table, the JSON lines
"""
