"""The driftdeck.toml of the demo and of the data sample."""

import json

from .delay_model import MODEL_NAME

# All flights of a day have the same weather: a day is one observation of it, not 900.
# With a window of one day PSI is above 0.2 for temperature on every day of the
# reference itself; a window of four weeks is long enough.
RULES = """\
[[rules]]
name = "drift"
statistic = "psi"
limit = 0.2
warn = 0.1
window = "28d"

[[rules]]
name = "missing-values"
statistic = "missing_rate"
limit = 0.05
warn = 0.02
window = "7d"
"""


def model_settings(importance: dict[str, float]) -> str:
    """Return the rules and the model's section: its task and feature importance."""
    lines = [
        RULES,
        f"[models.{MODEL_NAME}]",
        'task = "binary"',
        "",
        f"[models.{MODEL_NAME}.importance]",
    ]
    shares = sorted(importance.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join([*lines, *(f"{name} = {share}" for name, share in shares), ""])


def webhook_channel(url: str, secret: str) -> str:
    """Return the start of the file: a signed webhook for alerts of the last two weeks.

    Nine months of data arrive at once; older alerts are not sent.
    """
    fields = {"name": "demo", "type": "webhook", "url": url, "secret": secret}
    return "\n".join(
        [
            'notify_within = "14d"',
            "",
            "[[channels]]",
            *(f"{name} = {json.dumps(value)}" for name, value in fields.items()),
            "",
        ]
    )
