"""--query: JMESPath, checked before anything is sent as far as it can be without the data."""

from collections.abc import Iterator, Mapping
from typing import Any

from bankctl.errors import CliError, usage_error

# What each function of the standard answers with; those that are not here answer with what they were given.
_RESULTS = {
    **dict.fromkeys(("abs", "avg", "ceil", "floor", "length", "sum", "to_number"), "number"),
    **dict.fromkeys(("join", "to_string", "type"), "string"),
    **dict.fromkeys(("keys", "map", "sort", "sort_by", "to_array", "values"), "array"),
    **dict.fromkeys(("contains", "ends_with", "starts_with"), "boolean"),
    "merge": "object",
}
_NODES = {
    **dict.fromkeys(("comparator", "not_expression"), "boolean"),
    **dict.fromkeys(
        ("multi_select_list", "projection", "value_projection", "filter_projection", "flatten"), "array"
    ),
    "multi_select_dict": "object",
    "expref": "expref",
}


def check_query(expression: str) -> None:
    """Refuse an expression that can never work.

    Raises:
        CliError: its syntax is wrong, it names no known function, or gives one the wrong arguments.
    """
    # Only --query needs it.
    import jmespath  # noqa: PLC0415
    import jmespath.exceptions  # noqa: PLC0415

    try:
        tree = jmespath.compile(expression).parsed
        fault = next(_faults(tree), None)
    except jmespath.exceptions.EmptyExpressionError:
        raise query_error(expression, "it is empty") from None
    except jmespath.exceptions.JMESPathError as error:
        raise query_error(expression, _words(error)) from error
    except RecursionError:
        raise query_error(expression, "it is nested too deeply") from None
    if fault is not None:
        raise query_error(expression, fault)


def select(data: Any, expression: str) -> Any:
    """What the expression selects from the data.

    Raises:
        CliError: it does not work on this data.
    """
    import jmespath  # noqa: PLC0415
    import jmespath.exceptions  # noqa: PLC0415

    try:
        return jmespath.search(expression, data)
    except jmespath.exceptions.JMESPathError as error:
        raise query_error(expression, _words(error)) from error


def query_error(expression: str, why: str) -> CliError:
    """The error of a --query that does not work."""
    return usage_error(
        f"--query {expression!r} does not work: {why}",
        hint="`bankctl help output` has examples; https://jmespath.org has all of it",
        code="invalid_query",
    )


def _words(error: Exception) -> str:
    # Some messages draw the place with a caret on lines of their own.
    return " ".join(str(error).splitlines()[0].split())


def _faults(node: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the functions that an expression calls."""
    from jmespath.functions import Functions  # noqa: PLC0415

    children = [child for child in node.get("children") or () if isinstance(child, Mapping)]
    if node["type"] == "function_expression":
        name = node["value"]
        known = Functions.FUNCTION_TABLE.get(name)
        if known is None:
            yield f"there is no function {name}(); JMESPath has {', '.join(sorted(Functions.FUNCTION_TABLE))}"
        else:
            yield from _argument_faults(name, known["signature"], children)
    for child in children:
        yield from _faults(child)


def _argument_faults(name: str, signature: Any, arguments: list[Mapping[str, Any]]) -> Iterator[str]:
    variadic = bool(signature and signature[-1].get("variadic"))
    if len(arguments) < len(signature) or (len(arguments) > len(signature) and not variadic):
        more = " or more" if variadic else ""
        yield f"{name}() takes {len(signature)}{more} arguments, not {len(arguments)}"
        return
    for position, argument in enumerate(arguments):
        wanted = signature[min(position, len(signature) - 1)]["types"]
        given = _type_of(argument)
        if wanted and given is not None and not _fits(argument, given, wanted):
            yield f"argument {position + 1} of {name}() must be {' or '.join(wanted)}, not {given}"


def _type_of(node: Mapping[str, Any]) -> str | None:
    """The JMESPath type that a node always has; None where only the data tells."""
    if node["type"] == "literal":
        return _type_of_value(node["value"])
    if node["type"] == "function_expression":
        return _RESULTS.get(node["value"])
    found: str | None = _NODES.get(node["type"])
    return found


def _type_of_value(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _fits(node: Mapping[str, Any], given: str, wanted: list[str]) -> bool:
    for one in wanted:
        kind, _, of = one.partition("-")
        if kind == given and (
            not of or node["type"] != "literal" or all(_type_of_value(item) == of for item in node["value"])
        ):
            return True
    return False
