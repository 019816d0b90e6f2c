"""Build the inverted index: blocks of similar documents, and what bounds them.

Every coordinate has a list of the documents in which it is large. A list is cut into
blocks by one pass of k-means around randomly drawn documents, and a block is summed up
by the largest value of every coordinate among its documents, the small ones left out.
The summaries of a list are stored by coordinate, so that one pass over the coordinates
of a query scores all blocks.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.sparse._kernels import kernel
from sparsestat.sparse._kernels_random import GAMMA, below, mix

__all__ = ["build_lists", "energy_cut", "prune_lists"]

U = np.uint64
LEVELS = 255.0  # of a quantized summary


@kernel
def prune_lists(data, indptr, longest, cut):
    """Mark the `longest` first entries of every list that are at least `cut`.

    Lists are sorted by falling values.
    """
    keep = np.zeros(len(data), np.bool_)
    for j in range(len(indptr) - 1):
        stop = min(indptr[j + 1], indptr[j] + longest)
        for p in range(indptr[j], stop):
            if data[p] < cut:
                break
            keep[p] = True
    return keep


@kernel
def energy_cut(values, n, goal):
    """Return the value from which on the largest values reach the sum `goal`.

    A quickselect on sums; `values` is permuted. Zero if the goal is never reached.
    """
    low, high = 0, n - 1
    done = 0.0
    while low <= high:
        a, b, c = values[low], values[(low + high) >> 1], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        above, equal, i = low, low, low  # [low, above) > pivot, [above, equal) = pivot
        sum_above, sum_equal = 0.0, 0.0
        while i <= high:
            v = values[i]
            if v > pivot:
                values[i] = values[equal]
                values[equal] = values[above]
                values[above] = v
                sum_above += v
                above += 1
                equal += 1
            elif v == pivot:
                values[i] = values[equal]
                values[equal] = v
                sum_equal += v
                equal += 1
            i += 1
        if done + sum_above >= goal:
            high = above - 1
        elif done + sum_above + sum_equal >= goal:
            return pivot
        else:
            done += sum_above + sum_equal
            low = equal
    return values[0] * 0


@kernel
def _nearest(data, indices, begin, end, where, ptr, members, weights, alive, n, acc):
    """Return the centroid with the largest inner product, the first of equal ones."""
    for t in range(n):
        acc[t] = 0.0
    for p in range(begin, end):
        local = where[U(indices[p])]
        if local >= 0:
            v = data[p]
            for q in range(ptr[local], ptr[local + 1]):
                acc[members[q]] += v * weights[q]
    best, found = -1.0, -1
    for t in range(n):
        if alive[t] and acc[t] > best:
            best, found = acc[t], t
    return found


@kernel
def _grown(array, size):
    """Return the array with room for `size` entries, its contents kept."""
    if size <= len(array):
        return array
    out = np.empty(max(size, 2 * len(array)), array.dtype)
    out[: len(array)] = array
    return out


@kernel
def build_lists(
    postings,
    list_ptr,
    data,
    indices,
    indptr,
    cut_data,
    cut_indices,
    cut_indptr,
    n_columns,
    first,
    last,
    seed,
    fraction,
    smallest,
    energy,
    quantize,
):
    """Cut lists first..last-1 into blocks and sum the blocks up.

    `data, indices, indptr` are the documents, non-negative, and `cut_...` their largest
    entries, by which the blocks are formed. Returns the documents block by block, block
    ends, the number of blocks of each list, the scale of each block, and the summaries:
    numbers of coordinates a list, coordinates, ends of their entries, block within the
    list, and value.
    """
    dtype = data.dtype
    n_lists = last - first
    base = list_ptr[first]
    docs = np.empty(list_ptr[last] - base, np.int32)
    block_end = np.empty(64, np.int64)
    step = np.empty(64, np.float32)
    blocks_of = np.zeros(n_lists, np.int64)
    coords_of = np.zeros(n_lists, np.int64)
    coords = np.empty(256, np.int32)
    entry_end = np.empty(256, np.int64)
    entry_block = np.empty(1024, np.int32)
    entry_value = np.empty(1024, np.float32)

    longest = 1
    for j in range(first, last):
        longest = max(longest, list_ptr[j + 1] - list_ptr[j])
    most = max(1, int(fraction * longest))
    order = np.empty(longest, np.int64)
    nearest = np.empty(longest, np.int64)
    acc = np.empty(most, np.float32)
    alive = np.empty(most, np.bool_)
    size = np.empty(most + 1, np.int64)
    where = np.full(n_columns, -1, np.int32)
    top = np.zeros(n_columns, dtype)
    touched = np.empty(n_columns, np.int32)
    scratch = np.empty(n_columns, dtype)
    sum_coord = np.empty(1024, np.int32)
    sum_block = np.empty(1024, np.int32)
    sum_value = np.empty(1024, np.float32)
    members = np.empty(64, np.int32)
    weights = np.empty(64, np.float32)
    n_blocks, n_coords, n_out = 0, 0, 0

    for j in range(first, last):
        begin = list_ptr[j]
        n = list_ptr[j + 1] - begin
        if n == 0:
            continue
        # Centroids: the head of a random permutation, drawn for this list alone.
        n_cent = max(1, int(fraction * n))
        for t in range(n):
            order[t] = t
        state = mix(U(j) * GAMMA + U(seed))
        for t in range(n_cent):
            state += GAMMA
            s = t + below(state, n - t)
            order[t], order[s] = order[s], order[t]
        # Their entries by coordinate.
        n_local, total = 0, 0
        for t in range(n_cent):
            doc = postings[begin + order[t]]
            total += cut_indptr[doc + 1] - cut_indptr[doc]
        ptr = np.zeros(total + 1, np.int64)
        for t in range(n_cent):
            doc = postings[begin + order[t]]
            for p in range(cut_indptr[doc], cut_indptr[doc + 1]):
                x = U(cut_indices[p])
                if where[x] < 0:
                    where[x] = n_local
                    touched[n_local] = np.int32(x)
                    n_local += 1
                ptr[where[x] + 1] += 1
        for t in range(n_local):
            ptr[t + 1] += ptr[t]
        members, weights = _grown(members, total), _grown(weights, total)
        for t in range(n_cent):
            doc = postings[begin + order[t]]
            for p in range(cut_indptr[doc], cut_indptr[doc + 1]):
                at = ptr[where[U(cut_indices[p])]]
                members[at] = t
                weights[at] = cut_data[p]
                ptr[where[U(cut_indices[p])]] = at + 1
        for t in range(n_local, 0, -1):
            ptr[t] = ptr[t - 1]
        ptr[0] = 0
        # One pass of k-means; clusters that are too small are dissolved.
        for t in range(n_cent):
            alive[t] = True
            size[t] = 0
        for i in range(n):
            doc = postings[begin + i]
            nearest[i] = _nearest(
                cut_data,
                cut_indices,
                cut_indptr[doc],
                cut_indptr[doc + 1],
                where,
                ptr,
                members,
                weights,
                alive,
                n_cent,
                acc,
            )
            size[nearest[i]] += 1
        largest = 0
        for t in range(n_cent):
            if size[t] > size[largest]:
                largest = t
        for t in range(n_cent):
            alive[t] = t == largest or size[t] >= smallest
        for i in range(n):
            if not alive[nearest[i]]:
                doc = postings[begin + i]
                nearest[i] = _nearest(
                    cut_data,
                    cut_indices,
                    cut_indptr[doc],
                    cut_indptr[doc + 1],
                    where,
                    ptr,
                    members,
                    weights,
                    alive,
                    n_cent,
                    acc,
                )
        for t in range(n_local):
            where[touched[t]] = -1
        # Documents cluster by cluster, in the order of the list.
        size[: n_cent + 1] = 0
        for i in range(n):
            size[nearest[i] + 1] += 1
        for t in range(n_cent):
            size[t + 1] += size[t]
        for i in range(n):
            order[size[nearest[i]]] = i
            size[nearest[i]] += 1
        # size[t] is where cluster t ends now.
        n_sum, n_here, start = 0, 0, 0
        offset = begin - base
        block_end = _grown(block_end, n_blocks + n_cent)
        step = _grown(step, n_blocks + n_cent)
        for t in range(n_cent):
            stop = size[t]
            if stop == start:
                continue
            count = 0
            for i in range(start, stop):
                doc = postings[begin + order[i]]
                docs[offset + i] = doc
                for p in range(indptr[doc], indptr[doc + 1]):
                    x = U(indices[p])
                    if top[x] == 0.0 and data[p] > 0.0:
                        touched[count] = np.int32(x)
                        count += 1
                    top[x] = max(top[x], data[p])
            cut, goal = 0.0, np.inf
            if energy < 1.0:
                total_value = 0.0
                for s in range(count):
                    scratch[s] = top[touched[s]]
                    total_value += scratch[s]
                goal = energy * total_value
                cut = energy_cut(scratch, count, goal)
            largest_value = 0.0
            above = 0.0
            for s in range(count):
                v = top[touched[s]]
                largest_value = max(largest_value, v)
                if v > cut:
                    above += v
            scale = 1.0
            if quantize and largest_value > 0.0:
                scale = largest_value / LEVELS
            sum_coord = _grown(sum_coord, n_sum + count)
            sum_block = _grown(sum_block, n_sum + count)
            sum_value = _grown(sum_value, n_sum + count)
            for s in range(count):
                x = touched[s]
                v = top[x]
                top[x] = 0.0
                keep = v > cut
                if v == cut and above < goal:  # of equal ones the first, to the goal
                    keep = True
                    above += v
                if keep:
                    sum_coord[n_sum] = x
                    sum_block[n_sum] = n_here
                    if quantize:  # upwards: a summary is a bound
                        v = min(np.ceil(v / scale), LEVELS)
                    sum_value[n_sum] = v
                    n_sum += 1
            block_end[n_blocks] = offset + stop
            step[n_blocks] = scale
            n_blocks += 1
            n_here += 1
            start = stop
        blocks_of[j - first] = n_here
        # The summaries of the list by coordinate.
        n_local = 0
        for s in range(n_sum):
            x = sum_coord[s]
            if where[x] < 0:
                where[x] = 1
                touched[n_local] = x
                n_local += 1
        touched[:n_local].sort()
        coords = _grown(coords, n_coords + n_local)
        entry_end = _grown(entry_end, n_coords + n_local)
        entry_block = _grown(entry_block, n_out + n_sum)
        entry_value = _grown(entry_value, n_out + n_sum)
        for s in range(n_local):
            where[touched[s]] = s
            coords[n_coords + s] = touched[s]
            entry_end[n_coords + s] = 0
        for s in range(n_sum):
            entry_end[n_coords + where[sum_coord[s]]] += 1
        running = n_out
        for s in range(n_local):
            number = entry_end[n_coords + s]
            entry_end[n_coords + s] = running
            running += number
        for s in range(n_sum):
            local = n_coords + where[sum_coord[s]]
            entry_block[entry_end[local]] = sum_block[s]
            entry_value[entry_end[local]] = sum_value[s]
            entry_end[local] += 1
        for s in range(n_local):
            where[touched[s]] = -1
        coords_of[j - first] = n_local
        n_coords += n_local
        n_out += n_sum
    return (
        docs,
        block_end[:n_blocks].copy(),
        blocks_of,
        step[:n_blocks].copy(),
        coords_of,
        coords[:n_coords].copy(),
        entry_end[:n_coords].copy(),
        entry_block[:n_out].copy(),
        entry_value[:n_out].copy(),
    )
