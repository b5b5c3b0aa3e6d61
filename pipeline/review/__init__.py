"""How do we tell people what the model found and how far to trust it? In words and pictures, as text."""

from __future__ import annotations

from pipeline.review.card import case_card
from pipeline.review.card_index import card_index, index_line
from pipeline.review.card_missing import deciders
from pipeline.review.card_order import modality_badge, remarks, unrun_beside
from pipeline.review.card_tables import card_tables
from pipeline.review.case import CaseCard, Settling, in_display_order
from pipeline.review.report import review_page, review_sections
from pipeline.review.shift_page import shift_page
from pipeline.review.small_cells import masked_counts, masked_line, masked_share
from pipeline.review.standalone import review_figures
from pipeline.review.table_twins import csv_text, review_tables

__all__ = [
    "CaseCard",
    "Settling",
    "card_index",
    "card_tables",
    "case_card",
    "csv_text",
    "deciders",
    "in_display_order",
    "index_line",
    "masked_counts",
    "masked_line",
    "masked_share",
    "modality_badge",
    "remarks",
    "review_figures",
    "review_page",
    "review_sections",
    "review_tables",
    "shift_page",
    "unrun_beside",
]
