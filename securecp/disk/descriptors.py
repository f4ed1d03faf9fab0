"""Open descriptors, few at a time: the least recently used one is closed to make room."""

from collections.abc import Callable


class Descriptors:
    """At most `capacity` descriptors, each opened by `opener(key)` when it is first asked for.

    Not for several threads: a descriptor that one thread uses could be closed by another.
    A hit costs about 0.2 µs.
    """

    def __init__(
        self,
        capacity: int,
        opener: Callable[[int], int],
        closer: Callable[[int], None],
        failed: Callable[[int, OSError], None] | None = None,
    ) -> None:
        """`failed(key, error)` hears of a descriptor that could not be closed without an error."""
        self._capacity = capacity
        self._opener = opener
        self._closer = closer
        self._failed = failed
        self._open: dict[int, int] = {}  # oldest use first

    def __len__(self) -> int:
        return len(self._open)

    def take(self, key: int) -> int:
        """The descriptor of `key`; valid until `capacity` others have been taken."""
        descriptor = self._open.pop(key, None)
        if descriptor is None:
            descriptor = self._opener(key)
            if len(self._open) >= self._capacity:
                self.drop(next(iter(self._open)))
        self._open[key] = descriptor
        return descriptor

    def drop(self, key: int) -> None:
        """Close the descriptor of `key`, if there is one."""
        descriptor = self._open.pop(key, None)
        if descriptor is not None:
            try:
                self._closer(descriptor)
            except OSError as error:
                self._complain(key, error)

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self.drop(next(iter(self._open)))

    def _complain(self, key: int, error: OSError) -> None:
        if self._failed is None:
            raise error
        self._failed(key, error)
