"""What Numba does between the bytecode of a kernel and its LLVM code: of its two dozen passes those that kernels need.

The others look, some of them several times, for what no kernel has: closures and loops over lists to be inlined, `with`
blocks, functions that Numba inlines itself, expressions of whole arrays, parallel loops, `literally` and
`literal_unroll`; or write down types for people to read. Nor is a pass timed, or told about to listeners.

Where no references are counted, nothing is done where a variable dies, so that nobody needs to know where.
"""

import contextlib
import functools
import operator

from numba import types

from fastsoftmax.kernels.jit.entries import ENTRIES, add_entry
from fastsoftmax.kernels.jit.front import Rewrites, SingleAssignments, Translation, WithoutPhis, assigned_once
from fastsoftmax.kernels.jit.numba_internals import (
    cgutils,
    compiler,
    compiler_machinery,
    errors,
    ffi,
    lowering,
    targetconfig,
    typed_passes,
    typing,
    untyped_passes,
)


class Plain(types.Type):
    """A type of values of which nothing depends on options: a call that takes them is typed once in a process."""


_PLAIN = (Plain, types.Number, types.Boolean, types.NoneType, types.CPointer)


@functools.cache
def _remembering(context):
    """A typing context that knows what the other knows, and remembers what functions make of plain values.

    Numba tries the templates of a function one after another, NumPy's first, anew for each `+`.
    """
    signatures = {}

    class Remembering(typing.Context):
        def resolve_function_type(self, func, args, kws):
            if kws or not all(isinstance(each, _PLAIN) for each in args):
                return context.resolve_function_type(func, args, kws)
            found = signatures.get((func, args))
            if found is None:
                found = signatures[func, args] = context.resolve_function_type(func, args, kws)
            return found

    remembering = object.__new__(Remembering)
    remembering.__dict__ = context.__dict__
    return remembering


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _TypeInference(typed_passes.NopythonTypeInference):
    _name = "fastsoftmax_type_inference"

    def run_pass(self, state):
        context, state.typingctx = state.typingctx, _remembering(state.typingctx)
        try:
            return super().run_pass(state)
        finally:
            state.typingctx = context


@compiler_machinery.register_pass(mutates_CFG=False, analysis_only=True)
class _Deaths(typed_passes.IRLegalization):
    """Say where variables die, if references are counted."""

    _name = "fastsoftmax_deaths"

    def run_pass(self, state):
        return super().run_pass(state) if state.flags.nrt else True


class _Lower(lowering.Lower):
    def create_cpython_wrapper(self, release_gil=False):
        """Numba's way in from Python, or ours."""
        function = self.func_ir.func_id.func
        if function in ENTRIES:
            add_entry(self.context, self.library, function, self.fndesc)
        else:
            super().create_cpython_wrapper(release_gil)

    def _find_singly_assigned_variable(self):
        """Say which variables need no place on the stack."""
        self._singly_assigned_vars, self._blk_local_varmap = assigned_once(self.blocks), {}

    def alloca_lltype(self, name, lltype, datamodel=None):
        """Numba's, without asking LLVM, which parses a module for it, how large the type is: debuggers want to know."""
        if self._disable_sroa_like_opt:
            return super().alloca_lltype(name, lltype, datamodel)
        return cgutils.alloca_once(self.builder, lltype, name=name, zfill=False)

    def storevar(self, value, name, argidx=None):
        """Numba's, without the same."""
        if argidx is None or name in self._singly_assigned_vars or self._disable_sroa_like_opt:
            super().storevar(value, name, argidx)
        else:
            self._alloca_var(name, self.typeof(name))
            self.builder.store(value, self.getvar(name))

    def lower_block(self, block):
        """Numba's, without a context for errors around each statement."""
        self.pre_block(block)
        for statement in block.body:
            self.loc = statement.loc
            self.lower_inst(statement)
        self.post_block(block)

    def lower_binop(self, resty, expr, op):
        """Numba's, without a search for instructions of its own for a constant operand, which only powers have."""
        if op in (operator.pow, operator.ipow):
            return super().lower_binop(resty, expr, op)
        context, signature = self.context, self.fndesc.calltypes[expr]
        values = [
            context.cast(self.builder, self.loadvar(each.name), self.typeof(each.name), wanted)
            for each, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        op = context.typing_context.resolve_value_type(op)
        chosen = _remembering(context.typing_context).resolve_function_type(op, signature.args, {})
        function = context.get_function(op, chosen)
        return context.cast(self.builder, function(self.builder, values), signature.return_type, resty)


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):
    _name = "fastsoftmax_lowering"
    lowering_class = _Lower


_PASSES = (
    Translation,
    untyped_passes.FixupArgs,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,  # what types decide: an argument that is None, True or False
    Rewrites,
    SingleAssignments,
    _TypeInference,
    WithoutPhis,
    _Deaths,
    _Lowering,
    typed_passes.NoPythonBackend,
)


class _Passes(compiler_machinery.PassManager):
    def run(self, state):
        """Run them one after another."""
        for each in self._instances:
            each.analysis = self._analysis
            try:
                each.run_pass(state)
            except errors.NumbaError as error:
                raise self._patch_error(
                    f"Failed in {self.pipeline_name} mode pipeline (step: {each.name()})", error
                ) from None

    def finalize(self):
        """Take the instances of the passes, which keep no state of a compilation."""
        super().finalize()
        self._instances = [compiler_machinery._pass_registry.get(each).pass_inst for each, _ in self.passes]


@functools.cache
def _passes():
    passes = _Passes("kernel")
    for each in _PASSES:
        passes.add_pass(each)
    passes.finalize()
    return passes


class _HandedDown(compiler.Flags):
    """The options of a function as Numba's own functions that it calls see them: those of the function that it is in.

    They are a part of the key by which each call of such a function (an operator is one, too) looks for its code; what
    differs between kernels, routines and inlined functions is left out, or it would be compiled for each of them.
    """

    def __hash__(self):
        return _SAME_HASH  # as Numba's, which takes 20 us: of the names of the options


_SAME_HASH = hash(compiler.Flags())
_handed_down: dict[str, _HandedDown] = {}


def _to_hand_down(flags):
    """One object for all that are equal, which need not be compared."""
    options = _HandedDown(flags)
    options.forceinline, options.no_cpython_wrapper, options.no_cfunc_wrapper = False, True, True
    return _handed_down.setdefault(options.summary(), options)


class Pipeline(compiler.CompilerBase):
    """Numba's compiler with the passes above."""

    def define_pipelines(self):
        """All there is: a kernel is compiled in no other way."""
        return [_passes()]

    def _compile_core(self):
        with targetconfig.ConfigStack().enter(_to_hand_down(self.state.flags)):
            _passes().run(self.state)
        self.state.pipeline = None  # it would keep alive what belongs to the caller
        return self.state.cr


@contextlib.contextmanager
def untold_calls():
    """Do not tell the timers of each function that is being compiled of each call of LLVM: some 60,000 of a fit."""
    lock = ffi.lib._lock
    told, lock._cblist = lock._cblist, []
    try:
        yield
    finally:
        lock._cblist = told + lock._cblist  # what was registered meanwhile
