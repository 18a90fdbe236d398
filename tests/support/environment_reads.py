"""Which environment variables the code reads, found in its syntax tree."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def names_read(package: str) -> set[str]:
    """Return every variable that the package reads by name from `os.environ`.

    Raises:
        AssertionError: a read names its variable in a way that is not understood here.
    """
    modules = [_Module(path) for path in sorted((ROOT / package).rglob("*.py"))]
    return {name for module in modules for key in module.keys_read() for name in module.resolve(key, modules)}


class _Module:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self._parents = {
            child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)
        }

    def keys_read(self) -> Iterator[ast.expr]:
        for node in ast.walk(self.tree):
            match node:
                case ast.Subscript(value=value, slice=key) if _is_environment(value):
                    yield key
                case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[key, *_]) if _is_environment(
                    value
                ):
                    yield key
                case ast.Compare(left=key, ops=[ast.In()], comparators=[value]) if _is_environment(value):
                    yield key
                case _:
                    pass

    def resolve(self, key: ast.expr, modules: "list[_Module]") -> set[str]:
        """Return the names that an expression may stand for."""
        if isinstance(key, ast.Constant):
            return {str(key.value)}
        assert isinstance(key, ast.Name), f"{self._path}:{key.lineno}: name the variable by a constant"
        imported = self._import()
        if hasattr(imported, key.id):
            return {getattr(imported, key.id)}
        for scope in self._scopes(key):
            for source in _sources(scope, key.id):
                if isinstance(source, ast.Name):
                    return set(getattr(imported, source.id))
                # All of the environment, selected by prefix: the guard runs that code instead.
                return set()
            if isinstance(scope, ast.FunctionDef) and key.id in [one.arg for one in scope.args.args]:
                return self._from_calls(scope, key.id, modules)
        raise AssertionError(f"{self._path}:{key.lineno}: what may {key.id} be?")

    def _from_calls(self, function: ast.FunctionDef, parameter: str, modules: "list[_Module]") -> set[str]:
        place = [one.arg for one in function.args.args].index(parameter)
        return {
            name
            for module in modules
            for call in ast.walk(module.tree)
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == function.name
            for name in module.resolve(call.args[place], modules)
        }

    def _import(self) -> ModuleType:
        return importlib.import_module(".".join(self._path.relative_to(ROOT).with_suffix("").parts))

    def _scopes(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node


def _is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) == "os.environ"


def _sources(scope: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a comprehension in this scope runs over, if its result or its variable has this name."""
    if isinstance(scope, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        yield from (one.iter for one in scope.generators if ast.unparse(one.target) == name)
    if isinstance(scope, ast.FunctionDef):
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                for part in ast.walk(node.value):
                    if isinstance(part, ast.comprehension):
                        yield part.iter
