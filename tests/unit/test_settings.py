"""Settings: what is taken, what is refused and how, and that files, documentation and code say the same."""

from pathlib import Path

import pytest

from spyder.errors import SettingsError
from spyder.settings import (
    ProcessorSection,
    Section,
    Settings,
    digests,
    fields,
    from_tree,
    identity_file,
    keep_contact,
    load,
    to_tree,
)
from spyder.settings_text import default_yaml, settings_markdown

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "settings").glob("*.yaml"))


def load_text(tmp_path, text, **kwargs):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load(path, environ=kwargs.pop("environ", {}), **kwargs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_in_settings_loads(path):
    assert load(path, environ={}) is not None


def test_the_files_that_users_are_promised_are_there():
    assert {path.name for path in FILES} >= {"default.yaml", "single-site.yaml", "broad.yaml", "cluster.yaml"}


def test_default_yaml_equals_the_defaults():
    assert load(ROOT / "settings/default.yaml", environ={}) == Settings()


def test_default_yaml_is_what_the_code_writes():
    assert (ROOT / "settings/default.yaml").read_text(encoding="utf-8") == default_yaml()


def test_docs_are_what_the_code_writes():
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == settings_markdown()


def sections():
    sample = Settings()
    for name in Settings.__struct_fields__:
        yield name, ProcessorSection if name == "processors" else type(getattr(sample, name))


@pytest.mark.parametrize(("name", "section"), list(sections()), ids=[name for name, _ in sections()])
def test_every_section_and_key_is_documented(name, section):
    assert section.__doc__ and section.__doc__ != Section.__doc__
    docs, yaml = settings_markdown(), default_yaml()
    assert f"## {name}\n" in docs
    assert f"\n{name}:" in yaml
    for key, _, text in fields(section):
        assert text, f"{name}.{key} has no description"
        assert f"| `{key}` |" in docs.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert text in yaml


def test_cluster_allows_its_addresses_in_words():
    settings = load(ROOT / "settings/cluster.yaml", environ={})
    assert settings.bus.insecure
    assert all(address.startswith("tcp://10.") for address in (settings.bus.mgmt_master, settings.bus.outcomes))


def test_later_sources_win(tmp_path):
    text = "fetch: {connections: 2, max_redirects: 3, timeout: 4}\n"
    environ = {"SPYDER_FETCH__CONNECTIONS": "5", "SPYDER_FETCH__TIMEOUT": "6", "OTHER": "x"}
    settings = load_text(tmp_path, text, environ=environ, overrides={"fetch.connections": 7, "fetch.accept": None})
    assert (settings.fetch.connections, settings.fetch.max_redirects, settings.fetch.timeout) == (7, 3, 6.0)


def test_empty_file_and_empty_section_mean_defaults(tmp_path):
    assert load_text(tmp_path, "") == load_text(tmp_path, "fetch:\n") == Settings()


@pytest.mark.parametrize(("text", "message"), [
    ("fetch: {conections: 3}",
     r"s\.yaml: unknown key `fetch\.conections`; did you mean `fetch\.connections`\?"),
    ("fetsh: {}", r"s\.yaml: unknown section `fetsh`; did you mean `fetch`\?"),
    ("zzz: {}", "known: project, scope"),
    ("fetch: {connections: many}", r"`fetch\.connections`: Expected a whole number, got text; got 'many'"),
    ("fetch: {connections: 0}", r"`fetch\.connections`: Expected a whole number >= 1; got 0"),
    ("politeness: {delay: -1}", r"`politeness\.delay`: .*>= 0"),
    ("politeness: {delay: .inf}", r"`politeness\.delay`: expected a finite number"),
    ("politeness: {delay: .nan}", r"`politeness\.delay`: "),
    ("retry: {delay: {dns: .inf}}", r"`retry\.delay`: expected a finite number"),
    ("retry: {attempts: {dsn: 1}}", r"unknown class of error `retry\.attempts\.dsn`; did you mean `dns`\?"),
    ("scope: {mode: hosts}", r"`scope\.mode`: "),
    ("fetch: 3", "`fetch` must be a section of keys, got 3"),
    ("processors: {a: 1}", "`processors` must be a list"),
    ("processors: [3]", "a processor is `module:Class`"),
    ("processors: [{use: 'a:b', timout: 3}]", r"unknown key `processors\.timout`; did you mean `timeout`\?"),
    ("- a", "expected sections like `fetch:`, got list"),
    ("a: [", r"s\.yaml, line \d: is no YAML"),
    ("a\0b", r"s\.yaml: is no YAML: .*special characters"),
])
def test_what_is_wrong_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message) as raised:
        load_text(tmp_path, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "reason"), [("nope.yaml", "No such file"), (".", "Is a directory")])
def test_unreadable_file_is_named(tmp_path, name, reason):
    with pytest.raises(SettingsError, match=reason):
        load(tmp_path / name, environ={})


def test_file_that_is_no_text(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load(tmp_path / "s.yaml", environ={})


def test_wrong_variable_names_itself():
    with pytest.raises(SettingsError, match=r"environment variable SPYDER_FETCH__CONNECTIONS: `fetch\.connections`"):
        load(environ={"SPYDER_FETCH__CONNECTIONS": "x"})


def test_processor_may_be_a_name_alone(tmp_path):
    settings = load_text(tmp_path, "processors: ['m:A', {use: 'm:B', settings: {n: 1}, timeout: 2}]")
    assert settings.processors == (ProcessorSection(use="m:A"),
                                   ProcessorSection(use="m:B", settings={"n": 1}, timeout=2.0))


def test_tree_and_back():
    settings = load(ROOT / "settings/broad.yaml", environ={})
    assert from_tree(to_tree(settings)) == settings


def test_digests_tell_what_master_and_workers_must_share():
    base = digests(Settings())
    assert digests(load(overrides={"fetch.connections": 3, "project.seeds": ["http://h/"]}, environ={})) == base
    other = digests(load(overrides={"scope.depth": 3}, environ={}))
    assert {name for name in base if base[name] != other[name]} == {"scope"}


def test_who_a_person_is_counts_where_nothing_else_says_it(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nowhere"}
    path = identity_file(environ)
    assert path == tmp_path / "spyder" / "identity.yaml"
    assert load(environ=environ).fetch.contact == ""
    keep_contact(path, "me@example.org")
    assert load(environ=environ).fetch.contact == "me@example.org"
    assert load_text(tmp_path, "fetch: {contact: 'https://x.example/'}",
                     environ=environ).fetch.contact == "https://x.example/"
    assert load(environ=environ, overrides={"fetch.contact": "you@example.org"}).fetch.contact == "you@example.org"


@pytest.mark.parametrize(("environ", "path"), [
    ({"HOME": "/h"}, "/h/.config/spyder/identity.yaml"), ({}, None), ({"HOME": ""}, None),
    ({"HOME": "/h", "XDG_CONFIG_HOME": "rel"}, "/h/.config/spyder/identity.yaml")])
def test_place_of_the_identity_is_that_of_the_desktop_standard(environ, path):
    assert identity_file(environ) == (None if path is None else Path(path))


@pytest.mark.parametrize(("text", "message"), [
    ("fetch: {connections: 3}", r"identity\.yaml: `fetch\.connections` does not belong here"),
    ("scope: {mode: any}", r"`scope\.mode` does not belong here"), ("contact: x", "`contact` does not belong here"),
    ("fetch: {contact: 3}", r"`fetch\.contact`: Expected text")])
def test_identity_says_who_a_person_is_and_no_more(tmp_path, text, message):
    (tmp_path / "spyder").mkdir()
    (tmp_path / "spyder/identity.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        load(environ={"XDG_CONFIG_HOME": str(tmp_path)})


def test_agents_of_workers_must_be_those_of_the_master():
    one, other = (digests(load(overrides={"fetch.user_agent": agent}, environ={})) for agent in ("One/1", "Other/1"))
    assert {name for name in one if one[name] != other[name]} == {"robots"}


def test_given_the_bare_word_off_in_yaml_then_it_is_no_false(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("fetch: {cookies: off}\nguard: {policy: off}\n")
    settings = load(file, environ={})
    assert (settings.fetch.cookies, settings.guard.policy) == ("off", "off")


@pytest.mark.parametrize("text", ["fetch: {auth: [{host: a, user: b, pasword: s3cret}]}",
                                  "fetch: {auth: {password: s3cret}}", "fetch: {proxies: 'http://u:s3cret@p/'}"])
def test_given_wrong_credentials_in_the_settings_then_the_refusal_does_not_show_them(tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="`fetch") as refusal:
        load(file, environ={})
    assert "s3cret" not in str(refusal.value)
