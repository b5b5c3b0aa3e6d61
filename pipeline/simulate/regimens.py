"""Which drugs make up a line of therapy or a product, and for how long is each given?"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.simulate.settings import day_of


@dataclass(frozen=True)
class Regimen:
    """One way of treating a line.

    Attributes
    ----------
    drugs : tuple of (drug, first day, days given or None)
        Generic name; offset from the start of the line; None = until the line's last dose.
    weights : tuple of 4 floats
        How often it is chosen in line 1, 2, 3, and 4 or later (invented proportions).
    first_day : int
        No line starts with it before this day.
    depth : float
        Added to the chance of a deep response (logit).
    """

    drugs: tuple[tuple[str, int, int | None], ...]
    weights: tuple[float, float, float, float]
    first_day: int = 0
    depth: float = 0.0


_DEX = ("dexamethasone", 0, None)
_TRANSPLANT = (("melphalan", 178, 1), ("autologous_transplant", 180, 1), ("lenalidomide", 280, None))


def _on(*drugs: str) -> tuple[tuple[str, int, int | None], ...]:
    return (*((drug, 0, None) for drug in drugs), _DEX)


REGIMENS: tuple[Regimen, ...] = (
    Regimen((("bortezomib", 0, 160), ("lenalidomide", 0, 160), ("dexamethasone", 0, 160), *_TRANSPLANT), (40, 2, 0, 0)),
    Regimen(
        (
            ("daratumumab", 0, 160),
            ("bortezomib", 0, 160),
            ("lenalidomide", 0, 160),
            ("dexamethasone", 0, 160),
            *_TRANSPLANT,
        ),
        (12, 0, 0, 0),
        day_of("2019-06-01"),
        0.4,
    ),
    Regimen((("bortezomib", 0, 240), ("lenalidomide", 0, None), _DEX), (18, 4, 1, 0)),
    Regimen(_on("daratumumab", "lenalidomide"), (14, 16, 3, 1), day_of("2016-11-01"), 0.4),
    Regimen((("bortezomib", 0, 240), ("cyclophosphamide", 0, 240), ("dexamethasone", 0, 240)), (12, 3, 1, 0)),
    Regimen((("bortezomib", 0, 300), ("thalidomide", 0, 200), ("dexamethasone", 0, 300)), (5, 1, 0, 0)),
    Regimen(_on("daratumumab", "pomalidomide"), (0, 20, 22, 10), day_of("2017-06-01"), 0.2),
    Regimen((("daratumumab", 0, None), ("bortezomib", 0, 170), _DEX), (0, 12, 7, 3), day_of("2016-11-01"), 0.1),
    Regimen(_on("daratumumab", "carfilzomib"), (0, 8, 9, 5), day_of("2020-08-01"), 0.3),
    Regimen(_on("carfilzomib", "lenalidomide"), (0, 10, 5, 2), day_of("2015-07-01"), 0.2),
    Regimen(_on("carfilzomib"), (0, 6, 10, 8), day_of("2012-07-01"), -0.2),
    Regimen(_on("ixazomib", "lenalidomide"), (0, 7, 5, 2), day_of("2015-11-01")),
    Regimen((("pomalidomide", 0, None), ("bortezomib", 0, 250), _DEX), (0, 6, 8, 5), day_of("2015-01-01")),
    Regimen(_on("pomalidomide"), (0, 3, 8, 8), day_of("2013-02-01"), -0.4),
    Regimen(_on("isatuximab", "pomalidomide"), (0, 3, 5, 4), day_of("2020-03-01"), 0.1),
    Regimen(_on("elotuzumab", "pomalidomide"), (0, 2, 5, 5), day_of("2018-11-01"), -0.2),
    Regimen(_on("selinexor", "bortezomib"), (0, 1, 4, 8), day_of("2020-12-01"), -0.3),
    Regimen(_on("venetoclax"), (0, 0, 2, 4), day_of("2017-01-01"), -0.3),
    Regimen((("bendamustine", 0, 120), ("prednisone", 0, 120)), (0, 0, 2, 5), 0, -0.7),
    Regimen(_on("panobinostat", "bortezomib"), (0, 0, 1, 2), day_of("2015-02-01"), -0.5),
    Regimen((("belantamab mafodotin", 0, None),), (0, 0, 0.5, 3.5), day_of("2020-08-05"), -0.3),
    Regimen((("idecabtagene vicleucel", 40, 1),), (0, 0, 0.5, 2.5), day_of("2021-03-26"), 0.8),
    Regimen((("ciltacabtagene autoleucel", 40, 1),), (0, 0.5, 1.5, 2.5), day_of("2022-02-28"), 1.2),
    Regimen((("teclistamab", 0, None),), (0, 0, 0.7, 5), day_of("2021-10-01"), 0.5),
    Regimen((("elranatamab", 0, None),), (0, 0, 0, 2), day_of("2023-08-14"), 0.5),
    Regimen((("talquetamab", 0, None),), (0, 0, 0, 2.5), day_of("2023-08-09"), 0.5),
)

BCMA_DRUGS = frozenset(
    {
        "belantamab mafodotin",
        "idecabtagene vicleucel",
        "ciltacabtagene autoleucel",
        "teclistamab",
        "elranatamab",
        "linvoseltamab",
    }
)
CD38_DRUGS = frozenset({"daratumumab", "isatuximab"})
TRACKED = (
    "lenalidomide",
    "pomalidomide",
    "bortezomib",
    "carfilzomib",
    "daratumumab",
    "isatuximab",
    "belantamab mafodotin",
    "talquetamab",
)
"""Drugs whose exposure and refractoriness the mechanism follows one by one; BCMA drugs also as a group."""


@dataclass(frozen=True)
class Offer:
    """A product as this institution gives it.

    Attributes
    ----------
    agents : tuple of str
        Generic names.
    first_day : int
        First day the simulated institution gave it: approval, or an invented trial or access programme.
    weights : tuple of 3 floats
        How often it is chosen within its modality after 1, 2 to 3, and 4 or more prior lines.
    """

    agents: tuple[str, ...]
    first_day: int
    weights: tuple[float, float, float]


PRODUCTS: dict[str, dict[str, Offer]] = {
    "car_t": {
        "cilta_cel": Offer(("ciltacabtagene autoleucel",), day_of("2022-02-28"), (1.0, 0.62, 0.60)),
        "ide_cel": Offer(("idecabtagene vicleucel",), day_of("2021-03-26"), (0.03, 0.38, 0.40)),
    },
    "bispecific": {
        "teclistamab": Offer(("teclistamab",), day_of("2021-10-01"), (0.10, 0.30, 0.50)),
        "teclistamab_daratumumab": Offer(("teclistamab", "daratumumab"), day_of("2022-06-01"), (0.90, 0.60, 0.05)),
        "elranatamab": Offer(("elranatamab",), day_of("2023-08-14"), (0.0, 0.05, 0.25)),
        "talquetamab": Offer(("talquetamab",), day_of("2023-08-09"), (0.0, 0.05, 0.22)),
        "linvoseltamab": Offer(("linvoseltamab",), day_of("2025-07-02"), (0.0, 0.02, 0.15)),
    },
    "adc": {
        "belantamab_bvd": Offer(("belantamab mafodotin", "bortezomib", "dexamethasone"), 0, (0.6, 0.6, 0.6)),
        "belantamab_bpd": Offer(("belantamab mafodotin", "pomalidomide", "dexamethasone"), 0, (0.4, 0.4, 0.4)),
    },
    "standard_triplet": {
        "dara_pom_dex": Offer(("daratumumab", "pomalidomide", "dexamethasone"), 0, (0.22, 0.24, 0.14)),
        "dara_bort_dex": Offer(("daratumumab", "bortezomib", "dexamethasone"), 0, (0.16, 0.10, 0.06)),
        "dara_carf_dex": Offer(("daratumumab", "carfilzomib", "dexamethasone"), 0, (0.18, 0.16, 0.10)),
        "dara_len_dex": Offer(("daratumumab", "lenalidomide", "dexamethasone"), 0, (0.12, 0.04, 0.02)),
        "isa_pom_dex": Offer(("isatuximab", "pomalidomide", "dexamethasone"), 0, (0.08, 0.10, 0.10)),
        "isa_carf_dex": Offer(("isatuximab", "carfilzomib", "dexamethasone"), 0, (0.12, 0.10, 0.10)),
        "pom_bort_dex": Offer(("pomalidomide", "bortezomib", "dexamethasone"), 0, (0.08, 0.10, 0.14)),
        "elo_pom_dex": Offer(("elotuzumab", "pomalidomide", "dexamethasone"), 0, (0.02, 0.08, 0.16)),
        "sel_bort_dex": Offer(("selinexor", "bortezomib", "dexamethasone"), 0, (0.02, 0.08, 0.18)),
    },
}
"""What each modality is made of; ids as in configs/products, weights invented."""

BRIDGING: tuple[tuple[str, ...], ...] = (
    ("dexamethasone", "pomalidomide"),
    ("dexamethasone", "carfilzomib"),
    ("dexamethasone", "cyclophosphamide"),
    ("dexamethasone", "bortezomib", "daratumumab"),
)
"""Holding and bridging courses between the CAR T decision and the infusion."""

SALVAGE: tuple[tuple[str, ...], ...] = (
    ("selinexor", "bortezomib", "dexamethasone"),
    ("elotuzumab", "pomalidomide", "dexamethasone"),
    ("carfilzomib", "dexamethasone"),
    ("talquetamab",),
    ("bendamustine", "prednisone"),
    ("venetoclax", "dexamethasone"),
)
"""Lines after the last simulated decision."""
