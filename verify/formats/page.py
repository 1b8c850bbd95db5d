"""Placeholder until the page is written."""

from __future__ import annotations

from verify.report import Report


def html(report: Report) -> str:
    return f"<!doctype html><title>{report.verdict}</title>"
