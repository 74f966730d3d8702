"""Every codec gives back every bit."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from zstandard import ZstdCompressor, ZstdError

from fast_and_slow import examples
from tunery.store.objects.codec import CODECS, encode, rows_of, shape_of, tensor_of

DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.int64,
    torch.complex64,
)
SHAPES = st.one_of(
    st.just(()), st.tuples(st.integers(0, 40)), st.lists(st.integers(0, 6), min_size=2, max_size=4).map(tuple)
)


def random_tensor(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Any bits at all: subnormals, infinities and NaNs with payloads among them."""
    count = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(seed).integers(0, 2 if dtype == torch.bool else 256, count, dtype=np.uint8)
    return torch.frombuffer(bits, dtype=dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("codec", CODECS)
@examples(0.6)
@given(data=st.data())
def test_any_tensor_comes_back_bit_for_bit(codec: str, data: Any) -> None:
    dtype, shape = data.draw(st.sampled_from(DTYPES)), data.draw(SHAPES)
    tensor = random_tensor(dtype, shape, data.draw(st.integers(0, 1000)))
    base = tensor.clone()
    rows = rows_of(base)
    touched = data.draw(st.lists(st.integers(0, max(0, len(rows) - 1)), max_size=5)) if rows.size else []
    for row in touched:
        rows[row] ^= 1  # shared with `base`
    before = bits(base)
    encoded = CODECS[codec].encode(rows_of(tensor), rows)
    back = tensor_of(CODECS[codec].decode(encoded, shape_of(dtype, shape), rows), dtype, shape)
    assert (back.dtype, back.shape, bits(back)) == (dtype, torch.Size(shape), bits(tensor))
    assert bits(base) == before


def test_a_transposed_tensor_is_stored_as_it_looks() -> None:
    tensor = torch.arange(12).reshape(3, 4).T
    encoded = CODECS["planes"].encode(rows_of(tensor), None)
    back = CODECS["planes"].decode(encoded, shape_of(torch.int64, (4, 3)), None)
    assert torch.equal(tensor_of(back, torch.int64, (4, 3)), tensor)


def test_rows_run_along_the_first_axis_and_are_elements_of_a_vector() -> None:
    shapes = {(): (1, 1, 4), (5,): (5, 1, 4), (5, 3): (5, 3, 4), (5, 3, 2): (5, 6, 4), (0, 3): (0, 0, 4)}
    assert {shape: shape_of(torch.float32, shape) for shape in shapes} == shapes


def test_rows_without_a_difference_take_a_bit() -> None:
    base = torch.randn(8000, 64)
    trained = base.clone()
    trained[7] += 0.25
    codec, encoded = encode(rows_of(trained), rows_of(base), codec="delta")
    assert codec == "delta" and 64 < encoded.size < 1000 + 64 * 4 + 64
    vector = base.reshape(-1)
    assert encode(rows_of(vector), rows_of(vector.clone()), codec="delta")[1].size < vector.nbytes / 1000


@pytest.mark.parametrize("dtype, least", [(torch.float32, 0.12), (torch.bfloat16, 0.25)])
def test_planes_find_what_plain_compression_does_not(dtype: torch.dtype, least: float) -> None:
    weights = (torch.randn(400, 400, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    codec, encoded = encode(rows_of(weights), None, codec="planes")
    plain = len(ZstdCompressor(level=3).compress(rows_of(weights).tobytes()))
    assert codec == "planes" and encoded.size < (1 - least) * weights.nbytes and encoded.size < 0.97 * plain


@pytest.mark.parametrize("codec", CODECS)
def test_what_does_not_shrink_stays_as_it_is(codec: str) -> None:
    noise, other = random_tensor(torch.uint8, (500, 3), 1), random_tensor(torch.uint8, (500, 3), 2)
    used, encoded = encode(rows_of(noise), rows_of(other), codec=codec)
    assert used == "raw" and encoded.tobytes() == bits(noise)
    assert np.shares_memory(encoded, noise.numpy())


def test_an_encoding_of_something_else_is_refused() -> None:
    rows = rows_of(torch.zeros(64, 64))
    encoded = CODECS["planes"].encode(rows, None)
    with pytest.raises(ValueError, match="at most 64 bytes were encoded, but 16384 would come back"):
        CODECS["planes"].decode(encoded, (4, 4, 4), None)
    with pytest.raises(ValueError, match="cannot reshape"):
        CODECS["planes"].decode(encoded, (65, 64, 4), None)
    with pytest.raises(ZstdError):
        CODECS["planes"].decode(encoded[::-1].copy(), (64, 64, 4), None)
    with pytest.raises(ValueError, match="cannot do without the pretrained values"):
        CODECS["delta"].encode(rows, None)
