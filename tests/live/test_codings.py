from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from otel_agent_events.live.codings import UnknownCodingError, decoder

if TYPE_CHECKING:
    from collections.abc import Callable


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


PACKERS: dict[str, tuple[list[str], Callable[[bytes], bytes]]] = {
    "none": ([], bytes),
    "identity": (["identity", ""], bytes),
    "gzip": (["gzip"], gzip.compress),
    "deflate": (["deflate"], zlib.compress),
    "deflate without a header": (["deflate"], raw_deflate),
    "two": (["deflate", "gzip"], lambda data: gzip.compress(zlib.compress(data))),
    "brotli": (["br"], brotli.compress),
    "zstandard": (["zstd"], zstandard.compress),
    "frames of zstandard": (["zstd"], lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:])),
}


def unpack(names: list[str], *chunks: bytes) -> bytes:
    decode = decoder(names)
    return b"".join(piece for chunk in chunks for piece in decode(chunk))


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("data", [b"", b"x", b"hello " * 10_000], ids=["nothing", "a byte", "much"])
def test_what_is_packed_is_unpacked_in_one_chunk_and_byte_by_byte(name: str, data: bytes) -> None:
    names, pack = PACKERS[name]
    packed = pack(data)

    assert unpack(names, packed) == data
    assert unpack(names, *(packed[index : index + 1] for index in range(len(packed)))) == data


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_what_is_flushed_is_there_at_once(name: str) -> None:
    made = zlib.compressobj(wbits=zlib.MAX_WBITS | 16 if name == "gzip" else zlib.MAX_WBITS)
    decode = decoder([name])

    for data in (b"data: 1\n\n", b"data: 2\n\n"):
        assert b"".join(decode(made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))) == data


def test_little_that_holds_much_comes_in_pieces() -> None:
    pieces = list(decoder(["gzip"])(gzip.compress(bytes(10 << 20))))

    assert sum(map(len, pieces)) == 10 << 20
    assert max(map(len, pieces)) == 1 << 20


@pytest.mark.parametrize(("names", "unknown"), [(["gzip", "snappy"], "snappy"), (["x-gzip"], "x-gzip")])
def test_a_coding_that_is_not_known_is_named(names: list[str], unknown: str) -> None:
    with pytest.raises(UnknownCodingError) as caught:
        decoder(names)

    assert caught.value.name == unknown


@pytest.mark.parametrize(
    ("coding", "modules"),
    [("br", ("brotli", "brotlicffi")), ("zstd", ("compression.zstd", "backports.zstd", "zstandard"))],
)
def test_a_coding_whose_library_is_missing_is_named(
    coding: str, modules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed

    with pytest.raises(UnknownCodingError, match=coding):
        decoder([coding])


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_what_is_not_packed_gives_an_error_of_zlib_or_nothing(data: bytes, name: str) -> None:
    with contextlib.suppress(zlib.error):
        unpack([name], data)
