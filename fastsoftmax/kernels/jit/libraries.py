"""What becomes machine code, and what becomes a part of something else: two kinds of Numba's code library.

Numba compiles each function into a library: LLVM code, optimised, and machine code made of it. A caller links the
optimised code of all its callees into its own and optimises the whole, so that a function at the bottom of a chain of
calls is optimised once for each function above it. That took most of the time of a first call.

- `Inlined` code waits for its callers: each function is simplified, and no machine code is made of it.
- A `Kernel` takes all inlined code in, optimises it once, and calls other kernels by their symbols, which the JIT's
  linker finds among the machine code that the process holds. `called` are the kernels without which it cannot run,
  `deferred` those that are made ready when they are needed (deferred.py).

Whoever is no kernel, such as a user's @njit function, gets a kernel with all that it calls linked in, as from any
other library of Numba's: so its own cache on disk holds all that it needs.
"""

import contextlib
import gc
import os
import zlib

from llvmlite import binding

from fastsoftmax.kernels.jit.deferred import Deferred
from fastsoftmax.kernels.jit.numba_internals import bytecode, codegen, compiler, config, untyped_passes
from fastsoftmax.kernels.jit.pipeline import Pipeline, untold_calls

# Where the kernels are whose loops LLVM unrolls, and which it simplifies twice: over vectors of a row (vjp of 1797 rows
# of 10, float64: 4.2 us, and 5.6 without). All others are as fast without, and take half the time in LLVM.
_UNROLLED = "fastsoftmax.kernels.rows."


class _Library(codegen.JITCodeLibrary):
    def own_module(self):
        """The code of the function alone: what it calls is declared."""
        return super()._get_module_for_linking()

    def _optimize_functions(self, ll_module):
        # For inlined code, too: without it rows side by side are 7 to 13 % slower. (Numba would make a pass manager for
        # each function, and for each declaration, which takes a fifth more.)
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)


class Inlined(_Library):
    """Code that only becomes a part of its callers."""

    @property
    def codegen(self):
        """Numba's, but that the environment of a function that nothing runs is nowhere."""
        return _WithoutEnvironment(self._codegen)

    def finalize(self):
        """Only note that nothing can be added any more."""
        self._finalized = True

    def _get_module_for_linking(self):
        return _linked(self, self._linking_libraries)


class Kernel(_Library):
    """Machine code with a symbol that other kernels call.

    Attributes
    ----------
    identity : module and name of the function, types of its arguments
    called : list of Kernel
    deferred : list of Deferred, the kernels that it calls if they are needed
    """

    def __init__(self, codegen, name, identity):
        super().__init__(codegen, name)
        self.identity, self.called, self.deferred = identity, [], []
        self._packed_module, self._is_unrolled = None, identity[0].startswith(_UNROLLED)
        self.enable_object_caching()

    def finalize(self):
        """Link what is inlined, and optimise it once."""
        self.called, self.deferred, parts = _reached(self._linking_libraries, whole=False)
        self._linking_libraries = []
        for part in parts:
            self._reload_init.update(part._reload_init)
            self._final_module.link_in(_own_module(part), preserve=True)
        super().finalize()

    def _optimize_functions(self, ll_module):
        if self._is_unrolled:
            super()._optimize_functions(ll_module)
        else:
            ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        """Numba's; where loops are not unrolled its first, cheap passes are not needed either."""
        if self._is_unrolled:
            super()._optimize_final_module()
            return
        options = binding.create_pipeline_tuning_options(speed_level=int(config.OPT))
        options.loop_unrolling = False
        options.loop_vectorization, options.slp_vectorization = bool(config.LOOP_VECTORIZE), bool(config.SLP_VECTORIZE)
        builder = binding.create_pass_builder(self._codegen._tm, options)
        passes = builder.getModulePassManager()
        passes.add_refprune_pass(codegen._parse_refprune_flags())
        passes.run(self._final_module, builder)

    def take(self, machine_code, packed_module, defined, called, deferred):
        """Be what another process has compiled, with the symbols that are defined in it."""
        self._set_compiled_object(machine_code)
        self._packed_module, self.called, self.deferred = packed_module, called, deferred
        for each in deferred:
            each.is_called = True
        self._finalize_final_module()
        self._codegen._engine._defined_symbols.update(defined)

    def own_module(self):
        """The code of the kernel, which calls others by their symbols."""
        if self._packed_module is not None:
            self._shared_module = binding.parse_bitcode(zlib.decompress(self._packed_module))
            self._packed_module = None
        return super().own_module()

    def _get_module_for_linking(self):
        return _linked(self, self.called + self.deferred)


def _linked(library, others):
    """The module of a library with the code of all others, and of what they call, in it."""
    module = library.own_module().clone()
    for part in _reached(others, whole=True)[-1]:
        if part is not library:
            module.link_in(_own_module(part), preserve=True)
    return module


def _own_module(library):
    if isinstance(library, Deferred):
        return library.as_constant()
    return library.own_module() if isinstance(library, _Library) else library._get_module_for_linking()


def _reached(libraries, whole):
    """The kernels that are reached from some libraries, those that are deferred, and all others.

    If `whole`, all kernels are among the others. These stand behind all that call them: LLVM takes no more from a
    module than what the modules before it ask for, and what dead code alone calls it leaves out.
    """
    kernels, deferred, others, seen = [], [], [], set()

    def visit(library):
        if library in seen:
            return
        seen.add(library)
        called, found = [], others
        if isinstance(library, Kernel):
            called, found = (library.called + library.deferred, others) if whole else ([], kernels)
        elif isinstance(library, Deferred):
            called, found = ([library.make_ready()], others) if whole else ([], deferred)
        elif isinstance(library, Inlined):
            called = library._linking_libraries
        for each in reversed(called):
            visit(each)
        found.append(library)

    for library in reversed(list(libraries)):
        visit(library)
    return kernels, deferred, others[::-1]


class _WithoutEnvironment:
    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, name, environment):
        pass


def has_a_name(function):
    """Whether its name means it alone: not if it is one of several that another function makes."""
    return "<locals>" not in function.__qualname__


class KernelCompiler(Pipeline):
    """Numba's compiler, into a Kernel whose symbol is the same in every process."""

    def compile_extra(self, func):
        """Compile a Python function."""
        func_id = bytecode.FunctionIdentity.from_function(func)
        if has_a_name(func):
            func_id.unique_id = 0
        identity = (func.__module__, func.__qualname__, self.state.args)
        return _compile(self, func_id, Kernel(self.state.targetctx.codegen(), func_id.func_qualname, identity))


class InlinedCompiler(Pipeline):
    """Numba's compiler, into an Inlined library."""

    def compile_extra(self, func):
        """Compile a Python function."""
        func_id = bytecode.FunctionIdentity.from_function(func)
        return _compile(self, func_id, Inlined(self.state.targetctx.codegen(), func_id.func_qualname))


def _compile(pipeline, func_id, library):
    state = pipeline.state
    state.func_id, state.library = func_id, library
    untyped_passes.ExtractByteCode().run_pass(state)
    state.lifted, state.lifted_from = (), None
    with _without_collector(), untold_calls():
        return with_room(pipeline._compile_bytecode)


def with_room(call):
    """Call it, with room for the frames of all that it calls.

    Python keeps frames in pieces of 16 KiB, and returns one when the last frame in it ends: a loop at the end of one
    gets and returns the next with each function that it calls, 190,000 times in a warm-up: 1.2 s of 38 in the system.
    A frame that needs more gets a larger piece, whose rest is for the frames above it.
    """
    return call()


with_room.__code__ = with_room.__code__.replace(co_stacksize=2**16)  # 512 KiB and a little: a piece of 1 MiB


_pausing = []  # not empty while we have the collector stopped


@contextlib.contextmanager
def _without_collector():
    """Collect no garbage, of which there is hardly any in a compilation: a tenth of its time."""
    if not gc.isenabled():
        yield
        return
    _pausing.append(None)
    gc.disable()
    try:
        yield
    finally:
        _collect_again()


def _collect_again():
    if _pausing:
        _pausing.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collect_again)  # the thread that compiles is not there


def pack(result):
    """A kernel's compile result as what `pickle` takes; Numba's own way would link in all that it calls."""
    library, description = result.library, result.fndesc
    module = library.own_module()
    functions, variables = list(module.functions), list(module.global_variables)
    defined = [value.name for value in functions + variables if not value.is_declaration]
    asked = [function.name for function in functions if function.is_declaration and function.name.startswith("_ZN")]
    description.typemap = description.calltypes = None  # large, and not needed any more
    machine_code, module = library._get_compiled_object(), zlib.compress(_without_names(library, module).as_bitcode())
    environments = tuple(result._find_referenced_environments())
    rest = (description, result.environment, result.signature, result.reload_init, environments)
    return library.name, library.identity, machine_code, module, defined, asked, rest


def _without_names(library, module):
    """The module, without the names of what is not seen from outside: a quarter of a file, for people to read."""
    module, passes = module.clone(), binding.create_new_module_pass_manager()
    passes.add_strip_symbols_pass()
    options = binding.create_pipeline_tuning_options()
    passes.run(module, binding.create_pass_builder(library.codegen._tm, options))
    return module


def unpack(state, called, deferred, target_context):
    """The compile result, ready to run. `called`: the kernels that it calls, which are ready; `deferred`: not yet."""
    name, identity, machine_code, module, defined, asked, rest = state
    description, environment, signature, reload_init, environments = rest
    codegen = target_context.codegen()
    if not all(codegen._engine.is_symbol_defined(symbol) for symbol in asked):
        raise ValueError(f"{name} calls what is not there")  # the JIT's linker would end the process
    for function in reload_init:
        function()
    library = Kernel(codegen, name, identity)
    library.take(machine_code, module, defined, called, deferred)
    entry_point = target_context.get_executable(library, description, environment)
    for each in environments:
        codegen.set_env(each.env_name, each)
    return compiler.compile_result(
        target_context=target_context,
        typing_context=target_context.typing_context,
        library=library,
        environment=environment,
        entry_point=entry_point,
        fndesc=description,
        signature=signature,
        objectmode=False,
        lifted=(),
        reload_init=reload_init,
        referenced_envs=environments,
    )
