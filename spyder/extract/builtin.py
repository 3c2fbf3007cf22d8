"""The extractors that every crawl needs: HTML pages, and header fields."""

from __future__ import annotations

from spyder.bounds import MemoryLimit
from spyder.contracts import Extraction, Response
from spyder.extract.css import style_urls
from spyder.extract.headers import header_links
from spyder.extract.html import Wanted, read_html
from spyder.extract.robotsmarks import directives
from spyder.model.robots import product_token
from spyder.model.url import Resolver
from spyder.settings import Settings

#: Bytes of a page that are read without a limit of memory: its parser can't take much for fewer.
_HARMLESS = 65_536


class Html:
    """Links, title, wishes to robots and text of HTML and XHTML pages, and what they embed where that is asked for."""

    def __init__(self, settings: Settings) -> None:
        self.media_types = frozenset(settings.extract.content_types)
        self._max_links = settings.scope.max_links
        self._max_size = settings.extract.max_parse_size
        self._resolver = Resolver()
        self._agent = settings.robots.agent or product_token(settings.fetch.user_agent) or "Spyder"
        reads_styles = settings.extract.embeds and "css" in settings.extract.extractors
        self._wanted = Wanted(embeds=settings.extract.embeds, styles=style_urls() if reads_styles else None,
                              link_elements=settings.extract.link_elements,
                              endorsed=settings.robots.rel_nofollow, agent=self._agent.lower())
        self._memory = MemoryLimit(settings.extract.max_parse_memory)

    def __call__(self, response: Response) -> Extraction:
        """What the page says; nothing when reading it takes too much memory."""
        if len(response.body) <= _HARMLESS:
            return self._read(response)
        try:
            with self._memory:
                return self._read(response)
        except MemoryError:
            return Extraction(limits=("extract.max_parse_memory",))

    def _read(self, response: Response) -> Extraction:
        found = read_html(response.body, url=response.url, content_type=response.content_type, limit=self._max_links,
                          max_parse_size=self._max_size, resolver=self._resolver, wanted=self._wanted)
        found.links.pop(response.url, None)  # nothing new, and most pages have links to parts of themselves
        marks = tuple(sorted(directives(found.robots, self._agent))) if found.robots else ()
        return Extraction(links=found.links, title=found.title, charset=found.charset, limits=found.limits, marks=marks,
                          text=found.visible_text)


def read_headers(response: Response) -> Extraction | None:
    """The links in header fields."""
    links = header_links(response.headers, url=response.url, status=response.status)
    return Extraction(links=links) if links else None
