"""Which rows are written of a shard: its cells, in columns made whole?"""

from __future__ import annotations

from pipeline.prediction_rows.table import Detail, Extent, prediction_rows, predictions_frame

__all__ = ["Detail", "Extent", "prediction_rows", "predictions_frame"]
