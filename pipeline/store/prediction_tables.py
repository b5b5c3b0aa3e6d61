"""Which columns and types does a prediction have, and does this table have them?"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.declared import parse_yaml
from pipeline.errors import SchemaError
from pipeline.store.csv_cells import csv_bytes
from pipeline.store.files import read_text, shipped

DECLARED_IN = "predictions.yaml"
_KEY = ["decision_id", "modality"]
_PLAIN = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


Kind = Literal["parquet", "csv"]


@dataclass(frozen=True)
class Part:
    """Some whole decisions as bytes.

    Attributes
    ----------
    content : bytes
    kind : {'parquet', 'csv'}
    decisions, rows : int
    statuses : mapping of status to count of rows
    abstained : mapping of abstain reason to count of rows
    ends : list of str
        The first and the last decision_id; empty where there is none.
    """

    content: bytes
    kind: Kind
    decisions: int
    rows: int
    statuses: Mapping[str, int]
    abstained: Mapping[str, int]
    ends: list[str]


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


def prediction_table(rows: pa.Table) -> pa.Table:
    """Return predictions as the table that is written: sorted by decision_id, typed, checked.

    Parameters
    ----------
    rows : pyarrow.Table, one row per decision and modality
        Exactly the contract's columns, in any order and of types that fit. Inside a decision the order of rows is
        kept.

    Raises
    ------
    ValueError
        If columns, types, required values, codes or the key break the contract. Column names and counts only.
    """
    schema, enums = _declared_schema()
    _check_names(rows.column_names, schema.names)
    ordered = _sorted(rows)
    doubled = rows.num_rows - ordered.select(_KEY).group_by(_KEY).aggregate([]).num_rows
    if doubled:
        raise ValueError(f"predictions: {doubled} rows repeat a decision_id and modality; wanted each pair once")
    arrays = [_column(ordered[field.name], field) for field in schema]
    for name, codes in enums.items():
        unknown = _count(pc.invert(pc.is_in(arrays[schema.get_field_index(name)], pa.array(codes))))
        if unknown:
            raise ValueError(f"predictions: {unknown} rows of {name} are not one of {', '.join(codes)}")
    return pa.Table.from_arrays(arrays, schema=schema)


def part_of(rows: pa.Table, kind: Kind = "parquet") -> Part:
    """Return predictions of some decisions as the part of a batch that is written; see `prediction_table`.

    Raises
    ------
    ValueError
        If the rows break the predictions contract.
    """
    table = prediction_table(rows)
    ids = table["decision_id"]
    return Part(
        content=parquet_bytes(table) if kind == "parquet" else csv_bytes(table),
        kind=kind,
        decisions=pc.count_distinct(ids).as_py(),
        rows=table.num_rows,
        statuses=_counted(table["status"]),
        abstained=_counted(table["abstain_reason"].drop_null()),
        ends=[ids[0].as_py(), ids[-1].as_py()] if len(ids) else [],
    )


def _counted(values: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}


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


def _sorted(rows: pa.Table) -> pa.Table:
    ids = rows["decision_id"].combine_chunks()
    if _count(pc.greater(ids[:-1], ids[1:])):
        return rows.take(pc.sort_indices(rows, sort_keys=[("decision_id", "ascending")]))
    return rows


def _column(values: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    try:
        array = values.cast(field.type).combine_chunks()
    except pa.ArrowException:
        raise ValueError(f"predictions: column {field.name} does not fit {field.type}") from None
    if not field.nullable and array.null_count:
        raise ValueError(f"predictions: {array.null_count} rows have no {field.name}; wanted none")
    if pa.types.is_floating(field.type) and _count(pc.invert(pc.is_finite(array))):
        raise ValueError(f"predictions: column {field.name} has infinite values; wanted numbers or nothing")
    return array


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
