"""Which columns and types does a prediction have, and does this table have them?"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.declared import parse_yaml
from pipeline.errors import SchemaError
from pipeline.store.files import read_text, shipped

DECLARED_IN = "predictions.yaml"
_PLAIN = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


def predictions_schema() -> pa.Schema:
    """Return columns, types and nullability of the predictions, as `data_schema/predictions.yaml` declares them.

    Returns
    -------
    pyarrow.Schema
        One row per decision and modality. Its metadata makes pandas read `rank` and `model_rank` as Int64.

    Raises
    ------
    SchemaError
        If the declaration is not readable.
    """
    return _declared_schema()[0]


def prediction_table(frame: pd.DataFrame) -> pa.Table:
    """Return predictions as the table that is written: sorted by decision_id, typed, checked.

    Parameters
    ----------
    frame : DataFrame, one row per decision and modality
        Exactly the contract's columns, in any order. A list column may hold lists or tuples, and None for empty;
        list entries that are records are mappings. Inside a decision the order of rows is kept.

    Raises
    ------
    ValueError
        If columns, types, required values, codes or the key break the contract. Column names and counts only.
    """
    schema, enums = _declared_schema()
    _check_names(list(frame.columns), schema.names)
    ordered = frame.sort_values("decision_id", kind="stable")
    doubled = int(ordered.duplicated(["decision_id", "modality"]).sum())
    if doubled:
        raise ValueError(f"predictions: {doubled} rows repeat a decision_id and modality; wanted each pair once")
    arrays = [_column(ordered[field.name], field) for field in schema]
    for name, codes in enums.items():
        unknown = _count(pc.invert(pc.is_in(arrays[schema.get_field_index(name)], pa.array(codes))))
        if unknown:
            raise ValueError(f"predictions: {unknown} rows of {name} are not one of {', '.join(codes)}")
    return pa.Table.from_arrays(arrays, schema=schema)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet: the same rows give the same bytes, with a checksum on every page."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        compression="zstd",
        row_group_size=65_536,
        write_page_checksum=True,
        store_schema=True,
    )
    return bytes(sink.getvalue())


def _check_names(got: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in got]
    extra = [name for name in got if name not in wanted]
    if missing or extra or len(got) != len(wanted):
        raise ValueError(f"predictions: columns missing {missing}, not in the contract {extra}; wanted {list(wanted)}")


def _column(values: pd.Series[Any], field: pa.Field) -> pa.Array:
    nested = pa.types.is_list(field.type) or pa.types.is_struct(field.type)
    try:
        if nested:
            empty: list[Any] | None = [] if pa.types.is_list(field.type) else None
            array = pa.array([empty if _is_nothing(cell) else cell for cell in values], type=field.type)
        else:
            array = pa.array(values.astype(object) if values.dtype == "category" else values, from_pandas=True)
            array = array.cast(field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise ValueError(f"predictions: column {field.name} does not fit {field.type}") from None
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not field.nullable and array.null_count:
        raise ValueError(f"predictions: {array.null_count} rows have no {field.name}; wanted none")
    if pa.types.is_floating(field.type) and _count(pc.invert(pc.is_finite(array))):
        raise ValueError(f"predictions: column {field.name} has infinite values; wanted numbers or nothing")
    return array


def _is_nothing(cell: object) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and cell != cell)


def _count(mask: pa.Array) -> int:
    return int(pc.sum(pc.fill_null(mask, fill_value=False)).as_py() or 0)


@functools.cache
def _declared_schema() -> tuple[pa.Schema, dict[str, list[str]]]:
    """Return the schema and, for each column of codes, the codes."""
    path = shipped("data_schema") / DECLARED_IN
    declared = parse_yaml(read_text(path, SchemaError), DECLARED_IN, SchemaError)
    try:
        fields = [_field(field) for field in declared["fields"]]
        enums = {
            field["name"]: [str(code) for code in field["constraints"]["enum"]]
            for field in declared["fields"]
            if "enum" in field.get("constraints", {})
        }
    except (KeyError, TypeError, AttributeError) as problem:
        raise SchemaError(f"{DECLARED_IN}: a field is not declared as name and known type ({problem}).") from None
    integers = [field.name for field in fields if pa.types.is_integer(field.type)]
    return pa.schema(fields, metadata={b"pandas": _pandas_hint(integers)}), enums


def _field(declared: Mapping[str, Any]) -> pa.Field:
    required = declared.get("constraints", {}).get("required", False)
    return pa.field(declared["name"], _type(declared), nullable=required is not True)


def _type(declared: Mapping[str, Any]) -> pa.DataType:
    if declared["type"] == "array":
        return pa.list_(_type(declared["x-items"]))
    if declared["type"] == "object":
        return pa.struct([_field(inner) for inner in declared["fields"]])
    return _PLAIN[declared["type"]]


def _pandas_hint(integers: Sequence[str]) -> bytes:
    """Return the note by which pandas reads integers with gaps as integers; fixed, so that bytes are."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": "int64", "numpy_type": "Int64", "metadata": None}
        for name in integers
    ]
    creator = {"library": "mmrank", "version": "1"}
    hint = {
        "index_columns": [],
        "column_indexes": [],
        "columns": columns,
        "creator": creator,
        "pandas_version": "2.3.0",
    }
    return json.dumps(hint, sort_keys=True).encode()
