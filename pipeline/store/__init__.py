"""Which files come in and go out? The only part that touches the world: records, models, predictions, MLflow."""

from __future__ import annotations

from pipeline.store.batch import BatchWriter
from pipeline.store.batch_in import batch_identity, read_predictions
from pipeline.store.batch_place import staging_of
from pipeline.store.files import (
    canonical_json,
    declared_folder,
    file_to_write,
    folder_to_write,
    new_folder,
    read_bytes,
    read_text,
    replaced_folder,
    sha256,
    shipped,
    write_bytes,
    write_json,
    write_tables,
    write_text,
)
from pipeline.store.flavour import around
from pipeline.store.locks import locked
from pipeline.store.model_files import model_digest, read_model, write_model
from pipeline.store.prediction_tables import Kind, Part, part_of, prediction_table, predictions_schema
from pipeline.store.private_database import keep_at_most, memory_bytes, within
from pipeline.store.records_in import open_records, read_stamp
from pipeline.store.records_out import read_table, write_records
from pipeline.store.registry import Registry, SignOff, Version, nominate, read_registry, sign_off
from pipeline.store.rows_in import read_rows
from pipeline.store.tracking import CHAMPION, MODEL_NAME, record_run, register, resolve_model
from pipeline.store.travel import table_to_write

__all__ = [
    "CHAMPION",
    "MODEL_NAME",
    "BatchWriter",
    "Kind",
    "Part",
    "Registry",
    "SignOff",
    "Version",
    "around",
    "batch_identity",
    "canonical_json",
    "declared_folder",
    "file_to_write",
    "folder_to_write",
    "keep_at_most",
    "locked",
    "memory_bytes",
    "model_digest",
    "new_folder",
    "nominate",
    "open_records",
    "part_of",
    "prediction_table",
    "predictions_schema",
    "read_bytes",
    "read_model",
    "read_predictions",
    "read_registry",
    "read_rows",
    "read_stamp",
    "read_table",
    "read_text",
    "record_run",
    "register",
    "replaced_folder",
    "resolve_model",
    "sha256",
    "shipped",
    "sign_off",
    "staging_of",
    "table_to_write",
    "within",
    "write_bytes",
    "write_json",
    "write_model",
    "write_records",
    "write_tables",
    "write_text",
]
