"""Data in, plotly figure out.

Nothing here knows Streamlit, so every chart can be tested and exported by itself.
"""

from app.charts.alerts import timeline
from app.charts.drift import LEVEL_NAMES, bin_name, comparison, heatmap
from app.charts.evidence import evidence
from app.charts.ingestion import OUTCOMES, receipts
from app.charts.look import DARK, LIGHT, Look, Palette, sparkline
from app.charts.service import errors, latency, traffic

__all__ = [
    "DARK",
    "LEVEL_NAMES",
    "LIGHT",
    "OUTCOMES",
    "Look",
    "Palette",
    "bin_name",
    "comparison",
    "errors",
    "evidence",
    "heatmap",
    "latency",
    "receipts",
    "sparkline",
    "timeline",
    "traffic",
]
