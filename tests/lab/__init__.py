"""The NAT laboratory: homes behind routers of every kind, and an internet, in network namespaces.

namespaces  one namespace: made, entered, removed, also after whoever made it was killed
routers     what a router does to packets, as nft rules
topology    Lab: who is joined to whom
kernelnet   an internet without delay, by the kernel
usernet     an internet with delay, jitter, loss and rates, by a process of ours (forwarder)
services    what runs on routers and servers: port mapping, TLS, a CONNECT proxy
programs    a securecp command at some node, and its events as they come
matrix      which pairs of homes there are, and how each should find its way
pairs       the command run over those pairs, and timed
needs       how tests are marked that cannot do without it

    with Lab(delay=0.020, loss=0.02) as lab:
        lab.nat("na", kind="easy")
        lab.host("a", "na")
        lab.nat("nb", kind="hard", policy="accept")
        lab.host("b", "nb")
        with lab.inside("a"):
            ...  # sockets that are made here belong to a, and go on doing so
"""
