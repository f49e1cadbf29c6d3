"""From a function's type hints to the JSON schema of its arguments and the validator at its edge."""

from __future__ import annotations

import copy
import inspect
import types
import typing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import pydantic
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from .._core import canonical_json
from ..errors import CanonicalError, ToolArgumentsError, ToolDefinitionError
from .docstrings import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Spec", "explain", "spec_of"]

_KEPT = "__hotloop_spec__"
_EMPTY = inspect.Parameter.empty
_SHOWN_ERRORS = 5
_SHOWN_INPUT = 80


class _Plain(GenerateJsonSchema):
    """JSON schema without what only costs tokens (titles made of names) and without warnings."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own declaration

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's own signature
        return False


class Spec:
    """What is known about the arguments of one function.

    Args:
        func: the function, or a pydantic model, whose fields are then the arguments and whose instance is the value.
        namespace: names that its annotations may use beside the globals of its module.

    Raises:
        ToolDefinitionError: the function takes what no model can give.
    """

    def __init__(self, func: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> None:
        self.label = getattr(func, "__qualname__", None) or type(func).__qualname__
        self.func = func
        self.namespace = namespace
        self.is_model = isinstance(func, type) and issubclass(func, pydantic.BaseModel)
        try:
            signature = inspect.signature(func)
        except (TypeError, ValueError) as error:
            raise ToolDefinitionError(f"{self.label} cannot be made a tool: no signature ({error})") from error
        self.parameters = {} if self.is_model else dict(signature.parameters)
        for parameter in self.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ToolDefinitionError(
                    f"{self.label} cannot be made a tool: a model can only give arguments that have names, and "
                    f"{parameter} has none; name them, or take one list or dict"
                )
        self.positional = tuple(p.name for p in self.parameters.values() if p.kind is p.POSITIONAL_ONLY)

    def complete(self, args: Any) -> dict[str, Any]:
        """Return validated arguments together with the defaults of those that were not given."""
        return {**self._defaults, **dict(args)}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {p.name: p.default for p in self.parameters.values() if p.default is not _EMPTY}

    @cached_property
    def adapter(self) -> pydantic.TypeAdapter[Any]:
        """Validates the arguments as one object, and gives it back as a dict by parameter name."""
        if self.is_model:
            return pydantic.TypeAdapter(cast("Any", self.func))
        hints = self._hints()
        fields: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            hint = hints.get(name, Any)
            if isinstance(parameter.default, FieldInfo):
                hint = typing.Annotated[hint, parameter.default]
            elif parameter.default is not _EMPTY:
                hint = typing.NotRequired[hint]  # absent: the function's own default applies
            fields[name] = hint
        shape: Any = cast("Any", TypedDict)(self.label, fields)
        shape.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        try:
            return pydantic.TypeAdapter(shape)
        except (pydantic.errors.PydanticUserError, TypeError, NameError) as error:
            raise ToolDefinitionError(
                f"{self.label} cannot be made a tool: no JSON schema for its parameters ({_first_line(error)})"
            ) from error

    def _hints(self) -> dict[str, Any]:
        func = _innermost(self.func)
        if isinstance(func, type):
            func = cast("Any", func).__init__
        elif not isinstance(func, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
            func = _innermost(type(func).__call__)
        try:
            return typing.get_type_hints(func, localns=dict(self.namespace or {}), include_extras=True)
        except (NameError, TypeError, SyntaxError, AttributeError) as error:
            raise ToolDefinitionError(
                f"{self.label} cannot be made a tool: an annotation cannot be resolved ({error}); "
                "define its type at the top of the module"
            ) from error

    @cached_property
    def docs(self) -> tuple[str, dict[str, str]]:
        """The text of the docstring, and the descriptions of the parameters."""
        func = _innermost(self.func)
        if isinstance(func, type):
            text, parameters = describe(func.__doc__)
            return text, describe(cast("Any", func).__init__.__doc__)[1] | parameters
        if isinstance(func, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
            return describe(func.__doc__)
        text, parameters = describe(type(func).__call__.__doc__)
        own, own_parameters = describe(type(func).__doc__)
        return text or own, own_parameters | parameters

    @cached_property
    def _schema(self) -> dict[str, Any]:
        try:
            schema = self.adapter.json_schema(schema_generator=_Plain)
        except pydantic.errors.PydanticUserError as error:
            raise ToolDefinitionError(
                f"{self.label} cannot be made a tool: no JSON schema for its parameters ({_first_line(error)})"
            ) from error
        if "$ref" in schema:  # a model that holds itself; providers want to see an object at the top
            top = schema["$defs"][schema.pop("$ref").rpartition("/")[2]]
            schema |= copy.deepcopy(top)
        if schema.get("type") != "object":
            raise ToolDefinitionError(f"{self.label} cannot be made a tool: its arguments are no object with names")
        schema.pop("title", None)
        schema.pop("description", None)
        properties = schema.setdefault("properties", {})
        described = self.docs[1]
        for name, shape in properties.items():
            if name in described:
                shape.setdefault("description", described[name])
            parameter = self.parameters.get(name)
            if parameter is not None and parameter.default is not _EMPTY and "default" not in shape:
                try:
                    default = to_jsonable_python(parameter.default)
                    canonical_json(default)
                except ValueError:
                    continue  # a default that has no JSON cannot be shown
                shape["default"] = default
        try:
            canonical_json(schema)
        except CanonicalError as error:
            raise ToolDefinitionError(f"{self.label} cannot be made a tool: its schema is no JSON ({error})") from error
        return schema

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments; the caller's to keep."""
        return copy.deepcopy(self._schema)


def _innermost(func: Any) -> Any:
    """Return the function that partials and wrappers stand for."""
    while True:
        inner = func.func if isinstance(func, partial) else getattr(func, "__wrapped__", None)
        if inner is None or isinstance(func, type):
            return func
        func = inner


def spec_of(func: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> Spec:
    """Return the `Spec` of `func`; plain functions keep theirs, so that the same tools are cheap to build again."""
    if not isinstance(func, types.FunctionType):
        return Spec(func, namespace)
    spec = func.__dict__.get(_KEPT)
    # functools.wraps copies it from the function that was wrapped
    if not isinstance(spec, Spec) or spec.func is not func or (namespace and not spec.namespace):
        spec = func.__dict__[_KEPT] = Spec(func, namespace)
    return spec


def explain(name: str, error: pydantic.ValidationError, parameters: list[str]) -> ToolArgumentsError:
    """Say what is wrong with arguments so that a model can mend them: which field, what was wrong, what was given."""
    problems = []
    for problem in error.errors(include_url=False, include_context=False)[:_SHOWN_ERRORS]:
        field = ".".join(str(part) for part in problem["loc"])
        match problem["type"]:
            case "missing":
                problems.append(f"{field} is missing")
            case "extra_forbidden":
                known = ", ".join(parameters) if parameters else "no arguments at all"
                problems.append(f"{field} is not an argument (it takes {known})")
            case "json_invalid":
                problems.append(f"the arguments are not valid JSON: {problem['msg'].removeprefix('Invalid JSON: ')}")
            case "json_schema":
                problems.append(problem["msg"])
            case "dict_type":
                problems.append(f"{field or 'the arguments'} must be a JSON object, got {_brief(problem['input'])}")
            case _:
                reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
                problems.append(f"{field or 'the arguments'} {reason}, got {_brief(problem['input'])}")
    if (more := error.error_count() - _SHOWN_ERRORS) > 0:
        problems.append(f"and {more} more")
    return ToolArgumentsError(f"{name}: {'; '.join(problems)}")


def _brief(value: Any) -> str:
    text = repr(value[: _SHOWN_INPUT + 1] if isinstance(value, str | bytes | list | tuple) else value)
    return text if len(text) <= _SHOWN_INPUT else f"{text[:_SHOWN_INPUT]}…"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
