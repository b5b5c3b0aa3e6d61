"""What did the reading of the records find, drop, repair and make?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import SchemaError, counted
from pipeline.records.coverage import Coverage
from pipeline.schema import Finding, Step

SET_ASIDE = "set aside"
"""How the name of a step ends that leaves out rows which cannot be read."""


@dataclass(frozen=True, kw_only=True)
class RecordsReport:
    """The account of one reading; the typed tables themselves are in the connection.

    Attributes
    ----------
    source : str
        Id of the source configuration.
    findings : tuple of Finding
        Errors first, then warnings, then notes; in table order within each.
    attrition : tuple of Step
    digest : str
        SHA-256 of the typed content, whatever the row order and file format.
    simulated : bool
        True if the source or a table of the extract says so.
    calendar : bool
        False: dates count from an origin, so calendar time means nothing.
    recorded_events : tuple of str
        Kinds of event that the source can hold.
    rows : mapping of table to int
        Rows of each typed table.
    """

    source: str
    findings: tuple[Finding, ...]
    attrition: tuple[Step, ...]
    digest: str
    simulated: bool
    calendar: bool
    recorded_events: tuple[str, ...]
    rows: Mapping[str, int]

    @property
    def has_progression(self) -> bool:
        """Whether the source can hold progression; without it, outcomes use next treatment or death and say so."""
        return "progression" in self.recorded_events

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that break the contract."""
        return tuple(found for found in self.findings if found.severity == "error")

    @property
    def set_aside(self) -> int:
        """How many measurements and findings were not read, for their code, unit or value."""
        return sum(step.rows_in - step.rows_out for step in self.attrition if step.step.endswith(SET_ASIDE))

    @property
    def passed(self) -> bool:
        """Whether no finding breaks the contract."""
        return not self.errors


def raise_on_errors(report: RecordsReport) -> None:
    """Stop if the records break their contract.

    Raises
    ------
    SchemaError
        With one line per error: where, how many rows, what was wanted, what to do next.
    """
    if report.errors:
        listed = "\n".join(f"  - {found.message}" for found in report.errors)
        raise SchemaError(f"records ({report.source}): {counted(len(report.errors), 'problem')}\n{listed}")


def summary(report: RecordsReport, coverage: Sequence[Coverage] = ()) -> dict[str, Any]:
    """Return the account as plain values, for check.json; it holds counts and names, no patient's value.

    Parameters
    ----------
    report : RecordsReport
    coverage : sequence of Coverage
        From `missingness`.
    """
    return {
        "passed": report.passed,
        "source": report.source,
        "simulated": report.simulated,
        "calendar": report.calendar,
        "recorded_events": list(report.recorded_events),
        "records_digest": report.digest,
        "rows": dict(report.rows),
        "counts": {
            severity: sum(found.severity == severity for found in report.findings)
            for severity in ("error", "warning", "info")
        },
        "findings": [{**asdict(found), "ordinals": list(found.ordinals)} for found in report.findings],
        "attrition": [asdict(step) for step in report.attrition],
        "missingness": [
            {**asdict(entry), "share_missing": None if entry.decisions == 0 else round(entry.share_missing, 6)}
            for entry in coverage
        ],
    }
