"""The layers: who may import whom. Imports inside functions count too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOUNS = {
    "access",
    "alert",
    "arrow_columns",
    "calendar",
    "contracts",
    "embedding",
    "errors",
    "event",
    "finding",
    "finding_text",
    "label",
    "layout",
    "plugins",
    "profile",
    "reconstruction",
    "schema",
    "sql",
    "type_mismatch",
}
# the rooms from the ground up; each may import the nouns and the rooms that its row
# names
ROOMS: dict[str, set[str]] = {
    **{noun: set() for noun in NOUNS},
    "statistics": set(),
    "protocols": set(),
    "sources": set(),
    "engines": set(),
    "config": set(),
    "spool": set(),
    "store": {"spool"},
    "ingest": {"config", "sources", "spool", "store"},
    "evaluation": {"config", "statistics", "store"},
    "analysis": {"config", "evaluation", "ingest", "statistics"},
    "compare": {"analysis"},
    "detector": {"analysis", "config", "evaluation", "store"},
    "alerting": {"config", "store"},
    "server": {
        "alerting",
        "config",
        "detector",
        "evaluation",
        "ingest",
        "spool",
        "store",
    },
    "queries": {
        "analysis",
        "config",
        "detector",
        "evaluation",
        "server",
        "statistics",
        "store",
    },
    "api": {"config", "detector", "evaluation", "ingest", "queries", "server", "store"},
    "send": {"api", "ingest", "server", "sources"},
    "client": set(),
    "proxy": {"client"},
    "demo": {"client"},
    "cli": {
        "analysis",
        "api",
        "client",
        "config",
        "demo",
        "ingest",
        "proxy",
        "send",
        "server",
    },
}
# these import less than their room may: values in, values out
PURE = {
    "detector.model": NOUNS,
    "detector.lanes": NOUNS | {"detector"},
    "evaluation.rules": NOUNS | {"config", "statistics"},
    "evaluation.verdict": NOUNS,
    "evaluation.cause": NOUNS,
    "evaluation.attribution": NOUNS,
    "alerting.channels": NOUNS | {"config"},
    "config.columns": NOUNS,
    "client": set(),
    "demo": {"errors", "client"},
    "proxy": {"client", "contracts"},
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic"}
NO_CLOCK = (NOUNS - {"event", "plugins"}) | {
    "statistics",
    "protocols",
    "alerting.channels",
    "evaluation.rules",
    "evaluation.verdict",
    "evaluation.attribution",
    "evaluation.cause",
    "detector.model",
}
INPUT_OUTPUT = {
    "duckdb",
    "httpx",
    "socket",
    "subprocess",
    "threading",
    "streamlit",
    "fastapi",
    "requests",
}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, relative ones resolved."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, path)
            names |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return names


def dotted(path: Path) -> str:
    """The name of a file below monitor, e.g. evaluation.rules."""
    return ".".join(path.relative_to(ROOT / "monitor").with_suffix("").parts)


def room(path: Path) -> str:
    return dotted(path).split(".")[0]


def row_of(path: Path) -> set[str]:
    """What a file may import: the row of the innermost folder or file that has one."""
    name = dotted(path)
    narrower = [row for row in PURE if name == row or name.startswith(f"{row}.")]
    if narrower:
        return PURE[max(narrower, key=len)]
    assert room(path) in ROOMS, f"{room(path)} has no row in the layer table"
    return ROOMS[room(path)] | NOUNS


@pytest.mark.parametrize(
    "path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_module_imports_only_from_its_layer(path: Path) -> None:
    if room(path) == "__init__":
        return
    used = {
        parts[1]
        for parts in (n.split(".") for n in imported(path))
        if parts[0] == "monitor" and len(parts) > 1
    }
    used -= {"__version__", room(path)}
    assert used <= row_of(path), f"{dotted(path)} imports {sorted(used - row_of(path))}"


@pytest.mark.parametrize(
    "folder", ["monitor.engines", "monitor.alerting.channels", "monitor.protocols"]
)
def test_only_the_registry_loads_plug_ins(folder: str) -> None:
    """The registry imports by name: no file outside a plug-in folder names one of its files."""
    for path in files("monitor"):
        if not f"monitor.{dotted(path)}".startswith(f"{folder}."):
            named = {n for n in imported(path) if n.startswith(f"{folder}.")}
            assert not named, f"{dotted(path)} imports {sorted(named)}"


def test_rooms_stand_on_each_other_without_a_circle() -> None:
    order = list(ROOMS)
    assert not [
        (name, used)
        for name, row in ROOMS.items()
        for used in row & set(order)
        if order.index(used) > order.index(name) and name not in NOUNS
    ]


@pytest.mark.parametrize("folder", ["monitor", "app"])
def test_files_import_each_other_without_a_circle(folder: str) -> None:
    """Imports for type checking and inside functions count too."""
    circles = {tuple(circle) for circle in circles_of(import_graph(folder))}
    assert circles == set()


def test_a_circle_of_files_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set()}
    assert circles_of(graph) == [["b", "c"]]
    assert circles_of(graph | {"e": {"d"}}) == [["b", "c"], ["d", "e"]]
    assert circles_of(graph | {"e": {"a"}}) == [["a", "b", "c", "d", "e"]]


def import_graph(folder: str) -> dict[str, set[str]]:
    """The files of a package by dotted name, and those that each imports."""
    paths = {module(path): path for path in files(folder)}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = absolute(node, path)
                # `from package import file` imports the file, not a name of the package
                for alias in node.names:
                    file = f"{base}.{alias.name}"
                    used.add(file if file in paths else base)
        graph[name] = (used & paths.keys()) - {name}
    return graph


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """The dotted name of what an import is from, a relative one resolved."""
    package = path.relative_to(ROOT).parent.parts
    above = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def module(path: Path) -> str:
    """The dotted name under which a file is imported."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def circles_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of files that reach each other, each sorted: a path of imports leads both ways."""
    reached = {name: reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(n for n in reached[name] if name in reached[n]))
        for name in graph
        if name in reached[name]
    }
    return sorted(list(group) for group in groups)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The files to which a path of at least one import leads."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


@pytest.mark.parametrize("path", files("app"), ids=lambda p: str(p.relative_to(ROOT)))
def test_dashboard_imports_nothing_of_the_monitor(path: Path) -> None:
    assert not {n for n in imported(path) if n.split(".")[0] in ("monitor", "duckdb")}


@pytest.mark.parametrize(
    "path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_monitor_imports_nothing_of_the_dashboard(path: Path) -> None:
    assert not {
        n for n in imported(path) if n.split(".")[0] in ("app", "streamlit", "plotly")
    }


@pytest.mark.parametrize("path", files("monitor/client"), ids=lambda p: p.name)
def test_client_uses_the_standard_library_only(path: Path) -> None:
    import sys

    foreign = (
        {n.split(".")[0] for n in imported(path)}
        - set(sys.stdlib_module_names)
        - {"monitor"}
    )
    # frames travel as Arrow tables where pyarrow is installed, and image statistics
    # need numpy; tests/client/test_shutdown.py checks that importing the client loads neither
    optional = {
        "frames.py": {"pyarrow"},
        "request_batch.py": {"pyarrow"},
        "image.py": {"numpy"},
    }
    assert foreign <= optional.get(path.name, set())


@pytest.mark.parametrize(
    "path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_pure_modules_do_no_input_output_and_read_no_clock(path: Path) -> None:
    name = dotted(path)
    if not any(name == pure or name.startswith(f"{pure}.") for pure in NO_CLOCK):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {n.split(".")[0] for n in imported(path)} & INPUT_OUTPUT
    calls = {
        n.func.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert not calls & CLOCKS


def test_only_the_reader_talks_to_the_server_and_caches() -> None:
    for path in files("app"):
        text = path.read_text(encoding="utf-8")
        if path.name != "reader.py":
            assert "cache_data" not in text, path
            assert "httpx" not in {n.split(".")[0] for n in imported(path)}, path


def test_charts_are_pure() -> None:
    for path in [*files("app/charts"), ROOT / "app" / "figures.py"]:
        assert "streamlit" not in {n.split(".")[0] for n in imported(path)}, path


def test_nothing_unpickles_and_no_html_is_made_of_data() -> None:
    for path in [*files("monitor"), *files("app")]:
        if "demo" in path.parts:
            continue
        assert not {n.split(".")[0] for n in imported(path)} & {
            "pickle",
            "joblib",
            "marshal",
            "shelve",
            "torch",
        }, path
        assert "unsafe_allow_html" not in path.read_text(encoding="utf-8"), path


def test_commit_is_never_written_outside_the_one_transaction() -> None:
    for path in files("monitor"):
        if path.name != "database.py":
            assert '"COMMIT"' not in path.read_text(encoding="utf-8"), path


def test_files_have_names_that_say_something() -> None:
    empty = {
        "util",
        "utils",
        "helper",
        "helpers",
        "misc",
        "common",
        "base",
        "legacy",
        "manager",
    }
    assert not [p for p in [*files("monitor"), *files("app")] if p.stem in empty]
