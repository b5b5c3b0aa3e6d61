"""What does each table and column of the contract mean, on one page?"""

from __future__ import annotations

from pipeline.schema.tables import CodeSpec, Contract, FieldSpec, TableSchema


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _limits(field: FieldSpec) -> str:
    parts = []
    if field.constraints.enum:
        parts.append(", ".join(field.constraints.enum))
    low, high = field.constraints.minimum, field.constraints.maximum
    if field.bounds:
        low, high = (low if low is not None else field.bounds[0]), (high if high is not None else field.bounds[1])
    if low is not None or high is not None:
        shown = [_number(edge) if isinstance(edge, float) else str(edge) for edge in (low, high) if edge is not None]
        parts.append(
            " to ".join(shown) if len(shown) == 2 else f"{'at least' if high is None else 'at most'} {shown[0]}"
        )
    if field.unit:
        parts.append(field.unit)
    return "; ".join(parts)


def _field_row(table: TableSchema, field: FieldSpec) -> str:
    name = f"**{field.name}**" if field.constraints.required else field.name
    key = " (key)" if field.name in table.primary_key else ""
    return f"| {name}{key} | {field.type} | {_cell(_limits(field))} | {_cell(field.meaning)} |"


def _accepted(code: CodeSpec) -> str:
    parts = [unit if factor == 1 else f"{unit} (x {_number(factor)})" for unit, factor in code.times.items()]
    parts += [f"{unit} (/ {_number(factor)})" for unit, factor in code.over.items()]
    return ", ".join(parts)


def _code_lines(table: TableSchema) -> list[str]:
    if not any(code.unit for code in table.codes.values()):
        rows = [f"| {name} | {', '.join(code.values)} | {_cell(code.meaning)} |" for name, code in table.codes.items()]
        return ["", "| code | values | meaning |", "|---|---|---|", *rows]
    lines = ["", "| code | unit | plausible | other units read | empty unit | meaning |", "|---|---|---|---|---|---|"]
    for name, code in table.codes.items():
        span = f"{_number(code.bounds[0])} to {_number(code.bounds[1])} ({code.basis})" if code.bounds else ""
        empty = "set aside" if code.missing_unit == "refused" else "as canonical"
        lines.append(f"| {name} | {code.unit} | {span} | {_accepted(code)} | {empty} | {_cell(code.meaning)} |")
    return lines


def _table_lines(table: TableSchema) -> list[str]:
    star = " (required)" if table.required else ""
    lines = [f"## {table.name}{star}", "", f"One row per {', '.join(table.one_row_per)}. {table.meaning}".rstrip(), ""]
    lines += ["| column | type | limits | meaning |", "|---|---|---|---|"]
    lines += [_field_row(table, field) for field in table.fields]
    for key in table.foreign_keys:
        lines += ["", f"`{', '.join(key.fields)}` must exist in `{key.reference.resource}` ({key.severity} if not)."]
    for pair in table.order:
        lines += ["", f"`{pair.later}` is never before `{pair.earlier}`."]
    if table.event_date:
        lines += [
            "",
            f"`known_at` is never before `{table.event_date}`; where empty it is that date plus the source's lag.",
        ]
    return lines + (_code_lines(table) if table.codes else [])


def data_dictionary(contract: Contract) -> str:
    """Return the data dictionary as Markdown: one section per table, records first.

    Parameters
    ----------
    contract : Contract

    Returns
    -------
    str
        Bold columns are required; numbers are in the unit shown.
    """
    records = list(contract.records)
    others = [contract.tables[name] for name in sorted(contract.tables) if contract.tables[name] not in records]
    lines = ["# Data dictionary", "", "Generated from `data_schema/`; change the YAML, not this page.", ""]
    lines += ["Bold columns are required. Dates are ISO dates. Identifiers are text and never interpreted.", ""]
    for table in [*records, *others]:
        lines += [*_table_lines(table), ""]
    return "\n".join(lines).rstrip() + "\n"
