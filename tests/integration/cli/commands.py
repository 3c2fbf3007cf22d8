"""A small site on loopback, and real commands in processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Seconds for any command to do what a test waits for.
PATIENCE = 60.0
PAGES = 40


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.hits.append(self.path)
        name = self.path.strip("/") or "0"
        if not name.isdigit() or int(name) >= PAGES:
            self.send_error(404)
            return
        if self.server.delay:
            time.sleep(self.server.delay)
        number = int(name)
        body = (f"<title>Page {number}</title><h1>Heading {number}</h1>"
                f'<a href="/{2 * number + 1}">a</a> <a href="/{2 * number + 2}">b</a>').encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Site(ThreadingHTTPServer):
    """Pages 0 to 39, each links to two more, as a binary tree; ``hits`` are the paths asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hits = []
        self.delay = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        pass  # a crawler that is killed leaves connections behind


class Commands:
    """Runs ``spyder`` in a folder; what it started and is still there at the end is killed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._running = []

    def start(self, *arguments, stdin=subprocess.DEVNULL):
        """A process with its standard output and error as text pipes, in a group of its own."""
        process = subprocess.Popen([sys.executable, "-m", "spyder", *map(str, arguments)], cwd=self.folder, text=True,
                                   stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                   env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self._running.append(process)
        return process

    def run(self, *arguments, stdin=None):
        """A command to its end: (exit code, standard output, standard error)."""
        process = self.start(*arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=PATIENCE)
        return process.returncode, out, err

    def end(self, process, number=None):
        """Send a signal, if given, and wait for the end: (exit code, what is left of standard output and error)."""
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def status(self, *which):
        code, out, err = self.run("status", "--json", *which)
        assert code == 0, err
        return json.loads(out)

    def close(self):
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def free_ports(count):
    """Ports that nobody uses just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_until(what, message="it did not happen"):
    """Wait until *what* returns something true; returns that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (value := what()):
            return value
        time.sleep(0.05)
    raise AssertionError(message)


def records(folder):
    """All records under *folder*/pages."""
    return [json.loads(line) for path in sorted((folder / "pages").glob("*.jsonl"))
            for line in path.read_text().splitlines()]
