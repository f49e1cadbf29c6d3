"""The `tool` decorator: any callable becomes something that a model can ask for."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, Self, cast, overload

from pydantic import ValidationError
from typing_extensions import ParamSpec, TypeVar

from ..errors import ToolArgumentsError, ToolDefinitionError, ToolError
from .approval import Approval, reason_to_ask
from .callables import by_name, is_async, local_names, name_of
from .content import words_of
from .declaration import check_declaration, check_importable
from .effects import SHARED, Access, Effect, Resources, access, fixed_access
from .identity import identity_of
from .schema import Spec, explain, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..toolcall import ToolCall
    from .batch import Batch

__all__ = ["Provider", "Tool", "tool"]

P = ParamSpec("P", default=...)
Q = ParamSpec("Q", default=...)
R = TypeVar("R", default=Any)
S = TypeVar("S", default=Any)

Provider = Literal["openai", "anthropic"]
Where = Literal["thread", "process"]
_TEXT = (str, bytes)  # a tuple: `str | bytes` would be made anew at each call
ErrorTypes = type[Exception] | tuple[type[Exception], ...]


class Tool(Generic[P, R]):
    """A callable with a name, a schema and what is known of its effect. Calling it calls the function, unchanged.

    Made by `tool`. In a class body it behaves as a method: the tool of an object is `obj.method`.

    Attributes:
        func: the function.
        name: what a model calls it.
        effect: what a call may do; None where nothing was declared, which means: write anything.
        timeout: how long one call may work, in seconds; None for the pipeline's own limit.
        cache_ttl: how long results are kept, in seconds; None for not at all.
        approval: whether a person is asked before a call runs: "never", "always", or a function of the call.
        cache_errors: the exceptions that are kept as results are.
        max_concurrency: how many of its calls may run at once; None for no limit of its own.
        where: "process" where sync calls run in a process of their own, "thread" elsewhere.
        batch: runs the calls that gather; None where each runs alone.
        is_async: whether the function is a coroutine function, and runs on the event loop rather than in a thread.
        is_direct: whether a call needs no more than a place on the event loop: no thread, no batch, and no key to be
            joined or stored by.
        fixed: what every call reads and writes, where that does not depend on the arguments.
        is_static: whether it is a static method, which takes no object.
    """

    def __init__(
        self,
        func: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: Effect | None = None,
        resources: Resources | None = None,
        timeout: float | None = None,
        cache_ttl: float | None = None,
        approval: Approval = "never",
        cache_errors: ErrorTypes = (),
        max_concurrency: int | None = None,
        where: Where = "thread",
        batch: Batch | None = None,
        namespace: Mapping[str, Any] | None = None,
        spec: Spec | None = None,
    ) -> None:
        self.func = func
        self._untyped: Any = func
        self.name = name if name is not None else name_of(func)
        self.effect = effect
        self.timeout = timeout
        self.cache_ttl = cache_ttl
        self.approval = approval
        self.cache_errors = cache_errors if isinstance(cache_errors, tuple) else (cache_errors,)
        self.max_concurrency = max_concurrency
        self.where = where
        self.batch = batch
        self._description = description
        self._resources = resources
        self._namespace = namespace
        self.is_static = False
        self._is_method = False
        check_declaration(self, resources)
        self._spec: Spec = spec if spec is not None else spec_of(func, namespace)
        self._by_name = not (self._spec.is_model or self._spec.positional)
        self.is_async = is_async(func)
        self.is_direct = self.is_async and batch is None and effect not in SHARED
        self._touched: Callable[..., Any] | None = by_name(resources) if callable(resources) else None
        self.fixed = None if callable(resources) else fixed_access(effect, resources)
        if where == "process":
            check_importable(self)
        functools.update_wrapper(cast("Any", self), func, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name} ({self.effect or 'undeclared'})>"

    def __set_name__(self, owner: type, name: str) -> None:
        scope = getattr(self.func, "__qualname__", "").rpartition(".")[0]
        self._is_method = not self.is_static and scope == owner.__qualname__  # else it only is an attribute

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Tool[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Tool[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        of_class = instance is owner  # @classmethod hands its class over in both places, up to Python 3.12
        if instance is None or not (self._is_method or of_class):
            return self
        return self.bind(instance)

    def bind(self, instance: Any) -> Self:
        """Return the tool of the method bound to `instance`."""
        batch = self.batch and replace(self.batch, func=MethodType(self.batch.func, instance))
        return self._with(MethodType(self.func, instance), batch)

    def renamed(self, name: str) -> Self:
        """Return the same tool under another name."""
        made = self._with(self.func, self.batch, name, self._spec)
        made.is_static, made._is_method = self.is_static, self._is_method  # noqa: SLF001 - of its own class
        return made

    def _with(
        self, func: Callable[..., Any], batch: Batch | None, name: str | None = None, spec: Spec | None = None
    ) -> Self:
        return type(self)(
            func,
            name=name or self.name,
            description=self._description,
            effect=self.effect,
            resources=self._resources,
            timeout=self.timeout,
            cache_ttl=self.cache_ttl,
            approval=self.approval,
            cache_errors=self.cache_errors,
            max_concurrency=self.max_concurrency,
            where=self.where,
            batch=batch,
            namespace=self._namespace,
            spec=spec,
        )

    # -- what a model is told ------------------------------------------------------------------------------------

    @cached_property
    def description(self) -> str:
        """What a model reads of it: the text of the docstring, where none was given."""
        return self._description if self._description is not None else self._spec.docs[0]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self._bound_spec().schema()

    def schema(self, provider: Provider = "openai") -> dict[str, Any]:
        """Return the definition of the tool in a provider's form.

        Raises:
            ValueError: no such provider.
            ToolDefinitionError: its parameters have no JSON schema.
        """
        if provider == "openai":
            function = {"name": self.name, "description": self.description, "parameters": self.parameters}
            return {"type": "function", "function": function}
        if provider == "anthropic":
            return {"name": self.name, "description": self.description, "input_schema": self.parameters}
        raise ValueError(f"provider is {provider!r}; tools have a schema for openai and anthropic")

    def check(self) -> None:
        """Make the schema and the validator now rather than at the first call.

        Raises:
            ToolDefinitionError: they cannot be made.
        """
        self._bound_spec().adapter  # noqa: B018 - made once, and kept

    def _bound_spec(self) -> Spec:
        if self._is_method:
            raise ToolDefinitionError(
                f"{self.name} is a method without its object: use that of an object, obj.{self.name}"
            )
        return self._spec

    # -- what a call does ----------------------------------------------------------------------------------------

    @cached_property
    def _validate_json(self) -> Callable[[str | bytes], Any]:
        return self._bound_spec().adapter.validator.validate_json

    @cached_property
    def _validate_python(self) -> Callable[[Any], Any]:
        return self._bound_spec().adapter.validator.validate_python

    def validate(self, args: dict[str, Any] | str | bytes) -> Any:
        """Return the arguments as the function takes them, by name; no text at all means no arguments.

        Raises:
            ToolArgumentsError: they are not JSON or do not fit, in words that a model can act on.
        """
        try:
            if isinstance(args, _TEXT):
                return self._validate_json(args or "{}")
            return self._validate_python(args)
        except ValidationError as error:
            raise explain(self.name, error, list(self.parameters["properties"])) from error
        except ToolDefinitionError:
            raise
        except Exception as error:
            raise ToolArgumentsError(f"{self.name}: the arguments could not be checked: {words_of(error)}") from error

    def invoke(self, args: Any) -> Any:
        """Call the function with validated arguments; a coroutine function gives its coroutine."""
        if self._by_name:
            return self._untyped(**args)  # validated against the signature
        spec = self._spec
        if spec.is_model:
            return args
        rest = dict(args)
        first = []
        for name in spec.positional:
            if name not in rest and not any(later in rest for later in spec.positional):
                break
            first.append(rest.pop(name) if name in rest else spec.parameters[name].default)
        return self._untyped(*first, **rest)

    def access(self, args: Any) -> Access:
        """Return the places that a call with these validated arguments reads and writes.

        Raises:
            ToolError: `resources=` failed, or told something that is no resource.
        """
        if self.fixed is not None:
            return self.fixed
        try:
            touched = self._resources if self._touched is None else self._touched(self._spec.complete(args))
            return access(self.effect, cast("Any", touched))
        except (Exception, SystemExit) as error:
            raise ToolError(f"{self.name}: its resources are unknown: {words_of(error)}") from error

    def reason_to_ask(self, call: ToolCall) -> str | None:
        """Return why a person must be asked before a call runs, or None where nobody need be.

        Raises:
            ToolError: the approval function failed; the call must then not run.
        """
        if self.approval == "never":
            return None
        return reason_to_ask(self.approval, self.shown(call))

    def shown(self, call: ToolCall) -> ToolCall[dict[str, Any]]:
        """Return a call as a person is shown it: by the tool's own name, with the arguments that it will get.

        They are validated for this alone: what can be read only once must still be there for the function.

        Raises:
            ToolArgumentsError: they do not fit.
        """
        args = self.validate(call.args)
        try:
            told = self._spec.adapter.serializer.to_python(args, mode="json")
        except ValueError:  # no JSON form: as it was asked for
            told = json.loads(call.args) if isinstance(call.args, str) else call.args
        return cast("ToolCall[dict[str, Any]]", replace(call, name=self.name, args=told))

    @cached_property
    def identity(self) -> str:
        """Names the function and its code: equal identities give equal results for equal arguments."""
        return identity_of(self.func)


@overload
def tool(func: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | None = None,
    resources: Resources | None = None,
    timeout: float | None = None,
    cache_ttl: float | None = None,
    approval: Approval | None = None,
    cache_errors: ErrorTypes = ...,
    max_concurrency: int | None = None,
    where: Where = ...,
    batch: Batch | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    func: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | None = None,
    resources: Resources | None = None,
    timeout: float | None = None,
    cache_ttl: float | None = None,
    approval: Approval | None = None,
    cache_errors: ErrorTypes | None = None,
    max_concurrency: int | None = None,
    where: Where | None = None,
    batch: Batch | None = None,
) -> Any:
    """Make a tool of a callable: `@tool`, `@tool(effect="read")` or `tool(func)`.

    The schema of the arguments comes from the type hints, their descriptions from the docstring or from pydantic's
    `Field`. A tool is returned as it is.

    Args:
        func: a function, sync or async, a method, a `functools.partial`, an object that can be called, or a pydantic
            model (the call then gives an instance).
        name: what a model calls it; the function's own name where None.
        description: what a model reads of it; the docstring's text where None.
        effect: "pure" (depends on its arguments only), "read" (looks), "write" (changes what it names) or "external"
            (acts on the world outside). A tool that declares none is treated as one that may write anything.
        resources: what a call touches: paths, names, or a function of those arguments that it names which returns
            them (or `Touches`, for calls that read some and write others). None means anything.
        timeout: how long one call may work, in seconds; None for the pipeline's own limit.
        cache_ttl: how long results are kept, in seconds; None for not at all. For pure tools, and for tools that read
            and tell their resources.
        approval: whether a person must say yes before a call runs: "never", "always", or a function that gets the call
            and returns a bool, or why the person is asked. None means never.
        cache_errors: exceptions that are kept as results are, as `FileNotFoundError`; none where not given.
        max_concurrency: how many of its calls may run at once; None for no limit beside the pipeline's.
        where: "thread" for sync functions that wait, which is the default, or "process" for those that compute: a
            process is killed when its call takes too long or is cancelled. It gets the arguments as JSON and gives the
            result back as JSON.
        batch: runs the calls that come within a window together, as in `batch=Batch(prices, window=0.01, size=50)`.

    Raises:
        ToolDefinitionError: the callable cannot be made a tool, or the declaration contradicts itself.
    """
    options: dict[str, Any] = {
        "name": name,
        "description": description,
        "effect": effect,
        "resources": resources,
        "timeout": timeout,
        "cache_ttl": cache_ttl,
        "approval": approval,
        "cache_errors": cache_errors,
        "max_concurrency": max_concurrency,
        "where": where,
        "batch": batch,
    }
    options = {name: value for name, value in options.items() if value is not None}
    caller = sys._getframe(1)  # noqa: SLF001 - for the names that annotations written as text may use

    def make(target: Any) -> Tool:
        if isinstance(target, Tool):
            if options:
                raise ToolDefinitionError(f"{target.name} is a tool already; declare everything in one place")
            return target
        if isinstance(target, MethodType) and isinstance(target.__func__, Tool):
            return target.__func__.bind(target.__self__)
        if isinstance(target, classmethod):
            raise ToolDefinitionError("write @classmethod above @tool, not below it")
        is_static = isinstance(target, staticmethod)
        if is_static:
            target = target.__func__
        if not callable(target):
            raise ToolDefinitionError(f"a tool is made of something that can be called, not of {type(target).__name__}")
        made = Tool(target, **options, namespace=local_names(target, caller))
        made.is_static = is_static
        return made

    return make if func is None else make(func)
