"""Measurements of a real daemon beside their goals: `make bench`. They are no tests: none of them fails."""
