"""Content codings that blow up, are stacked, cut, broken, or not what they are called."""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from collections.abc import Callable

from spyder.testsite.hostile.behaviour import Behaviour, Exchange, Serve, answer, head, steps

_PAGE = b"<!doctype html><title>bad</title><p>" + b"text and more text. " * 200
_MEGABYTE = 1 << 20
_BOMB = 256  #: megabytes of zeros in a bomb
#: 64 MB of zeros by brotli (RFC 7932) at quality 11.
_BROTLI_BOMB = bytes.fromhex(
    "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfb7ffeffffc33f0110870500baf7ff03")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@functools.cache
def _deflate_bomb() -> bytes:
    """Zeros as a bare deflate stream: one block, again and again."""
    maker = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = maker.compress(bytes(_MEGABYTE)) + maker.flush(zlib.Z_FULL_FLUSH)
    return block * _BOMB + maker.flush()


@functools.cache
def _gzip_bomb() -> bytes:
    checksum, zeros = 0, bytes(_MEGABYTE)
    for _ in range(_BOMB):
        checksum = zlib.crc32(zeros, checksum)
    return gzip.compress(b"")[:10] + _deflate_bomb() + struct.pack("<II", checksum, _BOMB << 20)


@functools.cache
def _zlib_bomb() -> bytes:
    return b"\x78\xda" + _deflate_bomb() + struct.pack(">I", _BOMB << 20 & 0xFFFFFFFF)


@functools.cache
def _zstd_bomb() -> bytes:
    """Blocks of one byte repeated (RFC 8878, section 3.1.1.2.2), 128 KB each."""
    size = 128 << 10
    count = (_BOMB << 20) // size
    blocks = b"".join((size << 3 | 1 << 1 | (number == count - 1)).to_bytes(3, "little") + b"\0"
                      for number in range(count))
    return _ZSTD_MAGIC + b"\x00\x58" + blocks  # no size told, a window of 2 MB


def _zstd_raw(data: bytes, *, window: int = 0x58) -> bytes:
    """*data* as one raw block, with the window that the descriptor *window* names."""
    return _ZSTD_MAGIC + bytes((0, window)) + (len(data) << 3 | 1).to_bytes(3, "little") + data


def _deflated(data: bytes) -> bytes:
    maker = zlib.compressobj(9, zlib.DEFLATED, -15)
    return maker.compress(data) + maker.flush()


def _made(make: Callable[[], bytes], coding: str) -> Serve:
    """A body that is made when it is asked for first."""
    async def serve(to: Exchange) -> None:
        await to.send(answer(make(), f"Content-Encoding: {coding}"))
    return serve


def _coding(name: str, does: str, serve: Serve, *ends: str, title: str | None = None) -> Behaviour:
    return Behaviour(name=name, group="codings", does=does, serve=serve, ends=ends, title=title)


def _coded(coding: str, body: bytes) -> Serve:
    return steps(answer(body, f"Content-Encoding: {coding}"))


def _stacked(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, mtime=0)
    return data


_GZIPPED = gzip.compress(_PAGE, mtime=0)

BEHAVIOURS = (
    _coding("bomb-gzip", "256 MB of zeros in 260 KB of gzip", _made(_gzip_bomb, "gzip"), "failed body-limit"),
    _coding("bomb-deflate", "256 MB of zeros in deflate", _made(_zlib_bomb, "deflate"), "failed body-limit"),
    _coding("bomb-deflate-bare", "the same without zlib's header", _made(_deflate_bomb, "deflate"),
            "failed body-limit"),
    _coding("bomb-brotli", "64 MB of zeros in 54 bytes of brotli", _coded("br", _BROTLI_BOMB), "failed body-limit"),
    _coding("bomb-zstd", "256 MB of zeros in 8 KB of zstd", _made(_zstd_bomb, "zstd"), "failed body-limit"),
    _coding("bomb-gzip-twice", "the gzip bomb in gzip: 256 MB in 2 KB",
            _made(lambda: gzip.compress(_gzip_bomb(), mtime=0), "gzip, gzip"), "failed body-limit"),
    _coding("bomb-zstd-in-gzip", "the zstd bomb in gzip", _made(lambda: gzip.compress(_zstd_bomb(), mtime=0),
                                                                "zstd, gzip"), "failed body-limit"),
    _coding("bomb-brotli-in-deflate", "the brotli bomb in deflate", _coded("br, deflate", zlib.compress(_BROTLI_BOMB)),
            "failed body-limit"),
    _coding("coding-stacked-twice", "gzip in gzip, and says so", _coded("gzip, gzip", _stacked(_PAGE, 2)),
            "done 200", title="bad"),
    _coding("coding-stacked-twenty", "twenty times gzip, and says so",
            _coded(", ".join(["gzip"] * 20), _stacked(_PAGE, 20)), "failed decode"),
    _coding("coding-unknown", "a coding that nobody knows, on plain HTML", _coded("wrapped", _PAGE), "done 200"),
    _coding("coding-compress", "a coding that we did not ask for", _coded("compress", b"\x1f\x9d\x90" + _PAGE),
            "failed decode"),
    _coding("coding-identity", "the coding `identity`", _coded("identity", _PAGE), "done 200", title="bad"),
    _coding("coding-capitals", "the coding `GZip`", _coded("GZip", _GZIPPED), "done 200", title="bad"),
    _coding("coding-lie-gzip", "plain HTML that is called gzip", _coded("gzip", _PAGE), "failed decode"),
    _coding("coding-lie-brotli", "plain HTML that is called brotli", _coded("br", _PAGE), "failed decode"),
    _coding("coding-lie-zstd", "plain HTML that is called zstd", _coded("zstd", _PAGE), "failed decode"),
    _coding("coding-lie-deflate", "gzip that is called deflate", _coded("deflate", _GZIPPED), "failed decode"),
    _coding("coding-swapped", "zlib's format that is called gzip", _coded("gzip", zlib.compress(_PAGE)),
            "failed decode"),
    _coding("coding-silent", "gzip, and no field says so", steps(answer(_GZIPPED)), "done 200"),
    _coding("coding-twice-once", "gzip once, and says twice", _coded("gzip, gzip", _GZIPPED), "failed decode"),
    _coding("deflate-bare", "deflate without zlib's header, as some servers do", _coded("deflate", _deflated(_PAGE)),
            "done 200", title="bad"),
    _coding("gzip-cut", "half a gzip stream", _coded("gzip", _GZIPPED[:len(_GZIPPED) // 2]), "failed decode"),
    _coding("gzip-no-end", "gzip without its last eight bytes", _coded("gzip", _GZIPPED[:-8]), "failed decode"),
    _coding("gzip-wrong-checksum", "gzip with a wrong checksum",
            _coded("gzip", _GZIPPED[:-8] + bytes(4) + _GZIPPED[-4:]),
            "failed decode"),
    _coding("gzip-noise-behind", "gzip, then noise",
            _coded("gzip", _GZIPPED + b"noise" * 100), "done 200", title="bad"),
    _coding("gzip-members", "100,000 empty gzip members", _made(lambda: gzip.compress(b"", mtime=0) * 100_000, "gzip"),
            "failed decode"),
    _coding("gzip-long-name", "a gzip file name without end", _coded(
        "gzip", b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"n" * 300_000), "failed decode"),
    _coding("gzip-empty", "called gzip, and empty", steps(head("200 OK", "Content-Encoding: gzip", length=0)),
            "done 200"),
    _coding("deflate-cut", "half a deflate stream", _coded("deflate", zlib.compress(_PAGE)[:60]), "failed decode"),
    _coding("brotli-cut", "a brotli stream without its end", _coded("br", _BROTLI_BOMB[:9]), "failed decode"),
    _coding("zstd-cut", "half a zstd frame", _coded("zstd", _zstd_raw(_PAGE)[:200]), "failed decode"),
    _coding("zstd-window", "zstd that asks for a window of 2 GB", _coded("zstd", _zstd_raw(_PAGE, window=0xA8)),
            "failed decode"),
    _coding("zstd-frames", "50,000 empty zstd frames", _made(lambda: _zstd_raw(b"") * 50_000, "zstd"),
            "failed decode"),
    _coding("zstd-skippable", "skippable zstd frames that claim 4 GB", _coded(
        "zstd", b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + b"x" * 1000), "failed decode"),
)
