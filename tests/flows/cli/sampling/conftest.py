"""Runs that were really trained: once for all tests of these commands."""

from tests.training.conftest import trained

__all__ = ["trained"]
