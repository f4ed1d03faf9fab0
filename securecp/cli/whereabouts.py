"""Where the peer is looked for, found and lost: in words, and as fields of JSON.

reaching {peer, key, servers, lan}         server {server, up, reason}
reached {peer, key, path, endpoint, ms}    path {peer, key, path, endpoint}
silent, back {peer, key}
"""

from securecp.cli import units
from securecp.cli.text import safe_text
from securecp.events import Back, PathChanged, Reached, Reaching, ServerState, Silent

Whereabouts = Reaching | ServerState | Reached | PathChanged | Silent | Back
WHEREABOUTS = (Reaching, ServerState, Reached, PathChanged, Silent, Back)


_WAYS = {"relayed": " through a server", "lan": " on this network", "direct": " directly"}


def fields(event: Whereabouts, who: dict[str, object]) -> dict[str, object]:
    """Of the JSON line; `who` names the peer."""
    match event:
        case Reaching():
            return {**who, "servers": event.servers, "lan": event.lan}
        case ServerState():
            reason = safe_text(event.reason, 1000)
            return {"server": event.server, "up": event.up, "reason": reason}
        case Reached():
            where = {"path": event.path, "endpoint": event.endpoint}
            return {**who, **where, "ms": round(event.seconds * 1000, 1)}
        case PathChanged():
            return {**who, "path": event.path, "endpoint": event.endpoint}
        case _:
            return who


class Servers:
    """Tells of servers while that is of interest: while somebody is not connected."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        """Of which we have said that they are not there."""

    def of(self, event: ServerState, *, connected: bool) -> tuple[str, str]:
        """What everybody should hear, and what only who wants more; either may be empty."""
        if event.up:
            known = event.server in self._down
            self._down.discard(event.server)
            text = f"server {event.server} is there{' again' if known else ''}"
            return (text, "") if known else ("", text)
        text = f"server {event.server}: {safe_text(event.reason, 200)}"
        if connected:
            return "", text
        self._down.add(event.server)
        return text, ""


class Words:
    """Tells where things stand with one peer, and nothing twice."""

    def __init__(self) -> None:
        self._path = ""
        """By which path the peer is connected now; empty: it is not."""
        self._silent = False

    @property
    def is_connected(self) -> bool:
        """Whether a session goes on."""
        return bool(self._path)

    def connected(self, path: str) -> None:
        """A session has begun."""
        self._path, self._silent = path, False

    def over(self) -> None:
        """It has ended."""
        self._path, self._silent = "", False

    def of(self, event: Reached | PathChanged | Silent | Back, name: str) -> tuple[str, str]:
        """What everybody should hear, and what only who wants more; either may be empty."""
        match event:
            case Reached():
                took = f"{event.seconds * 1000:.0f} ms"
                return "", f"found at {event.endpoint} ({event.path}) after {took}"
            case PathChanged():
                return self._moved(event.path), f"at {event.endpoint}"
            case Silent():
                # Where it is tried now is of interest when it answers there.
                known, self._silent = self._silent, True
                return ("" if known else f"no answer from {name}; waiting …"), ""
            case Back():
                self._silent = False
                return f"{name} answers again{_by(self._path)}", ""

    def _moved(self, path: str) -> str:
        before, self._path = self._path, path
        return "" if path == before or self._silent else f"now{_by(path)}"


def _by(path: str) -> str:
    return _WAYS.get(path, f" ({path})")


def reaching(event: Reaching, name: str) -> tuple[str, str]:
    """That somebody is looked for, or that we can be found."""
    where = ["on this network"] if event.lan else []
    if event.servers:
        where.append(f"at {units.count(event.servers, 'server')}")
    places = " and ".join(where)
    if not places:
        return "", ""
    return (f"looking for {name} {places} …", "") if event.peer else ("", f"to be found {places}")
