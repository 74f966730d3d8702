"""The size of the house: `python scripts/house.py`. A mirror, not a gate: it always exits with 0."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "tunery", ROOT / "tests"
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Piece(NamedTuple):
    """Something with a length."""

    lines: int
    name: str

    def __str__(self) -> str:
        return f"{self.lines} lines, {self.name}"


def main() -> None:
    """Print each figure beside its aim."""
    files = [Piece(_lines(path), str(path.relative_to(ROOT))) for path in sorted(SOURCE.rglob("*.py"))]
    nodes = [(node, _piece(node, path)) for path in SOURCE.rglob("*.py") for node in _nodes(path)]
    functions = [piece for node, piece in nodes if isinstance(node, Function)]
    classes = [piece for node, piece in nodes if isinstance(node, ast.ClassDef)]
    annotated = [node.returns is not None for node, _ in nodes if isinstance(node, Function)]
    lengths = [piece.lines for piece in functions]
    tests = sum(_lines(path) for path in TESTS.rglob("*.py"))
    source = sum(piece.lines for piece in files)
    _print("source", f"{len(files)} files, {source} lines", "")
    _print("functions per 1,000 lines", f"{1000 * len(functions) / source:.1f}", "<= 45")
    _print("median function", f"{median(lengths):g} lines", "<= 10")
    _print("95th percentile", f"{quantiles(lengths, n=20)[-1]:g} lines", "< 50")
    _print("longest function", str(max(functions)), "")
    _print("longest class", str(max(classes)), "")
    _print("longest file", str(max(files)), "< 400")
    _print("functions that say what they return", f"{sum(annotated) / len(annotated):.1%}", "100.0%")
    _print("tests : source", f"{tests / source:.2f}", "")


def _print(what: str, figure: str, aim: str) -> None:
    print(f"{what:<36} {figure}{f'   (aim: {aim})' if aim else ''}")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _nodes(path: Path) -> Iterator[Function | ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function | ast.ClassDef))


def _piece(node: Function | ast.ClassDef, path: Path) -> Piece:
    """The length of a function or class from its first decorator on, docstring taken off."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    total = (node.end_lineno or node.lineno) - first + 1
    return Piece(total - _docstring_lines(node.body), f"{path.relative_to(ROOT)}:{node.name}")


def _docstring_lines(body: Iterable[ast.stmt]) -> int:
    head = next(iter(body))
    if isinstance(head, ast.Expr) and isinstance(head.value, ast.Constant) and isinstance(head.value.value, str):
        return (head.end_lineno or head.lineno) - head.lineno + 1
    return 0


if __name__ == "__main__":
    main()
