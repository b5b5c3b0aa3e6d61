"""How suitable is each modality, and how likely was it to be given?"""

from pipeline.learners.committee import TEACHER_LABELS, TEACHERS
from pipeline.learners.design import SMALL_CELL
from pipeline.learners.gates import ArmGate
from pipeline.learners.intervals import LEVEL, clearly_better, half_width, pair_half_widths, signed_weights
from pipeline.learners.learning import Deployed, Evidence
from pipeline.learners.modality_ranker import ModalityRanker
from pipeline.learners.model import InputContract, SuitabilityModel
from pipeline.learners.policy_value import PolicyValue
from pipeline.learners.saved import model_files, model_from_files
from pipeline.learners.stack import doubly_robust_scores
from pipeline.learners.targets import FollowUp, Target

__all__ = [
    "LEVEL",
    "SMALL_CELL",
    "TEACHERS",
    "TEACHER_LABELS",
    "ArmGate",
    "Deployed",
    "Evidence",
    "FollowUp",
    "InputContract",
    "ModalityRanker",
    "PolicyValue",
    "SuitabilityModel",
    "Target",
    "clearly_better",
    "doubly_robust_scores",
    "half_width",
    "model_files",
    "model_from_files",
    "pair_half_widths",
    "signed_weights",
]
