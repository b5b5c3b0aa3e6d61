"""The rules as SQL say what the rules as masks say, and what a plain reading of the file says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import RuleError
from pipeline.guardrails import answer_rules, apply_rules_sql, fact_table, plan, rule_query
from pipeline.guardrails.conditions import AllOf, AnyOf, AtLeast, Compare, Known, NotOf, parse_condition
from pipeline.guardrails.grid import FALSE, TRUE, UNKNOWN
from pipeline.guardrails.kleene import FactColumns, evaluate
from pipeline.guardrails.sql import condition_sql, identifier, literal, verdict_query
from pipeline.vocabulary import VERDICTS
from tests.guardrails import plainly
from tests.guardrails.random_facts import people_of, random_facts
from tests.guardrails.shipped import FILES, MODALITIES, PRODUCTS, RULES, SmallFact, days_of, facts_of_people, modality

BY_ID = {rule.id: rule for rule in RULES.rules}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def stored(connection: duckdb.DuckDBPyConnection, facts: pd.DataFrame, name: str = "facts") -> Any:
    table = pa.Table.from_pandas(facts.reset_index())
    connection.register("arrow_facts", table)
    connection.execute(f"CREATE OR REPLACE TABLE {identifier(name)} AS SELECT * FROM arrow_facts")
    connection.unregister("arrow_facts")
    return fact_table(connection, name)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from(["us", "eu"]))
def test_masks_and_sql_agree_on_every_shipped_rule_product_and_modality(connection, seed, jurisdiction):
    facts = random_facts(700, seed)
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction=jurisdiction, include_drafts=True)

    by_masks = answer_rules(facts.sort_index(), asked, decision_dates=facts["decision_date"])
    by_sql = apply_rules_sql(connection, stored(connection, facts), asked)

    assert by_sql.decisions.tolist() == by_masks.decisions.tolist()
    for name in ("states", "products", "modalities"):
        np.testing.assert_array_equal(getattr(by_sql, name), getattr(by_masks, name), err_msg=name)


@pytest.mark.parametrize("jurisdiction", ["us", "eu"])
def test_masks_agree_with_a_plain_reading_of_the_files(jurisdiction):
    facts = random_facts(150, seed=5).assign(decision_date=pd.Timestamp("2026-11-23"))
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction=jurisdiction, include_drafts=True)
    answers = answer_rules(facts, asked, decision_dates=facts["decision_date"])
    said = {True: TRUE, False: FALSE, None: UNKNOWN}

    people = people_of(facts)
    assert len(asked.asked) > 50
    for entry, states in zip(asked.asked, answers.states, strict=True):
        when = FILES[f"{entry.rule.id}.yaml"]["when"]
        label = {name.removeprefix("label."): value for name, value in entry.label.items()}
        assert states.tolist() == [said[plainly.answer(when, people[name], label)] for name in facts.index]


SMALL = {
    "ecog": SmallFact("ecog", "number"),
    "alt": SmallFact("alt", "number", "U/L"),
    "alt_uln": SmallFact("alt_uln", "number", "U/L"),
    "hiv": SmallFact("hiv", "boolean"),
    'it\'s "odd"': SmallFact('it\'s "odd"', "boolean"),
    "sex": SmallFact("sex", "category", levels=("female", "male", "it's")),
}
numbers = st.sampled_from([-1, 0, 1, 2, 2.5, 3])
sign = st.sampled_from(["lt", "le", "gt", "ge", "equals"])
leaf = st.one_of(
    st.builds(lambda op, x: {"fact": "ecog", op: x}, sign, numbers),
    st.builds(lambda a, b: {"fact": "ecog", "between": sorted([a, b])}, numbers, numbers),
    st.builds(lambda xs: {"fact": "ecog", "in": xs}, st.lists(numbers, min_size=1, max_size=3)),
    st.builds(lambda op, x: {"fact": "alt", op: x, "times": "alt_uln", "unit": "U/L"}, sign, numbers),
    st.builds(lambda yes: {"fact": "hiv", "is": yes}, st.booleans()),
    st.builds(lambda yes: {"fact": 'it\'s "odd"', "is": yes}, st.booleans()),
    st.builds(lambda level: {"fact": "sex", "is": level}, st.sampled_from(["female", "it's"])),
    st.builds(lambda levels: {"fact": "sex", "in": levels}, st.just(["male", "it's"])),
    st.builds(lambda fact, yes: {"fact": fact, "known": yes}, st.sampled_from(list(SMALL)), st.booleans()),
    st.builds(lambda status: {"label": "approval_status", "is": status}, st.sampled_from(["approved", "conditional"])),
)
conditions = st.recursive(
    leaf,
    lambda part: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(part, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(part, min_size=1, max_size=3)),
        st.builds(lambda inner: {"not": inner}, part),
        st.builds(
            lambda parts, count: {"at_least": 1 + count % len(parts), "of": parts},
            st.lists(part, min_size=1, max_size=3),
            st.integers(0, 2),
        ),
    ),
    max_leaves=8,
)


@cache
def small_people(seed: int) -> list[dict[str, Any]]:
    return list(people_of(small_facts(seed).assign(decision_date=pd.NaT)).values())


@cache
def small_facts(seed: int, number: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)

    def of(values: list[Any]) -> list[Any]:
        return [values[i] for i in rng.integers(0, len(values), number)]

    columns = {
        "ecog": pd.array(of([-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, None]), "Float64"),
        "alt": pd.array(of([-2.0, 0.0, 2.0, 4.0, 5.0, 6.0, None]), "Float64"),
        "alt_uln": pd.array(of([0.0, 2.0, None]), "Float64"),
        "hiv": pd.array(of([True, False, None]), "boolean"),
        'it\'s "odd"': pd.array(of([True, False, None]), "boolean"),
        "sex": pd.Series(of(["female", "male", "it's", None])).astype("str").to_numpy(),
    }
    return (
        pd.DataFrame(columns)
        .astype({"sex": "str"})
        .set_axis(pd.Index([f"d{i:03d}" for i in range(number)], name="decision_id"))
    )


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conditions, st.integers(0, 9), st.sampled_from(["approved", "conditional", None]))
def test_any_condition_means_the_same_as_masks_as_sql_and_read_plainly(connection, when, seed, status):
    facts = small_facts(seed)
    problems: list[str] = []
    condition = parse_condition(when, "when", SMALL, problems)
    assert condition is not None, problems
    label = {"label.approval_status": status}
    name = f"small_{seed}"
    try:
        table = fact_table(connection, name)
    except duckdb.CatalogException:
        table = stored(connection, facts, name)

    truth = evaluate(condition, FactColumns(facts, label).truth)
    query = f"SELECT {condition_sql(condition, table.types, label)} FROM {identifier(name)} ORDER BY decision_id"
    by_sql = [row[0] for row in connection.execute(query).fetchall()]
    plain = [plainly.answer(when, person, {"approval_status": status}) for person in small_people(seed)]

    by_masks = [bool(true) if known else None for true, known in zip(truth.true, truth.known, strict=True)]
    assert by_masks == by_sql == plain


TYPES = {"ecog": "INTEGER", "alt": "DOUBLE", "uln": "FLOAT", "hiv": "BOOLEAN", "one": "UTINYINT", "sex": "VARCHAR"}
TYPES |= {"level": "ENUM('a', 'b')"}
NUMBER = {
    name: f'(CASE WHEN isfinite(CAST("{name}" AS DOUBLE)) THEN CAST("{name}" AS DOUBLE) END)'
    for name in ("ecog", "alt", "uln", "one")
}
TWO, FOUR = "CAST('2.0' AS DOUBLE)", "CAST('4.0' AS DOUBLE)"
IS_HIV = Compare("hiv", "is", (True,))
TEXTS = [
    (IS_HIV, '("hiv" = TRUE)'),
    (Compare("one", "is", (False,)), f"(({NUMBER['one']} = CAST('1.0' AS DOUBLE)) = FALSE)"),
    (Compare("sex", "is", ("male",)), "(CAST(\"sex\" AS VARCHAR) IN ('male'))"),
    (Compare("level", "in", ("a", "b")), "(CAST(\"level\" AS VARCHAR) IN ('a', 'b'))"),
    *[
        (Compare("ecog", op, (2,)), f"({NUMBER['ecog']} {sign} {TWO})")
        for op, sign in [("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("equals", "="), ("in", "=")]
    ],
    (Compare("ecog", "in", (2, 4)), f"({NUMBER['ecog']} = {TWO} OR {NUMBER['ecog']} = {FOUR})"),
    (Compare("ecog", "between", (2, 4)), f"({NUMBER['ecog']} >= {TWO} AND {NUMBER['ecog']} <= {FOUR})"),
    (Compare("alt", "gt", (4,), "U/L", "uln"), f"({NUMBER['alt']} > {FOUR} * {NUMBER['uln']})"),
    (Known("hiv", known=True), '("hiv" IS NOT NULL)'),
    (Known("alt", known=False), f"({NUMBER['alt']} IS NULL)"),
    (Known("sex", known=True), '(CAST("sex" AS VARCHAR) IS NOT NULL)'),
    (NotOf(IS_HIV), '(NOT ("hiv" = TRUE))'),
    (AllOf((IS_HIV, Known("hiv", known=True))), '(("hiv" = TRUE) AND ("hiv" IS NOT NULL))'),
    (AnyOf((IS_HIV, Known("hiv", known=True))), '(("hiv" = TRUE) OR ("hiv" IS NOT NULL))'),
    (
        AtLeast(2, (IS_HIV, IS_HIV)),
        '(CASE WHEN CAST(coalesce(("hiv" = TRUE), FALSE) AS INTEGER) + CAST(coalesce(("hiv" = TRUE), FALSE) AS INTEGER)'
        ' >= 2 THEN TRUE WHEN CAST(coalesce(("hiv" = TRUE), TRUE) AS INTEGER) + CAST(coalesce(("hiv" = TRUE), TRUE) AS'
        " INTEGER) < 2 THEN FALSE END)",
    ),
    (Compare("label.approval_status", "is", ("approved",)), "('approved' IN ('approved'))"),
    (Known("label.price", known=True), "(CAST(NULL AS VARCHAR) IS NOT NULL)"),
]


@pytest.mark.parametrize(
    "kind",
    [
        "DOUBLE",
        "FLOAT",
        *[f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER")],
        "BIGINT",
        "UBIGINT",
    ],
)
def test_numbers_are_read_from_columns_of_every_type_of_number(connection, kind):
    connection.execute(f"CREATE OR REPLACE TABLE of_kind AS SELECT 'a' AS decision_id, CAST(3 AS {kind}) AS ecog")
    text = condition_sql(Compare("ecog", "ge", (3,)), fact_table(connection, "of_kind").types)

    assert connection.execute(f"SELECT {text} FROM of_kind").fetchall() == [(True,)]


@pytest.mark.parametrize(("condition", "text"), TEXTS)
def test_a_condition_is_written_so(condition, text):
    assert condition_sql(condition, TYPES, {"label.approval_status": "approved"}) == text


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (Compare("sex", "is", (True,)), r"text, a rule reads it as yes or no\."),
        (Compare("hiv", "is", ("male",)), "yes and no, a rule reads it as text"),
        (Compare("ecog", "is", ("male",)), r"numbers, a rule reads it as text\."),
        (Compare("sex", "ge", (2,)), r"text, a rule reads it as a number\."),
        (Compare("level", "ge", (2.5,)), "text, a rule reads it as a number"),
        (Compare("alt", "gt", (4,), "U/L", "hiv"), "'hiv' holds yes and no, a rule reads it as a number"),
    ],
)
def test_a_comparison_with_a_column_of_another_type_is_refused(condition, kind):
    with pytest.raises(RuleError, match=kind):
        condition_sql(condition, TYPES)


def test_a_rule_query_tells_who_fires_and_who_is_undecided(connection):
    facts = facts_of_people({"a": {"ecog": 2.0}, "b": {"ecog": 3.0}, "c": {"ecog": None}})
    query = rule_query(BY_ID["g21-car-t-ecog-3-or-worse"], stored(connection, facts))

    assert connection.execute(query).fetchall() == [("a", False, False), ("b", True, False), ("c", False, True)]


def test_a_label_rule_query_reads_the_label_that_it_is_given(connection):
    table = stored(connection, facts_of_people({"a": {}}))
    rule = BY_ID["g10-us-belantamab-bpd-not-labelled"]

    def says(status: str | None) -> tuple[bool, bool]:
        return connection.execute(rule_query(rule, table, {"label.approval_status": status})).fetchall()[0][1:]

    assert says("not_approved") == (True, False)
    assert says("approved") == (False, False)
    assert says(None) == (False, True)


HOSTILE = "x'); DROP TABLE facts; --"


def test_what_a_rule_says_never_becomes_sql(connection):
    facts = pd.DataFrame(
        {f'{HOSTILE}"': pd.array([True, None], "boolean"), "sex": [HOSTILE, '"; SELECT 1; --']},
        index=pd.Index(["a", "b"], name="decision_id"),
    )
    table = stored(connection, facts, 'facts"; DROP TABLE facts; --')
    condition = AllOf((Compare(f'{HOSTILE}"', "is", (True,)), Compare("sex", "in", (HOSTILE, "it's"))))

    text = condition_sql(condition, table.types)

    found = connection.execute(f"SELECT {text} FROM {identifier(table.name)} ORDER BY decision_id").fetchall()
    assert found == [(True,), (False,)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", "'it''s'"),
        ("'; DROP TABLE facts; --", "'''; DROP TABLE facts; --'"),
        (True, "TRUE"),
        (False, "FALSE"),
        (3, "CAST('3.0' AS DOUBLE)"),
        (18.5, "CAST('18.5' AS DOUBLE)"),
        (None, "CAST(NULL AS VARCHAR)"),
    ],
)
def test_literals_are_quoted(value, text):
    assert literal(value) == text


@pytest.mark.parametrize(("name", "text"), [("ecog", '"ecog"'), ('a"b', '"a""b"'), ("a; b", '"a; b"')])
def test_identifiers_are_quoted(name, text):
    assert identifier(name) == text


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("ecog", pd.array(["3", None], "str"), "column 'ecog' holds text, a rule reads it as a number."),
        ("ecog", ["3", None], "column 'ecog' holds text, a rule reads it as a number."),
        ("ecog", pd.Categorical(["3", None]), "column 'ecog' holds text, a rule reads it as a number."),
        ("ecog", pd.array([True, None], "boolean"), "column 'ecog' holds yes and no, a rule reads it as a number."),
        ("hiv", pd.array(["True", None], "str"), "column 'hiv' holds text, a rule reads it as yes or no."),
        ("hiv", pd.array([2.0, 1.0], "Float64"), "column 'hiv' has 1 of 2 values other than 1 and 0, a rule reads it"),
        ("sex", pd.array([1.0, None], "Float64"), "column 'sex' holds numbers, a rule reads it as text."),
        ("sex", pd.array([True, None], "boolean"), "column 'sex' holds yes and no, a rule reads it as text."),
        ("lvef", pd.to_datetime(["2026-01-01", None]), "column 'lvef' holds something else, a rule reads it as a num"),
        ("lvef", None, "no column 'lvef', which a rule reads. Declare it in the feature specification."),
    ],
)
def test_a_column_of_another_type_is_refused_by_name_in_the_same_words_by_masks_and_sql(
    connection, column, values, message
):
    plain = facts_of_people({"a": {}, "b": {}})
    facts = plain.drop(columns=column) if values is None else plain.assign(**{column: values})
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True)

    with pytest.raises(RuleError) as by_sql:
        apply_rules_sql(connection, stored(connection, facts), asked)
    with pytest.raises(RuleError) as by_masks:
        answer_rules(facts, asked, decision_dates=days_of(facts))

    assert str(by_sql.value) == str(by_masks.value)
    assert message in str(by_sql.value)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        *[("ecog", pd.array([2, None, 4], kind)) for kind in ("Int8", "Int64", "UInt8", "UInt64", "Float32")],
        ("ecog", pd.Series([2, None, 4], dtype="object")),
        ("ecog", pd.Series([2, 2.5, 4.0], dtype="object")),
        ("ecog", pd.Series([2, 2, 4])),
        ("ecog", pd.array([None, None, None], "Float64")),
        ("hiv", pd.array([1, None, 0], "Int8")),
        ("hiv", pd.Series([True, None, False], dtype="object")),
        ("hiv", pd.Series([1.0, None, 0.0], dtype="object")),
        ("hiv", pd.Series([True, True, False])),
        ("sex", pd.Categorical(["male", None, "female"])),
        ("sex", pd.Series(["male", None, "female"], dtype="object")),
        ("sex", pd.Series(["male", None, "female"], dtype="string")),
    ],
)
def test_a_fact_means_the_same_to_masks_and_sql_however_it_is_kept(connection, column, values):
    facts = facts_of_people({"a": {}, "b": {}, "c": {}}).assign(**{column: getattr(values, "array", values)})
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us", include_drafts=True)

    by_masks = answer_rules(facts, asked, decision_dates=days_of(facts))
    by_sql = apply_rules_sql(connection, stored(connection, facts), asked)

    np.testing.assert_array_equal(by_sql.states, by_masks.states)


@pytest.mark.parametrize("values", [[None, None], pd.array([None, None], "Float64")])
def test_a_column_of_nothing_is_unknown_to_every_rule_that_reads_a_number(values):
    facts = facts_of_people({"a": {}, "b": {}})
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us")
    rule = next(place for place, entry in enumerate(asked.asked) if entry.rule.id == "g21-car-t-ecog-3-or-worse")

    answers = answer_rules(facts.assign(ecog=values), asked, decision_dates=days_of(facts))

    assert answers.states[rule].tolist() == [UNKNOWN, UNKNOWN]


def test_a_column_of_another_type_is_refused_even_where_only_asked_whether_it_is_known(connection):
    table = stored(
        connection, pd.DataFrame({"decision_id": ["a"], "day": pd.to_datetime(["2026-01-01"])}).set_index("decision_id")
    )
    problems: list[str] = []
    condition = parse_condition({"fact": "day", "known": True}, "when", {"day": SmallFact("day", "number")}, problems)
    assert condition is not None

    said = "column 'day' holds something else, a rule reads it as a fact"
    with pytest.raises(RuleError, match=said):
        condition_sql(condition, table.types)
    with pytest.raises(RuleError, match=said):
        FactColumns(pd.DataFrame({"day": pd.to_datetime(["2026-01-01"])})).known("day")


def test_a_missing_column_is_named(connection):
    facts = facts_of_people({"a": {}}).drop(columns="ecog")
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us")

    with pytest.raises(RuleError, match="no column 'ecog', which a rule reads"):
        apply_rules_sql(connection, stored(connection, facts), asked)


def test_ones_and_zeros_are_read_as_yes_and_no(connection):
    plain = facts_of_people({"a": {"hiv": True}, "b": {"hiv": False}, "c": {"hiv": None}})
    as_numbers = plain.assign(hiv=plain["hiv"].astype("Float64"), ecog=plain["ecog"].astype("Int64"))
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us")

    left, right = (apply_rules_sql(connection, stored(connection, facts), asked) for facts in (plain, as_numbers))

    np.testing.assert_array_equal(left.states, right.states)
    assert {VERDICTS[code] for code in left.modalities[0]} == {"clear", "action_required"}


def test_a_table_without_ids_or_with_an_id_twice_is_refused(connection):
    connection.execute("CREATE OR REPLACE TABLE nameless AS SELECT 1 AS ecog")
    with pytest.raises(RuleError, match="no column 'decision_id'"):
        fact_table(connection, "nameless")
    connection.execute("CREATE OR REPLACE TABLE twice AS SELECT unnest(['a', 'a', 'b', NULL]) AS decision_id")
    with pytest.raises(RuleError, match="2 decision ids repeat or are missing"):
        fact_table(connection, "twice")


def test_without_dates_every_rule_judges(connection):
    asked = plan(RULES, PRODUCTS, MODALITIES, jurisdiction="us")
    facts = facts_of_people({"a": {"ecog": 3.0}})
    undated, early = (stored(connection, frame, name) for frame, name in (
        (facts, "undated"), (facts.assign(decision_date=pd.Timestamp("1999-12-31")), "early"),
    ))  # fmt: skip

    assert VERDICTS[apply_rules_sql(connection, undated, asked).modalities[0, 0]] == "blocked"
    assert VERDICTS[apply_rules_sql(connection, early, asked).modalities[0, 0]] == "not_assessed"


def test_a_product_that_no_rule_covers_and_no_decisions_at_all_are_fine(connection):
    facts = facts_of_people({"a": {}})
    lone = plan(RULES, PRODUCTS, (modality("other", products=()),), jurisdiction="us")
    none = plan(type(RULES)((), "none"), PRODUCTS, MODALITIES, jurisdiction="us")

    table = stored(connection, facts)
    assert "greatest" in verdict_query(table, lone)
    assert {VERDICTS[code] for code in apply_rules_sql(connection, table, none).products.ravel()} == {"not_assessed"}
    empty = apply_rules_sql(connection, stored(connection, facts.iloc[:0]), lone)
    assert empty.decisions.name == "decision_id"
    assert empty.states.shape == (len(lone.asked), 0)
    assert empty.modalities.shape == (1, 0)
