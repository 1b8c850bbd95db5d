"""The report page's style sheet: system fonts, light and dark, nothing fetched."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9dce1;
  --page: #ffffff; --card: #f6f7f9; --good: #1a7f4b; --good-back: #e3f4ea;
  --bad: #b3261e; --bad-back: #fbe6e4; --none-back: #eef0f3; --heat: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a0a5ad;
  --line: #363b43; --page: #14171a; --card: #1d2126; --good: #6fd39b;
  --good-back: #17301f; --bad: #ff8a80; --bad-back: #3a1b19; --none-back: #23282e;
  --heat: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 0 0 8px; }
.verdict { padding: 14px 18px; border-radius: 8px; font-weight: 600; margin: 16px 0; }
.verdict.identical { background: var(--good-back); color: var(--good); }
.verdict.different, .verdict.unverified { background: var(--bad-back); color: var(--bad); }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
td.cell { border-radius: 4px; white-space: nowrap; }
td.good { background: var(--good-back); color: var(--good); }
td.bad { background: var(--bad-back); color: var(--bad); font-weight: 600; }
td.none { background: var(--none-back); color: var(--soft); }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--none-back);
  padding: 10px 12px; border-radius: 6px; margin: 8px 0; }
td code { overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px; margin: 12px 0; }
svg { display: block; width: 100%; max-width: 760px; margin: 6px 0 2px; }
svg rect.frame { fill: none; stroke: var(--line); } svg rect.hit { fill: var(--heat); }
details summary { cursor: pointer; color: var(--soft); }
ul { margin: 6px 0; padding-left: 20px; }
"""
