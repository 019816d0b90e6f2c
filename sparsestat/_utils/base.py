"""The base class of every estimator: documentation links, versioned pickles."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import fields

from sklearn.base import BaseEstimator

from sparsestat._utils.lazily import make_lazy
from sparsestat._utils.names import check_arguments, suggestion
from sparsestat._utils.results import users_stacklevel
from sparsestat._version import __version__
from sparsestat.exceptions import InconsistentVersionWarning

__all__ = ["SparsestatEstimator"]


_SITE = ""  # where the documentation is hosted; without it nothing links there


class SparsestatEstimator(BaseEstimator):
    """scikit-learn's BaseEstimator with this package's documentation and version.

    The HTML repr links to the documentation, if it is hosted. Arguments that do not
    exist are named in the name of the class, with the nearest that does. A pickle
    carries the version of sparsestat that wrote it, and reading it with another one
    warns.
    """

    # Whether methods tell of each row by itself, so that dask maps them over chunks.
    _by_rows = False

    _doc_link_module = "sparsestat"
    _doc_link_template = "{site}generated/{module}.{name}.html"

    def _get_doc_link(self):
        """Return the address of the class's page, or nothing without a site."""
        if not _SITE or not type(self).__module__.startswith("sparsestat."):
            return ""
        module = ".".join(type(self).__module__.split(".")[:2])
        return self._doc_link_template.format(
            site=_SITE, module=module, name=type(self).__name__
        )

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if cls._by_rows:
            make_lazy(cls)

    def __new__(cls, *args, **kwargs):
        if args or kwargs:
            check_arguments(cls.__name__, cls.__init__, (None, *args), kwargs)
        return super().__new__(cls)

    def set_params(self, **params):
        """Set parameters, also of estimators inside by ``name__parameter``.

        Parameters
        ----------
        **params : dict
            New values.

        Returns
        -------
        self : object
            This estimator.
        """
        try:
            return super().set_params(**params)
        except ValueError as error:
            known = self.get_params(deep=True)
            unknown = [name for name in params if name not in known]
            hint = suggestion(unknown[0], known) if unknown else ""
            if not hint:
                raise
            raise ValueError(f"{error}{hint}") from None

    def _options(self, record, **others):
        """Return a frozen record for an algorithm, filled from parameters by name.

        `others` are fields that are no parameters, or not as they were given.
        """
        names = [field.name for field in fields(record) if field.name not in others]
        return record(**{name: getattr(self, name) for name in names}, **others)

    def __getstate__(self):
        return {**super().__getstate__(), "_sparsestat_version": __version__}

    def __setstate__(self, state):
        written = state.get("_sparsestat_version", "of unknown version")
        if written != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sparsestat_version=__version__,
                    original_sparsestat_version=written,
                ),
                stacklevel=users_stacklevel(),
            )
        super().__setstate__(
            {k: v for k, v in state.items() if k != "_sparsestat_version"}
        )
