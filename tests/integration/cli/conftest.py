"""Fixtures: a running site, commands in an empty folder, settings with free ports."""

import threading

import pytest
from commands import Commands, Site, free_ports


@pytest.fixture
def site():
    """A running site."""
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def spyder(tmp_path):
    """Commands in an empty folder."""
    commands = Commands(tmp_path)
    yield commands
    commands.close()


@pytest.fixture
def cluster(tmp_path, site):
    """Writes a settings file with free ports; returns its name. Keyword arguments are sections as YAML."""
    ports = free_ports(6)
    host, first = "tcp://127.0.0.1", 20_000 + ports[4] % 10_000

    def cluster(name="s.yaml", *, api=None, **sections):
        kept = {
            "bus": f"{{mgmt_master: '{host}:{ports[0]}', mgmt_worker: '{host}:{ports[1]}', "
                   f"outcomes: '{host}:{ports[2]}', logging: '{host}:{ports[3]}', push: '{host}:{first}-{first + 40}', "
                   f"master_timeout: {sections.pop('master_timeout', 60)}}}",
            "api": f"{{port: {ports[5] if api is None else api}}}", "politeness": "{delay: 0}",
            "project": f"{{seeds: ['{site.url}']}}", "output": "{directory: out}", **sections}
        (tmp_path / name).write_text("".join(f"{key}: {value}\n" for key, value in kept.items()))
        return name
    return cluster
