"""Does the matrix look the same whatever the batch?"""

from __future__ import annotations

import time

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipeline import features
from pipeline.errors import ConfigError, SchemaError
from pipeline.features import FeatureSpec
from pipeline.vocabulary import DrugCatalogue
from tests.features.conftest import MODALITIES, Seen, load
from tests.features.worlds import history, tables_of

PEOPLE = {f"p{i:02d}": history(i) for i in range(15)}
TABLES = tables_of(PEOPLE, {f"d{i:02d}": {"patient_id": f"p{i:02d}", "site_id": "s1"} for i in range(15)})


def built(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue, tables: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    load(connection, tables)
    return features.build(connection, spec, drugs, MODALITIES)


@pytest.mark.parametrize("size", [1, 7, 15])
def test_chunks_of_1_7_and_all_give_the_same_bytes(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue, size: int
) -> None:
    whole = built(connection, spec, drugs, TABLES)
    points = TABLES["decision_points"]
    parts = [
        built(connection, spec, drugs, TABLES | {"decision_points": points.iloc[start : start + size]})
        for start in range(0, len(points), size)
    ]

    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_exact=True)


@pytest.mark.parametrize("size", [1, 7, 15])
def test_slices_of_1_7_and_all_of_what_was_gathered_once_give_the_same_bytes(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue, size: int
) -> None:
    whole = built(connection, spec, drugs, TABLES)
    gathered = features.gather(connection, spec, drugs, MODALITIES)
    parts = [
        features.matrix_of(gathered, f"decision_key > {start} and decision_key <= {start + size}")
        for start in range(0, gathered.decisions, size)
    ]

    assert [len(part) for part in parts] == [min(size, 15 - start) for start in range(0, 15, size)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_exact=True)
    assert features.matrix_of(gathered, "false").dtypes.to_dict() == whole.dtypes.to_dict()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_no_byte(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue, threads: int
) -> None:
    whole = built(connection, spec, drugs, TABLES)
    with duckdb.connect(config={"threads": threads}) as other:
        pd.testing.assert_frame_equal(built(other, spec, drugs, TABLES), whole, check_exact=True)


def test_no_rows_one_row_and_many_have_the_same_columns_and_types(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue
) -> None:
    points = TABLES["decision_points"]
    frames = [built(connection, spec, drugs, TABLES | {"decision_points": points.head(rows)}) for rows in (0, 1, 15)]

    assert [len(frame) for frame in frames] == [0, 1, 15]
    assert frames[0].dtypes.to_dict() == frames[1].dtypes.to_dict() == frames[2].dtypes.to_dict()
    facts = [features.facts(frame, spec) for frame in frames]
    assert facts[0].dtypes.to_dict() == facts[1].dtypes.to_dict() == facts[2].dtypes.to_dict()


def test_columns_stand_in_declared_order(seen: Seen, spec: FeatureSpec) -> None:
    frame = seen().reset_index(drop=True)
    spelled = features.for_modalities(spec, MODALITIES)

    assert tuple(frame.columns) == (*features.KEYS, *spelled.names, *spelled.age_columns.values())
    numbers = frame.drop(columns=["decision_id", "patient_id", "site_id", "decision_date", "sex"])
    assert {str(dtype) for dtype in numbers.dtypes} == {"float64"}
    assert list(frame["sex"].cat.categories) == ["female", "male", "unknown"]
    assert str(frame["decision_date"].dtype) == "datetime64[us]"


def test_every_decision_of_a_person_sees_its_own_past(seen: Seen) -> None:
    labs = """
        patient_id | code | value | measured_at
        p1         | anc  | 1.0   | 2024-01-01
        p1         | anc  | 3.0   | 2024-06-01
    """
    decisions = """
        decision_id | patient_id | decision_date
        late        | p1         | 2024-06-02
        early       | p1         | 2024-01-02
        first       | p1         | 2023-01-02
        other       | p2         | 2024-06-02
    """
    frame = seen(decision_points=decisions, measurements=labs)

    assert list(frame.index) == ["early", "first", "late", "other"]
    np.testing.assert_array_equal(frame["anc"], [1.0, np.nan, 3.0, np.nan])


def test_a_repeated_decision_is_refused(seen: Seen) -> None:
    twice = "decision_id | patient_id | decision_date\n d1 | p1 | 2024-01-01\n d1 | p2 | 2024-01-01"

    with pytest.raises(SchemaError, match="decision_points: 1 of 2 rows repeat a decision_id"):
        seen(decision_points=twice)


def test_an_unknown_definition_of_refractory_is_refused(seen: Seen) -> None:
    with pytest.raises(ConfigError, match="refractory_definition: got 'mine', wanted imwg or next_line"):
        seen("mine")


def test_platelets_of_zero_stop_the_build(seen: Seen) -> None:
    labs = "patient_id | code | value | measured_at\n p1 | platelets | 0 | 2024-03-01"

    with pytest.raises(SchemaError, match="platelets of 0 or less"):
        seen(measurements=labs)


def test_a_score_without_its_input_is_refused(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue
) -> None:
    kept = [entry for entry in spec.features if entry.name != "ldh_uln"]
    smaller = FeatureSpec(version="1", exposure=spec.exposure, features=tuple(kept))
    load(connection, TABLES)

    with pytest.raises(ConfigError, match="a score needs 'ldh_uln', which is not declared"):
        features.build(connection, smaller, drugs, MODALITIES)


def test_the_choice_and_what_followed_are_never_read(spec: FeatureSpec, drugs: DrugCatalogue) -> None:
    for definition in ("imwg", "next_line"):
        for kind, (text, _) in features.render(features.for_modalities(spec, MODALITIES), drugs, definition):  # type: ignore[arg-type]
            assert "events" not in text and "product" not in text, kind
            assert "d.modality" not in text and "p.race" not in text and "ethnicity" not in text, kind


@pytest.mark.slow
def test_three_thousand_decisions_take_seconds(
    connection: duckdb.DuckDBPyConnection, spec: FeatureSpec, drugs: DrugCatalogue
) -> None:
    people = {f"p{i}": PEOPLE[f"p{i % 15:02d}"] for i in range(3000)}
    load(connection, tables_of(people, {f"d{i}": {"patient_id": f"p{i}"} for i in range(3000)}))
    begun = time.process_time()

    features.build(connection, spec, drugs, MODALITIES)

    assert time.process_time() - begun < 10
