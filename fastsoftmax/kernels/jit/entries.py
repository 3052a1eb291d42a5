"""The entry of a whole call (whole_calls.py), in LLVM code: from Python's objects to the kernel, and back.

It is made where the layout of Python's objects and of NumPy's arrays is known (layout.py).
"""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from llvmlite import binding, ir
from numba import types

from fastsoftmax.kernels.jit.layout import (
    DATA,
    DTYPE,
    FLAGS,
    LAYOUT_IS_KNOWN,
    NDIM,
    NEW_LIKE,
    READABLE,
    SCALAR,
    SHAPE,
    TYPE,
    WRITABLE,
    addresses_in_numpy,
)
from fastsoftmax.kernels.jit.numba_internals import cgutils

FLOATS, INT64 = (np.dtype(np.float32), np.dtype(np.float64)), np.dtype(np.int64)
LARGE = NotImplemented


@dataclass(frozen=True)
class Form:
    """What a whole call takes.

    Attributes
    ----------
    dimensions : tuple of int
        Of the arrays, as its kernel sees them: 3, (outer, n, inner) around the axis; 2, (rows, n), the axis being the
        last; 1, one number for each row. The last array is filled, with floats; others of one dimension are int64.
    small : dict of str to int
        How many elements are not few any more, by the name of their dtype.
    """

    dimensions: tuple
    small: dict

    @property
    def has_axis(self):
        """Whether an axis follows the arrays."""
        return 3 in self.dimensions

    @property
    def makes(self):
        """Whether what is to be filled is made where there is None; else an empty array is filled."""
        return self.dimensions[-1] > 1

    @property
    def n_arguments(self):
        """Without a team."""
        return len(self.dimensions) + self.has_axis


ENTRIES = {}  # the forms, by the functions of kernels that get an entry

_NUMBER, _INT, _OBJECT = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_C_ORDER = 0

# Objects that machine code knows by their addresses, which differ from process to process
_KNOWN = {"ndarray": np.ndarray, "int": int, "None": None, "LARGE": LARGE}
_KNOWN |= {dtype.name: dtype for dtype in (*FLOATS, INT64)}
for _name, _object in _KNOWN.items():
    binding.add_symbol(f"fastsoftmax.object.{_name}", id(_object))

# np.empty_like, and np.float32(loss), called from here would take 0.2 us more
if LAYOUT_IS_KNOWN:
    for _name, _address in addresses_in_numpy().items():
        binding.add_symbol(f"fastsoftmax.numpy.{_name}", _address)


def entry_cell(function, dtype):
    """The symbol of a number that holds the address of a kernel's entry for the dtype, or 0."""
    one_of_several = id(function) if "<locals>" in function.__qualname__ else ""
    return f"fastsoftmax.entry.{function.__module__}.{function.__qualname__}{one_of_several}.{dtype}"


def entry_name(description):
    """The symbol of an entry."""
    return f"fastsoftmax.entry.{description.llvm_func_name}"


def add_entry(context, library, function, description):
    """Give the library of a kernel its entry."""
    module = context.create_module("entry")
    arguments = [_OBJECT, _OBJECT.as_pointer(), _NUMBER]
    entry = ir.Function(module, ir.FunctionType(_OBJECT, arguments), entry_name(description))
    _Entry(context, entry, function, description).write()
    library.add_ir_module(module)


class _Entry:
    def __init__(self, context, entry, function, description):
        self.context, self.function, self.description, self.form = context, function, description, ENTRIES[function]
        self.builder = ir.IRBuilder(entry.append_basic_block("entry"))
        self.python = context.get_python_api(self.builder)
        self.own, self.given, self.n_given = entry.args
        self.dtype = description.argtypes[0].dtype.name
        (self.other,) = {dtype.name for dtype in FLOATS} - {self.dtype}

    def write(self):
        """The whole of it."""
        builder, form = self.builder, self.form
        arrays = [self.item(self.given, k) for k in range(len(form.dimensions))]
        first = arrays[0]
        self.check_array(first, READABLE)
        self.leave_to_other_dtype(first)
        ndim = builder.sext(self.field(first, NDIM, _INT), _NUMBER)
        last = builder.sub(ndim, _NUMBER(1))
        extents = self.extents(first, ndim, self.axis(ndim) if form.has_axis else last)
        for k, array in enumerate(arrays[1:], 1):
            is_target = k == len(arrays) - 1
            dtype = self.dtype if form.dimensions[k] > 1 or is_target else INT64.name
            n = ndim if form.dimensions[k] > 1 else last
            with builder.if_then(self.is_not(array, self.known("None"))) if is_target else nullcontext():
                self.check_array(array, WRITABLE if is_target else READABLE)
                self.check_dtype(array, dtype)
                self.check_shape(array, first, n)
        has_team = builder.icmp_signed(">", self.n_given, _NUMBER(form.n_arguments))
        size = builder.mul(builder.mul(*extents[:2]), extents[2])
        is_large = builder.icmp_signed(">=", size, _NUMBER(form.small[self.dtype]))
        with builder.if_then(builder.and_(is_large, builder.not_(has_team)), likely=False):
            self.give(self.known("LARGE"))
        arrays[-1] = self.target(first, arrays[-1])
        self.call_kernel(arrays, extents, has_team)

    # what is there

    def item(self, pointer, k):
        return self.builder.load(self.builder.gep(pointer, [k if isinstance(k, ir.Value) else _NUMBER(k)]))

    def field(self, thing, at, kind):
        place = self.builder.gep(thing, [_NUMBER(at)])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()))

    def known(self, name):
        name = f"fastsoftmax.object.{name}"
        found = self.builder.module.globals.get(name)
        return found if found is not None else ir.GlobalVariable(self.builder.module, ir.IntType(8), name)

    def is_not(self, value, other):
        return self.builder.icmp_unsigned("!=", value, other)

    # what is given back

    def give(self, value):
        self.python.incref(value)
        self.builder.ret(value)

    def refuse_if(self, condition):
        with self.builder.if_then(condition, likely=False):
            self.give(self.known("None"))

    # checks

    def check_array(self, value, wanted):
        self.refuse_if(self.is_not(self.field(value, TYPE, _OBJECT), self.known("ndarray")))
        flags = self.builder.and_(self.field(value, FLAGS, _INT), _INT(wanted))
        self.refuse_if(self.is_not(flags, _INT(wanted)))

    def check_dtype(self, array, name):
        self.refuse_if(self.is_not(self.field(array, DTYPE, _OBJECT), self.known(name)))

    def check_shape(self, array, first, n):
        """That of the first array, or of its leading dimensions."""
        builder = self.builder
        self.refuse_if(self.is_not(builder.sext(self.field(array, NDIM, _INT), _NUMBER), n))
        shape, wanted = (self.field(each, SHAPE, _NUMBER.as_pointer()) for each in (array, first))
        with cgutils.for_range(builder, n) as loop:
            self.refuse_if(self.is_not(self.item(shape, loop.index), self.item(wanted, loop.index)))

    def leave_to_other_dtype(self, array):
        """The call to the entry for it, or to whoever compiles that."""
        builder, dtype = self.builder, self.field(array, DTYPE, _OBJECT)
        with builder.if_then(self.is_not(dtype, self.known(self.dtype)), likely=False):
            self.refuse_if(self.is_not(dtype, self.known(self.other)))
            cell = ir.GlobalVariable(builder.module, _NUMBER, entry_cell(self.function, self.other))
            address, kind = builder.load(cell), builder.function.function_type.as_pointer()
            with builder.if_then(self.is_not(address, _NUMBER(0))):
                builder.ret(builder.call(builder.inttoptr(address, kind), builder.function.args))
            n = self.form.n_arguments
            arguments = [self.item(self.given, k) for k in range(n)]
            with builder.if_then(builder.icmp_signed(">", self.n_given, _NUMBER(n))):
                builder.ret(self.python.call_function_objargs(self.own, [*arguments, self.item(self.given, n)]))
            builder.ret(self.python.call_function_objargs(self.own, arguments))

    # shapes

    def axis(self, ndim):
        """From 0 on."""
        builder, given = self.builder, self.item(self.given, len(self.form.dimensions))
        self.refuse_if(self.is_not(self.field(given, TYPE, _OBJECT), self.known("int")))
        kind = ir.FunctionType(_NUMBER, [_OBJECT, _INT.as_pointer()])
        read = cgutils.get_or_insert_function(builder.module, kind, "PyLong_AsLongLongAndOverflow")
        overflow = cgutils.alloca_once(builder, _INT)
        axis = builder.call(read, [given, overflow])
        self.refuse_if(self.is_not(builder.load(overflow), _INT(0)))
        too_small = builder.icmp_signed("<", axis, builder.neg(ndim))
        self.refuse_if(builder.or_(too_small, builder.icmp_signed(">=", axis, ndim)))
        return builder.select(builder.icmp_signed("<", axis, _NUMBER(0)), builder.add(axis, ndim), axis)

    def extents(self, array, ndim, axis):
        """Outer, n, inner."""
        builder = self.builder
        self.refuse_if(builder.icmp_signed("<", ndim, _NUMBER(1)))
        shape = self.field(array, SHAPE, _NUMBER.as_pointer())
        places = [cgutils.alloca_once_value(builder, _NUMBER(1)) for _ in range(3)]
        with cgutils.for_range(builder, ndim) as loop:
            here, length = loop.index, self.item(shape, loop.index)
            for place, comparison in zip(places, ("<", "==", ">"), strict=True):
                value = builder.load(place)
                with builder.if_then(builder.icmp_signed(comparison, here, axis)):
                    builder.store(builder.mul(value, length), place)
        return [builder.load(place) for place in places]

    # the call

    def target(self, first, given):
        """A reference of our own to what is filled."""
        if not self.form.makes:
            self.python.incref(given)
            return given
        builder, target = self.builder, cgutils.alloca_once_value(self.builder, given)
        with builder.if_else(self.is_not(given, self.known("None"))) as (present, absent):
            with present:
                self.python.incref(given)
            with absent:
                new = self.of_numpy(NEW_LIKE, first, _INT(_C_ORDER), _OBJECT(None), _INT(0))
                with builder.if_then(cgutils.is_null(builder, new), likely=False):
                    builder.ret(new)
                builder.store(new, target)
        return builder.load(target)

    def of_numpy(self, name, *arguments):
        kind = ir.FunctionType(_OBJECT, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"fastsoftmax.numpy.{name}")
        return self.builder.call(function, arguments)

    def call_kernel(self, arrays, extents, has_team):
        builder, context, description = self.builder, self.context, self.description
        kinds, restype = description.argtypes, description.restype
        values = [self.view(array, kind, extents[: kind.ndim]) for array, kind in zip(arrays[:-1], kinds, strict=False)]
        values.append(self.view_of_target(arrays[0], arrays[-1], kinds[len(values)], extents))
        team, running = (cgutils.alloca_once_value(builder, kind(None)) for kind in (_NUMBER, _OBJECT))
        builder.store(_NUMBER(0), team)
        with builder.if_then(has_team):
            builder.store(self.python.long_as_longlong(self.item(self.given, self.form.n_arguments)), team)
            builder.store(self.python.save_thread(), running)
        kernel_type = context.call_conv.get_function_type(restype, kinds)
        kernel = ir.Function(builder.module, kernel_type, description.llvm_func_name)
        values.append(builder.load(team))
        status, value = context.call_conv.call_function(builder, kernel, restype, kinds, values)
        with builder.if_then(has_team):
            self.python.restore_thread(builder.load(running))
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.raise_error(builder, self.python, status)
            self.python.decref(arrays[-1])
            builder.ret(_OBJECT(None))
        self.give_result(value, arrays[-1])

    def view_of_target(self, first, target, kind, extents):
        builder = self.builder
        if not self.form.makes:
            is_there = self.is_not(target, self.known("None"))
            target = builder.select(is_there, target, first)
            extents = [builder.select(is_there, extents[0], _NUMBER(0))]
        return self.view(target, kind, extents[: kind.ndim])

    def view(self, array, kind, shape):
        """What kernels know as an array, without an owner."""
        builder, context = self.builder, self.context
        made = context.make_array(kind)(context, builder)
        strides = [_NUMBER(context.get_abi_sizeof(context.get_data_type(kind.dtype)))]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.bitcast(self.field(array, DATA, _OBJECT), made.data.type)
        context.populate_array(made, data=data, shape=shape, strides=strides, itemsize=strides[-1], meminfo=None)
        return made._getvalue()

    def give_result(self, value, target):
        builder, python, is_loss = self.builder, self.python, self.description.restype == types.float64
        refused = builder.fcmp_ordered("<", value, value.type(0)) if is_loss else builder.not_(value)
        with builder.if_then(refused, likely=False):
            python.decref(target)
            self.give(self.known("None"))
        if not is_loss:
            builder.ret(target)
            return
        value = value if self.dtype == "float64" else builder.fptrunc(value, ir.FloatType())
        place = builder.bitcast(cgutils.alloca_once_value(builder, value), _OBJECT)
        loss = self.of_numpy(SCALAR, place, self.known(self.dtype), _OBJECT(None))
        with builder.if_then(cgutils.is_not_null(builder, loss), likely=True):
            pair = python.tuple_pack([loss, target])
            python.decref(loss)
            python.decref(target)
            builder.ret(pair)
        python.decref(target)
        builder.ret(loss)
