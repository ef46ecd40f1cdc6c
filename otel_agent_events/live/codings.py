"""Content codings, undone as the bytes come: those that httpx undoes, with what it uses for them.

A body is decompressed here beside its reader, who does it once more. What zlib makes of little comes in bounded pieces.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_PIECE = 1 << 20
_ZLIB_HEADER = 2


class UnknownCodingError(LookupError):
    """A coding that cannot be undone here.

    Attributes:
        name: of the coding, as the answer has it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def decoder(names: Sequence[str]) -> Callable[[bytes], Iterable[bytes]]:
    """Give what undoes these codings, the last one first: it takes the next bytes and gives what they hold.

    What it gives raises the error of the library that does the work when the bytes are not what they should be.

    Args:
        names: as in `Content-Encoding`, in the order in which they were applied.

    Raises:
        UnknownCodingError: one is unknown, or what undoes it is not installed.
    """
    steps = [_step(name) for name in reversed(names) if name not in {"", "identity"}]

    def decode(chunk: bytes) -> Iterable[bytes]:
        pieces: Iterable[bytes] = (chunk,)
        for step in steps:
            pieces = chain.from_iterable(map(step, pieces))
        return pieces

    return decode


def _step(name: str) -> Callable[[bytes], Iterable[bytes]]:
    try:
        match name:
            case "gzip":
                return _Zlib(zlib.MAX_WBITS | 16)
            case "deflate":
                return _Deflate()
            case "br":
                return _brotli()
            case "zstd":
                return _Zstandard()
    except ImportError:
        pass
    raise UnknownCodingError(name)


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._zlib = zlib.decompressobj(bits)

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        piece = self._zlib.decompress(chunk, _PIECE)
        while piece:
            yield piece
            piece = self._zlib.decompress(self._zlib.unconsumed_tail, _PIECE)


class _Deflate:
    """`deflate` is in the format of zlib (RFC 9110, section 8.4.1.2); some servers leave that away."""

    def __init__(self) -> None:
        self._first = b""
        self._zlib: _Zlib | None = None

    def __call__(self, chunk: bytes) -> Iterable[bytes]:
        if self._zlib is None:
            self._first += chunk
            if len(self._first) < _ZLIB_HEADER:
                return ()
            # RFC 1950: the method is 8, and the two bytes are a multiple of 31.
            wrapped = self._first[0] & 15 == 8 and int.from_bytes(self._first[:2], "big") % 31 == 0  # noqa: PLR2004
            self._zlib = _Zlib(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
            chunk = self._first
        return self._zlib(chunk)


def _any_of(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ImportError(name=names[0])


def _brotli() -> Callable[[bytes], Iterable[bytes]]:
    inner = _any_of("brotli", "brotlicffi").Decompressor()
    # The two libraries have different names for it.
    decompress = inner.decompress if hasattr(inner, "decompress") else inner.process

    def step(chunk: bytes) -> Iterable[bytes]:
        return (decompress(chunk),) if chunk else ()

    return step


class _Zstandard:
    """One frame after the other. Python has it since 3.14; httpx2 takes its backport, and httpx another library."""

    def __init__(self) -> None:
        self._library = _any_of("compression.zstd", "backports.zstd", "zstandard")
        self._frame = self._make()

    def _make(self) -> Any:
        made = self._library.ZstdDecompressor()
        # That of `zstandard` makes what the others are.
        return made.decompressobj() if hasattr(made, "decompressobj") else made

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._frame.eof:
                self._frame = self._make()
            yield self._frame.decompress(chunk)
            chunk = self._frame.unused_data if self._frame.eof else b""
