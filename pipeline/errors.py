"""What can go wrong, and with which exit code does the program say so?

Every message reads: where, what, got, wanted, next step. It holds counts, column
names and row ordinals; never a patient's value or identifier.
"""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count in words, such as `1 part` and `1,200 parts`; a plural that is irregular is given."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


class PipelineError(Exception):
    """A problem the user can mend. Anything else that escapes is a bug and keeps its traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    """The configuration asks for something that does not exist or cannot be."""

    exit_code = 10


class SchemaError(PipelineError):
    """The records break their contract."""

    exit_code = 11


class NoOverlapError(PipelineError):
    """There are not enough cases, events or overlap between modalities to compare them."""

    exit_code = 12


class RuleError(PipelineError):
    """A guardrail rule is wrong."""

    exit_code = 13


class ModelMismatchError(PipelineError):
    """The model and the records do not fit each other."""

    exit_code = 14


class GateError(PipelineError):
    """A quality gate (student fidelity, leak audit, promotion) was not passed."""

    exit_code = 15


class DamagedModelError(PipelineError):
    """The model directory is damaged, incomplete or foreign; nothing in it was parsed."""

    exit_code = 16


class LockedError(PipelineError):
    """Another run holds the lock on this output or store."""

    exit_code = 17
