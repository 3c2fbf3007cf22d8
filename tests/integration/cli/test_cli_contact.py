"""Whom servers may write to: asked on a terminal, once; never elsewhere."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest
from commands import PATIENCE

from spyder.settings import load

#: Runs a command as a shell runs one behind which there is a `&`.
BACKGROUND = (sys.executable, "-c", "import os, subprocess, sys; os.login_tty(0); "
              "sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)")
NO_INPUT = ("sh", "-c", 'exec "$@" <&-', "sh")


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    """Runs a command on a terminal: ``terminal(*arguments, answers=[...])`` gives exit code and all that was shown."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CI", raising=False)

    def run(*arguments, answers=(), shell=()):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([*shell, sys.executable, "-m", "spyder", *map(str, arguments)], cwd=tmp_path,
                                   stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        shown, waiting, end = "", list(answers), time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                if select.select([ours], [], [], 0.1)[0]:
                    try:
                        piece = os.read(ours, 65_536)
                    except OSError:  # Linux: nobody holds the other side any more
                        break
                    if not piece:
                        break
                    shown += piece.decode(errors="replace")
                if waiting and shown.count("(empty: nobody)") > len(answers) - len(waiting):
                    os.write(ours, f"{waiting.pop(0)}\n".encode())
            return process.wait(PATIENCE), shown
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(ours)

    return run


def test_first_crawl_on_a_terminal_asks_and_keeps_the_answer(terminal, site, tmp_path):
    code, shown = terminal("crawl", site.url, "--max-pages", 1, "--output", "a", answers=["nonsense", "me@example.org"])
    assert code == 0
    assert "expected a URL" in shown
    assert load().fetch.contact == "me@example.org"
    code, shown = terminal("crawl", site.url, "--max-pages", 1, "--output", "b")
    assert (code, "(empty: nobody)" in shown) == (0, False)


def test_no_answer_is_one_and_is_not_asked_for_again(terminal, site):
    assert terminal("crawl", site.url, "--max-pages", 1, "--output", "a", answers=[""])[0] == 0
    assert load().fetch.contact == ""
    assert "(empty: nobody)" not in terminal("crawl", site.url, "--max-pages", 1, "--output", "b")[1]


def test_init_on_a_terminal_asks_too(terminal):
    code, shown = terminal("init", "mine", answers=["https://example.org/bot"])
    assert (code, "nobody is named" in shown) == (0, False)
    assert load().fetch.contact == "https://example.org/bot"


@pytest.mark.parametrize("arguments", [["--contact", "me@example.org"], ["--user-agent", "Mine/1 (me@example.org)"],
                                       ["--quiet"]])
def test_who_has_said_it_or_wants_quiet_is_not_asked(terminal, site, arguments):
    code, shown = terminal("crawl", site.url, "--max-pages", 1, *arguments)
    assert (code, "(empty: nobody)" in shown) == (0, False)


@pytest.mark.parametrize("shell", [BACKGROUND, NO_INPUT], ids=["background", "no-input"])
def test_who_could_not_answer_is_not_asked(terminal, site, shell):
    code, shown = terminal("crawl", site.url, "--max-pages", 1, shell=shell)
    assert (code, "(empty: nobody)" in shown, "Traceback" in shown) == (0, False, False)


def test_a_pipe_is_never_asked_and_is_told_when_it_goes_beyond_this_host(spyder, site, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert spyder.run("crawl", site.url, "--max-pages", "1", "--quiet", stdin="")[::2] == (0, "")
    line = "spyder: warning: servers are not told whom to write to about this crawl: "
    beyond = ("crawl", "http://unreachable.invalid/", "--max-pages", "0", "--quiet")  # nothing is asked for
    _, _, err = spyder.run(*beyond)
    assert (err.startswith(line), err.count("\n")) == (True, 1)
    assert spyder.run(*beyond, "--contact", "me@example.org", "--fresh")[2] == ""
