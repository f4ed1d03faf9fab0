"""The shell: sockets on loopback, the loop, the threads."""
