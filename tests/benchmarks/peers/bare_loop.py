"""The floor: one process with pycurl's multi interface, an HTML parser, ada, a deque and a set; nothing is kept.

START from the environment.
"""

import os
from collections import deque
from io import BytesIO

import can_ada
import pycurl
import turbohtml

CONNECTIONS = 32

start = os.environ["START"]
origin = can_ada.parse(start).origin + "/"
multi = pycurl.CurlMulti()
idle = [pycurl.Curl() for _ in range(CONNECTIONS)]
queue, known, busy = deque([start]), {start}, 0


def begin(handle: pycurl.Curl) -> None:
    handle.url, handle.buffer = queue.popleft(), BytesIO()
    handle.setopt(pycurl.URL, handle.url)
    handle.setopt(pycurl.WRITEDATA, handle.buffer)
    multi.add_handle(handle)


def read(handle: pycurl.Curl) -> None:
    """Queue the links of a page that are new."""
    if handle.getinfo(pycurl.RESPONSE_CODE) != 200 or "html" not in (handle.getinfo(pycurl.CONTENT_TYPE) or ""):
        return
    tree, base = turbohtml.parse(handle.buffer.getvalue()), can_ada.parse(handle.url)
    hrefs = {(anchor.attrs.get("href") or "").partition("#")[0] for anchor in tree.select("a[href]")}
    for href in hrefs - {""}:
        try:
            url = str(base + href)
        except ValueError:
            continue
        if url.startswith(origin) and url not in known:
            known.add(url)
            queue.append(url)


while queue or busy:
    while queue and idle:
        begin(idle.pop())
        busy += 1
    multi.perform()
    left = 1
    while left:
        left, succeeded, failed = multi.info_read()
        for handle in [*succeeded, *(item[0] for item in failed)]:
            multi.remove_handle(handle)
            busy -= 1
            if handle in succeeded:
                read(handle)
            idle.append(handle)
    if busy and not (queue and idle):
        multi.select(1.0)
