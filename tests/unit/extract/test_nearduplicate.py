import random
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyder.extract import nearduplicate
from spyder.extract.html import read_html
from spyder.extract.nearduplicate import NearPages, distance, fingerprint
from spyder.settings import TrapsSection

BITS = TrapsSection().near_distance
MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")  # Debian's package postgresql-doc-15


def words(seed, count):
    chance = random.Random(seed)
    return " ".join("".join(chance.choices("abcdefghijklmnoprstuvwy", k=chance.randint(2, 9))) for _ in range(count))


def mark(text):
    return fingerprint(text, min_text=0)


def pages(**options):
    return NearPages(**{"bits": BITS, "min_text": 100, "all_pages": True, **options})


def look(known, url, text, *, host="a.example", title="", size=5000, links=10):
    return known.look(url, host=host, title=title, size=size, links=links, text=lambda: text)


def test_texts_that_differ_in_digits_and_white_space_have_one_fingerprint():
    text = words(1, 300)
    assert mark(f"{text} 12:30, 4 May 2023") == mark(f"{text}\n\t07:59,  1 May 2024 ")


@pytest.mark.parametrize("change", [
    lambda text: f"Home Products Support Login {text}",
    lambda text: f"{text} Page generated in three seconds by server seven",
    lambda text: text.replace(text.split()[200], "changed"),
    lambda text: text[:-40]])
def test_small_changes_of_a_text_change_few_bits(change):
    text = words(2, 1000)
    assert distance(mark(text), mark(change(text))) <= BITS


def test_other_texts_have_other_fingerprints():
    marks = [mark(words(seed, 300)) for seed in range(40)]
    assert min(distance(one, other) for number, one in enumerate(marks) for other in marks[:number]) > 2 * BITS


def test_short_text_may_differ_less():
    known, text = pages(), words(10, 60)
    look(known, "http://a.example/1", text)
    assert look(known, "http://a.example/2", text).of == "http://a.example/1"
    changed = f"{text} many of"
    assert distance(mark(text), mark(changed)) <= BITS
    assert look(known, "http://a.example/3", changed).of == ""


def test_text_in_a_script_without_spaces_is_cut_as_well():
    chance = random.Random(3)
    text = "".join(map(chr, chance.choices(range(0x4E00, 0x9000), k=2000)))
    assert distance(mark(text), mark("新" + text)) <= BITS < distance(mark(text), mark(text[::-1]))


def test_short_text_has_no_fingerprint():
    assert fingerprint("a" * 199 + " \n" * 100, min_text=200) is None
    assert fingerprint("a" * 200, min_text=200) is not None


@given(st.text(), st.integers(0, 50))
def test_every_text_can_be_looked_at(text, least):
    found = fingerprint(text, min_text=least)
    assert found is None or 0 <= found < 1 << nearduplicate.BITS


def test_page_that_repeats_another_one_of_its_host_is_found():
    known, text = pages(), words(4, 500)
    assert look(known, "http://a.example/1", text).of == ""
    assert look(known, "http://a.example/2", f"{text} today").of == "http://a.example/1"
    assert look(known, "http://a.example/3", f"{text} and today").of == "http://a.example/1"
    assert look(known, "http://a.example/4", words(5, 500)).of == ""
    assert look(known, "http://b.example/1", text, host="b.example").of == ""


def test_page_that_is_fetched_again_does_not_repeat_itself():
    known, text = pages(), words(6, 500)
    look(known, "http://a.example/1", text)
    assert look(known, "http://a.example/1", f"{text} today").of == ""


def test_least_text_and_distance_come_from_the_settings():
    known = pages(bits=0, min_text=10_000)
    assert look(known, "http://a.example/1", words(7, 500)) is None
    known = pages(bits=0)
    look(known, "http://a.example/1", words(7, 500))
    assert look(known, "http://a.example/2", words(7, 500)).of == "http://a.example/1"
    assert look(known, "http://a.example/3", f"now {words(7, 500)}").of == ""


def test_only_pages_that_look_like_others_are_read_for_it():
    known, text = pages(all_pages=False), words(8, 500)
    looked = [look(known, f"http://a.example/{number}", text, title=title, size=size, links=links) is not None
              for number, (title, size, links) in enumerate([
                  ("Day 1", 9000, 1), ("Other", 2000, 2), ("Day 22", 30_000, 3),
                  ("A", 5000, 4), ("B", 5010, 4), ("C", 5020, 4), ("D", 5030, 4), ("E", 5030, 5),
                  ("", 1, 1), ("", 9, 9)])]
    assert looked == [False, False, True, False, False, False, True, False, False, False]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(nearduplicate, "PAGES", 4)
    monkeypatch.setattr(nearduplicate, "HOSTS", 2)
    known = pages()
    texts = [words(number, 200) for number in range(6)]
    for number, text in enumerate(texts):
        look(known, f"http://a.example/{number}", text)
    assert look(known, "http://a.example/new", texts[5]).of == "http://a.example/5"
    assert look(known, "http://a.example/new", texts[0]).of == ""
    for host in ("b.example", "a.example", "c.example", "b.example"):
        look(known, f"http://{host}/", texts[5], host=host)
    assert look(known, "http://a.example/newer", texts[5]).of == ""


def test_memory_of_all_hosts_together_is_bounded(monkeypatch):
    monkeypatch.setattr(nearduplicate, "PAGES_IN_ALL", 3)
    known = pages()
    texts = [words(number, 200) for number in range(3)]
    for host in ("a.example", "b.example"):
        for number, text in enumerate(texts):
            look(known, f"http://{host}/{number}", text, host=host)
    assert look(known, "http://b.example/new", texts[0], host="b.example").of == "http://b.example/0"
    assert look(known, "http://a.example/new", texts[0]).of == ""


@pytest.fixture(scope="module")
def manual():
    """Texts of real pages, each about something else."""
    texts = []
    for path in sorted(MANUAL.glob("*.html"))[::3]:
        found = read_html(path.read_bytes(), url="http://a.example/", content_type="text/html; charset=utf-8",
                          limit=1, max_parse_size=1 << 22)
        texts.append(found.visible_text())
    return [text for text in texts if fingerprint(text, min_text=TrapsSection().near_min_text) is not None]


@pytest.mark.skipif(not MANUAL.is_dir(), reason="the manual of PostgreSQL is not installed")
def test_no_page_of_a_real_manual_repeats_another_one(manual):
    marks = [mark(text) for text in manual]
    assert len(marks) > 300
    assert sum(distance(one, other) <= BITS for one, other in combinations(marks, 2)) == 0


@pytest.mark.skipif(not MANUAL.is_dir(), reason="the manual of PostgreSQL is not installed")
@pytest.mark.parametrize(("change", "least", "most"), [
    (lambda text: "".join("7" if char.isdigit() else char for char in text), 1.0, 1.0),
    (lambda text: f"{text} Generated on Monday, 3 November in 0.12 seconds", 0.6, 1.0),
    (lambda text: f"Home Products Support Downloads Login {text}", 0.6, 1.0),
    (lambda text: text[: len(text) // 2], 0.0, 0.02)])
def test_changes_of_real_pages_that_are_found(manual, change, least, most):
    found = 0
    for text in manual:
        known = pages(min_text=0)
        look(known, "http://a.example/1", text)
        found += look(known, "http://a.example/2", change(text)).of != ""
    assert least <= found / len(manual) <= most
