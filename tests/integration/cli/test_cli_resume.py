"""State that does not fit the program or its settings: refused in one line that says what to do, and left as it is."""

from pathlib import Path

import pytest

from spyder.contracts import Changes
from spyder.stores.rocksdb import RocksdbStore


@pytest.fixture
def crawled(spyder, site):
    """A finished crawl in `mine`."""
    assert spyder.run("crawl", site.url, "--delay", "0", "--output", "mine", "--quiet")[0] == 0
    return spyder.folder / "mine"


@pytest.mark.parametrize(("changed", "said"), [
    ("canonical: plain", "`standard-2/host`, the settings say `plain/host`"),
    ("assignment: domain", "`standard-2/host`, the settings say `standard-2/domain`")])
def test_settings_that_keys_were_made_with_are_refused(spyder, site, crawled, changed, said):
    (spyder.folder / "other.yaml").write_text(f"frontier: {{{changed}}}\n")

    code, out, err = spyder.run("crawl", site.url, "--output", "mine", "--settings", "other.yaml", "--quiet")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert said in err
    assert "set them back, or begin anew with --fresh" in err
    assert spyder.run("frontier", "check", "mine")[0] == 0
    assert spyder.run("crawl", site.url, "--output", "mine", "--quiet")[0] == 0


@pytest.mark.parametrize(("schema", "age"), [(b"99", "a newer"), (b"0", "an older")])
def test_a_store_of_another_version_is_refused_by_every_command(spyder, site, crawled, schema, age):
    _write_schema(crawled, schema)

    for command in (("crawl", site.url, "--output", "mine", "--quiet"), ("frontier", "check", "mine"),
                    ("frontier", "ls", "mine"), ("requeue", "--all", "--output", "mine")):
        code, out, err = spyder.run(*command)
        assert (code, out, err.count("\n")) == (1, "", 1), command
        assert f"was written by {age} Spyder (schema {schema.decode()}, this one reads 1): use that version, or" in err


def _write_schema(crawled: Path, schema: bytes) -> None:
    store = RocksdbStore.open(crawled / "frontier", cache=1 << 20)
    store.commit(Changes(meta={"schema": schema}))
    store.close()
