"""Sockets and the clock: the only part that touches the network."""
