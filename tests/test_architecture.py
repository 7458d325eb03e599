"""The layers: who may import whom. Imports inside functions count too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOUNS = {
    "errors",
    "event",
    "label",
    "layout",
    "profile",
    "finding",
    "alert",
    "contracts",
    "schema",
    "sql",
    "ipc",
    "access",
    "section",
    "limits",
    "quota",
    "calendar",
    "embedding",
    "comparison",
}
PURE = NOUNS | {
    "plugins",
    "protocols",
    "statistics",
    "channels",
    "config",
    "rules",
    "verdict",
    "behind",
    "cause",
    "detector",
    "policy",
}
STORAGE = PURE | {
    "domain_classifier",
    "importance",
    "model_file",
    "embedded",
    "reconstruction",
    "mistyped",
    "features",
    "engines",
    "sources",
    "rows",
    "frame",
    "spool",
    "store",
    "pending",
    "turn",
    "batches",
    "compare",
}
FLOW = STORAGE | {"lines", "taken", "intake", "collector", "loader", "notify"}
LOOP = FLOW | {"halves", "watch", "judging", "loop", "views", "deck", "drop"}
TOP = LOOP | {"api", "session", "address", "ingest", "follow", "kafka", "supervisor", "demo", "client", "proxy"}

# a module may import what is in its row; a row's modules may import each other unless told otherwise below
ALLOWED = {
    **dict.fromkeys(NOUNS, NOUNS),
    "plugins": set(),
    "statistics": NOUNS | {"statistics"},
    "channels": NOUNS,
    "protocols": NOUNS,
    "detector": NOUNS,
    "policy": NOUNS,
    "config": NOUNS | {"plugins", "policy"},
    "rules": PURE,
    "verdict": PURE,
    "behind": NOUNS,
    "cause": NOUNS,
    "engines": NOUNS,
    "sources": NOUNS,
    "mistyped": NOUNS,
    "features": NOUNS | {"mistyped"},
    "embedded": NOUNS | {"engines"},
    "reconstruction": NOUNS | {"engines"},
    "domain_classifier": {"engines"},
    "importance": {"domain_classifier", "engines"},
    "model_file": {"engines", "importance"},
    "rows": STORAGE,
    "frame": NOUNS,
    "spool": NOUNS | {"frame"},
    "pending": set(),
    "turn": NOUNS,
    "store": STORAGE,
    "lines": NOUNS | {"plugins"},
    "taken": STORAGE,
    "intake": STORAGE | {"lines", "taken"},
    "collector": STORAGE | {"taken", "intake"},
    "loader": STORAGE,
    "notify": STORAGE,
    "halves": FLOW,
    "watch": STORAGE,
    "judging": STORAGE,
    "loop": FLOW | {"watch", "judging"},
    "views": LOOP,
    "drop": FLOW,
    "deck": LOOP,
    "api": LOOP | {"api"},
    "address": set(),
    "session": {"address", "api", "deck", "errors"},
    "batches": NOUNS | {"plugins", "sources"},
    "compare": STORAGE,
    "ingest": NOUNS | {"batches", "session"},
    "kafka": NOUNS | {"batches", "ingest", "session"},
    "follow": NOUNS | {"batches", "ingest", "session", "sources"},
    "supervisor": {"errors"},
    "demo": {"errors", "client", "demo"},
    "client": {"client"},
    "proxy": {"client", "contracts"},
    "cli": TOP,
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic"}
NO_CLOCK = NOUNS | {"statistics", "channels", "protocols", "rules", "verdict", "behind", "cause", "detector"} - {
    "event"
}
INPUT_OUTPUT = {"duckdb", "httpx", "socket", "subprocess", "threading", "streamlit", "fastapi", "requests"}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, relative ones resolved."""
    names: set[str] = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT / "monitor").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT)))
def test_module_imports_only_from_its_layer(path: Path) -> None:
    name = room(path)
    if name == "__init__":
        return
    used = {parts[1] for parts in (n.split(".") for n in imported(path)) if parts[0] == "monitor" and len(parts) > 1}
    used -= {"__version__", name}
    assert name in ALLOWED, f"{name} has no row in the layer table"
    assert used <= ALLOWED[name], f"{name} imports {sorted(used - ALLOWED[name])}"


@pytest.mark.parametrize("path", files("app"), ids=lambda p: str(p.relative_to(ROOT)))
def test_dashboard_imports_nothing_of_the_monitor(path: Path) -> None:
    assert not {n for n in imported(path) if n.split(".")[0] in ("monitor", "duckdb")}


@pytest.mark.parametrize("path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT)))
def test_monitor_imports_nothing_of_the_dashboard(path: Path) -> None:
    assert not {n for n in imported(path) if n.split(".")[0] in ("app", "streamlit", "plotly")}


@pytest.mark.parametrize("path", files("monitor/client"), ids=lambda p: p.name)
def test_client_uses_the_standard_library_only(path: Path) -> None:
    import sys

    foreign = {n.split(".")[0] for n in imported(path)} - set(sys.stdlib_module_names) - {"monitor"}
    # frames travel as Arrow tables where pyarrow is there; test_client_process sees that importing the client loads none
    # and statistics of images are numpy's
    assert foreign <= {"frame.py": {"pyarrow"}, "image.py": {"numpy"}}.get(path.name, set())


@pytest.mark.parametrize("path", files("monitor"), ids=lambda p: str(p.relative_to(ROOT)))
def test_pure_modules_do_no_input_output_and_read_no_clock(path: Path) -> None:
    if room(path) not in NO_CLOCK:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {n.split(".")[0] for n in imported(path)} & INPUT_OUTPUT
    calls = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
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
        assert not {n.split(".")[0] for n in imported(path)} & {"pickle", "joblib", "marshal", "shelve", "torch"}, path
        assert "unsafe_allow_html" not in path.read_text(encoding="utf-8"), path


def test_commit_is_never_written_outside_the_one_transaction() -> None:
    for path in files("monitor"):
        if path.name != "database.py":
            assert '"COMMIT"' not in path.read_text(encoding="utf-8"), path


def test_files_have_names_that_say_something() -> None:
    empty = {"util", "utils", "helper", "helpers", "misc", "common", "base", "legacy", "manager"}
    assert not [p for p in [*files("monitor"), *files("app")] if p.stem in empty]
