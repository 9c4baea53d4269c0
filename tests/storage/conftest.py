"""Assertions of the public contract batteries explain themselves like those of test modules."""

import pytest

pytest.register_assert_rewrite("opik_eval.testing")
