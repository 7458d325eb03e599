"""Write the file tree of docs/architecture.md from the first lines of the module docstrings (`make tree`)."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: made by `make tree` -->\n```text\n", "```\n<!-- /tree -->"


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0]


def listing(folder: Path, depth: int = 0) -> list[str]:
    """Return one line for the folder and one for each of its files; folders come after files."""
    indent = "  " * depth
    lines = [f"{indent}{folder.name}/".ljust(32) + summary(folder / "__init__.py")]
    files = [
        path
        for path in sorted(folder.glob("*.py"))
        if path.stem not in ("__init__", "__main__")
    ]
    lines += [f"{indent}  {path.name}".ljust(32) + summary(path) for path in files]
    for child in sorted(folder.iterdir()):
        if (child / "__init__.py").exists():
            lines += listing(child, depth + 1)
    return [line.rstrip() for line in lines]


def tree() -> str:
    """Return the whole block as it has to stand in the page."""
    lines = [*listing(ROOT / "monitor"), *listing(ROOT / "app")]
    return BEGIN + "\n".join(lines) + "\n" + END


def current() -> str:
    """Return the block that the page has now."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)]


if __name__ == "__main__":
    PAGE.write_text(
        PAGE.read_text(encoding="utf-8").replace(current(), tree()), encoding="utf-8"
    )
