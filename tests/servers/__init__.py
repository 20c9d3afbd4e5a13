"""Tests with real servers and real interpreters. A package, so that its names are its own."""
