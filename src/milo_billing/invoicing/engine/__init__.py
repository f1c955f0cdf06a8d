"""Runs of a month over many accounts: their rows, and the steps that workers take."""
