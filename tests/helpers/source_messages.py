"""The warnings and errors that the code can show, collected from its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "src" / "bedrock_batch", ROOT / "src" / "bedrock_batch_processing.py")
GAP = "…"
# Directives of %-formatting in log messages.
_DIRECTIVE = re.compile(r"%[-#0 +]*\d*(?:\.\d+)?[sdrgfi]")
LEAST_LETTERS = 12


def message_text(node: ast.expr) -> str | None:
    """Return the text of a string expression, with a gap for each value that is known only at run time."""
    match node:
        case ast.Constant(value=str(text)):
            return _DIRECTIVE.sub(GAP, text)
        case ast.JoinedStr(values=parts):
            return "".join(_DIRECTIVE.sub(GAP, p.value) if isinstance(p, ast.Constant) else GAP for p in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{message_text(left) or GAP}{message_text(right) or GAP}"
        case _:
            return None


def collect_messages() -> dict[str, set[str]]:
    """Return every message by its text, with the modules that emit it."""
    found: dict[str, set[str]] = {}
    for root in SOURCES:
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            module = path.relative_to(ROOT / "src").as_posix()
            for text in _messages_in(ast.parse(path.read_text(encoding="utf-8"))):
                text = re.sub(f"{GAP}+", GAP, " ".join(text.split()))
                if sum(letter.isalpha() for letter in text) >= LEAST_LETTERS:
                    found.setdefault(text, set()).add(module)
    return found


def _messages_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _texts_of_call(node)
            case ast.AugAssign(target=ast.Name(id=name), value=value) if name in _LISTS:
                yield from _texts_of(value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _LISTS:
                yield from _texts_of(value)
            case ast.FunctionDef(name=name) if name in _LISTING:
                for part in ast.walk(node):
                    if isinstance(part, ast.List | ast.ListComp | ast.JoinedStr):
                        yield from _texts_of(part)
            case _:
                pass


def _texts_of_call(node: ast.Call) -> Iterator[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    holder = node.func.value if isinstance(node.func, ast.Attribute) else None
    owner = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
    if name in ("warning", "error") or (name == "append" and owner in _LISTS):
        yield from _texts_of(node.args[0]) if node.args else ()
    elif name.endswith("Error") and name not in _INTERNAL:
        for argument in node.args[:2]:
            yield from _texts_of(argument)


def _texts_of(node: ast.expr) -> Iterator[str]:
    """Yield the texts of an expression, or of the items of a list."""
    items: list[ast.expr] = [node]
    if isinstance(node, ast.List | ast.Tuple):
        items = list(node.elts)
    elif isinstance(node, ast.ListComp):
        items = [node.elt]
    yield from filter(None, map(message_text, items))


# Variables that collect problems and warnings, and functions that return such lists.
_LISTS = frozenset({"problems", "warnings", "obstacles", "notes"})
_LISTING = frozenset(
    {
        "_wrong_order",
        "_half_a_network",
        "_two_samples",
        "_two_deadlines",
        "_deadline_without_real_time",
        "find_region_warnings",
        "find_account_warnings",
        "compare_profile",
        "find_retired_model",
        "_remedy",
        "_unknown_variables",
        "_unknown_key",
    }
)
# Errors that only a bug raises, or that the code handles itself.
_INTERNAL = frozenset(
    {
        "ValueError",
        "TypeError",
        "AssertionError",
        "AttributeError",
        "LookupError",
        "KeyError",
        "RecordError",
        "ObjectExistsError",
        "ObjectChangedError",
        "ChangedError",
        "NotExpressibleError",
    }
)
