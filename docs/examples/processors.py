"""Two processors for the PostgreSQL manual: what docs/processors.md explains, run by tests/rules/test_docs.py."""

from __future__ import annotations

from spyder.contracts import PageView


class SqlCommand:
    """Takes name, purpose and synopsis from each page of the manual that describes an SQL command.

    *longest* is the number of characters of a synopsis that are kept.
    """

    def __init__(self, *, longest: int = 4000) -> None:
        self._longest = longest

    def __call__(self, page: PageView) -> None:
        """Add ``command``, ``purpose`` and ``synopsis`` to the page's data."""
        if page.content_type != "text/html":
            return
        headings = page.tree.xpath('//div[@class="refnamediv"]/p')
        synopses = page.tree.xpath('//pre[@class="synopsis"]')
        if not headings or not synopses:
            return  # some other page of the manual
        command, _, purpose = headings[0].text_content().partition(" — ")
        page.data["command"] = command.strip()
        page.data["purpose"] = " ".join(purpose.split())
        page.data["synopsis"] = synopses[0].text_content().strip()[:self._longest]


def count_words(page: PageView) -> None:
    """Add the number of words; it has no options, so a function will do."""
    if page.content_type == "text/html":
        page.data["words"] = len(page.tree.text_content().split())
