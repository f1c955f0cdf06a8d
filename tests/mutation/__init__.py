"""Mutation testing of the pure rules: each is changed in one place at a time, and some test has to notice."""
