"""The privacy ledger: what was released about whom, with which noise."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

__all__ = ["ledger_entry", "spent"]


def ledger_entry(
    mechanism,
    quantity,
    *,
    group,
    group_size,
    epsilon,
    delta,
    sensitivity,
    noise_scale,
):
    """Return one line of the ledger: one release of every user of one group.

    Parameters
    ----------
    mechanism : str
        Name of the randomizer.
    quantity : str
        What it was applied to.
    group : int
        Number of the group of users. Groups are disjoint.
    group_size : int
        Users in the group.
    epsilon, delta : float
        Guarantee of this release alone.
    sensitivity : float
        Largest Euclidean distance between the values of two records.
    noise_scale : float
        Standard deviation of Gaussian noise, or length of a message on the sphere.

    Returns
    -------
    entry : dict
        Of plain scalars.
    """
    return {
        "mechanism": str(mechanism),
        "quantity": str(quantity),
        "group": int(group),
        "group_size": int(group_size),
        "epsilon": float(epsilon),
        "delta": float(delta),
        "sensitivity": float(sensitivity),
        "noise_scale": float(noise_scale),
    }


def spent(ledger):
    """Return the (epsilon, delta) that the most exposed user has spent.

    Releases about one user add up; groups are disjoint, so the largest counts.
    """
    totals = {}
    for entry in ledger:
        epsilon, delta = totals.get(entry["group"], (0.0, 0.0))
        totals[entry["group"]] = (epsilon + entry["epsilon"], delta + entry["delta"])
    if not totals:
        return 0.0, 0.0
    return max(e for e, _ in totals.values()), max(d for _, d in totals.values())
