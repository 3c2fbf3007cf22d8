"""Serves a folder on loopback for ``compare.py`` where nginx isn't installed, and logs requests as its nginx does.

    python folder_server.py FOLDER PORT LOG
"""

from __future__ import annotations

import asyncio
import mimetypes
import sys
import time
from pathlib import Path
from urllib.parse import unquote


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, folder: Path, log) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            path = (folder / unquote(target.partition("?")[0]).lstrip("/")).resolve()
            if path.is_dir():
                path /= "index.html"
            is_there = path.is_relative_to(folder) and path.is_file()
            status, body = ("200 OK", path.read_bytes()) if is_there else ("404 Not Found", b"not found\n")
            kind = (mimetypes.guess_type(path.name)[0] or "application/octet-stream") if is_there else "text/plain"
            kind += "; charset=utf-8" if kind.startswith("text/") else ""
            log.write(f"{time.time():.3f}\t{status[:3]}\t{len(body)}\t{method}\t{kind}\t{target}\n")
            writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            if method != "HEAD":
                writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def main(folder: str, port: str, log_path: str) -> None:
    with open(log_path, "a", buffering=1) as log:
        root = Path(folder).resolve()
        server = await asyncio.start_server(lambda r, w: serve_one(r, w, root, log), "127.0.0.1", int(port))
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
