"""Walk through a jaxpr: inner functions are inlined, constants computed, scans unrolled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.graph import Graph
from kernelfield.receptive.guard import guarded

Scope = tuple[str, ...]
Result = Value | list[Value]

# Largest number of elements of a constant that is computed: indices, masks, matrices of a resize.
_COMPUTED = 1 << 21
# Largest number of operations of a scan that is unrolled; longer ones count as not known.
_UNROLLED = 20_000
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
# Primitives that hold functions, but do more than call them.
_LOOPS = {"scan", "while", "cond", "shard_map", "custom_linear_solve", "pallas_call", "run_state"}


@dataclass(frozen=True)
class Operand:
    """A value, and its array where that depends on neither weights nor image."""

    value: Value
    array: np.ndarray | None = None


@dataclass(frozen=True)
class Call:
    """One equation, the argument of the rules."""

    builder: Builder
    name: str
    operation: str
    operands: Sequence[Operand]
    params: dict[str, Any]
    shapes: Sequence[tuple[int, ...]]
    alias: bool
    function: str

    @property
    def values(self) -> list[Value]:
        """Its operands as values of the builder."""
        return [operand.value for operand in self.operands]

    def unknown(self) -> list[Value]:
        """Return outputs that read all of all operands, or raise, as the builder's `unknown` says."""
        return [self.builder.unknown(self.name, self.operation, self.values, shape) for shape in self.shapes]


class Walker:
    """The walk through a jaxpr: calls the rule of every equation in turn.

    Parameters
    ----------
    builder : Builder
    rule : callable
        Returns the outputs of an equation.
    full_paths : bool
        Whether a scope is the whole path of a module (separated by dots) rather than one step of it.
    strip : bool
        Whether the first step is the model itself.
    """

    def __init__(
        self, builder: Builder, rule: Callable[[Call], Result], *, full_paths: bool = False, strip: bool = False
    ) -> None:
        self.builder, self.rule, self.full_paths, self.strip = builder, rule, full_paths, strip
        self.scopes: dict[str, tuple[Scope, Scope]] = {}

    def closed(self, jaxpr: Any, operands: Sequence[Operand], outer: Scope, inner: Scope = ()) -> list[Operand]:
        """Return the outputs of a closed jaxpr for these inputs."""
        constants = [self._known(np.asarray(c)) if _is_plain(c) else self._made(c.shape) for c in jaxpr.consts]
        return self.open(jaxpr.jaxpr, [*constants, *operands], outer, inner)

    def open(self, jaxpr: Any, operands: Sequence[Operand], outer: Scope, inner: Scope) -> list[Operand]:
        """Return the outputs of a jaxpr for its constants and inputs.

        `outer` is the name stack of the caller, `inner` the names of the functions below it.
        """
        env: dict[Any, Operand] = dict(zip([*jaxpr.constvars, *jaxpr.invars], operands))

        def read(var: Any) -> Operand:
            return self._known(np.asarray(var.val)) if hasattr(var, "val") else env[var]

        for equation in jaxpr.eqns:
            stack = (*outer, *(s.name for s in equation.source_info.name_stack.stack if hasattr(s, "name")))
            with guarded(equation.primitive.name, "/".join((*stack, *inner)) or equation.primitive.name):
                results = self._equation(equation, [read(v) for v in equation.invars], stack, inner)
            env.update(zip(equation.outvars, results))
        return [read(v) for v in jaxpr.outvars]

    def _equation(self, equation: Any, operands: list[Operand], stack: Scope, inner: Scope) -> list[Operand]:
        name = equation.primitive.name
        shapes = [tuple(v.aval.shape) for v in equation.outvars]
        key = next((key for key in _INNER if key in equation.params and name not in _LOOPS), None)
        if key is not None:
            return self._function(equation.params, key, operands, stack, inner)
        if all(0 in shape for shape in shapes):
            return [self._made(shape) for shape in shapes]
        if all(o.value.node is None for o in operands):
            return self._constant(equation, operands, shapes)
        if name == "scan":
            results = self._scan(equation.params, operands, stack, inner)
            if results is not None:
                return results
        if name == "cond" and operands[0].array is not None:
            branches = equation.params["branches"]
            chosen = int(np.clip(operands[0].array, 0, len(branches) - 1))
            return self.closed(branches[chosen], operands[1:], stack, inner)
        return self._rule(equation, operands, shapes, (self._scope(stack), inner))

    def _function(self, params: Any, key: str, operands: list[Operand], stack: Scope, inner: Scope) -> list[Operand]:
        label = str(params.get("name", "")).strip("_").removesuffix("_static")
        if label.isidentifier() and (not inner or inner[-1] != label):
            inner = (*inner, label)
        jaxpr = params[key]
        shifts = _shifts(getattr(jaxpr, "jaxpr", jaxpr)) if label in _ROLLS and len(operands) == 1 else None
        if shifts:
            name, axes = self._name(self._scope(stack), *inner), list(shifts)
            return [Operand(self.builder.roll(name, operands[0].value, shifts=list(shifts.values()), axes=axes))]
        if hasattr(jaxpr, "consts"):
            return self.closed(jaxpr, operands, stack, inner)
        return self.open(jaxpr, operands, stack, inner)

    def _rule(
        self, equation: Any, operands: list[Operand], shapes: list[tuple[int, ...]], scope: tuple[Scope, Scope]
    ) -> list[Operand]:
        operation = equation.primitive.name
        sources = [o.value.node for o in operands if o.value.node is not None]
        # Further operations of the same layer (a bias, the factors of a normalisation) do not get nodes of their own.
        alias = any(scope) and len(sources) == 1 and self.scopes.get(str(sources[0])) == scope
        name = self._name(scope[0], *scope[1], operation)
        function = scope[1][0] if scope[1] else ""
        results = self.rule(
            Call(self.builder, name, operation, operands, dict(equation.params), shapes, alias, function)
        )
        values = results if isinstance(results, list) else [results]
        for value in values:
            if value.node is not None:
                self.scopes.setdefault(value.node, scope)
        return [Operand(value) for value in values]

    def _scan(self, params: Any, operands: list[Operand], stack: Scope, inner: Scope) -> list[Operand] | None:
        """Return carry and stacked outputs of an unrolled scan; None if it is too long."""
        length, body = params["length"], params["jaxpr"]
        if length * len(body.jaxpr.eqns) > _UNROLLED or not length:
            return None
        fixed, carried = params["num_consts"], params["num_carry"]
        constants, carry, sequences = operands[:fixed], operands[fixed : fixed + carried], operands[fixed + carried :]
        steps: list[list[Operand]] = []
        order = range(length - 1, -1, -1) if params["reverse"] else range(length)
        for t in order:
            results = self.closed(body, [*constants, *carry, *(self._step(s, t) for s in sequences)], stack, inner)
            carry = results[:carried]
            steps.append(results[carried:])
        if params["reverse"]:
            steps.reverse()
        name = self._name(self._scope(stack), *inner, "scan")
        return [*carry, *(self._stacked(name, list(items)) for items in zip(*steps))]

    def _step(self, sequence: Operand, t: int) -> Operand:
        value = sequence.value
        if sequence.array is not None:
            return self._known(sequence.array[t])
        if value.node is None:
            return self._made(value.shape[1:])
        return Operand(self.builder.take("scan/step", value, axis=0, indices=[t], keep_axis=False))

    def _stacked(self, name: str, items: list[Operand]) -> Operand:
        if all(item.value.node is None for item in items):
            return self._made((len(items), *items[0].value.shape))
        rows = [self.builder.reshape(name, i.value, shape=(1, *i.value.shape)) for i in items]
        return Operand(self.builder.concatenate(name, rows, axis=0))

    def _constant(self, equation: Any, operands: list[Operand], shapes: list[tuple[int, ...]]) -> list[Operand]:
        """Return outputs that do not depend on the image, with their arrays if small and independent of weights."""
        small = sum(int(np.prod(s)) for s in shapes) <= _COMPUTED
        plain = all(_is_plain(v.aval) for v in equation.outvars) and equation.primitive.name not in _LOOPS
        if small and plain and not equation.effects and all(o.array is not None for o in operands):
            import jax

            with jax.ensure_compile_time_eval():
                results = equation.primitive.bind(*(o.array for o in operands), **equation.params)
            results = results if equation.primitive.multiple_results else [results]
            return [self._known(np.asarray(r)) for r in results]
        return [self._made(shape) for shape in shapes]

    def _known(self, array: np.ndarray) -> Operand:
        return Operand(self.builder.constant(array.shape), array)

    def _made(self, shape: Sequence[int]) -> Operand:
        return Operand(self.builder.constant(tuple(shape)))

    def _name(self, modules: Scope, *steps: str) -> str:
        path = ("." if self.full_paths else "/").join(modules)
        return "/".join([path, *steps] if path else steps)

    def _scope(self, stack: Scope) -> Scope:
        if self.full_paths:
            return tuple(stack[-1].split(".")) if stack else ()
        return stack[1:] if self.strip else stack

    def named(self, graph: Graph) -> Graph:
        """Return the graph with the last node of each module named after it; names of outer modules are aliases."""
        last: dict[tuple[bool, Scope], str] = {}
        for node in graph:
            modules, functions = self.scopes.get(node.name, ((), ()))
            for depth in range(1, len(modules) + 1):
                last[True, modules[:depth]] = node.name
            if functions:
                last[False, (*modules, functions[0])] = node.name
        names: dict[str, str] = {}
        aliases: dict[str, str] = {}
        taken = {node.name for node in graph}
        # Modules before functions, the innermost first.
        for key in sorted(last, key=lambda key: (key[0], len(key[1])), reverse=True):
            name, old = self._name(key[1]), last[key]
            if name in taken:
                continue
            taken.add(name)
            if old in names:
                aliases[name] = names[old]
            else:
                names[old] = name
        nodes = (
            replace(
                node,
                name=names.get(node.name, node.name),
                edges=tuple(replace(edge, source=names.get(edge.source, edge.source)) for edge in node.edges),
            )
            for node in graph
        )
        return Graph(tuple(nodes), aliases)


# Functions that JAX writes as concatenations of two slices.
_ROLLS = ("roll", "roll_dynamic")


def _shifts(jaxpr: Any) -> dict[int, int] | None:
    """Return the shift along each axis that a roll is made of, None where its steps are others."""
    parts: dict[Any, Any] = {}
    shifts: dict[int, int] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "slice":
            parts[equation.outvars[0]] = equation
        elif equation.primitive.name == "concatenate" and len(equation.invars) == 2:
            first, second = (parts.get(var) for var in equation.invars)
            axis = equation.params["dimension"]
            if first is None or second is None or first.invars[0] is not second.invars[0]:
                return None
            extent = first.invars[0].aval.shape[axis]
            start = first.params["start_indices"][axis]
            if start + first.outvars[0].aval.shape[axis] != extent or second.outvars[0].aval.shape[axis] != start:
                return None
            # The shorter way round.
            by = extent - start if 2 * start >= extent else -start
            shifts[axis] = shifts.get(axis, 0) + by
        else:
            return None
    return shifts


def _is_plain(array: Any) -> bool:
    """Return whether NumPy can represent the array (it cannot represent random keys)."""
    return isinstance(getattr(array, "dtype", None), np.dtype)
