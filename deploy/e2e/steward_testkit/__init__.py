"""Drives a real Steward from outside, as its users do; for the end-to-end tests and the demo."""
