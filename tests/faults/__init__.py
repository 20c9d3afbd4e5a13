"""Tests of what goes wrong: power, flash."""
