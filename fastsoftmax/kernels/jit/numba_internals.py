"""Every name of Numba's that its documentation does not promise: whoever needs one imports it from here.

USED has what is called or overridden besides, as paths from this module; tests/test_numba_internals.py looks for each.
"""

from llvmlite.binding import ffi as ffi
from numba.core import bytecode as bytecode
from numba.core import caching as caching
from numba.core import callconv as callconv
from numba.core import cgutils as cgutils
from numba.core import codegen as codegen
from numba.core import compiler as compiler
from numba.core import compiler_machinery as compiler_machinery
from numba.core import config as config
from numba.core import cpu as cpu
from numba.core import dispatcher as dispatcher
from numba.core import errors as errors
from numba.core import event as event
from numba.core import interpreter as interpreter
from numba.core import ir as ir
from numba.core import ir_utils as ir_utils
from numba.core import lowering as lowering
from numba.core import pythonapi as pythonapi
from numba.core import rewrites as rewrites
from numba.core import serialize as serialize
from numba.core import ssa as ssa
from numba.core import targetconfig as targetconfig
from numba.core import transforms as transforms
from numba.core import typed_passes as typed_passes
from numba.core import typing as typing
from numba.core import untyped_passes as untyped_passes
from numba.core.callconv import excinfo_ptr_t as excinfo_ptr_t
from numba.core.compiler_lock import global_compiler_lock as global_compiler_lock
from numba.core.datamodel import models as models
from numba.core.datamodel import register_default as register_default
from numba.core.registry import cpu_target as cpu_target
from numba.core.runtime import rtsys as rtsys
from numba.core.typing.templates import AbstractTemplate as AbstractTemplate
from numba.core.typing.templates import infer_global as infer_global
from numba.core.typing.templates import signature as signature
from numba.np.numpy_support import as_dtype as as_dtype
from numba.np.numpy_support import from_dtype as from_dtype
from numba.np.numpy_support import map_layout as map_layout

COUNTS_REFERENCES = "_nrt"  # an option of njit


def array_lowering():
    """How Numba writes code for arrays, a module that only a compilation needs: 15 of the 60 ms that we add to it."""
    from numba.np import arrayobj

    return arrayobj


USED = (
    "bytecode.FunctionIdentity.from_function",
    "caching._Cache.load_overload",
    "caching._Cache.save_overload",
    "cgutils.alloca_once",
    "cgutils.alloca_once_value",
    "cgutils.for_range",
    "cgutils.gep_inbounds",
    "cgutils.get_or_insert_function",
    "cgutils.if_unlikely",
    "cgutils.unpack_tuple",
    "codegen.CodeLibrary.enable_object_caching",
    "codegen.CodeLibrary._get_compiled_object",
    "codegen.CodeLibrary._set_compiled_object",
    "codegen.CodeLibrary.has_dynamic_globals",
    "codegen.CPUCodegen._function_pass_manager",
    "codegen._parse_refprune_flags",
    "codegen.CPUCodegen.magic_tuple",
    "codegen.JITCPUCodegen.set_env",
    "callconv.CPUCallConv.call_function",
    "callconv.CPUCallConv.get_arguments",
    "callconv.CPUCallConv.get_function_type",
    "callconv.CPUCallConv.raise_error",
    "callconv.CPUCallConv.return_status_propagate",
    "callconv.CPUCallConv._get_return_status",
    "cpu.CPUContext.call_conv",
    "cgutils.is_not_null",
    "cgutils.is_null",
    "codegen.CodeLibrary.add_ir_module",
    "cpu.CPUContext.create_module",
    "cpu.CPUContext.get_arg_packer",
    "cpu.CPUContext.get_python_api",
    "cpu.CPUContext.make_array",
    "cpu.CPUContext.populate_array",
    "cpu.CPUContext.insert_func_defn",
    "cpu.CPUContext.get_executable",
    "codegen.CPUCodeLibrary._finalize_final_module",
    "codegen.CPUCodeLibrary._optimize_functions",
    "codegen.JITCodeLibrary._get_module_for_linking",
    "codegen.JITCodeLibrary.finalize",
    "codegen.JITCodeLibrary.get_pointer_to_function",
    "codegen.JitEngine.is_symbol_defined",
    "compiler.CompilerBase.compile_extra",
    "compiler.CompilerBase.define_pipelines",
    "compiler.CompilerBase._compile_bytecode",
    "compiler.CompileResult._find_referenced_environments",
    "compiler.compile_result",
    "compiler_machinery.PassManager._patch_error",
    "compiler_machinery.PassManager.run",
    "compiler_machinery._pass_registry.get",
    "compiler_machinery.register_pass",
    "config.BOUNDSCHECK",
    "config.CACHE_DIR",
    "config.DISABLE_JIT",
    "config.LOOP_VECTORIZE",
    "config.NUMBA_NUM_THREADS",
    "config.OPT",
    "config.SLP_VECTORIZE",
    "cpu_target.target_context",
    "dispatcher.Dispatcher._compile_for_args",
    "dispatcher.Dispatcher._compilation_chain_init_hook",
    "dispatcher.Dispatcher.get_call_template",
    "dispatcher.Dispatcher.get_overload",
    "dispatcher.Dispatcher.typeof_pyval",
    "dispatcher._FunctionCompiler.fold_argument_types",
    "event.Listener",
    "ffi.lib._lock._cblist",
    "global_compiler_lock.acquire",
    "global_compiler_lock.release",
    "event.install_listener",
    "lowering.Lower.create_cpython_wrapper",
    "lowering.Lower.loadvar",
    "lowering.Lower.lower_binop",
    "lowering.Lower.lower_block",
    "lowering.Lower.lower_inst",
    "lowering.Lower.post_block",
    "lowering.Lower.pre_block",
    "lowering.Lower.typeof",
    "models.PointerModel",
    "models.PrimitiveModel",
    "pythonapi.PythonAPI.call_function_objargs",
    "pythonapi.PythonAPI.decref",
    "pythonapi.PythonAPI.incref",
    "pythonapi.PythonAPI.long_as_longlong",
    "pythonapi.PythonAPI.restore_thread",
    "pythonapi.PythonAPI.save_thread",
    "pythonapi.PythonAPI.tuple_pack",
    "rtsys.initialize",
    "serialize.dumps",
    "compiler.CompilerBase._compile_core",
    "compiler.Flags.summary",
    "targetconfig.ConfigStack.enter",
    "typed_passes.IRLegalization.run_pass",
    "typed_passes.NativeLowering.lowering_class",
    "typed_passes.NoPythonBackend",
    "typed_passes.NopythonTypeInference.run_pass",
    "typing.Context.resolve_function_type",
    "typing.make_concrete_template",
    "untyped_passes.DeadBranchPrune",
    "untyped_passes.ExtractByteCode.run_pass",
    "interpreter.Interpreter.interpret",
    "interpreter.Interpreter.post_process",
    "interpreter.peep_hole_delete_with_exit",
    "interpreter.peep_hole_fuse_dict_add_updates",
    "ir.Assign",
    "ir.Expr",
    "ir.Inst",
    "ir.Var",
    "ir_utils.build_definitions",
    "lowering.Lower._alloca_var",
    "lowering.Lower._disable_sroa_like_opt",
    "lowering.Lower._find_singly_assigned_variable",
    "lowering.Lower.alloca_lltype",
    "lowering.Lower.getvar",
    "lowering.Lower.storevar",
    "rewrites.rewrite_registry.rewrites",
    "ssa.reconstruct_ssa",
    "transforms.canonicalize_cfg",
    "typed_passes.PreLowerStripPhis._strip_phi_nodes",
    "untyped_passes.FixupArgs",
    "untyped_passes.GenericRewrites",
    "untyped_passes.ReconstructSSA._patch_locals",
    "untyped_passes.RewriteSemanticConstants",
    "untyped_passes.TranslateByteCode",
)
