from __future__ import annotations

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PayloadError
from gateway.uplink.frame import MAX_PREFIX, compressor, splice

CONTENT = st.one_of(
    st.binary(min_size=1, max_size=2000),
    st.text(alphabet='{}",:0123456789AI', min_size=1, max_size=50).map(lambda t: t.encode() * 400),
    st.integers(1, 400_000).map(lambda n: bytes(range(256)) * (n // 256 + 1)),
)


@given(prefix=st.binary(min_size=1, max_size=400), content=CONTENT)
def test_a_spliced_frame_decompresses_to_prefix_and_content(prefix: bytes, content: bytes) -> None:
    whole = splice(prefix, compressor().compress(content))
    assert zstandard.frame_content_size(whole) == len(prefix) + len(content)
    assert zstandard.ZstdDecompressor().decompress(whole) == prefix + content


def test_content_of_several_blocks_keeps_its_references_across_the_splice() -> None:
    content = b"".join(b'{"point":"AI%d","value":%d}' % (n % 97, n * n) for n in range(40_000))
    assert len(content) > 4 * 128 * 1024
    whole = splice(b"x" * 70, compressor().compress(content))
    assert zstandard.ZstdDecompressor().decompress(whole) == b"x" * 70 + content


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 65_791, 65_792, 200_000])
def test_every_width_of_the_content_size_field_is_understood(size: int) -> None:
    content = bytes(n * 7 % 251 for n in range(size))
    whole = splice(b"prefix", compressor().compress(content))
    assert zstandard.ZstdDecompressor().decompress(whole) == b"prefix" + content


@pytest.mark.parametrize("level", [3, 12, 19])
def test_frames_of_other_levels_can_be_spliced_too(level: int) -> None:
    content = b'"point":["AI1","AI2"],' * 900
    frame = zstandard.ZstdCompressor(level=level, write_content_size=True).compress(content)
    whole = splice(b"{", frame)
    assert zstandard.ZstdDecompressor().decompress(whole) == b"{" + content


def test_a_frame_with_checksum_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(b"abc")
    with pytest.raises(PayloadError, match="checksum"):
        splice(b"{", frame)


def test_a_frame_without_content_size_is_refused() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    frame = stream.compress(b"abc" * 100) + stream.flush()
    with pytest.raises(PayloadError, match="without content size"):
        splice(b"{", frame)


def test_a_frame_that_needs_a_dictionary_is_refused() -> None:
    dictionary = zstandard.train_dictionary(
        1024, [b'{"point":"AI%d","value":%d}' % (n, n * 31) for n in range(2000)]
    )
    frame = zstandard.ZstdCompressor(dict_data=dictionary).compress(b'{"point":"AI1"}' * 9)
    with pytest.raises(PayloadError, match="dictionary"):
        splice(b"{", frame)


@pytest.mark.parametrize("frame", [b"", b"{}", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xa0\x00"])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(PayloadError, match="zstd frame"):
        splice(b"{", frame)


@pytest.mark.parametrize("size", [0, MAX_PREFIX + 1])
def test_a_prefix_out_of_range_is_refused_with_what_is_allowed(size: int) -> None:
    with pytest.raises(PayloadError, match=rf"prefix of {size} bytes: must be 1\.\.65536"):
        splice(b"x" * size, compressor().compress(b"abc"))


def test_a_frame_that_claims_four_gibibytes_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\xff\x01\x00\x00"
    with pytest.raises(PayloadError, match="below 4 GiB"):
        splice(b"{", frame)
