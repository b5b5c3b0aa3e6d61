"""Do these tables keep their contract?"""

from pipeline.schema.checks import Finding, Step, key_findings, reference_findings, row_findings
from pipeline.schema.dictionary import data_dictionary
from pipeline.schema.frames import checked
from pipeline.schema.tables import (
    RECORD_TABLES,
    CodeSpec,
    Contract,
    FieldSpec,
    ForeignKey,
    Ordering,
    TableSchema,
    parse_contract,
    parse_table,
)

__all__ = [
    "RECORD_TABLES",
    "CodeSpec",
    "Contract",
    "FieldSpec",
    "Finding",
    "ForeignKey",
    "Ordering",
    "Step",
    "TableSchema",
    "checked",
    "data_dictionary",
    "key_findings",
    "parse_contract",
    "parse_table",
    "reference_findings",
    "row_findings",
]
