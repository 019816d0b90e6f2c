"""The suite is a package: worker processes import its classes by name.

Without this file another distribution's `tests`, which some install by mistake, would
be found before this folder wherever it stands in `sys.path`.
"""
