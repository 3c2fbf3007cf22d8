"""What a robots.txt allows (RFC 9309): product tokens, what statuses mean, and the matching of rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from spyder.model.records import RobotsRules

#: The path that no rule forbids (RFC 9309, section 2.2.2).
ROBOTS_PATH: Final = "/robots.txt"

#: The name that a user agent begins with. RFC 9309, section 2.2.1, has no digits in it; MJ12bot and others do.
_TOKEN: Final = re.compile(r"\s*([A-Za-z0-9_-]+)")
#: A crawler that calls itself a browser first names itself in the comment.
_COMPATIBLE: Final = re.compile(r"\s*Mozilla/\S+\s+(?:.*?[(;]\s*)compatible;\s*([A-Za-z0-9_-]+)", re.IGNORECASE)
#: What is not written as it stands: percent-encoded octets, and all but the unreserved and the reserved characters of
#: RFC 3986, section 2. ``*`` and ``$`` are among them, since they mean something in a rule.
_ODD: Final = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~:/?#\[\]@!&'()+,;=-]")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")

#: Rules with wildcards that are kept as such: the most that were seen in 994 files of real sites are 127. What goes
#: beyond is made for us to waste time on; it forbids all that begins as it does.
MAX_WILD: Final = 1000
#: Rules with wildcards from which on they are looked up by parts of them, and not tried one by one.
_MANY: Final = 32
#: Lengths of the parts that rules with wildcards are looked up by, in characters.
_GRAMS: Final = (8, 4, 2, 1)


class RobotsVerdict(StrEnum):
    """What the status of an answer to /robots.txt means (RFC 9309, section 2.3.1)."""

    PARSE = "parse"  #: its rules hold
    REDIRECT = "redirect"  #: it is elsewhere; what leads nowhere is to be held
    ALLOW = "allow"  #: there is none: all is allowed
    HOLD = "hold"  #: it can't be had now: nothing is allowed until it can


def robots_verdict(status: int) -> RobotsVerdict:
    """What the HTTP *status* of an answer to /robots.txt means; 0, no answer, is held.

    401 and 403 are no reason to stay away (RFC 9309, section 2.3.1.3); 429 is a server in trouble.
    """
    if 200 <= status < 300:
        return RobotsVerdict.PARSE
    if 300 <= status < 400:
        return RobotsVerdict.REDIRECT
    if 400 <= status < 500 and status != 429:
        return RobotsVerdict.ALLOW
    return RobotsVerdict.HOLD


def product_token(user_agent: str) -> str:
    """The name by which robots.txt files call the sender of *user_agent*, empty when it has none.

    It is the first word: ``Spyder`` of ``Spyder/0.1 (+https://example.org/)``; behind ``Mozilla/5.0 (compatible;`` it
    is the word that follows there.
    """
    match = _COMPATIBLE.match(user_agent) or _TOKEN.match(user_agent)
    return match[1] if match else ""


def normal_target(target: str) -> str:
    """Path and query of a URL as they are compared with rules: percent-encoded alike (RFC 9309, section 2.2.2).

    What needs no encoding is decoded, all other octets are encoded with capital digits, reserved characters stay as
    they are (encoded ones are something else: RFC 3986, section 2.2). ``*`` and ``$`` are encoded: a rule that means
    the characters themselves writes them so.
    """
    if not target.isascii():
        target = target.encode("utf-8", "surrogatepass").decode("latin-1")
    return _ODD.sub(_encoded, target)


def normal_pattern(octets: str) -> str:
    """The path of a rule as :class:`RobotsRules` has it; *octets* are its bytes read as Latin-1.

    Encoded as :func:`normal_target` does, but for each ``*`` and for a ``$`` at the end.
    """
    is_anchored = octets.endswith("$")
    pieces = (octets[:-1] if is_anchored else octets).split("*")
    return "*".join(_ODD.sub(_encoded, piece) for piece in pieces) + ("$" if is_anchored else "")


def _encoded(match: re.Match[str]) -> str:
    return _encode(match[0])


@lru_cache(maxsize=1024)
def _encode(odd: str) -> str:
    if len(odd) == 3:
        character = chr(int(odd[1:], 16))
        return character if _UNRESERVED.fullmatch(character) else odd.upper()
    return f"%{ord(odd):02X}"


class _Rule(NamedTuple):
    """A rule; of several that match the greatest decides: the longest, then the one that allows."""

    length: int
    is_allowed: bool
    pattern: str


class _Wild:
    """A rule with ``*`` before its end, cut into the pieces between."""

    __slots__ = ("head", "middle", "rule", "tail")

    def __init__(self, rule: _Rule) -> None:
        pieces = rule.pattern.removesuffix("$").split("*")
        self.rule = rule
        self.head = pieces[0]
        self.tail = pieces[-1] if rule.pattern.endswith("$") else None  #: what the target must end with
        self.middle = tuple(filter(None, pieces[1:] if self.tail is None else pieces[1:-1]))

    def gram(self) -> str:
        """A part of the rule that each target has in it which the rule matches; empty when there is none."""
        piece = max((self.head, *self.middle, self.tail or ""), key=len)
        return piece[-next((size for size in _GRAMS if size <= len(piece)), 0):] if piece else ""

    def matches(self, target: str) -> bool:
        """True when the rule matches: each piece is sought behind the one before, and its first place is the best."""
        if not target.startswith(self.head):
            return False
        at = len(self.head)
        for piece in self.middle:
            at = target.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return self.tail is None or (at <= len(target) - len(self.tail) and target.endswith(self.tail))


class RobotsMatcher:
    """Says which targets *rules* allow; built once, asked often.

    The longest rule that matches decides, and of two of the same length the one that allows (RFC 9309, section 2.2.2).
    Literal rules are looked up by their length, those with wildcards by a part of them, so that a check costs little
    more with 50,000 rules than with 10; no pattern takes more than linear time. Of rules with wildcards beyond the
    :data:`MAX_WILD` longest, those that forbid are taken for what stands before the wildcard, the others are left out.
    """

    __slots__ = ("_exact", "_few", "_grams", "_is_open", "_prefixes")

    def __init__(self, rules: RobotsRules) -> None:
        self._exact: dict[str, _Rule] = {}  #: rules that end with ``$``, by all that stands before it
        self._few: list[_Wild] = []  #: rules that are tried one by one
        self._grams: list[tuple[int, dict[str, list[_Wild]]]] = []  #: the others by a part of them, by its length
        prefixes: dict[int, dict[str, _Rule]] = {}
        wild: list[_Rule] = []
        for rule in _rules(rules):
            pattern = rule.pattern.rstrip("*")
            if "*" in pattern:
                wild.append(rule)
            elif pattern.endswith("$"):
                self._exact[pattern[:-1]] = rule
            else:
                _add_prefix(prefixes, pattern, rule)
        wild.sort(reverse=True)
        for rule in wild[MAX_WILD:]:
            if not rule.is_allowed:
                _add_prefix(prefixes, rule.pattern.partition("*")[0], rule)
        #: length, the rules with such a prefix, and the length of the longest rule in it and in what follows
        self._prefixes: list[tuple[int, dict[str, _Rule], int]] = []
        longest = 0
        for length, known in sorted(prefixes.items()):
            longest = max(longest, *(rule.length for rule in known.values()))
            self._prefixes.insert(0, (length, known, longest))
        self._index([_Wild(rule) for rule in wild[:MAX_WILD]])
        self._is_open = not rules.disallow

    def _index(self, wild: list[_Wild]) -> None:
        if len(wild) <= _MANY:
            self._few = wild
            return
        by_size: dict[int, dict[str, list[_Wild]]] = {}
        for one in wild:
            gram = one.gram()
            if gram:
                by_size.setdefault(len(gram), {}).setdefault(gram, []).append(one)
            else:
                self._few.append(one)
        self._grams = sorted(by_size.items())

    def allows(self, target: str) -> bool:
        """True when *target* may be fetched: path and query of a WHATWG URL, as they stand there."""
        if self._is_open:
            return True
        rule = self._deciding(target)
        return rule is None or rule.is_allowed

    def rule_for(self, target: str) -> tuple[bool, str] | None:
        """The rule that decides about *target*: whether it allows, and its path; None when no rule says anything."""
        rule = self._deciding(target)
        return None if rule is None else (rule.is_allowed, rule.pattern)

    def _deciding(self, target: str) -> _Rule | None:
        target = normal_target(target)
        if target.partition("?")[0] == ROBOTS_PATH:
            return _Rule(len(ROBOTS_PATH), True, ROBOTS_PATH)
        best = self._exact.get(target)
        for length, known, longest in self._prefixes:
            if best is not None and best.length > longest:
                break
            rule = known.get(target[:length])
            if rule is not None and (best is None or rule > best):
                best = rule
        for one in self._candidates(target):
            if (best is None or one.rule > best) and one.matches(target):
                best = one.rule
        return best

    def _candidates(self, target: str) -> Iterator[_Wild]:
        yield from self._few
        for size, index in self._grams:
            grams = {target[at : at + size] for at in range(len(target) - size + 1)}
            for gram in index.keys() & grams:
                yield from index[gram]


def _add_prefix(prefixes: dict[int, dict[str, _Rule]], prefix: str, rule: _Rule) -> None:
    known = prefixes.setdefault(len(prefix), {})
    known[prefix] = max(rule, known.get(prefix, rule))


def _rules(rules: RobotsRules) -> Iterable[_Rule]:
    """Each pattern once; of the same pattern allowed and forbidden, the former."""
    patterns = dict.fromkeys(rules.disallow, False) | dict.fromkeys(rules.allow, True)
    return (_Rule(len(pattern), is_allowed, pattern) for pattern, is_allowed in patterns.items() if pattern)
