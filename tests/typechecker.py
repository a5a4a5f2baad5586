"""Beartype as the tests use it: an int is good where a float is wanted, as Python's own type checkers have it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
