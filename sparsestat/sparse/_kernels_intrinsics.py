"""Two machine instructions that numba does not expose: prefetch, count zeros.

With ``NUMBA_DISABLE_JIT=1`` plain Python stands in for both.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from numba import config, types
from numba.core.cgutils import ir
from numba.extending import intrinsic

__all__ = ["prefetch", "trailing_zeros"]


def _trailing_zeros(typingctx, word):
    """Return the number of zeros below the lowest set bit of a uint64."""

    def codegen(context, builder, signature, args):
        undefined_at_zero = context.get_constant(types.boolean, True)
        return builder.cttz(args[0], undefined_at_zero)

    return types.uint64(types.uint64), codegen


def _prefetch(typingctx, array, index):
    """Ask for the cache line of ``array[index]``; never faults.

    The index is a uint64 into a one-dimensional contiguous array and may lie
    outside of it.
    """

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        byte_pointer = ir.IntType(8).as_pointer()
        int32 = ir.IntType(32)
        address = builder.bitcast(builder.gep(view.data, [args[1]]), byte_pointer)
        instruction = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [byte_pointer],
            ir.FunctionType(ir.VoidType(), [byte_pointer, int32, int32, int32]),
        )
        # read access, keep in all cache levels, data cache
        builder.call(instruction, [address, int32(0), int32(3), int32(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), codegen


def _trailing_zeros_python(word):
    word = int(word)
    return np.uint64((word & -word).bit_length() - 1)


def _prefetch_python(array, index):
    """Do nothing: interpreted code has no cache lines to ask for."""


if config.DISABLE_JIT:
    trailing_zeros, prefetch = _trailing_zeros_python, _prefetch_python
else:
    trailing_zeros, prefetch = intrinsic(_trailing_zeros), intrinsic(_prefetch)
