"""What happened, in one shape whatever the source?"""

from pipeline.records.coverage import Coverage, missingness
from pipeline.records.report import RecordsReport, raise_on_errors, summary
from pipeline.records.source import Source, parse_source
from pipeline.records.standard import standardise

__all__ = [
    "Coverage",
    "RecordsReport",
    "Source",
    "missingness",
    "parse_source",
    "raise_on_errors",
    "standardise",
    "summary",
]
