"""Traces, journals, their command and their page."""
