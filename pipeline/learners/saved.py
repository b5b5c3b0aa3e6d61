"""How does a model become files, and files a model again?

Text, JSON and plain arrays only: nothing in a model directory can run code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from pipeline.errors import DamagedModelError
from pipeline.learners.committee import FreeShare
from pipeline.learners.design import Columns, LinearDesign
from pipeline.learners.intervals import Draws, Spread
from pipeline.learners.linear_hazard import LinearHazard
from pipeline.learners.model import InputContract, SuitabilityModel
from pipeline.learners.propensity import Propensity
from pipeline.learners.student import Part, Students
from pipeline.learners.targets import Target

FORMAT = 2
Array = npt.NDArray[np.float64]


def model_files(model: SuitabilityModel) -> dict[str, bytes]:
    """Return the model as named files; the same model gives the same bytes."""
    spread = model.spread
    arrays: dict[str, Array] = {"student_constants": model.students.constants}
    arrays |= {"form": spread.form, "centre": spread.centre, "middle": spread.middle}
    texts: dict[str, str] = {}
    parts = []
    for number, part in enumerate(model.students.parts):
        file = f"student_{number:02d}.txt"
        texts[file] = part.booster.model_to_string()
        parts.append({"target": part.target, "name": part.name, "loadings": list(part.loadings), "file": file})
    propensity = model.propensity
    texts["propensity.txt"] = propensity.booster.model_to_string()
    arrays |= {"propensity_intercepts": propensity.intercepts, "propensity_terms": propensity.coefficients}
    arrays["propensity_start"] = propensity.start
    free = spread.draws.free
    arrays |= {"free_intercepts": free.intercepts, "free_slopes": free.slopes}
    hazards = []
    for number, ((target, cause), fitted) in enumerate(spread.draws.linear.items()):
        arrays[f"hazard_{number}_intercepts"] = spread.draws.intercepts[target, cause]
        arrays[f"hazard_{number}_coefficients"] = spread.draws.coefficients[target, cause]
        hazards.append(
            {
                "target": target,
                "cause": cause,
                "modifiers": list(fitted.modifiers),
                "intervals": fitted.intervals,
                "alpha": fitted.alpha,
                "design": _design(fitted.design, f"hazard_{number}", arrays),
            }
        )
    document = {
        "format": FORMAT,
        "arms": list(model.arms),
        "targets": [vars(target) for target in model.targets],
        "columns": _columns(model.columns),
        "propensity_columns": _columns(model.propensity_columns),
        "parts": parts,
        "hazards": hazards,
        "free_design": _design(free.design, "free", arrays),
        "propensity_design": _design(propensity.design, "propensity", arrays),
        "factor": spread.factor,
        "factor_error": spread.factor_error,
        "scale": spread.scale,
        "contract": {
            "never_missing": list(model.contract.never_missing),
            "ranges": {name: list(ends) for name, ends in model.contract.ranges.items()},
            "top_features": list(model.contract.top_features),
        },
        "product_cases": dict(model.product_cases),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(v, dtype=np.float64) for name, v in arrays.items()})  # type: ignore[arg-type]
    files = {name: text.encode() for name, text in texts.items()}
    files["arrays.npz"] = buffer.getvalue()
    files["model.json"] = json.dumps(document, indent=1, sort_keys=True).encode()
    return dict(sorted(files.items()))


def model_from_files(files: Mapping[str, bytes]) -> SuitabilityModel:
    """Return the model that verified files hold.

    Raises
    ------
    DamagedModelError
        If the format is not the one this version writes, or a part is missing.
    """
    try:
        document: dict[str, Any] = json.loads(files["model.json"])
        if document["format"] != FORMAT:
            raise DamagedModelError(
                f"model.json: format {document['format']}, wanted {FORMAT}. Train again with this version."
            )
        with np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return _assemble(document, arrays, files)
    except (KeyError, TypeError, json.JSONDecodeError) as problem:
        raise DamagedModelError(
            f"model.json: a part is missing or malformed ({type(problem).__name__}). Train again with this version."
        ) from None


def _read_draws(document: dict[str, Any], arrays: Mapping[str, Array], targets: tuple[Target, ...], arms: int) -> Draws:
    linear: dict[tuple[str, int], LinearHazard] = {}
    intercepts: dict[tuple[str, int], Array] = {}
    coefficients: dict[tuple[str, int], Array] = {}
    for number, entry in enumerate(document["hazards"]):
        key = (str(entry["target"]), int(entry["cause"]))
        intercepts[key] = arrays[f"hazard_{number}_intercepts"]
        coefficients[key] = arrays[f"hazard_{number}_coefficients"]
        linear[key] = LinearHazard(
            design=_read_design(entry["design"], f"hazard_{number}", arrays),
            modifiers=tuple(entry["modifiers"]),
            arms=arms,
            intervals=entry["intervals"],
            intercept=float(intercepts[key].mean()),
            coefficients=coefficients[key].mean(axis=0),
            root=np.empty((0, 0)),
            alpha=entry["alpha"],
        )
    free = FreeShare(
        design=_read_design(document["free_design"], "free", arrays),
        intercepts=arrays["free_intercepts"],
        slopes=arrays["free_slopes"],
    )
    return Draws(targets=targets, linear=linear, intercepts=intercepts, coefficients=coefficients, free=free)


def _assemble(document: dict[str, Any], arrays: Mapping[str, Array], files: Mapping[str, bytes]) -> SuitabilityModel:
    targets = tuple(Target(**entry) for entry in document["targets"])
    arms = tuple(document["arms"])
    return SuitabilityModel(
        arms=arms,
        targets=targets,
        columns=_read_columns(document["columns"]),
        propensity_columns=_read_columns(document["propensity_columns"]),
        students=Students(
            targets=tuple(target.name for target in targets),
            parts=tuple(
                Part(
                    target=entry["target"],
                    name=entry["name"],
                    loadings=tuple(entry["loadings"]),
                    booster=lgb.Booster(model_str=files[entry["file"]].decode()),
                )
                for entry in document["parts"]
            ),
            constants=arrays["student_constants"],
        ),
        spread=Spread(
            draws=_read_draws(document, arrays, targets, len(arms)),
            centre=arrays["centre"],
            middle=arrays["middle"],
            factor=float(document["factor"]),
            factor_error=float(document["factor_error"]),
            form=arrays["form"],
            scale=float(document["scale"]),
        ),
        propensity=Propensity(
            design=_read_design(document["propensity_design"], "propensity", arrays),
            intercepts=arrays["propensity_intercepts"],
            coefficients=arrays["propensity_terms"],
            start=arrays["propensity_start"],
            booster=lgb.Booster(model_str=files["propensity.txt"].decode()),
        ),
        contract=InputContract(
            never_missing=tuple(document["contract"]["never_missing"]),
            ranges={name: (ends[0], ends[1]) for name, ends in document["contract"]["ranges"].items()},
            top_features=tuple(document["contract"]["top_features"]),
        ),
        product_cases=document["product_cases"],
    )


def _columns(columns: Columns) -> dict[str, Any]:
    return {"names": list(columns.names), "levels": {name: list(levels) for name, levels in columns.levels.items()}}


def _read_columns(entry: Mapping[str, Any]) -> Columns:
    return Columns(
        names=tuple(entry["names"]), levels={name: tuple(levels) for name, levels in entry["levels"].items()}
    )


def _design(design: LinearDesign, name: str, arrays: dict[str, Array]) -> dict[str, Any]:
    arrays[f"{name}_middle"], arrays[f"{name}_spread"] = design.middle, design.spread
    return {
        "numeric": list(design.numeric),
        "indicated": list(design.indicated),
        "categorical": [list(pair) for pair in design.categorical],
    }


def _read_design(entry: Mapping[str, Any], name: str, arrays: Mapping[str, Array]) -> LinearDesign:
    return LinearDesign(
        numeric=tuple(entry["numeric"]),
        middle=arrays[f"{name}_middle"],
        spread=arrays[f"{name}_spread"],
        indicated=tuple(entry["indicated"]),
        categorical=tuple((pair[0], pair[1]) for pair in entry["categorical"]),
    )
