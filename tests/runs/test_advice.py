"""Advice has the contract's columns and types, whatever is asked."""

from __future__ import annotations

import pytest

from pipeline.advice import advise, score
from pipeline.prediction_rows import Detail
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.train import shard_of
from pipeline.store import prediction_table, predictions_schema
from tests.conftest import Journey

pytestmark = pytest.mark.xdist_group("journey")


def test_advice_on_no_decision_is_a_typed_table_without_rows(journey: Journey) -> None:
    known = read_known(journey.fresh, journey.loaded.setup, training=False, reporter=Quiet())
    some, none = (known.features.iloc[:size].reset_index(drop=True) for size in (3, 0))

    shards = [shard_of(known, rows) for rows in (some, none)]
    full, empty = (advise(journey.loaded.adviser, shard).predictions for shard in shards)

    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    assert list(empty.columns) == predictions_schema().names
    assert prediction_table(score(journey.loaded.adviser, shards[1], Detail("all", 3))).num_rows == 0
