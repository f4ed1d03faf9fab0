"""The programs that are timed: securecp, and what is installed of what people use instead.

peer.py  what a job and a program are
own.py   securecp
plain.py, ssh.py, wormholes.py, datagrams.py   the others
found.py what is installed here
"""
