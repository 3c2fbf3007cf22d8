"""Collects an answer's status line and header fields while they arrive, under caps."""

from __future__ import annotations

from spyder.errors import SpyderError
from spyder.model.records import Failure, Headers
from spyder.model.states import ErrorKind

_OWS = " \t\r\n"  #: what may stand around a field's value (RFC 9110, section 5.6.3), and the line's end


class HeadError(SpyderError):
    """The head passes a cap, or can't be the head of an answer; :attr:`failure` tells which."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind=kind, detail=detail)


class HeadReader:
    """One answer's head: :meth:`feed` it each line as it comes.

    Informational answers (1xx, RFC 9110, section 15.2) that come before the answer are dropped, and so are trailers;
    both count towards the caps: *max_size* in bytes, *max_count* in lines.
    """

    __slots__ = ("_count", "_lines", "_max_count", "_max_size", "http_version", "is_complete", "size", "status")

    def __init__(self, *, max_size: int, max_count: int) -> None:
        self.size = 0  #: bytes so far; more than 0 when the server began to answer
        self.is_complete = False  #: the final answer's head ended
        self.status = 0  #: of the last status line (RFC 9112, section 4), 0 while there is none
        self.http_version = ""  #: ``1.0``, ``1.1``, ``2`` or ``3``; empty while there is no status line
        self._count = -1  # the status line is no field
        self._lines: list[bytes] = []
        self._max_size = max_size
        self._max_count = max_count

    def feed(self, line: bytes) -> None:
        """Take the next line, with its line end; raises :class:`HeadError` when the answer is of no use."""
        self.size += len(line)
        self._count += 1
        if self.size > self._max_size:
            raise HeadError(ErrorKind.HEADER_LIMIT,
                            f"more than {self._max_size} bytes of header fields (fetch.max_header_size)")
        if line == b"\r\n" or line == b"\n":  # noqa: PLR1714 - twice as fast as `in`, and once per field
            self._end()
        elif self._count > self._max_count:
            raise HeadError(ErrorKind.HEADER_LIMIT,
                            f"more than {self._max_count} header fields (fetch.max_header_count)")
        elif not self.is_complete:
            if not self._lines:
                self._begin(line)
            self._lines.append(line)

    def headers(self) -> Headers:
        """The fields: names in lower case, values as Latin-1, folded lines joined by a space (RFC 9112, 5.2)."""
        fields: list[tuple[str, str]] = []
        for line in b"".join(self._lines[1:]).decode("latin-1").split("\n"):
            if line.startswith((" ", "\t")) and fields:
                name, value = fields[-1]
                fields[-1] = name, f"{value} {line.strip(_OWS)}".strip(_OWS)
            elif line:
                name, _, value = line.partition(":")
                fields.append((name.strip(_OWS).lower(), value.strip(_OWS)))
        return tuple(fields)

    def _begin(self, line: bytes) -> None:
        """Read a status line, such as ``HTTP/1.1 200 OK``."""
        version, _, rest = line.decode("latin-1").partition(" ")
        status = rest[:3]
        self.http_version = version.strip(_OWS).removeprefix("HTTP/")
        self.status = int(status) if status.isascii() and status.isdigit() else 0

    def _end(self) -> None:
        """End one head: an informational one is dropped."""
        self._count -= 1
        if self.status == 101:
            raise HeadError(ErrorKind.PROTOCOL, "101 Switching Protocols, for which nobody asked")
        if 100 <= self.status < 200:
            self._lines = []
        else:
            self.is_complete = True
