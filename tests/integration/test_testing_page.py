"""The examples of docs/testing.md, run as they stand there with Spyder as the crawler."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from spyder.testing import Ending

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
QUICK = {"delay": 0.2, "ip_delay": 0.05, "delay_factor": 0.0, "per_host": 1, "per_ip": 1, "backoff": 0.3,
         "max_backoff": 0.5, "park_after": 2, "park_delay": 0.3, "park_factor": 1.0, "park_looks": 1}


class Crawl:
    """``spyder crawl``, as a function of seeds and settings."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, seeds, settings):
        tree = {"politeness": QUICK, "retry": {"delay": {"http-5xx": 0.3, "http-429": 0.3, "reset": 0.3,
                                                         "timeout": 0.3}, "factor": 1.0}, **settings}
        tree["project"] = {"seeds": list(seeds)}
        tree["fetch"] = {"contact": "https://crawler.test/", "first_byte_timeout": 2.0, **settings.get("fetch", {})}
        (self.folder / "s.yaml").write_text(yaml.safe_dump(tree))
        self._spyder("crawl", "--settings", str(self.folder / "s.yaml"), "--output", str(self.folder / "c"), "--quiet")

    def endings(self):
        views = map(json.loads, self._spyder("frontier", "dump", str(self.folder / "c")).splitlines())
        return {view["url"]: Ending(state=view["state"], status=view.get("status", 0),
                                    reason=view.get("reason", "").partition(":")[0]) for view in views}

    @staticmethod
    def _spyder(*arguments):
        done = subprocess.run([sys.executable, "-m", "spyder", *arguments], check=False, text=True, timeout=120,
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: re.search(r"def (\w+)", text)[1])
def test_given_an_example_of_the_page_when_run_with_spyder_then_it_passes(text, tmp_path):
    names = {}
    exec(text, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test(Crawl(tmp_path))


def test_given_the_page_when_read_then_both_sites_have_an_example():
    assert len(EXAMPLES) == 2
