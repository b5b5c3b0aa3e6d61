"""Does any patient's value leave by a side door: a log, an error, a report, a model file, the MLflow store?

Canaries (identifiers, an exact birth date, an age of 97, rare words, extreme measurements) are planted in simulated
records, every command is run on them, and then everything that was said or written is searched.
"""

from __future__ import annotations

import gc
import gzip
import io
import json
import logging
import os
import re
import shutil
import sqlite3
import struct
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import PipelineError
from pipeline.learners import SMALL_CELL
from pipeline.runs.reading import read_known
from pipeline.runs.reporting import Quiet
from pipeline.runs.setup import SETTINGS, Setup, read_setup
from pipeline.simulate import NOTE, SimulationSettings, simulate
from pipeline.store import write_records
from tests.conftest import ROOT, quick

pytestmark = [pytest.mark.xdist_group("side doors"), pytest.mark.slow]

Tables = dict[str, pd.DataFrame]

PATIENT, DECISION, SITE = "ZQXPATIENT7", "ZQXDECISION7", "Zqx Hamlet Clinic"
WORDS = {
    "patient": PATIENT,
    "decision": DECISION,
    "site": SITE,
    "race": "zqxrace",
    "ethnicity": "zqxethnicity",
    "product": "zqxproduct",
    "modality": "zqxmodality",
    "drug": "zqxnostrumab",
    "term": "zqxrash",
    "unit": "zqxunit",
    "measurement code": "zqxmarker",
    "finding code": "zqxsyndrome",
    "race of ten": "zqxtenrace",
    "site of ten": "Zqxten Valley Practice",
}
ASIDE = {"override reason": "zqxbecause", "override role": "zqxattending", "override of nobody": "ZQXSTRANGER9"}
ASIDE_DATE = "1931-02-03"
FREQUENT_ROLE = "treating haematologist"
LABEL, OTHER_LABEL = "g03-us-teclistamab-label", "g10-us-belantamab-bpd-not-labelled"
NUMBERS = {"distance": 7777.25, "ferritin": 41234.5}
AGE = 97
SOME_RULES = 12
OWN_IDENTIFIERS = {"patient", "decision"}
WIDE_GATES = "gates: {student_distance: 1000, student_agreement: 0.001}\n"


# --- what a canary looks like, in whatever spelling


def spellings_of_number(value: float) -> list[str]:
    """Return the number as programs and people write it; never so short that it is found by chance."""
    plain = {f"{value!r}", f"{value:.2f}", f"{value:.1f}", f"{value:.0f}", f"{int(value)}", f"{value:.3f}"}
    plain |= {f"{value:e}", f"{value:E}", f"{value:.5e}", f"{value:.4e}"}
    grouped = {f"{value:,.2f}", f"{value:,.1f}", f"{value:,.0f}", f"{int(value):,}"}
    separated = {text.replace(",", sign) for text in grouped for sign in (",", " ", "\u00a0", "\u202f", "'", "_")}
    continental = {text.replace(",", ";").replace(".", ",").replace(";", ".") for text in plain | grouped}
    return sorted(plain | separated | continental)


def spellings_of_date(date: str) -> list[str]:
    day = pd.Timestamp(date)
    forms = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d"]
    forms += ["%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y"]
    written = {day.strftime(form) for form in forms}
    return sorted(written | {re.sub(r"\b0(\d)", r"\1", text) for text in written})


def patterns(birth_date: str) -> dict[str, re.Pattern[str]]:
    """Return what to search for, by name of the canary."""
    found = {name: re.compile(re.escape(word), re.IGNORECASE) for name, word in (WORDS | ASIDE).items()}
    exact = {"birth date": spellings_of_date(birth_date), "override date": spellings_of_date(ASIDE_DATE)}
    exact |= {name: spellings_of_number(value) for name, value in NUMBERS.items()}
    for name, texts in exact.items():
        found[name] = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, texts))})(?!\w|\.\d)")
    # 97 alone is everywhere; it is a canary beside the word age, or before the word years.
    found["age"] = re.compile(rf"\bage\b[^a-z]{{0,40}}?\b{AGE}(\.0)?\b|\b{AGE}(\.0)?[ _-]years?\b", re.IGNORECASE)
    return found


def packed(values: Mapping[str, float]) -> dict[str, list[bytes]]:
    """Return the numbers as machines keep them: in double and single precision, either end first."""
    return {name: [struct.pack(form, value) for form in ("<d", ">d", "<f", ">f")] for name, value in values.items()}


def readings(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, and what is packed inside it."""
    content = path.read_bytes()
    yield content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield str(table.schema.metadata).encode()
        yield "\n".join(str(row) for row in table.to_pylist()).encode()
    elif content.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode()


def search(content: bytes, sought: Mapping[str, re.Pattern[str]]) -> set[str]:
    text = content.decode("utf-8", errors="replace")
    found = {name for name, pattern in sought.items() if pattern.search(text)}
    return found | {name for name, forms in packed(NUMBERS).items() if any(form in content for form in forms)}


def search_file(path: Path, sought: Mapping[str, re.Pattern[str]]) -> set[str]:
    return set().union(*(search(content, sought) for content in readings(path)))


# --- planting


def plant(tables: Mapping[str, pd.DataFrame]) -> tuple[Tables, str]:
    """Return the tables with every canary in them, and the birth date that was planted."""
    planted = {name: table.copy() for name, table in tables.items()}
    chosen = planted["decisions"].iloc[2]
    renamed = {"patient_id": {chosen["patient_id"]: PATIENT}, "decision_id": {chosen["decision_id"]: DECISION}}
    for table in planted.values():
        for column, names in renamed.items():
            if column in table:
                table[column] = table[column].replace(names)
    decisions, patients = planted["decisions"], planted["patients"]
    decisions.loc[decisions.index[[2, 10, 20]], "site_id"] = SITE
    decisions.loc[decisions.index[30], "product"] = WORDS["product"]
    decisions.loc[decisions.index[40], "modality"] = WORDS["modality"]
    birth = pd.Timestamp(chosen["decision_date"]) - pd.DateOffset(years=AGE, days=40)
    birth_date = birth.strftime("%Y-%m-%d")
    own = patients["patient_id"] == PATIENT
    patients.loc[own, ["birth_date", "race", "ethnicity", "site_id"]] = [
        birth_date,
        WORDS["race"],
        WORDS["ethnicity"],
        SITE,
    ]
    most_decided = (
        decisions.loc[decisions["patient_id"] != PATIENT, "patient_id"].value_counts().index[: SMALL_CELL - 1]
    )
    patients.loc[patients["patient_id"].isin(most_decided), "race"] = WORDS["race of ten"]
    decisions.loc[decisions["patient_id"].isin(most_decided), "site_id"] = WORDS["site of ten"]
    day = (pd.Timestamp(chosen["decision_date"]) - pd.Timedelta(days=3)).strftime("%Y-%m-%d")
    taken = [("distance_km", NUMBERS["distance"], "km"), ("ferritin", NUMBERS["ferritin"], "ng/mL")]
    taken += [("crp", 3.5, WORDS["unit"]), (WORDS["measurement code"], 2.5, "U")]
    more = [
        {"patient_id": PATIENT, "code": code, "value": value, "measured_at": day, "unit": unit, "known_at": day}
        for code, value, unit in taken
    ]
    planted["measurements"] = added(planted["measurements"], more)
    planted["drugs"] = added(planted["drugs"], [one_of(planted["drugs"]) | {"drug": WORDS["drug"]}])
    toxicity = {"event": "toxicity", "term": WORDS["term"], "grade": 3}
    planted["events"] = added(planted["events"], [one_of(planted["events"]) | toxicity])
    planted["findings"] = added(
        planted["findings"], [one_of(planted["findings"]) | {"code": WORDS["finding code"], "value": "present"}]
    )
    return planted, birth_date


def one_of(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): value for name, value in table[table["patient_id"] == PATIENT].iloc[0].items()}


def aside(folder: Path, decisions: list[str]) -> Path:
    """Write rules set aside: ten in a role of few, the planted decision's among them, the others in a frequent role."""
    few = [DECISION, *(name for name in decisions if name != DECISION)][: SMALL_CELL - 2]
    rows = [(name, LABEL, ASIDE["override role"].title()) for name in [*few, ASIDE["override of nobody"]]]
    rows += [(name, OTHER_LABEL, FREQUENT_ROLE) for name in decisions]
    table = pd.DataFrame(rows, columns=["decision_id", "rule_id", "by_role"])
    folder.mkdir()
    table.assign(reason=ASIDE["override reason"], date=ASIDE_DATE).to_csv(folder / "aside.csv", index=False)
    barred = table.assign(reason=ASIDE["override reason"], date=ASIDE_DATE, rule_id=ASIDE["override reason"])
    barred.to_csv(folder / "wrong.csv", index=False)
    return folder / "aside.csv"


def added(table: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    more = pd.DataFrame(rows).astype({name: table[name].dtype for name in table.columns})
    return pd.concat([table, more[table.columns]], ignore_index=True)


# --- the walk


@dataclass(frozen=True)
class Said:
    """One command: what it was, how it ended and every word of it."""

    words: tuple[str, ...]
    exit_code: int
    text: str
    problem: BaseException | None


def say(*words: str | Path) -> Said:
    """Run one command as the command line does, and return all it wrote, its error and its traceback included."""
    given = tuple(map(str, words))
    result = CliRunner().invoke(app, given)
    problem = result.exception
    text = result.output + result.stderr
    if problem is not None:
        text += str(problem) + "".join(traceback.format_exception(problem))
        _end(problem)
    return Said(given, problem.exit_code if isinstance(problem, PipelineError) else result.exit_code, text, problem)


def _end(problem: BaseException | None) -> None:
    """Let go of what a command held when it failed, as the end of its process does."""
    while problem is not None:
        traceback.clear_frames(problem.__traceback__)
        problem = problem.__context__


@dataclass(frozen=True)
class Walk:
    """Every command run on planted records, and the canaries found in each file that they wrote."""

    home: Path
    sought: Mapping[str, re.Pattern[str]]
    said: tuple[Said, ...]
    log: str
    found: dict[Path, set[str]] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """Return every file that the commands wrote, wherever they were told to or not."""
        own = [self.home / name for name in ("records", "fresh", "configs", "aside")]
        written = [path for path in sorted(self.home.rglob("*")) if path.is_file()]
        return [path for path in written if not any(path.is_relative_to(folder) for folder in own)]


@contextmanager
def elsewhere(home: Path) -> Iterator[io.StringIO]:
    """Work in a folder of its own, temporary files and the log of every library included."""
    (home / "here").mkdir()
    (home / "temporary").mkdir()
    log, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(log)
    level, before = root.level, Path.cwd()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(home / "temporary"))
        patched.setenv("TMPDIR", str(home / "temporary"))
        logging.getLogger("numba").setLevel(logging.WARNING)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        os.chdir(home / "here")
        try:
            yield log
        finally:
            os.chdir(before)
            root.setLevel(level)
            root.removeHandler(handler)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, base_setup: Setup) -> Path:
    """Return a configuration with a small learner, wide gates and some of the rules, so that it is read quickly."""
    home = tmp_path_factory.mktemp("side-doors") / "configs"
    shutil.copytree(ROOT / "configs", home)
    for file in sorted((home / "guardrails").iterdir())[SOME_RULES:]:
        file.unlink()
    text = quick(base_setup).texts[SETTINGS].replace("student_trees: 200", "student_trees: 60")
    (home / "base.yaml").write_text(text.replace("student_rows: 4000", "student_rows: 1500") + WIDE_GATES)
    return home / "base.yaml"


@pytest.fixture(scope="module")
def planted_new() -> tuple[Tables, str]:
    """Return sixty new decisions with canaries."""
    institution = simulate(SimulationSettings(decisions=60, seed=42))
    return plant({**institution.tables, "truth": institution.truth})


@pytest.fixture(scope="module")
def walk(config: Path, planted_new: tuple[Tables, str]) -> Walk:
    """Return every command run on records with canaries, failing ones included."""
    home = config.parents[1]
    institution = simulate(SimulationSettings(decisions=420, seed=41))
    past, birth_date = plant({**institution.tables, "truth": institution.truth})
    new = planted_new[0]
    new["patients"].loc[new["patients"]["patient_id"] == PATIENT, "birth_date"] = birth_date
    write_records(past, home / "records", stamp={"simulated": "true", "note": NOTE})
    write_records(new, home / "fresh", stamp={"simulated": "true", "note": NOTE})
    records, fresh, run, workspace = (home / name for name in ("records", "fresh", "run", "workspace"))
    new_model = ("--model", "models:/mmrank@champion", "--workspace", workspace)
    overrides = aside(home / "aside", list(new["decisions"]["decision_id"]))
    champion = ("models:/mmrank@champion", "--workspace", workspace)
    given, wrong = ("--overrides", overrides), ("--overrides", overrides.with_name("wrong.csv"))
    overridden = home / "overridden"
    with elsewhere(home) as log:
        said = (
            say("check", records, "--config", config, "--out", home / "check.json"),
            say("train", records, "--config", config, "--out", run, "--workspace", workspace),
            say("predict", fresh, *new_model, "--out", home / "predictions"),
            say("explain", fresh, *new_model, "--decision", DECISION, "--out", home / "card.html"),
            say(
                "explain", fresh, *new_model, "--decision", DECISION, "--out", home / "named.html", "--show-identifiers"
            ),
            say("review", "--model", run, "--out", home / "page.html"),
            say("explain", fresh, *new_model, "--decision", f"{DECISION}X", "--out", home / "none.html"),
            say("predict", fresh, *new_model, "--out", home / "predictions"),
            say("train", records, "--config", config, "--out", run, "--workspace", workspace),
            say("predict", fresh, *new_model, *given, "--out", overridden),
            say("explain", fresh, *new_model, *given, "--decision", DECISION, "--out", home / "set-aside.html"),
            say("review", *new_model, "--predictions", overridden, "--out", home / "batch.html"),
            say("predict", fresh, *new_model, *wrong, "--out", home / "wrong"),
            say("explain", fresh, *new_model, *wrong, "--decision", DECISION, "--out", home / "none.html"),
            say("predict", fresh, *new_model, "--out", overridden, "--resume"),
            say("promote", *champion, "--reviewer", PATIENT, "--note", "seen"),
            say("promote", *champion, "--reviewer", "data scientist", "--note", "seen"),
            say("models", "--workspace", workspace),
            say("features", fresh, *new_model, "--out", home / "features.parquet"),
            say("monitor", fresh, *new_model, "--out", home / "monitor.html", "--since", "2000-01-01"),
        )
        gc.collect()
    walked = Walk(home, patterns(birth_date), said, log.getvalue())
    walked.found.update({path: search_file(path, walked.sought) for path in walked.files()})
    return walked


def hits(walk: Walk, wanted: Callable[[Path], bool] = lambda path: True) -> dict[str, set[str]]:
    """Return the canaries found in each file, where there are any."""
    return {str(path.relative_to(walk.home)): names for path, names in walk.found.items() if names and wanted(path)}


def is_model_file(path: Path) -> bool:
    return path.parent.name == "model"


def is_answer(path: Path) -> bool:
    """Whether a file is where a person's own values belong: a case card or the predictions."""
    is_batch = path.parent.name in ("predictions", "overridden") and path.suffix == ".parquet"
    cards = ("card", "named", "set-aside")
    is_card = path.stem in cards or path.parent.name in [f"{card}-tables" for card in cards]
    return is_card or is_batch or path.name == "features.parquet"


OWN_LOCK = "owner"
"""A process that reads records holds a file of this name until it ends, with its number and host and nothing else."""


# --- the claims


def test_the_walk_went_where_it_should(walk: Walk) -> None:
    codes = [said.exit_code for said in walk.said]

    assert codes == [0, 0, 0, 0, 0, 0, 10, 10, 10, 0, 0, 0, 13, 13, 14, 10, 0, 0, 0, 0], [
        said.text[-400:] for said in walk.said if said.exit_code
    ]
    names = {path.name for path in walk.files()}
    assert {
        "mlflow.db",
        "evaluation.json",
        "check.json",
        "review.html",
        "page.html",
        "model.json",
        "batch.html",
        "monitor.html",
        "_shift.json",
    } <= names
    assert len(walk.files()) > 40


def test_every_canary_was_there_to_be_found(walk: Walk) -> None:
    for folder in ("records", "fresh"):
        found = set().union(*(search_file(path, walk.sought) for path in (walk.home / folder).glob("*.parquet")))

        assert found == set(walk.sought) - {"age", "override date", *ASIDE}
    written = search_file(walk.home / "aside" / "aside.csv", walk.sought)
    assert written == {"decision", "override date", *ASIDE}


@pytest.mark.parametrize("kind", ["text", "gz", "npz", "parquet", "sqlite"])
def test_the_search_sees_into_every_kind_of_file(walk: Walk, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    value = NUMBERS["ferritin"]
    if kind == "text":
        path.write_text(f"{PATIENT.lower()} lives 7,777.25 km away, aged {AGE} years")
    elif kind == "gz":
        path.write_bytes(gzip.compress(f"{{'age': [{AGE}.0, {value:e}]}}".encode()))
    elif kind == "npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, middle=np.array([1.0, value]))
    elif kind == "parquet":
        pd.DataFrame({"a": ["x"] * 9 + [PATIENT], "b": [1.0] * 9 + [value]}).to_parquet(path, compression="zstd")
    else:
        with sqlite3.connect(path) as database:
            database.execute("create table t (a text)")
            database.execute("insert into t values (?)", ["-" * 4090 + PATIENT])
    expected = {
        "text": {"patient", "distance", "age"},
        "gz": {"age", "ferritin"},
        "npz": {"ferritin"},
        "parquet": {"patient", "ferritin"},
        "sqlite": {"patient"},
    }

    assert search_file(path, walk.sought) == expected[kind]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("distance 7777.25 km", {"distance"}),
        ("3,7777.25,1", {"distance"}),
        (f"a,{ASIDE_DATE},1", {"override date"}),
        ("7\u202f777.25", {"distance"}),
        ("7.77725e+03", {"distance"}),
        ("41.234,5", {"ferritin"}),
        ("ferritin 41234.", {"ferritin"}),
        ("0.17777253", set()),
        ("a7777b0c", set()),
        ('"age": [\n   97.0', {"age"}),
        ("97 of 100 people", set()),
    ],
)
def test_numbers_are_found_in_usual_formats_and_not_by_chance(walk: Walk, text: str, found: set[str]) -> None:
    assert search(text.encode(), walk.sought) == found


def test_no_canary_is_said_on_the_terminal(walk: Walk) -> None:
    told = [(said.words, search(said.text.encode(), walk.sought)) for said in walk.said]
    # The terminal of `explain` is a case card: it may name the values of the case, never the person.
    own_values = {*NUMBERS, "age"}
    overridden = {"override reason", "override role"}
    leaks = []
    for words, names in told:
        is_aside = str(walk.home / "set-aside.html") in words
        own = own_values | overridden if is_aside else own_values
        leaks.append((words, names - own if words[0] == "explain" else names))

    assert [(words, names) for words, names in leaks if names] == []


def test_no_canary_is_in_the_log_of_any_library(walk: Walk) -> None:
    assert search(walk.log.encode(), walk.sought) == set()


def test_no_canary_is_in_reports_or_in_the_store(walk: Walk) -> None:
    found = hits(walk, lambda path: not is_model_file(path) and not is_answer(path) and path.name != "check.json")

    assert found == {}


def test_nothing_is_left_in_temporary_folders_or_where_the_command_was_called(walk: Walk) -> None:
    left = [path for path in walk.files() if path.is_relative_to(walk.home / "here")]
    left += [path for path in walk.files() if path.is_relative_to(walk.home / "temporary") and path.name != OWN_LOCK]

    assert [path.name for path in left] == []


def test_predictions_hold_the_identifiers_and_no_other_word(walk: Walk) -> None:
    found = hits(walk, lambda path: path.parent.name in ("predictions", "overridden"))

    assert list(found) == ["overridden/part-00000.parquet", "predictions/part-00000.parquet"]
    assert found["predictions/part-00000.parquet"] - {*NUMBERS, "age"} == OWN_IDENTIFIERS
    told = OWN_IDENTIFIERS | {"override reason", "override role", "override date"}
    assert found["overridden/part-00000.parquet"] - {*NUMBERS, "age"} == told


def test_a_case_card_names_the_person_only_when_asked(walk: Walk) -> None:
    card, named = (walk.found[walk.home / name] for name in ("card.html", "named.html"))

    assert card <= {*NUMBERS, "age"}
    assert OWN_IDENTIFIERS <= named <= OWN_IDENTIFIERS | {*NUMBERS, "age"}


def test_a_card_of_an_overridden_rule_tells_reason_and_role_and_names_nobody(walk: Walk) -> None:
    found = walk.found[walk.home / "set-aside.html"]

    assert {"override reason", "override role"} <= found
    assert found <= {"override reason", "override role", "override date", *NUMBERS, "age"}


def test_the_review_of_a_batch_tells_frequent_roles_and_no_rare_one(walk: Walk) -> None:
    predictions = pd.read_parquet(walk.home / "overridden", columns=["decision_id", "overrides"])
    used = {
        (decision, entry["by_role"])
        for decision, entries in zip(predictions["decision_id"], predictions["overrides"], strict=True)
        for entry in entries
    }
    counts = pd.Series([role for _, role in used]).value_counts()
    text = (walk.home / "batch.html").read_text()

    assert 0 < counts[ASIDE["override role"].title()] < SMALL_CELL <= counts[FREQUENT_ROLE]
    assert "roles with fewer than 11 overrides each" in text
    assert FREQUENT_ROLE in text
    assert walk.found[walk.home / "batch.html"] == set()


def test_refused_overrides_leave_nothing_behind(walk: Walk) -> None:
    assert not (walk.home / "wrong").exists()
    assert not (walk.home / "none.html").exists()


def identifiers(folder: Path) -> set[str]:
    """Return every identifier and every date that the records hold."""
    found: set[str] = set()
    for path in folder.glob("*.parquet"):
        table = pd.read_parquet(path)
        names = [name for name in table if str(name).endswith(("_id", "_date", "_at"))]
        found |= {str(value)[:100] for name in names for value in table[name].dropna().unique()}
    return found


def test_the_warnings_of_training_are_told_in_counts_and_rows(walk: Walk) -> None:
    said = next(said for said in walk.said if said.words[0] == "train")
    text = " ".join(said.text.split())
    warned = re.findall(r"warning: (.*?)(?= warning: |$)", text.split(" Learning ")[0])
    words = set(re.findall(r"[\w-]+", " ".join(warned)))

    for place in ("decisions.modality", "measurements.unit", "measurements.code", "findings.code", "drugs.drug"):
        assert any(line.startswith(place) for line in warned), place
    assert words & identifiers(walk.home / "records") == set()
    assert search(" ".join(warned).encode(), walk.sought) == set()


def test_reports_name_no_site_and_tell_no_date_of_a_record(walk: Walk) -> None:
    reports = [walk.home / name for name in ("run/evaluation.json", "run/review.html", "page.html", "batch.html")]
    sites = set(pd.read_parquet(walk.home / "records" / "decisions.parquet")["site_id"].dropna())
    known = identifiers(walk.home / "records") | identifiers(walk.home / "fresh")
    days = {day for day in known if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day)}
    spelled = {text for day in days for text in spellings_of_date(day)}
    evaluation = json.loads(reports[0].read_text())
    spelled -= {*spellings_of_date(evaluation["created"][:10]), str(evaluation["seed"])}
    assert len(sites) > 2
    assert len(days) > 1000

    for path in reports:
        text = path.read_text()
        written = re.findall(r"\b\d{4}[-/]\d\d[-/]\d\d\b|\b\d\d?[-./]\d\d?[-./]\d{4}\b|\b[12]\d{7}\b", text)
        written += re.findall(r"\b\d\d? [A-Z][a-z]+ \d{4}\b|\b[A-Z][a-z]+ \d\d?, \d{4}\b", text)
        assert [site for site in sites if re.search(rf"\b{re.escape(site)}\b", text, re.IGNORECASE)] == [], path.name
        assert set(written) & spelled == set(), path.name


def test_new_sections_tell_groups_of_eleven_or_more_and_the_month_of_the_cut(walk: Walk) -> None:
    evaluation = json.loads((walk.home / "run" / "evaluation.json").read_text())
    groups = pd.DataFrame(evaluation["rules"]["subgroups"])
    levels = groups.groupby("subgroup")["level"].agg(set)

    assert evaluation["balance"]["pairs"] != []
    assert re.fullmatch(r"\d{4}-\d{2}", evaluation["temporal"]["cut"])
    assert levels["race"] <= {"white", "black", "asian", "other", "unknown"}
    assert all(re.fullmatch(r"site \d|other sites|unknown", level) for level in levels["site"])
    assert len(levels["site"]) > 2


def test_no_rare_word_is_in_the_model_files(walk: Walk) -> None:
    found = hits(walk, is_model_file)

    rare = set(WORDS) - {"site of ten"}
    assert {name: names & rare for name, names in found.items() if names & rare} == {}


def test_no_site_of_fewer_than_eleven_people_is_in_the_model_files(walk: Walk) -> None:
    found = hits(walk, is_model_file)

    assert [name for name, names in found.items() if "site of ten" in names] == []


def test_no_extreme_value_is_in_the_model_files(walk: Walk) -> None:
    found = hits(walk, is_model_file)

    assert {name: names - set(WORDS) for name, names in found.items() if names - set(WORDS)} == {}


def test_a_modality_of_one_person_is_not_named_in_the_account_of_a_check(walk: Walk) -> None:
    assert walk.found[walk.home / "check.json"] == set()


SPLITS = re.compile(r"^split_feature=(.*)\n.*\nthreshold=(.*)\ndecision_type=(.*)$", re.MULTILINE)


def splits(text: str) -> Iterator[tuple[int, float]]:
    """Yield the column and the threshold of every numeric split of a saved model."""
    for columns, thresholds, kinds in SPLITS.findall(text):
        for column, threshold, kind in zip(columns.split(), thresholds.split(), kinds.split(), strict=True):
            if not int(kind) & 1:
                yield int(column), float(threshold)


def test_no_split_of_a_saved_tree_sets_fewer_than_eleven_people_apart(walk: Walk) -> None:
    setup = read_setup(walk.home / "configs" / "base.yaml")
    features = read_known(walk.home / "records", setup, training=True, reporter=Quiet()).features
    known = {str(name): np.sort(features[name].dropna()) for name in features.select_dtypes("number").columns}
    folder = walk.home / "run" / "model"
    document = json.loads((folder / "model.json").read_text())
    seen, telling = 0, set()
    for file in sorted(folder.glob("*.txt")):
        names = document["propensity_columns" if file.stem == "propensity" else "columns"]["names"]
        for column, threshold in splits(file.read_text()):
            values = known[names[column]]
            below = int(np.searchsorted(values, threshold, side="right"))
            seen += 1
            # A split of known from unknown has everyone who is known on one side.
            if 0 < below < SMALL_CELL or 0 < len(values) - below < SMALL_CELL:
                telling.add((file.name, names[column], threshold))

    assert seen > 1000
    assert sorted(telling)[:10] == []


# --- errors


Change = Callable[[Tables, Path], None]


def cell(table: str, column: str, value: str | int) -> Change:
    """Put a value into one row of the planted person."""

    def change(tables: Tables, folder: Path) -> None:
        held = tables[table].astype({column: object})
        held.loc[held.index[held["patient_id"] == PATIENT][0], column] = value
        write_csv(tables | {table: held}, folder)

    return change


def twice(table: str) -> Change:
    def change(tables: Tables, folder: Path) -> None:
        own = tables[table][tables[table]["patient_id"] == PATIENT]
        write_csv(tables | {table: pd.concat([tables[table], own])}, folder)

    return change


def line(table: str, content: bytes) -> Change:
    """Add one raw line to a CSV file."""

    def change(tables: Tables, folder: Path) -> None:
        write_csv(tables, folder)
        with (folder / f"{table}.csv").open("ab") as stream:
            stream.write(content)

    return change


def headless(table: str) -> Change:
    def change(tables: Tables, folder: Path) -> None:
        write_csv(tables, folder)
        own = tables[table][tables[table]["patient_id"] == PATIENT]
        own.to_csv(folder / f"{table}.csv", index=False, header=False)

    return change


def cut(tables: Tables, folder: Path) -> None:
    write_csv(tables, folder)
    (folder / "measurements.csv").unlink()
    tables["measurements"].to_parquet(folder / "measurements.parquet", compression=None)
    whole = (folder / "measurements.parquet").read_bytes()
    (folder / "measurements.parquet").write_bytes(whole[: len(whole) // 2])


def circle(tables: Tables, folder: Path) -> None:
    pairs = [(PATIENT, "ZQXALIAS"), ("ZQXALIAS", PATIENT)]
    write_csv(tables | {"patient_aliases": pd.DataFrame(pairs, columns=["alias_id", "patient_id"])}, folder)


def foreign_choices(tables: Tables, folder: Path) -> None:
    write_csv(tables | {"decisions": tables["decisions"].assign(modality=WORDS["modality"])}, folder)


def write_csv(tables: Tables, folder: Path) -> None:
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


NOBODY_DECLARED = "modalities that nobody declared"
SAME_DAY_TWICE = "a file without a header line whose first row says a day twice"
ALSO_TRAINED = {NOBODY_DECLARED, "a patient twice", "a file cut in half", "a value that is no number"}
BROKEN: dict[str, Change] = {
    "a birth date that is none": cell("patients", "birth_date", "7 zqxmarch 1924"),
    "a birth date far in the past": cell("patients", "birth_date", "1624-03-07"),
    "a sex that is none": cell("patients", "sex", PATIENT),
    "a value that is no number": cell("measurements", "value", "41234.5 zqxunit"),
    "a finding that its code does not know": cell("findings", "value", WORDS["term"]),
    "a grade out of range": cell("events", "grade", 41234),
    "a line of nobody": cell("lines", "patient_id", f"{PATIENT}8"),
    "known before it happened": cell("measurements", "known_at", "1924-03-07"),
    "a cell of absurd length": cell("patients", "race", PATIENT * 2000),
    "a patient twice": twice("patients"),
    "a decision twice": twice("decisions"),
    "a row with a cell too many": line("patients", f"{PATIENT},1924-03-07,male,,,2010-01-01,{SITE},7777.25\n".encode()),
    "a quote that never ends": line("patients", f'{PATIENT},"1924-03-07,male\n'.encode()),
    "a row that is not UTF-8": line("patients", f"{PATIENT}\xff\xfe,1924-03-07,,,,,\n".encode("latin-1")),
    "a file without a header line": headless("patients"),
    SAME_DAY_TWICE: headless("measurements"),
    "a file cut in half": cut,
    "aliases in a circle": circle,
    NOBODY_DECLARED: foreign_choices,
}


@pytest.fixture(scope="module")
def a_dozen(planted_new: tuple[Tables, str]) -> Tables:
    """Return the records of twelve people, the planted one among them."""
    tables = planted_new[0]
    kept = set(tables["decisions"]["patient_id"].head(12))
    few = {name: table[table["patient_id"].isin(kept)] for name, table in tables.items() if "patient_id" in table}
    decided = set(few["decisions"]["decision_id"])
    return few | {name: tables[name][tables[name]["decision_id"].isin(decided)] for name in ("availability",)}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_records_are_refused_without_a_word_of_them(
    a_dozen: Tables, planted_new: tuple[Tables, str], config: Path, tmp_path: Path, name: str
) -> None:
    records, account = tmp_path / "records", tmp_path / "check.json"
    records.mkdir()
    BROKEN[name](dict(a_dozen), records)

    checked = say("check", records, "--config", config, "--out", account)
    text = checked.text
    assert checked.exit_code == (0 if name == NOBODY_DECLARED else 11), text
    if name in ALSO_TRAINED:
        folders = ("--out", tmp_path / "run", "--workspace", tmp_path / "workspace")
        trained = say("train", records, "--config", config, *folders)
        text += trained.text
        assert isinstance(trained.problem, PipelineError)
        assert trained.exit_code == 11, text
        assert not (tmp_path / "run" / "model").exists()

    sought = patterns(planted_new[1]) | {"another": re.compile(r"zqx|\b(1[69]24|41234)\b", re.IGNORECASE)}
    own = a_dozen["measurements"][a_dozen["measurements"]["patient_id"] == PATIENT]
    sought["day of the first row"] = re.compile(re.escape(str(own["measured_at"].iloc[0])))
    told = search(text.encode(), sought)
    told |= search_file(account, sought) if account.exists() else set()
    assert told == set(), text


# --- wrong overrides


HEAD = "decision_id,rule_id,reason,by_role,date\n"
ROW = f"{DECISION},{LABEL},zqxbecause,zqxattending,1924-03-07\n"
ENTRY = {
    "decision_id": DECISION,
    "rule_id": LABEL,
    "reason": "zqxbecause",
    "by_role": "zqxattending",
    "date": "1924-03-07",
}
HELD = "g05-teclistamab-daratumumab-cd38-refractory"
WRONG: dict[str, tuple[str, bytes]] = {
    "an unknown rule": ("csv", (HEAD + ROW.replace(LABEL, "g03-zqxbecause")).encode()),
    "a rule that holds": ("csv", (HEAD + ROW.replace(LABEL, HELD)).encode()),
    "a date that is none": ("csv", (HEAD + ROW.replace("1924-03-07", "7 zqxmarch 1924")).encode()),
    "a cell left empty": ("csv", (HEAD + ROW.replace("zqxattending", "")).encode()),
    "a column too many": ("csv", (HEAD.strip() + ",zqxnote\n" + ROW.strip() + ",zqxmore\n").encode()),
    "a row twice": ("csv", (HEAD + ROW * 2).encode()),
    "no header line": ("csv", (ROW * 2).encode()),
    "no header line and a cell twice": ("csv", (ROW.replace("zqxattending", DECISION) * 2).encode()),
    "a cell too many": ("csv", (HEAD + ROW.strip() + f",{PATIENT}\n").encode()),
    "a quote that never ends": ("csv", (HEAD + ROW.replace(LABEL, f'"{LABEL}')).encode()),
    "a row that is not UTF-8": ("csv", (HEAD + ROW).encode() + b"ZQX\xff\xfe,,,,\n"),
    "semicolons": ("csv", (HEAD + ROW).replace(",", ";").encode()),
    "a damaged Parquet file": ("parquet", b"PAR1zqxbecausePAR1"),
    "JSON cut in half": ("json", json.dumps([ENTRY]).encode()[:-20]),
    "JSON with a key twice": ("json", b'[{"zqxbecause": 1, "zqxbecause": 2}]'),
    "JSON by decision": ("json", json.dumps({DECISION: ENTRY}).encode()),
    "JSON inside JSON": ("json", json.dumps([ENTRY | {"reason": {"zqxbecause": DECISION}}]).encode()),
    "JSON with half a character": ("json", json.dumps([ENTRY | {"reason": "zqxbecause \ud800"}]).encode()),
    "YAML of numbers": ("yaml", b"- {decision_id: 41234, rule_id: zqxrule, reason: 7, by_role: true}\n"),
    "YAML with an alias": ("yaml", b"- {decision_id: *zqxbecause}\n"),
    "YAML with a stray colon": ("yaml", b"- reason: zqx: because\n"),
    "YAML with a key twice": ("yaml", f"- {DECISION}: zqxbecause\n  {DECISION}: zqxbecause\n".encode()),
    "YAML with a tag": ("yaml", b"- reason: !zqxbecause urgent\n"),
}
"""Known to quote a word of the file, or to end in a traceback; the mark goes with the fix."""


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_overrides_are_refused_without_a_word_of_them(walk: Walk, tmp_path: Path, name: str) -> None:
    kind, content = WRONG[name]
    path, out = tmp_path / f"overrides.{kind}", tmp_path / "out"
    path.write_bytes(content)
    sought = {"a cell": re.compile(r"zqx|\b(1924|41234)\b", re.IGNORECASE)}

    said = say("predict", walk.home / "fresh", "--model", walk.home / "run", "--overrides", path, "--out", out)

    assert search(content, sought) == {"a cell"}
    assert said.exit_code == 13, said.text
    assert not out.exists()
    assert search(said.text.encode(), sought) == set(), said.text
