"""HTTP API: routes over the collector and the queries."""

from starlette.convertors import register_url_convertor

from monitor.api.url_names import NameConvertor

# before the routes are imported, because their paths are compiled then
register_url_convertor("name", NameConvertor())

from monitor.api.app import create_app  # noqa: E402

__all__ = ["create_app"]
