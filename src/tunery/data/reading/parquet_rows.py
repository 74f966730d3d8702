"""Parquet files become rows."""

from collections.abc import Iterator
from typing import Any

from tunery.data.reading.source import MOST_BYTES, MOST_CELLS, MOST_ROWS, Malformed, Row, Source, TooMuch
from tunery.data.reading.tables import collected


def parse_parquet(source: Source) -> list[Row]:
    """Rows of a parquet file, which may be a thousand times smaller than they are: its metadata are read first, and
    what is there is counted before it becomes Python's.

    Strings that repeat are unpacked by `to_pylist` only, when it is known how long all of them are.
    """
    return collected(_rows(source.content))


def _rows(content: bytes) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_metadata(pyarrow.BufferReader(content))
        _refuse_too_much(metadata)
        leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.logical_type.type == "STRING"]
        unpacked = cells = 0  # the metadata may be wrong
        file = parquet.ParquetFile(pyarrow.BufferReader(content), metadata=metadata, read_dictionary=texts)
        for batch in file.iter_batches():
            values = [leaf for column in batch.columns for leaf in _leaves(column)]
            unpacked += sum(map(_size, values))
            cells += sum(map(len, values))
            if unpacked > MOST_BYTES or cells > MOST_CELLS:
                raise TooMuch("more")
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Malformed(f"not readable as parquet: {' '.join(str(error).split())}") from error


def _refuse_too_much(metadata: Any) -> None:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    cells = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    if metadata.num_rows > MOST_ROWS:
        raise TooMuch(f"{metadata.num_rows:,} rows")
    if size > MOST_BYTES:
        raise TooMuch(f"{size // 10**6:,} MB")
    if cells > MOST_CELLS:
        raise TooMuch(f"{cells:,} values")


def _size(array: Any) -> int:
    """Bytes of an Arrow array of values, where a string that it holds once counts as often as it is used."""
    import pyarrow
    import pyarrow.compute as compute

    if not pyarrow.types.is_dictionary(array.type):
        return int(array.nbytes)
    lengths = compute.binary_length(array.dictionary).take(array.indices)
    return int(compute.sum(lengths).as_py() or 0)


def _leaves(array: Any) -> Iterator[Any]:
    """The Arrow arrays of values below lists and records."""
    import pyarrow.types as types

    if types.is_struct(array.type):
        parts = array.flatten()
    elif types.is_map(array.type):
        parts = [array.keys, array.items]
    elif types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type):
        parts = [array.flatten()]
    else:
        yield array
        return
    for part in parts:
        yield from _leaves(part)
