"""The catalogue of the hostile site, and the verdict on a crawl of it: every kind of deviation is found."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from spyder.model.states import ErrorKind, UriState
from spyder.testsite.hostile import catalogue
from spyder.testsite.hostile.behaviour import Behaviour, filled
from spyder.testsite.hostile.catalogue import BEHAVIOURS
from spyder.testsite.hostile.verdict import Ending, complaints

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "hostile.md"


async def nothing(to):
    raise AssertionError("nobody asks")


def behaviour(**more):
    return Behaviour(**{"name": "some", "group": "bodies", "does": "something", "ends": ("failed timeout",),
                        "serve": nothing, **more})


DONE = Ending(state="done", status=200)
GOOD = {f"http://127.40.0.1/good/{number}": DONE for number in (1, 2, 3)}
PLACES = {"here": "http://127.40.0.1"}
BAD = "http://127.40.0.1/bad"
LATE = Ending(state="failed", reason="timeout")


def test_given_the_catalogue_when_counted_then_there_are_more_than_a_hundred_with_names_and_places_of_their_own():
    assert len(BEHAVIOURS) > 300
    assert max(Counter(one.name for one in BEHAVIOURS).values()) == 1
    assert max(Counter(map(catalogue.address_of, BEHAVIOURS)).values()) == 1
    assert {one.group for one in BEHAVIOURS} == set(catalogue.groups())


@pytest.mark.parametrize("one", BEHAVIOURS, ids=lambda one: one.name)
def test_given_a_behaviour_when_its_ends_are_read_then_they_are_states_and_reasons_that_exist(one):
    kinds = {kind.value for kind in ErrorKind}
    states = {state.name.lower() for state in UriState if state.is_settled}
    assert one.ends
    for end in (*one.ends, *(end for _, ends in one.also for end in ends)):
        state, _, what = end.partition(" ")
        assert end == "absent" or (state in states and (what.isdecimal() if state == "done" else what in kinds)), end
    places = catalogue.places(one, port=1, door=2)
    assert "{" not in filled(one.path, places) + "".join(filled(url, places) for url, _ in one.also)


def test_given_the_document_when_compared_with_the_catalogue_then_its_tables_are_those():
    assert catalogue.table() in DOCUMENT.read_text(encoding="utf-8"), "python -m spyder.testsite.hostile writes them"
    assert f"{len(BEHAVIOURS)} behaviours" in DOCUMENT.read_text(encoding="utf-8")


def test_given_names_and_groups_when_chosen_then_these_are_taken_and_unknown_words_refused():
    assert [one.name for one in catalogue.chosen(["body-drip"])] == ["body-drip"]
    assert {one.group for one in catalogue.chosen(["tls", "head-nul"])} == {"tls", "heads"}
    assert catalogue.chosen() == BEHAVIOURS
    with pytest.raises(ValueError, match="no group or behaviour: bodys"):
        catalogue.chosen(["bodys"])


def test_given_the_modules_of_the_site_when_read_then_none_but_the_server_opens_sockets():
    folder = Path(catalogue.__file__).parent
    users = {path.name for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Import) and any(alias.name in {"socket", "ssl"} for alias in node.names)}
    assert users == {"server.py"}


def test_given_an_end_as_documented_when_judged_then_nothing_is_said():
    assert complaints(behaviour(), PLACES, {BAD: LATE, **GOOD}, [("/", 1.0), ("/bad", 2.0)]) == []


@pytest.mark.parametrize(("more", "endings", "said"), [
    ({}, {BAD: DONE, **GOOD}, "/bad ended as `done 200`, not as `failed timeout`"),
    ({}, GOOD, "/bad ended as `absent`"),
    ({}, {BAD: LATE}, "the good page /good/1 ended as `absent`"),
    ({}, {BAD: LATE, **GOOD, "http://127.40.0.1/good/2": LATE}, "the good page /good/2 ended as `failed timeout`"),
    ({"within": 2.0}, {BAD: Ending(state="failed", reason="timeout", elapsed=3.0), **GOOD}, "took 3.0 s, more than 2"),
    ({"ends": ("done 200",), "title": "bad"}, {BAD: Ending(state="done", status=200, title="good"), **GOOD},
     "has the title 'good', not 'bad'"),
    ({"also": (("{here}/other", ("absent",)),)}, {BAD: LATE, "http://127.40.0.1/other": DONE, **GOOD},
     "/other ended as `done 200`, not as `absent`"),
])
def test_given_another_end_when_judged_then_it_is_named(more, endings, said):
    found = complaints(behaviour(**more), PLACES, endings, [])
    assert any(said in line for line in found), found
    assert all(line.startswith("some: ") for line in found)


@pytest.mark.parametrize(("more", "requests", "said"), [
    ({"most": 1}, [("/bad", 1.0), ("/bad?x", 2.0)], "2 requests, more than 1; the last one for /bad?x"),
    ({"ends": ("excluded robots",)}, [("/bad", 1.0)], "/bad was asked for"),
    ({"ends": ("excluded robots",), "path": "/", "most": 0}, [("/", 1.0)], "1 requests, more than 0"),
    ({"pause": 1.0}, [("/bad", 1.0), ("/good/1", 1.9)], "two requests within 0.900 s, less than 1"),
])
def test_given_requests_that_must_not_be_when_judged_then_they_are_named(more, requests, said):
    one = behaviour(**more)
    end = one.ends[0].split()
    endings = {f"http://127.40.0.1{one.path}": Ending(state=end[0], reason=end[1]), **GOOD}
    assert any(said in line for line in complaints(one, PLACES, endings, requests))


def test_given_robots_and_good_pages_when_counted_then_only_what_is_beside_them_counts():
    requests = [("/robots.txt", 0.0), ("/", 1.0), ("/good/1", 2.0), ("/good/2", 2.0), ("/good/3", 2.0), ("/bad", 3.0)]
    assert complaints(behaviour(most=1), PLACES, {BAD: LATE, **GOOD}, requests) == []


def test_given_a_url_in_another_spelling_when_judged_then_it_is_found_as_the_frontier_has_it():
    one = behaviour(also=(("http://2130706433/x", ("excluded address",)),))
    endings = {BAD: LATE, "http://127.0.0.1/x": Ending(state="excluded", reason="address"), **GOOD}
    assert complaints(one, PLACES, endings, []) == []
