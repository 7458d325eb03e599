"""Charts: data in, plotly figure out.

Nothing here knows Streamlit, so every chart can be tested and exported by itself.
"""

from app.charts.alert_timeline import timeline
from app.charts.bin_comparison import bin_name, comparison
from app.charts.change_scores import scores
from app.charts.drift_heatmap import LEVEL_MARKS, LEVEL_NAMES, heatmap
from app.charts.look import DARK, LIGHT, Look, Palette, sparkline
from app.charts.received_rows import OUTCOMES, receipts
from app.charts.service_charts import errors, latency, traffic

__all__ = [
    "DARK",
    "LEVEL_MARKS",
    "LEVEL_NAMES",
    "LIGHT",
    "OUTCOMES",
    "Look",
    "Palette",
    "bin_name",
    "comparison",
    "errors",
    "heatmap",
    "latency",
    "receipts",
    "scores",
    "sparkline",
    "timeline",
    "traffic",
]
