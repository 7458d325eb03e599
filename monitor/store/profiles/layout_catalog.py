"""The bin layouts of every model's columns, in memory."""

from monitor.layout import Layout
from monitor.store.database import Database
from monitor.store.model import ModelCatalog
from monitor.store.profiles.profiled_columns import SERVICE, labelled_columns


class LayoutCatalog:
    """The layouts of each model: `frozen` with its reference, and those of other columns.

    `frozen` has those of features, prediction and reconstruction error, by model and
    column; a model without a reference has none.
    """

    def __init__(self, database: Database, catalog: ModelCatalog) -> None:
        self._database, self._catalog = database, catalog
        self.frozen: dict[str, dict[str, Layout]] = {}
        self.read()

    def read(self) -> None:
        """Read the frozen layouts of every model from the database."""
        by_id: dict[int, dict[str, Layout]] = {}
        rows = self._database.connection.execute(
            'SELECT m.model, m."column", l.definition FROM model_layouts m '
            "JOIN layouts l ON l.id = m.layout"
        ).fetchall()
        for id_, column, definition in rows:
            by_id.setdefault(id_, {})[column] = Layout.from_json(definition)
        models = self._catalog.all().values()
        self.frozen = {model.name: by_id.get(model.id, {}) for model in models}

    def of(self, name: str) -> dict[str, Layout]:
        """Return the layout of every column that is profiled for a model, by key."""
        model = self._catalog.get(name)
        frozen = self.frozen.get(name, {})
        service = {column.column: column.layout for column in SERVICE}
        labelled = {
            column.column: column.layout for column in labelled_columns(model, frozen)
        }
        return service | frozen | labelled
