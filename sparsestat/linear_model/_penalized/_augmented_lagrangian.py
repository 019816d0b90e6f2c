"""Semismooth-Newton augmented Lagrangian on the dual of the elastic net.

Where coordinate descent crawls, as among near-copies of a feature, a few Newton steps
on a smooth function of the dual point find the solution (see ``_solver``).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

__all__ = ["augmented_lagrangian"]

_MAX_INNER_NEWTON = 20  # more than this means that sigma is too large
_MAX_TOTAL_NEWTON = 300
_ARMIJO = 1e-4
_EPS = np.finfo(np.float64).eps


def augmented_lagrangian(working, goal, counter):
    """Solve the dual of a working set's problem until its gap is at most `goal`.

    The multiplier of the dual problem is w itself: each outer step sets
    ``w = soft(w - sigma A'xi)`` after minimizing a smooth function of xi by
    Newton's method. The better of the start and the end is kept; returns
    whether that is the end.
    """
    positive = working.penalty.positive
    lam, l2 = working.lam, working.l2
    some = lam[lam > 0]
    largest = np.abs(working.w).max(initial=0.0)
    if largest == 0.0 or some.size == 0:
        return False
    start_w, start_objective = working.w.copy(), working.objective()
    y = working.target
    sigma = 5.0 * largest / float(np.mean(some))
    w = working.w.copy()
    xi = -working.residual()
    products = working.products(xi)
    total, outer = 0, 0

    def multiplier(products_now):
        u = w - sigma * products_now
        if positive:
            return np.maximum(u - sigma * lam, 0.0) / (1.0 + sigma * l2)
        shrunk = np.sign(u) * np.maximum(np.abs(u) - sigma * lam, 0.0)
        return shrunk / (1.0 + sigma * l2)

    def psi(xi_now, z):
        envelope = ((1.0 + sigma * l2) * z) @ z
        return 0.5 * xi_now @ xi_now + y @ xi_now + envelope / (2.0 * sigma)

    while total < _MAX_TOTAL_NEWTON:
        saved = xi, products
        z = multiplier(products)
        value = psi(xi, z)
        n_newton, diverging = 0, False
        while True:
            gradient = xi + y - working.product(z)
            size = np.linalg.norm(gradient)
            accuracy = 0.1 * min(1e-3, 1.0 / (outer + 1) ** 2)
            wanted = accuracy * np.linalg.norm(z - w) / np.sqrt(sigma)
            if size <= max(wanted, 10 * _EPS * np.sqrt(working.target_square)):
                break
            if n_newton >= _MAX_INNER_NEWTON:
                diverging = True
                break
            active = np.flatnonzero(z)
            gradient_products = working.products(gradient)
            t = working.solve_normal(
                active,
                1.0 / sigma + l2[active],
                gradient_products[active],
                rtol=min(1e-2, size / np.sqrt(working.target_square)),
            )
            if t is None:
                diverging = True
                break
            full = np.zeros(len(w))
            full[active] = t
            direction = working.product(full) - gradient
            direction_products = working.products(direction)
            slope = float(gradient @ direction)
            length = 1.0
            while True:
                xi_new = xi + length * direction
                products_new = products + length * direction_products
                z = multiplier(products_new)
                value_new = psi(xi_new, z)
                decrease = _ARMIJO * length * slope + 1e-14 * abs(value)
                if value_new <= value + decrease or length < 1e-8:
                    break
                length *= 0.5
            xi, products, value = xi_new, products_new, value_new
            n_newton += 1
            total += 1
        if diverging:
            xi, products = saved
            sigma /= 10.0
            if sigma * float(np.mean(some)) < 1e-8 * largest:
                break
            continue
        w = z
        working.set(w)
        outer += 1
        if working.gap() <= goal or outer > 50:
            break
        sigma *= 3.0
    counter["newton"] += total
    if working.objective() > start_objective:
        working.set(start_w)
        return False
    return True
