"""Has the world changed since a model was trained?"""

from pipeline.shift.differences import OUTSIDE, Difference, Now, differences
from pipeline.shift.judging import Measured, margin_test
from pipeline.shift.profile import Profile, profile_in, profiled
from pipeline.shift.summary import Meaning, share_words, summary
from pipeline.shift.tally import Tally

__all__ = [
    "OUTSIDE",
    "Difference",
    "Meaning",
    "Measured",
    "Now",
    "Profile",
    "Tally",
    "differences",
    "margin_test",
    "profile_in",
    "profiled",
    "share_words",
    "summary",
]
