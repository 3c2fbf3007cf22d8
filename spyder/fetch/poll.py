"""Watches many sockets behind one file descriptor, so that the event loop is asked once a turn, not once a socket."""

from __future__ import annotations

import contextlib
import select
import selectors
from typing import Protocol

READ = 1  #: bit: readable
WRITE = 2  #: bit: writable
ERROR = 4  #: bit: in trouble; only reported
_MAX_EVENTS = 64  #: sockets served in one turn of the loop, so that others get theirs


class Poller(Protocol):
    """A level-triggered set of watched sockets."""

    def fileno(self) -> int:
        """Descriptor that is readable while a watched socket is ready."""

    def watch(self, fd: int, bits: int) -> None:
        """Watch *fd* for *bits*, in place of what was watched before; 0: no longer."""

    def ready(self) -> list[tuple[int, int]]:
        """Sockets that are ready now, each with its bits; never waits."""

    def close(self) -> None:
        """Let go of the descriptor."""


class EpollPoller:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        self._events = [(bits & READ and select.EPOLLIN) | (bits & WRITE and select.EPOLLOUT) for bits in range(4)]
        self._bits = [  # by events: EPOLLIN, EPOLLOUT, EPOLLERR and EPOLLHUP are below 32
            (events & select.EPOLLIN and READ) | (events & select.EPOLLOUT and WRITE)
            | (events & (select.EPOLLERR | select.EPOLLHUP) and ERROR) for events in range(32)]

    def fileno(self) -> int:
        """Descriptor that is readable while a watched socket is ready."""
        return self._epoll.fileno()

    def watch(self, fd: int, bits: int) -> None:
        """Watch *fd* for *bits*, in place of what was watched before; 0: no longer."""
        before = self._watched.get(fd, 0)
        if bits == before:
            return
        if not bits:
            del self._watched[fd]
            with contextlib.suppress(OSError):  # a closed socket has left by itself
                self._epoll.unregister(fd)
            return
        self._watched[fd] = bits
        if before:
            self._epoll.modify(fd, self._events[bits])
        else:
            self._epoll.register(fd, self._events[bits])

    def ready(self) -> list[tuple[int, int]]:
        """Sockets that are ready now, each with its bits."""
        bits = self._bits
        return [(fd, bits[events & 31]) for fd, events in self._epoll.poll(0, _MAX_EVENTS)]

    def close(self) -> None:
        """Let go of the descriptor."""
        self._epoll.close()


class SelectorPoller:
    """Other systems whose selector has a descriptor, such as kqueue."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        """Descriptor that is readable while a watched socket is ready."""
        fd: int = self._selector.fileno()
        return fd

    def watch(self, fd: int, bits: int) -> None:
        """Watch *fd* for *bits*, in place of what was watched before; 0: no longer."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        if bits:
            events = (bits & READ and selectors.EVENT_READ) | (bits & WRITE and selectors.EVENT_WRITE)
            self._selector.register(fd, events)

    def ready(self) -> list[tuple[int, int]]:
        """Sockets that are ready now, each with its bits."""
        return [(key.fd, (events & selectors.EVENT_READ and READ) | (events & selectors.EVENT_WRITE and WRITE))
                for key, events in self._selector.select(0)]

    def close(self) -> None:
        """Let go of the descriptor."""
        self._selector.close()


def new_poller() -> Poller:
    """The best poller that this system offers."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()
