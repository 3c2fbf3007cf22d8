"""The API's later calls with its own client, over a master that is a list of what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from spyder.errors import ApiError, ConflictError, SettingsError, SpyderError, StoreError
from spyder.settings import ApiSection
from spyder.web.api import serve
from spyder.web.client import MasterClient


class Made(msgspec.Struct, array_like=True):
    """A record that travels as a list between processes."""

    size: int
    projects: dict[str, dict[str, int]]


class Control:
    """Remembers what it was asked, and answers or refuses."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None

    def status(self) -> Any:
        return Made(size=0, projects={})

    def add_seeds(self, urls: Any) -> Any:
        return self._answer(list(urls))

    def end(self, reason: str) -> None:
        self.asked.append(reason)

    async def checkpoint(self, directory: str) -> Any:
        await asyncio.sleep(0)
        return self._answer(directory)

    async def requeue(self, **asked: Any) -> Any:
        await asyncio.sleep(0)
        return self._answer(asked)

    def scope(self) -> Any:
        return self._answer("scope")

    def edit_scope(self, rules: Any, *, version: Any = None) -> Any:
        return self._answer((rules, version))

    def judge(self, urls: Any, *, depth: int, embeds: int) -> Any:
        return (self._answer((list(urls), depth, embeds)),)

    def _answer(self, asked: Any) -> Any:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return Made(size=7, projects={"default": {"done": 1}})


def client(url: str) -> MasterClient:
    """A client that closes its connection after each call."""
    found = MasterClient(url)
    found._session.headers["Connection"] = "close"
    return found


def post(url: str, body: str | bytes, **headers: str) -> requests.Response:
    """The answer to a body as it stands."""
    return requests.post(url, data=body, headers={"Connection": "close", **headers}, timeout=10)


def talk(control: Control, say: Callable[[str], Any]) -> Any:
    """What *say* gets from the API at the URL that it is given."""
    async def served() -> Any:
        with serve(control, ApiSection(port=0)) as port:
            said = await asyncio.to_thread(say, f"http://127.0.0.1:{port}")
            while asyncio.all_tasks() - {asyncio.current_task()}:  # the connections, which the clients have closed
                await asyncio.sleep(0.005)
            return said
    return asyncio.run(served())


def test_given_a_folder_when_a_checkpoint_is_asked_for_then_the_record_comes_back_by_name() -> None:
    control = Control()
    made = talk(control, lambda url: client(url).checkpoint(Path("/a/b ü")))
    assert made == {"size": 7, "projects": {"default": {"done": 1}}}
    assert control.asked == ["/a/b ü"]


def test_given_a_request_when_it_is_made_then_the_master_gets_all_of_it() -> None:
    control = Control()
    talk(control, lambda url: client(url).requeue(urls=["a", "b"], states=("failed",), host="h", reason="dns"))
    talk(control, lambda url: post(f"{url}/api/requeue", "{}").raise_for_status())
    assert control.asked == [{"urls": ["a", "b"], "states": ["failed"], "host": "h", "reason": "dns"},
                             {"urls": [], "states": [], "host": "", "reason": ""}]


@pytest.mark.parametrize("call", [
    lambda it: it.checkpoint(Path("/x")), lambda it: it.add_seeds(["h"]),
    lambda it: it.requeue(urls=[], states=[], host="", reason="")], ids=["checkpoint", "seeds", "requeue"])
@pytest.mark.parametrize("error", [
    StoreError("/tmp/ü–\u2603 <x> can't be written"), SpyderError("two\nlines")], ids=["signs", "lines"])
def test_given_a_master_that_refuses_when_called_then_the_client_says_why_in_one_line(
        call: Callable[[MasterClient], Any], error: SpyderError) -> None:
    control = Control()
    control.error = error

    def say(url: str) -> str:
        with pytest.raises(ApiError) as caught:
            call(client(url))
        return str(caught.value).partition(" refuses: ")[2]
    assert talk(control, say) == " ".join(str(error).split())


@pytest.mark.parametrize(("path", "body", "words"), [
    ("checkpoint", '{"directory": "relative"}', "`directory` must be an absolute path"),
    ("checkpoint", '{"directory": "/a\\u0000b"}', "`directory` must be an absolute path"),
    ("checkpoint", "{}", 'expected {"directory": "/an/absolute/path"}'),
    ("checkpoint", "no JSON", 'expected {"directory"'), ("checkpoint", b"\xff\xfe", 'expected {"directory"'),
    ("requeue", '{"states": ["done"]}', 'expected {"urls": []'), ("requeue", '{"url": "x"}', 'expected {"urls": []'),
    ("seeds", '{"urls": "x"}', 'expected {"urls": ["https://example.org/"]}'),
    ("scope/test", '{"urls": ["h"], "depth": -1}', 'expected {"urls": ["https://example.org/"], "depth": 1'),
])
def test_given_a_body_that_is_no_request_when_posted_then_it_says_what_is_expected_and_the_master_hears_nothing(
        path: str, body: str | bytes, words: str) -> None:
    control = Control()
    answer = talk(control, lambda url: post(f"{url}/api/{path}", body))
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert control.asked == []


def test_given_an_unexpected_error_when_called_then_it_is_a_server_error_and_not_a_refusal(
        caplog: pytest.LogCaptureFixture) -> None:
    control = Control()
    control.error = ZeroDivisionError("secret")
    answer = talk(control, lambda url: post(f"{url}/api/requeue", "{}"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("headers", [{"Origin": "https://example.org"}, {"Host": "example.org"}], ids=str)
def test_given_a_page_in_a_browser_when_it_calls_then_it_is_refused_and_the_master_hears_nothing(
        headers: dict[str, str]) -> None:
    control = Control()
    answer = talk(control, lambda url: post(f"{url}/api/checkpoint", '{"directory": "/x"}', **headers))
    assert answer.status_code == 403
    assert control.asked == []


def test_given_rules_of_a_scope_when_they_are_shown_tested_and_edited_then_the_master_gets_all_of_it() -> None:
    control = Control()
    rule = {"name": "x", "reject": {"host": "ü.example"}}
    seen = talk(control, lambda url: client(url).scope())
    talk(control, lambda url: client(url).edit_scope([rule, "limits"], version=3))
    talk(control, lambda url: client(url).edit_scope(None))
    verdicts = talk(control, lambda url: client(url).judge(["http://h/"], depth=2, embeds=1))
    assert (seen, verdicts) == ({"size": 7, "projects": {"default": {"done": 1}}}, [seen])
    assert control.asked == ["scope", ([rule, "limits"], 3), (None, None), (["http://h/"], 2, 1)]


@pytest.mark.parametrize(("error", "status"), [
    (SettingsError("`ü\u2603`: there is no such condition"), 400), (ConflictError("changed meanwhile"), 409),
    (StoreError("the disk is full"), 503)], ids=["settings", "conflict", "store"])
def test_given_an_edit_that_is_refused_when_put_then_the_status_tells_whose_fault_it_is(
        error: SpyderError, status: int) -> None:
    control = Control()
    control.error = error
    answer = talk(control, lambda url: requests.put(f"{url}/api/scope", data='{"rules": []}', timeout=10,
                                                    headers={"Connection": "close"}))
    assert (answer.status_code, answer.json()["error"]) == (status, str(error))
