"""Benchmarks: each figure with its bar, measured against a ceiling in the same run where there is one."""
