"""How far should anyone trust this?"""

from pipeline.evaluate.assemble import Material, evaluate
from pipeline.evaluate.censoring import Concordance, concordance
from pipeline.evaluate.leaks import leak_audit, refuse_leaks
from pipeline.evaluate.published_rule import PublishedRule
from pipeline.evaluate.published_trials import PublishedTrials
from pipeline.evaluate.rule_effects import batch_effects, subgroups

__all__ = [
    "Concordance",
    "Material",
    "PublishedRule",
    "PublishedTrials",
    "batch_effects",
    "concordance",
    "evaluate",
    "leak_audit",
    "refuse_leaks",
    "subgroups",
]
