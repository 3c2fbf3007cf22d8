"""Users' processors: built at start, run one after the other, each under its time limit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from spyder import plugins
from spyder.bounds import TimeIsUpError, time_limit
from spyder.contracts import PageView, Processor
from spyder.errors import PluginError
from spyder.model.records import Failure
from spyder.model.states import ErrorKind
from spyder.settings import ProcessorSection

_log = logging.getLogger(__name__)


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A processor with its name and its limit."""

    name: str
    call: Processor
    timeout: float  #: seconds, 0 for none


def build(sections: Sequence[ProcessorSection]) -> list[Stage]:
    """The processors of the settings, in order.

    Raises :class:`PluginError` naming the one that can't be found or built.
    """
    stages = []
    for index, section in enumerate(sections):
        if not section.use:
            raise PluginError(f"processors[{index}]: `use` must name a `module:Class`")
        stages.append(Stage(name=section.use, call=plugins.build(section.use, section.settings, kind="processor"),
                            timeout=section.timeout))
    return stages


def run(stages: Sequence[Stage], page: PageView, *, on_step: Callable[[], None] = lambda: None) -> Failure | None:
    """Call the processors with *page*; the first that fails ends it, with the reason.

    *on_step* is called before each: there is progress. A processor whose native code never returns makes none, and
    its worker's supervisor kills it.
    """
    for stage in stages:
        on_step()
        try:
            with time_limit(stage.timeout):
                stage.call(page)
        except TimeIsUpError:
            return Failure(kind=ErrorKind.PROCESSOR_TIMEOUT, detail=f"{stage.name}: more than {stage.timeout:g} s")
        except (Exception, SystemExit) as error:  # noqa: BLE001  the edge of users' code: any failure becomes an outcome
            _log.warning("processor %s failed on %s", stage.name, page.url, exc_info=True)
            return Failure(kind=ErrorKind.PROCESSOR, detail=f"{stage.name}: {describe(error)}")
    return None


def describe(error: BaseException) -> str:
    """*error* as one line of bounded length that every encoding can say, also when its own text fails."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  a user's __str__
        text = f"{type(error).__name__}: (its text can't be read)"
    return " ".join(text[:1000].encode("utf-8", "backslashreplace").decode().split())[:400]
