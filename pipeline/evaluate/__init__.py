"""How far should anyone trust this?"""

from pipeline.evaluate.assemble import Material, evaluate
from pipeline.evaluate.censoring import Concordance, concordance
from pipeline.evaluate.leaks import leak_audit, refuse_leaks

__all__ = ["Concordance", "Material", "concordance", "evaluate", "leak_audit", "refuse_leaks"]
