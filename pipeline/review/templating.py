"""How do words and drawings become one self-contained page?"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.review.blocks import kind_of
from pipeline.review.wording import DECISION_SUPPORT, NOT_AVAILABLE, SIMULATED

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Nothing is loaded, nothing runs, nothing is sent: styles of the page itself are all there is."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.review", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
    )
    environment.tests["of_kind"] = lambda block, kind: kind_of(block) == kind
    environment.globals.update(
        content_policy=CONTENT_POLICY,
        not_available=NOT_AVAILABLE,
        decision_support=DECISION_SUPPORT,
        simulated_words=SIMULATED,
        style=Markup(environment.get_template("style.css").render()),
    )
    return environment


def rendered(template: str, content: Mapping[str, Any]) -> str:
    """Return a page of this package's templates; every value that is not a drawing of ours is escaped."""
    return _environment().get_template(template).render(content) + "\n"


def stylesheet() -> str:
    """Return the style that pages and standalone pictures share."""
    return str(_environment().globals["style"])


def strict_policy(run: str = "") -> str:
    """Return a content policy under which a page shows its own style and runs one script, or none, by their hashes."""
    scripts = _hashed(run) if run else "'none'"
    return (
        f"default-src 'none'; style-src {_hashed(stylesheet())}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script(name: str) -> str:
    """Return a script of this package as it stands.

    Raises
    ------
    LookupError
        If templates cannot be read as text.
    """
    environment = _environment()
    if environment.loader is None:
        raise LookupError(name)
    return environment.loader.get_source(environment, name)[0]
