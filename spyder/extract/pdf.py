"""The links and the title of a PDF (ISO 32000-2, section 12.6.4.8, "URI actions")."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

from spyder.bounds import MemoryLimit, TimeIsUpError
from spyder.contracts import Extraction, Response
from spyder.errors import PluginError
from spyder.extract.html import TITLE_LENGTH, without_fragment
from spyder.model.states import LinkKind
from spyder.model.url import Resolver
from spyder.settings import Settings

_log = logging.getLogger(__name__)

_MAX_PAGES = 20_000
_MAX_ANNOTATIONS = 10_000  #: of one page


class Pdf:
    """The URLs that annotations of a PDF lead to. Raises :class:`PluginError` without its library."""

    media_types = frozenset({"application/pdf"})

    def __init__(self, settings: Settings) -> None:
        try:
            import pypdf
        except ImportError:
            raise PluginError("extractor `pdf` needs the library pypdf: pip install 'spyder-crawler[pdf]'") from None
        logging.root.getChild("pypdf").setLevel(logging.CRITICAL)  # it comments on every flaw of a file
        self._open: Any = pypdf.PdfReader
        self._max_links = settings.scope.max_links
        self._max_size = settings.extract.max_parse_size
        self._memory = MemoryLimit(settings.extract.max_parse_memory)
        self._resolver = Resolver()

    def __call__(self, response: Response) -> Extraction:
        """What the document says, as far as it can be read."""
        found = Extraction()
        if len(response.body) > self._max_size:  # its table of contents is at its end: a part of it is of no use
            found.limits = ("extract.max_parse_size",)
            return found
        references: dict[str, None] = {}
        try:
            with self._memory:
                self._read(response.body, found, references)
        except TimeIsUpError:
            found.limits = ("extract.max_parse_time",)
        except (MemoryError, RecursionError):
            found.limits = ("extract.max_parse_memory",)
        except Exception as error:  # noqa: BLE001  the library raises whatever a broken file makes of it
            _log.info("%s can't be read as PDF: %s", response.url, type(error).__name__)
        links = list(self._resolver.resolve_all(response.url, references, self._max_links))
        found.links = dict.fromkeys(links, LinkKind.NAVIGATION)
        if len(references) > self._max_links:
            found.limits += ("scope.max_links",)
        return found

    def _read(self, body: bytes, found: Extraction, references: dict[str, None]) -> None:
        document = self._open(io.BytesIO(body), strict=False)
        found.title = _title(document)
        for number, page in enumerate(document.pages):
            for target in _targets(page):
                references[without_fragment(target)] = None
            if number >= _MAX_PAGES or len(references) > self._max_links:
                return


def _title(document: Any) -> str:
    try:
        title = document.metadata.title if document.metadata else ""
    except Exception:  # noqa: BLE001  as above; the links may still be good
        return ""
    return " ".join(str(title or "").split())[:TITLE_LENGTH].encode("utf-8", "replace").decode()


def _targets(page: Any) -> Iterator[str]:
    """The URIs of a page's annotations; one that makes no sense is left out."""
    try:
        annotations = list(page.get("/Annots", ()).get_object() if "/Annots" in page else ())[:_MAX_ANNOTATIONS]
    except Exception:  # noqa: BLE001  as above
        return
    for annotation in annotations:
        try:
            action = annotation.get_object().get("/A")
            target = action.get_object().get("/URI") if action is not None else None
        except Exception:  # noqa: BLE001, S112  as above
            continue
        if target is not None:
            yield str(target.get_object())
