"""The least possible file senders over libraries that have none: one stream, no questions asked.

tree.py          a file or a tree as one stream of bytes
iroh_file.py     over iroh       aioquic_file.py  over aioquic       udx_file.js  over udx

They run in the virtual environment of the peers (`--peers-dir`), not in ours.
"""
