"""A process that can't finish its own end is ended: with its exit code, in one line at the most."""

import subprocess
import sys

import pytest

from spyder.model.states import ExitCode

#: What hangs, and how.
HANGS = {
    "python": "time.sleep(60)",
    "native code that keeps the interpreter": "ctypes.PyDLL(None).sleep(60)",
    "the interpreter's own end": "atexit.register(ctypes.PyDLL(None).sleep, 60)",
}


def ended(code: str) -> tuple[int, str]:
    """Exit code, and what was written, of a process that runs *code*."""
    done = subprocess.run([sys.executable, "-c", f"import asyncio, atexit, ctypes, time\nfrom spyder import runtime\n"
                           f"from spyder.model.states import ExitCode\n{code}"], check=False, timeout=50, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.mark.parametrize("hang", HANGS)
def test_given_an_end_that_hangs_when_its_time_is_up_then_it_is_cut_short_with_its_code(hang):
    code, said = ended(f"runtime.end_hard_after(0.2)\n{HANGS[hang]}")
    assert code == ExitCode.HARD_DEADLINE
    if hang == "python":
        assert said.startswith("spyder: process ") and said.endswith(
            " could not end within 0.2 s and is cut short; nothing is lost by it\n") and said.count("\n") == 1
    else:
        assert said == ""


def test_given_a_code_of_its_own_when_cut_short_then_it_is_that():
    assert ended("runtime.end_hard_after(0.1, code=ExitCode.ORPHANED)\ntime.sleep(60)")[0] == ExitCode.ORPHANED


def test_given_no_such_timer_when_native_code_hangs_then_the_process_ends_without_a_traceback():
    code, said = ended("class NoLibrary:\n    pass\nsleep = ctypes.PyDLL(None).sleep\n"
                       "ctypes.CDLL = lambda name: NoLibrary()\nruntime.end_hard_after(0.1)\nsleep(60)")
    assert (code, said) == (ExitCode.ERROR, "")


def test_given_an_end_in_time_when_it_is_cancelled_then_the_process_goes_on():
    code, said = ended("with runtime.hard_deadline(0.2):\n    pass\ntime.sleep(1.5)\nprint('alive')")
    assert (code, said) == (0, "alive\n")


def test_given_a_loop_that_ran_when_the_process_ends_then_its_end_has_a_deadline():
    code, said = ended("runtime.HARD_EXIT_AFTER = 0.2\nasync def main(): return 1\nassert runtime.run(main()) == 1\n"
                       "atexit.register(print, 'still there', flush=True)\n"
                       "class Hangs:\n    def __del__(self): ctypes.PyDLL(None).sleep(60)\nkept = Hangs()")
    assert (code, said) == (ExitCode.HARD_DEADLINE, "still there\n")


def test_given_a_thread_of_the_loop_that_hangs_when_the_loop_ends_then_the_process_does():
    code, said = ended("runtime.hard_deadline.__wrapped__.__defaults__ = (0.2,)\n"
                       "async def main(): asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)\n"
                       "runtime.run(main())")
    assert code == ExitCode.HARD_DEADLINE and "could not end within 0.2 s" in said
