"""Other programs that look for a direct path, between the same homes, timed in the same way.

install    a virtual environment for them, below .bench
talk       how a rival's process speaks with the laboratory
icepeer    one end of aioice (ICE in Python), with STUN at our own server
irohpeer   one end of iroh (QUIC in Rust) without relays, with or without being told its address
courier    who carries the signals between two ends: nobody in particular, or a server over TCP
meeting    two ends in a laboratory, and what became of them
table      the matrix with a column for each

What a rival is given for nothing: its modules are loaded before the clock starts, and what the ends
have to tell each other is carried, in the time that a server half way would need (twice the delay),
without loss and with no connection to be made first. Our own command has to make its connection to
the server, and to lose packets on it, in the time that is counted. With `--rivals tcp` they have,
too: one plain TCP connection from each home to a server, without TLS or other encryption.
"""
