"""Learning again from earlier decisions sees nothing that came after the cut."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config import EvaluationConfig
from pipeline.evaluate.temporal import temporal_split
from pipeline.labels import build_labels
from pipeline.learners import Target
from pipeline.runs.held_out import Decisions, learnable, temporal_run
from pipeline.runs.institution import write_institution
from pipeline.runs.reading import Known, read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import Setup
from pipeline.simulate import SimulationSettings

pytestmark = pytest.mark.xdist_group("held-out")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> Known:
    """Return 400 simulated decisions, read."""
    home = tmp_path_factory.mktemp("held") / "records"
    write_institution(SimulationSettings(decisions=400, seed=8), home)
    return read_known(home, base_setup, training=True, reporter=Quiet())


def _labels(known: Known, setup: Setup, cut: str | None) -> pd.DataFrame:
    settings, once = setup.config.settings, setup.spec.exposure.single_dose_classes
    found = build_labels(known.connection, settings.outcomes, setup.config.drugs, cut, given_once=once)
    return found.frame.set_index("decision_id")


def test_follow_up_at_the_cut_is_what_records_that_end_there_would_give(known: Known, base_setup: Setup) -> None:
    split = temporal_split(known.features["decision_date"], known.points["patient_id"])
    cut = split.cut.date().isoformat()
    early = list(known.features.loc[split.earlier, "decision_id"])
    visible = _labels(known, base_setup, cut).reindex(early).dropna(subset="modality")
    whole = _labels(known, base_setup, None).loc[visible.index]
    connection = known.connection
    connection.execute("begin transaction")
    for name in ("events", "drugs"):  # views, which cannot be changed
        connection.execute(f"create table changed_{name} as select * from {name}")
        connection.execute(f"drop view {name}")
        connection.execute(f"alter table changed_{name} rename to {name}")
    # Who is heard of later was in contact at the cut.
    later = f"event = 'last_contact', term = null, grade = null, event_date = date '{cut}'"
    connection.execute(f"update events set {later} where event_date > date '{cut}'")
    connection.execute(f"delete from drugs where start_date > date '{cut}'")
    connection.execute(f"update drugs set end_date = least(end_date, date '{cut}')")
    truncated = _labels(known, base_setup, None).reindex(early).dropna(subset="modality")
    connection.execute("rollback")

    pd.testing.assert_frame_equal(visible, truncated)
    assert (visible["durable_control_months"] < whole["durable_control_months"]).mean() > 0.02
    start = known.features.set_index("decision_id").loc[visible.index, "decision_date"]
    for outcome in ("durable_control", "severe_toxicity", "early_death"):
        seen = pd.to_datetime(start) + pd.to_timedelta(visible[f"{outcome}_months"] * 365 / 12, unit="D")
        assert (seen < split.cut + pd.Timedelta(days=1)).all()


def _run(setup: Setup, *, calendar: bool = True, later: int = 25) -> dict[str, Any]:
    """Return the finding of a run that stops before it learns anything."""
    n = 4 * later
    records = SimpleNamespace(records=SimpleNamespace(calendar=calendar))
    dates = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="D"))
    ranker = SimpleNamespace(evidence_=SimpleNamespace(rows=np.arange(n)))
    features, people = pd.DataFrame({"decision_date": dates}), pd.Series([f"p{k}" for k in range(n)])
    decisions = Decisions(features, features, people, features)
    return temporal_run(records, setup, ranker, decisions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"calendar": False}, "the source has no calendar dates, only days from an origin of each patient"),
        ({"later": 99}, "fewer than 100 decisions lie after the cut"),
    ],
)
def test_where_it_cannot_be_done_the_reason_is_told(base_setup: Setup, given: dict[str, Any], reason: str) -> None:
    assert _run(base_setup, **given) == {"applicable": False, "words": f"Not applicable: {reason}."}


def test_it_can_be_switched_off(base_setup: Setup) -> None:
    settings = base_setup.config.settings
    switched = settings.model_copy(update={"evaluation": EvaluationConfig(temporal_holdout=False)})
    setup = replace(base_setup, config=replace(base_setup.config, settings=switched))

    assert _run(setup)["words"] == "Not applicable: switched off in the configuration."


CONTROL, SHARE = Target("durable_control", "event_free", 12, 1.0), Target("treatment_free", "free_share", 12, 1.0)
DEATH = Target("early_death", "incidence", 6, -1.0)


@pytest.mark.parametrize(
    ("controlled", "deaths", "late", "kept"),
    [
        (15, 15, 3.0, ["durable_control", "treatment_free", "early_death"]),
        (14, 15, 3.0, ["early_death"]),
        (15, 14, 3.0, ["durable_control", "treatment_free"]),
        (15, 15, 6.1, ["durable_control", "treatment_free"]),
        (0, 0, 3.0, []),
    ],
)
def test_an_outcome_too_rare_at_the_cut_is_not_learned(
    controlled: int, deaths: int, late: float, kept: list[str]
) -> None:
    rows = np.arange(40)
    outcomes = pd.DataFrame(
        {
            "durable_control_months": 3.0,
            "durable_control_event": (rows < controlled).astype(int),
            "early_death_months": late,
            "early_death_event": (rows < deaths).astype(int),
        }
    )

    assert [target.name for target in learnable(outcomes, (CONTROL, SHARE, DEATH))] == kept
    assert [target.name for target in learnable(outcomes, (replace(CONTROL, horizon_months=12),))] == [
        name for name in kept if name == "durable_control"
    ]
