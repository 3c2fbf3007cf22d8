"""Who we say that we are: the User-Agent and From fields of every request."""

from __future__ import annotations

from typing import NamedTuple

from spyder import __version__
from spyder.model.robots import product_token
from spyder.settings import FetchSection, Settings


class Identity(NamedTuple):
    """What a server is told about its visitor."""

    user_agent: str
    sender: str  #: for the From field (RFC 9110, section 10.1.2), empty when there is no address


def identity(settings: FetchSection) -> Identity:
    """The fields of the settings, or made of our version and ``contact`` where they are empty."""
    contact = settings.contact
    default = f"Spyder/{__version__}" + (f" (+{contact})" if contact else "")
    return Identity(settings.user_agent or default, "" if "://" in contact else contact)


def robots_agent(settings: Settings) -> str:
    """The product token by which robots.txt files and pages call us."""
    return settings.robots.agent or product_token(identity(settings.fetch).user_agent)
