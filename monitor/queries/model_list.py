"""List of all models, one row for each."""

from typing import Any

from monitor.evaluation.verdict import decide
from monitor.store import Store
from monitor.store.database import aware
from monitor.store.profiles.reference import Reference


def list_models(store: Store) -> list[dict[str, Any]]:
    """Return the counts, reference, open alerts and status of every model, by name."""
    spans = store.spans()
    references = store.references.all()
    versions = store.versions()
    # one statement each, as one for every model took seconds
    open_alerts = store.alerts.open_of_all()
    findings = store.alerts.findings_of_all()
    rows = []
    for name, model in sorted(store.models().items()):
        first, last, events, labels = spans.get(name, (None, None, 0, 0))
        alerts = open_alerts.get(name, {})
        status = decide(findings.get(name, []), alerts).status
        states = [alert.state for alert in alerts.values()]
        rows.append(
            {
                "model": name,
                "task": model.task,
                "prediction": model.schema.prediction,
                "versions": versions.get(name, []),
                "first_event": aware(first),
                "last_event": aware(last),
                "events": events,
                "labels": labels,
                "features": len(model.schema.features),
                "reference": _reference_data(references.get(name, Reference("none"))),
                "open_alerts": states.count("firing"),
                "status": status if events else "no_data",
            }
        )
    return rows


def _reference_data(reference: Reference) -> dict[str, Any]:
    return {
        "status": reference.status,
        "source": reference.source,
        "from": aware(reference.first),
        "to": aware(reference.last),
        "rows": reference.rows,
        "set_at": aware(reference.set_at),
    }
