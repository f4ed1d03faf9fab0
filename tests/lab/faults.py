"""What goes wrong with networks, servers and machines in mid-transfer, and what must come of it.

Each fault is a `Ride` with the ids of what it proves. `python -m tests.lab faults` runs them all
and prints what was seen; `test_faults.py` runs those that are short.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.ride import NOTICED, Ride, Scene
from tests.lab.routers import Router
from tests.lab.topology import SRV

EASY, CONE, HARD = Router(), Router("fullcone"), Router("hard")
NO_UDP = Router(blocks="udp")
FIREWALLED = Router(v6="firewall")
PUBLIC = "11.0.113.0/24"
Hurt = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """One thing that happens."""

    name: str
    ids: str
    ride: Ride
    short: bool = False
    """Whether it can be one test among others."""
    tools: tuple[str, ...] = ()


# Servers


def killed(scene: Scene) -> None:
    scene.servers["srv"].kill()
    scene.serve()
    scene.cured()


def rolled(scene: Scene) -> None:
    scene.servers["srv"].stop()
    scene.serve()
    scene.cured()


def gone(scene: Scene) -> None:
    scene.servers["srv"].kill()


def relay_gone(scene: Scene) -> None:
    """The server whose relay is used."""
    scene.servers[_server_in_use(scene)].kill()


def _server_in_use(scene: Scene) -> str:
    """By the endpoint that the sender told last."""
    told = [s.event for s in scene.sender.seen if s.name in {"connected", "path"}]
    endpoint = str(told[-1]["endpoint"])
    for name in scene.servers:
        if f"{scene.lab.nodes[name].address}:" in endpoint:
            return name
    raise AssertionError(f"no server is at {endpoint}")


# Routers and addresses


def forgets(*whose: str) -> Hurt:
    def hurt(scene: Scene) -> None:
        for name in whose:
            scene.lab.forget(name)

    return hurt


def renumbered(whose: str) -> Hurt:
    def hurt(scene: Scene) -> None:
        scene.lab.renumber(whose)

    return hurt


def four_gone(scene: Scene) -> None:
    """The sender's host loses IPv4; IPv6 stays."""
    node = scene.lab.nodes[scene.sending]
    node.space.ip(f"addr del {node.address}/24 dev {node.device}")


def six_gone(scene: Scene) -> None:
    scene.block(f"n{scene.sending}", "meta nfproto ipv6")


def six_blocked(scene: Scene) -> None:
    """At first, so that the transfer goes by IPv4; the server can be reached by both."""
    for node in "ab":
        scene.block(f"n{node}", "meta nfproto ipv6 meta l4proto udp")
    scene.configure(scene.url(), scene.url(six=True))


def four_to_six(scene: Scene) -> None:
    for node in "ab":
        scene.unblock(f"n{node}")
    four_gone(scene)


# Links


def cut(seconds: float) -> Hurt:
    def hurt(scene: Scene) -> None:
        router = f"n{scene.sending}"
        scene.lab.link(router, up=False)
        scene.waits(seconds)
        scene.lab.link(router, up=True)
        scene.cured()

    return hurt


def one_way(deaf: str) -> Hurt:
    """Nothing of the peer's arrives there any more; by the server it does."""

    def hurt(scene: Scene) -> None:
        router = f"n{scene.sending if deaf == 'sender' else scene.receiving}"
        scene.block(router, f"iifname wan meta l4proto udp ip saddr != {SRV}")

    return hurt


def punching_blocked(scene: Scene) -> None:
    """UDP between the two; the server can be reached."""
    for node in "ab":
        scene.block(f"n{node}", f"meta l4proto udp ip daddr {PUBLIC} ip daddr != {SRV}")


def punching_opens(scene: Scene) -> None:
    for node in "ab":
        scene.unblock(f"n{node}")
    scene.cured()


def narrower(scene: Scene) -> None:
    """The sender's router has a smaller MTU and does not say so."""
    router = scene.lab.nodes[f"n{scene.sending}"]
    router.space.nft(
        "table inet fault {\nchain out {\ntype filter hook output priority 0; policy accept;\n"
        "icmp type destination-unreachable drop\nicmpv6 type packet-too-big drop\n}\n}\n"
    )
    router.space.ip("link set wan mtu 1280")


# Machines


def stopped(who: str, seconds: float) -> Hurt:
    def hurt(scene: Scene) -> None:
        scene.stop(getattr(scene, who), seconds)
        scene.cured()

    return hurt


def lossy(loss: float, seconds: float) -> Hurt:
    def hurt(scene: Scene) -> None:
        scene.lab.weather(loss=loss)
        scene.waits(seconds)
        scene.lab.weather(loss=0.0)
        scene.cured()

    return hurt


# From the start


def names_unknown(scene: Scene) -> None:
    """The first server's name does not resolve: nobody answers for names here."""
    _, _, key = scene.url().partition("#")
    scene.configure(f"ws://relay.example:4480#{key}", scene.url())


def six_broken(scene: Scene) -> None:
    """Addresses of IPv6 that lead nowhere, and a server that is tried by them first."""
    for node in "ab":
        scene.block(f"n{node}", "meta nfproto ipv6")
    scene.configure(scene.url(six=True), scene.url())


def nothing(_: Scene) -> None:
    pass


def _faked(role: str, offset: str) -> dict[str, dict[str, str]]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), "")
    # File times stay, or Python would compile all modules anew.
    alone = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    return {role: {"LD_PRELOAD": str(library), "FAKETIME": offset, **alone}}


def _faults() -> Iterator[Fault]:
    hard = Ride(nothing, (HARD, HARD), before="relayed", seconds=16.0)
    v6 = (FIREWALLED, FIREWALLED)
    wait = ("silent", "back")

    # F-06, F-07, F-11: servers
    yield Fault("server-killed-direct", "F-06", Ride(killed, gap=NOTICED), short=True)
    yield Fault("server-gone-direct", "F-06", Ride(gone, gap=NOTICED))
    yield Fault("server-killed-relayed", "F-06, F-07", replace(hard, hurt=killed, gap=13.0))
    yield Fault("server-rolled-direct", "F-11", Ride(rolled, gap=NOTICED))
    yield Fault("server-rolled-relayed", "F-11", replace(hard, hurt=rolled, gap=13.0), short=True)
    tcp = replace(hard, sides=(NO_UDP, NO_UDP), hurt=killed, gap=13.0)
    yield Fault("server-killed-websocket", "F-06, F-07", tcp)
    two = replace(hard, servers=("srv", "srv2"))
    yield Fault("relay-gone-of-two", "F-07", replace(two, hurt=relay_gone, gap=10.0), short=True)

    # F-23: mappings
    back = Ride(nothing, after="direct", gap=5.0, seconds=20.0)
    easy = Ride(forgets("na"), gap=1.0, after="direct")
    yield Fault("forgets-easy-easy", "F-23", easy, short=True)
    yield Fault("forgets-both", "F-23", replace(easy, hurt=forgets("na", "nb")))
    sides = (CONE, HARD)
    yield Fault("forgets-cone-hard", "F-23", replace(back, hurt=forgets("na"), sides=sides))
    yield Fault("cone-hard-forgets", "F-23", replace(back, hurt=forgets("nb"), sides=sides))
    sides = (EASY, HARD)
    yield Fault("forgets-easy-hard", "F-23", replace(back, hurt=forgets("na"), sides=sides))
    yield Fault("easy-hard-forgets", "F-23", replace(back, hurt=forgets("nb"), sides=sides))
    yield Fault("forgets-websocket", "F-23", replace(tcp, hurt=forgets("na", "nb"), gap=10.0))
    yield Fault("forgets-relayed", "F-23", replace(hard, hurt=forgets("na", "nb"), gap=5.0))

    # F-24: addresses
    moved = Ride(nothing, gap=5.0, seconds=16.0)
    yield Fault("router-renumbered", "F-24", replace(moved, hurt=renumbered("na")), short=True)
    yield Fault("host-renumbered", "F-24", replace(moved, hurt=renumbered("a")))
    hurt = replace(hard, hurt=renumbered("na"), gap=5.0)
    yield Fault("router-renumbered-relayed", "F-24", hurt)
    yield Fault("host-renumbered-relayed", "F-24", replace(hard, hurt=renumbered("a"), gap=5.0))
    yield Fault("ipv6-gone", "F-24", replace(moved, hurt=six_gone, sides=v6))
    hurt = replace(moved, hurt=four_to_six, sides=v6, prepare=six_blocked)
    yield Fault("ipv4-to-ipv6", "F-24", hurt)

    # F-33, F-34: links
    late = Ride(nothing, tells=wait, seconds=8.0, patience=120.0)
    yield Fault("cut-2s", "F-33", replace(late, hurt=cut(2.0), gap=4.0), short=True)
    yield Fault("cut-10s", "F-33", replace(late, hurt=cut(10.0), gap=13.0))
    yield Fault("cut-60s", "F-33", replace(late, hurt=cut(60.0), gap=66.0))
    away = replace(late, hurt=cut(80.0), gap=95.0, tells=("silent", "waiting"), patience=180.0)
    yield Fault("cut-80s", "F-33", replace(away, sessions=2))
    hurt = replace(hard, hurt=cut(10.0), gap=13.0, tells=wait)
    yield Fault("cut-10s-relayed", "F-33", hurt)
    yield Fault("cut-10s-websocket", "F-33", replace(tcp, hurt=cut(10.0), gap=15.0, tells=wait))
    yield Fault("cut-60s-relayed", "F-33", replace(hurt, hurt=cut(60.0), gap=66.0))
    hole = Ride(nothing, after="relayed", gap=10.0, seconds=20.0)
    yield Fault("sender-deaf", "F-34", replace(hole, hurt=one_way("sender")), short=True)
    yield Fault("receiver-deaf", "F-34", replace(hole, hurt=one_way("receiver")))

    # from the relay to a direct path
    hurt = Ride(punching_opens, (EASY, EASY), punching_blocked, before="relayed", after="direct")
    hurt = replace(hurt, gap=NOTICED, seconds=20.0)
    yield Fault("relay-to-direct", "TR-12", hurt, short=True)

    # F-20: times
    yield Fault("receiver-first-5s", "F-20", Ride(nothing, gap=NOTICED, seconds=3.0, skew=5.0))
    yield Fault("sender-first-5s", "F-20", Ride(nothing, gap=NOTICED, seconds=3.0, skew=-5.0))
    # The library that fakes the clock makes all slow that asks for the time.
    clocks = Ride(nothing, gap=1.0, seconds=3.0, skew=3.0)
    for role, offset in (("sender", "+1d"), ("sender", "-1d"), ("receiver", "+1d")):
        hurt = replace(clocks, env=_faked(role, offset))
        yield Fault(f"clock-{role}{offset}", "F-20", hurt, tools=("faketime",))

    # F-36: what is broken from the start
    start = Ride(nothing, gap=NOTICED, seconds=3.0)
    yield Fault("server-name-unknown", "F-36", replace(start, prepare=names_unknown), short=True)
    hurt = replace(start, prepare=six_broken, sides=v6)
    yield Fault("ipv6-broken", "F-36", hurt)
    hurt = replace(hurt, sides=(replace(HARD, v6="firewall"),) * 2, before="relayed")
    yield Fault("ipv6-broken-relayed", "F-36", hurt)

    # F-21, F-22, F-25: machines, loss
    yield Fault("sender-stopped-5s", "F-22", Ride(stopped("sender", 5.0), gap=6.0), short=True)
    yield Fault("receiver-stopped-5s", "F-22", Ride(stopped("receiver", 5.0), gap=6.0))
    yield Fault("sender-stopped-20s", "F-21", Ride(stopped("sender", 20.0), gap=22.0))
    yield Fault("receiver-stopped-20s", "F-21", Ride(stopped("receiver", 20.0), gap=22.0))
    yield Fault("loss-30", "F-25", Ride(lossy(0.3, 5.0), seconds=10.0, gap=5.0))
    yield Fault("loss-30-relayed", "F-25", replace(hard, hurt=lossy(0.3, 5.0), gap=5.0))

    # F-29: MTU
    yield Fault("mtu-1280", "F-29", Ride(narrower, gap=2.0), short=True)
    yield Fault("mtu-1280-relayed", "F-29", replace(hard, hurt=narrower, gap=2.0))


FAULTS = {fault.name: fault for fault in _faults()}
