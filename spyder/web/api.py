"""A small JSON API over a running master: status, explain, seeds, requeue, checkpoint, scope, stop.

By default on loopback.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
import tornado.httpserver
import tornado.netutil
import tornado.web

from spyder.errors import ConflictError, SettingsError, SpyderError, UrlError
from spyder.settings import ApiSection, Settings, check_api_address

T = TypeVar("T")

#: Bytes of one request's body.
_MAX_BODY = 16 * 1024 * 1024


class Control(Protocol):
    """What the API needs of a master."""

    def status(self) -> Any:
        """Figures, as a record."""

    def explain(self, text: str) -> Any:
        """What is known of a URL or a host, as a record; raises :class:`SpyderError` when *text* names none."""

    def add_seeds(self, urls: Iterable[str]) -> Any:
        """Add seeds durably; returns what became of them, as a record."""

    def end(self, reason: str) -> None:
        """End in good order."""

    def scope(self) -> Any:
        """The rules of the scope, as a record."""

    def edit_scope(self, rules: list[Any] | None, *, version: int | None = None) -> Any:
        """Replace the rules of the scope durably, None: by those of the settings; returns them, as a record.

        Raises :class:`SettingsError` for wrong ones, :class:`ConflictError` when they are not of *version* any more.
        """

    def judge(self, urls: Sequence[str], *, depth: int, embeds: int) -> Any:
        """What the rules say of links to *urls*, as records. Raises :class:`UrlError` for what is none."""

    async def checkpoint(self, directory: str) -> Any:
        """Copy the state of the crawl to *directory*; returns what was copied, as a record."""

    async def requeue(self, *, urls: Sequence[str], states: Sequence[str], host: str, reason: str) -> Any:
        """Queue settled URIs again, durably; returns what became of the request, as a record."""


class SeedRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/seeds``."""

    urls: list[str]


class CheckpointRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/checkpoint``."""

    directory: str


class ScopeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``PUT /api/scope``: null instead of rules brings those of the settings back."""

    rules: list[Any] | None
    version: int | None = None  #: of the rules that are edited; null: whichever they are


class JudgeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/scope/test``."""

    urls: list[str]
    depth: Annotated[int, msgspec.Meta(ge=0)] = 1
    embeds: Annotated[int, msgspec.Meta(ge=0)] = 0


class RequeueRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/requeue``: without URLs all are meant that are in one of the states."""

    urls: list[str] = []
    states: list[Literal["quarantined", "failed", "excluded"]] = []
    host: str = ""
    reason: str = ""


@contextlib.contextmanager
def serve(control: Control, settings: ApiSection) -> Iterator[int]:
    """Within it, the API is served on the running event loop; yields the port.

    Raises :class:`SettingsError` when the address needs a token, :class:`SpyderError` when it can't be bound.
    """
    check_api_address(settings)
    arguments = {"control": control, "token": settings.token}
    application = tornado.web.Application([
        (r"/api/status", _Status, arguments),
        (r"/api/explain", _Explain, arguments),
        (r"/api/seeds", _Seeds, arguments),
        (r"/api/stop", _Stop, arguments),
        (r"/api/checkpoint", _Checkpoint, arguments),
        (r"/api/requeue", _Requeue, arguments),
        (r"/api/scope", _Scope, arguments),
        (r"/api/scope/test", _ScopeTest, arguments),
    ], default_handler_class=_Unknown, default_handler_args=arguments, log_function=_log_nothing)
    server = tornado.httpserver.HTTPServer(application, max_body_size=_MAX_BODY)
    try:
        sockets = tornado.netutil.bind_sockets(settings.port, settings.address)
    except OSError as error:
        raise SpyderError(f"the API can't listen on {settings.address}:{settings.port}: {error.strerror}; "
                          f"set `api.port`, 0 for any free one") from None
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()


class MasterApi:
    """The HTTP API over a master, and the file ``run/api.json`` in the crawl directory that says where it listens."""

    def __init__(self, control: Control, settings: Settings) -> None:
        """Serve from now on.

        Raises :class:`SpyderError` when the address can't be bound, :class:`OSError` when the file can't be written.
        """
        self._path = settings.crawl_directory / "run" / "api.json"
        self._serving = contextlib.ExitStack()
        port = self._serving.enter_context(serve(control, settings.api))
        address = settings.api.address
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"address": address, "port": port, "pid": os.getpid()}), encoding="utf-8")
            new.replace(self._path)
        except OSError:  # a full disk: an API that nobody finds is none
            self._serving.close()
            raise

    def close(self) -> None:
        """Serve no longer."""
        self._serving.close()

    def forget(self) -> None:
        """Remove the file: who waits for the master's end sees that all its addresses are free."""
        self._path.unlink(missing_ok=True)


def _log_nothing(handler: tornado.web.RequestHandler) -> None:
    """Requests are no news: what they change is logged where it happens."""


def _named(value: Any) -> Any:
    """*value* with records as mappings, also those that travel as mere lists between our own processes."""
    if isinstance(value, msgspec.Struct):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [_named(item) for item in value]
    return value


class _Handler(tornado.web.RequestHandler):
    """Checks the token and speaks JSON."""

    def initialize(self, control: Control, token: str) -> None:
        self.control = control
        self._token = token

    def prepare(self) -> None:
        self.set_header("Content-Type", "application/json")
        given = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            raise tornado.web.HTTPError(401, reason="a token is needed: set api.token as the master has it")
        host = self.request.host_name
        if not self._token and host not in {"localhost", "127.0.0.1", "[::1]", "::1"}:
            raise tornado.web.HTTPError(403, reason="without a token only loopback names are served")  # DNS rebinding
        if not self._token and "Origin" in self.request.headers:
            raise tornado.web.HTTPError(403, reason="without a token no page in a browser is served")  # forged requests

    def reply(self, record: Any) -> None:
        """Answer with *record*."""
        self.finish(msgspec.json.encode(_named(record)))

    def body(self, kind: type[T], expected: str) -> T:
        """The request's body as a record; what is none is refused with what was *expected*."""
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise tornado.web.HTTPError(400, reason=f"expected {expected}") from None

    def refuse(self, status: int, error: SpyderError) -> None:
        """Answer with one line: its text may have characters that no reason phrase may have."""
        self.set_status(status)
        self.finish(msgspec.json.encode({"error": " ".join(str(error).split()), "status": status}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with one line."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        line = " ".join(str(error).split()) if isinstance(error, SpyderError) else self._reason
        self.finish(msgspec.json.encode({"error": line, "status": status_code}))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """What the master refuses is its state, and no fault of the API."""
        is_refusal = isinstance(kwargs.get("exc_info", (None, None, None))[1], SpyderError)
        super().send_error(503 if is_refusal else status_code, **kwargs)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """What the master refuses it logs itself."""
        if not isinstance(error, SpyderError):
            super().log_exception(kind, error, trace)


class _Status(_Handler):
    def get(self) -> None:
        self.reply(self.control.status())


class _Explain(_Handler):
    def get(self) -> None:
        try:
            self.reply(self.control.explain(self.get_query_argument("of")))
        except SpyderError as error:
            self.refuse(404, error)


class _Seeds(_Handler):
    def post(self) -> None:
        request = self.body(SeedRequest, '{"urls": ["https://example.org/"]}')
        self.reply(self.control.add_seeds(request.urls))


class _Stop(_Handler):
    def post(self) -> None:
        self.control.end("stopped by `spyder stop`")
        self.reply({"stopping": True})


class _Checkpoint(_Handler):
    async def post(self) -> None:
        request = self.body(CheckpointRequest, '{"directory": "/an/absolute/path"}')
        if not request.directory.startswith("/") or "\0" in request.directory:
            raise tornado.web.HTTPError(400, reason="`directory` must be an absolute path on the master's host")
        self.reply(await self.control.checkpoint(request.directory))


class _Requeue(_Handler):
    async def post(self) -> None:
        request = self.body(RequeueRequest, '{"urls": [], "states": ["quarantined"], "host": "", "reason": ""}')
        self.reply(await self.control.requeue(urls=request.urls, states=request.states, host=request.host,
                                              reason=request.reason))


class _Scope(_Handler):
    def get(self) -> None:
        self.reply(self.control.scope())

    def put(self) -> None:
        request = self.body(ScopeRequest, '{"rules": [{"name": "no-shop", "reject": {"host": "shop.example.org"}}]}')
        try:
            self.reply(self.control.edit_scope(request.rules, version=request.version))
        except SettingsError as error:
            self.refuse(400, error)
        except ConflictError as error:
            self.refuse(409, error)


class _ScopeTest(_Handler):
    def post(self) -> None:
        request = self.body(JudgeRequest, '{"urls": ["https://example.org/"], "depth": 1, "embeds": 0}')
        try:
            self.reply({"verdicts": _named(self.control.judge(request.urls, depth=request.depth,
                                                               embeds=request.embeds))})
        except UrlError as error:
            self.refuse(400, error)


class _Unknown(_Handler):
    def prepare(self) -> None:
        raise tornado.web.HTTPError(404, reason="the master's API has no such address; known: GET /api/status, "
                                                "GET /api/explain, POST /api/seeds, POST /api/stop, "
                                                "POST /api/checkpoint, POST /api/requeue, GET and PUT /api/scope, "
                                                "POST /api/scope/test")
