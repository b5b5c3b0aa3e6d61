"""Who faced a choice: every filter on both sides of its boundary, with rows counted."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from pipeline.cohort import CellTherapy, cell_therapy, decision_points
from pipeline.config import CohortConfig
from pipeline.errors import SchemaError
from pipeline.runs.setup import Setup

MODALITIES = ("adc", "car_t")
CELLS = CellTherapy(frozenset({"car_t"}), frozenset({"cilta_cel"}), frozenset({"belantamab"}))


def _connection(
    birth: str = "1960-01-01",
    line: str = "2023-12-31",
    known: str = "2023-12-31",
    modality: str = "'car_t'",
    infusion: str = "2024-02-15",
    apheresis: str | None = None,
    product: str = "'x'",
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"create table patients as select 'p1' patient_id, date '{birth}' birth_date")
    connection.execute(
        "create table lines as select 'p1' patient_id, 1 line_number, "
        f"date '{line}' start_date, date '{known}' known_at"
    )
    connection.execute(
        "create table decisions as select 'd1' decision_id, 'p1' patient_id, date '2024-01-01' decision_date, "
        f"'s' site_id, {modality} modality, {product} product, date '{infusion}' treatment_start_date, "
        "'recorded' provenance"
    )
    connection.execute("create table findings (patient_id varchar, code varchar, value varchar, found_at date)")
    if apheresis:
        connection.execute(f"insert into findings values ('p1', 'leukapheresis', 'present', date '{apheresis}')")
    connection.execute(
        "create table availability as select 'd1' decision_id, 'adc' modality, false available, 3 wait_days"
    )
    return connection


def _left(connection: duckdb.DuckDBPyConnection, *, training: bool = True) -> int:
    try:
        return decision_points(connection, CohortConfig(), MODALITIES, training=training, cells=CELLS).decisions
    except SchemaError:
        return 0


@pytest.mark.parametrize(
    ("line", "known", "kept"),
    [
        ("2023-12-31", "2023-12-31", 1),
        ("2024-01-01", "2024-01-01", 0),
        ("2023-12-31", "2024-01-01", 0),
    ],
)
def test_a_prior_line_is_one_that_started_and_was_known_before_the_day(line: str, known: str, kept: int) -> None:
    assert _left(_connection(line=line, known=known)) == kept


@pytest.mark.parametrize(("birth", "kept"), [("2006-01-01", 1), ("2006-01-02", 0)])
def test_a_person_is_eighteen_on_the_eighteenth_birthday(birth: str, kept: int) -> None:
    assert _left(_connection(birth=birth)) == kept


def test_scoring_needs_no_modality_and_training_does() -> None:
    assert _left(_connection(modality="null"), training=False) == 1
    assert _left(_connection(modality="cast(null as varchar)")) == 0
    assert _left(_connection(modality="'radiotherapy'")) == 0


@pytest.mark.parametrize(
    ("infusion", "apheresis", "kept"),
    [
        ("2024-01-01", "2023-11-15", 0),
        ("2024-01-01", None, 1),
        ("2024-02-15", "2023-12-31", 1),
        ("2024-01-01", "2023-01-01", 1),
    ],
)
def test_a_decision_dated_at_infusion_is_refused_where_an_earlier_leukapheresis_is_known(
    infusion: str, apheresis: str | None, kept: int
) -> None:
    assert _left(_connection(infusion=infusion, apheresis=apheresis)) == kept


@pytest.mark.parametrize(
    ("modality", "product", "kept"),
    [
        ("'car_t'", "'cilta_cel'", 0),
        ("'car_t'", "cast(null as varchar)", 0),
        ("'car_t'", "'not declared'", 0),
        ("'car_t'", "'belantamab'", 1),
        ("'adc'", "cast(null as varchar)", 1),
        ("'adc'", "'belantamab'", 1),
        ("'adc'", "'cilta_cel'", 0),
    ],
)
def test_cells_collected_earlier_do_not_matter_to_a_choice_of_something_else(
    modality: str, product: str, kept: int
) -> None:
    connection = _connection(infusion="2024-01-01", apheresis="2023-11-15", modality=modality, product=product)

    assert _left(connection) == kept


def test_an_unknown_age_stays_and_a_known_minor_leaves() -> None:
    connection = _connection()
    connection.execute("update patients set birth_date = null")

    assert _left(connection) == 1
    assert _left(_connection(birth="2010-01-01")) == 0


def test_cell_therapy_is_known_by_the_safety_class_of_drug_product_or_modality(base_setup: Setup) -> None:
    config = base_setup.config
    cells = cell_therapy(config)

    assert cells.modalities == {"car_t"}
    assert cells.products == {"cilta_cel", "ide_cel"}
    assert len(cells.others) == len(config.products) - 2

    by_drug = config.modalities[0].model_copy(
        update={"id": "cells", "products": (), "agents": ("ciltacabtagene autoleucel",)}
    )
    assert cell_therapy(replace(config, modalities=(by_drug,))).modalities == {"cells"}


def test_a_declared_name_may_hold_an_apostrophe() -> None:
    connection = _connection(modality="'o''brien'")

    report = decision_points(connection, CohortConfig(), ("adc", "o'brien"), training=True, cells=CELLS)

    assert report.decisions == 1


def test_candidates_are_every_declared_modality_with_unknown_availability_left_unknown() -> None:
    connection = _connection()
    report = decision_points(connection, CohortConfig(), MODALITIES, training=True, cells=CELLS)
    rows = connection.execute("select modality, available, wait_days from candidates order by modality").fetchall()

    assert rows == [("adc", False, 3.0), ("car_t", None, None)]
    assert [(step.rows_in, step.rows_out) for step in report.steps] == [(1, 1)] * len(report.steps)


def test_an_empty_cohort_says_which_step_emptied_it() -> None:
    with pytest.raises(SchemaError, match="not known to be too young: 1 in, 0 out"):
        decision_points(_connection(birth="2010-01-01"), CohortConfig(), MODALITIES, training=True, cells=CELLS)
