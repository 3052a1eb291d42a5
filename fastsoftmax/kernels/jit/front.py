"""Numba's passes from bytecode to its intermediate representation, without what only other passes would read.

Each of Numba's ends by looking at all variables of the function again: in which blocks they live, for passes that are
not among ours, and that again by looking into every attribute of every statement.
"""

from fastsoftmax.kernels.jit.numba_internals import (
    compiler_machinery,
    interpreter,
    ir,
    ir_utils,
    rewrites,
    ssa,
    transforms,
    typed_passes,
    untyped_passes,
)

_OF_OTHERS = {interpreter.peep_hole_delete_with_exit, interpreter.peep_hole_fuse_dict_add_updates}  # `with`, dicts


class _Interpreter(interpreter.Interpreter):
    def post_process(self, peepholes, func_ir):
        return super().post_process([each for each in peepholes if each not in _OF_OTHERS], func_ir)


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Translation(untyped_passes.TranslateByteCode):
    """Make blocks of statements; of loops each has one way back."""

    _name = "fastsoftmax_translation"

    def run_pass(self, state):
        """Set state.func_ir."""
        state.func_ir = _Interpreter(state.func_id).interpret(state.bc)
        state.func_ir.blocks = transforms.canonicalize_cfg(state.func_ir.blocks)
        return True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Rewrites(untyped_passes.GenericRewrites):
    """Replace what has a constant in it: a[0], say."""

    _name = "fastsoftmax_rewrites"

    def run_pass(self, state):
        """Change the blocks of state.func_ir."""
        blocks = state.func_ir.blocks
        for kind in rewrites.rewrite_registry.rewrites["before-inference"]:
            rewrite, waiting = kind(state), list(blocks)
            while waiting:
                label = waiting.pop()
                if rewrite.match(state.func_ir, blocks[label], state.typemap, state.calltypes):
                    blocks[label] = rewrite.apply()
                    waiting.append(label)
        return True


@compiler_machinery.register_pass(mutates_CFG=False, analysis_only=False)
class SingleAssignments(untyped_passes.ReconstructSSA):
    """Let each variable be assigned once."""

    _name = "fastsoftmax_single_assignments"

    def run_pass(self, state):
        """Change state.func_ir."""
        state.func_ir = ssa.reconstruct_ssa(state.func_ir)
        self._patch_locals(state)
        state.func_ir._definitions = ir_utils.build_definitions(state.func_ir.blocks)
        return True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class WithoutPhis(typed_passes.PreLowerStripPhis):
    """Assign at the ends of blocks what phi nodes choose from."""

    _name = "fastsoftmax_without_phis"

    def run_pass(self, state):
        """Change state.func_ir."""
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        state.func_ir._definitions = ir_utils.build_definitions(state.func_ir.blocks)
        return True


def assigned_once(blocks):
    """The names of variables that are assigned once, and used in that block alone, after that."""
    n_assigned, used_before = {}, set()
    for block in blocks.values():
        known = set()
        for statement in block.body:
            if isinstance(statement, ir.Assign):
                _note_uses(statement.value, known, used_before)
                name = statement.target.name
                n_assigned[name] = n_assigned.get(name, 0) + 1
                known.add(name)
            else:
                _note_uses(statement, known, used_before)
    return {name for name, n in n_assigned.items() if n == 1 and name not in used_before}


def _note_uses(value, known, used_before):
    kind = type(value)
    if kind is ir.Var:
        if value.name not in known:
            used_before.add(value.name)
    elif kind is ir.Expr:
        for each in value._kws.values():
            _note_uses(each, known, used_before)
    elif kind is tuple or kind is list:
        for each in value:
            _note_uses(each, known, used_before)
    elif kind is dict:
        for each in value.values():
            _note_uses(each, known, used_before)
    elif isinstance(value, ir.Inst):
        for each in vars(value).values():
            _note_uses(each, known, used_before)
