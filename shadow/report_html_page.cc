// The frame of the HTML report: its styles are all in here, and its policy forbids any request.
#include "shadow/report_html.h"

namespace weir::shadow {

const std::string_view kHtmlHead = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {
  --bg: #fbfbfa; --panel: #fff; --text: #1c1e21; --soft: #5c6370; --line: #dfe1e5;
  --pass: #13703c; --fail: #b3261e; --doubt: #8a5a00; --passbg: #e3f4e9; --failbg: #fce8e6;
  --doubtbg: #fdf2d8;
  --leftmark: #ffd7d5; --rightmark: #c5efce; --bar: #8b93a1; --barfail: #d1463d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #15171a; --panel: #1d2024; --text: #e4e6ea; --soft: #9aa3b0; --line: #343941;
    --pass: #6fd394; --fail: #ff8a80; --doubt: #f0c060; --passbg: #16331f; --failbg: #421d1b;
    --doubtbg: #3a2e10;
    --leftmark: #6b2320; --rightmark: #1d5a2d; --bar: #6b7482; --barfail: #e5675e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
h1 { font-size: 1.35rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; }
code, pre, .mono { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: .86em; }
.soft { color: var(--soft); }
.verdict { border-radius: 10px; padding: 1rem 1.2rem; border-left: 6px solid; }
.verdict .word { font-size: 1.9rem; font-weight: 700; letter-spacing: .02em; }
.verdict ul, .reasons { margin: .5rem 0 0; padding-left: 1.2rem; }
.verdict li, .reasons li { overflow-wrap: anywhere; }
.PASS { background: var(--passbg); border-color: var(--pass); }
.PASS .word, .tag.PASS { color: var(--pass); }
.FAIL { background: var(--failbg); border-color: var(--fail); }
.FAIL .word, .tag.FAIL { color: var(--fail); }
.INCONCLUSIVE { background: var(--doubtbg); border-color: var(--doubt); }
.INCONCLUSIVE .word, .tag.INCONCLUSIVE { color: var(--doubt); }
.tag { display: inline-block; padding: .05rem .5rem; border-radius: 99px; font-size: .8rem;
  font-weight: 600; white-space: nowrap; }
.tag.changed { background: var(--failbg); color: var(--fail); }
.tag.doubt { background: var(--doubtbg); color: var(--doubt); }
.tag.noise, .tag.clock, .tag.known, .tag.tolerated { background: var(--line); color: var(--soft); }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; font-size: .8rem; color: var(--soft);
  white-space: nowrap; }
th, td { padding: .45rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.path { overflow-wrap: anywhere; min-width: 9rem; }
td .why { color: var(--soft); font-size: .85rem; margin-top: .15rem; overflow-wrap: anywhere; }
.bar { display: block; height: 4px; border-radius: 2px; background: var(--bar);
  margin-top: .2rem; margin-left: auto; }
.changed .bar.d { background: var(--barfail); }
details { margin: .5rem 0; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; }
summary { cursor: pointer; padding: .5rem .8rem; overflow-wrap: anywhere; }
details > .panel { border: 0; border-top: 1px solid var(--line); border-radius: 0 0 8px 8px; }
.sides { display: grid; grid-template-columns: 1fr 1fr; border-top: 1px solid var(--line); }
.side { min-width: 0; padding: .5rem .8rem; }
.side + .side { border-left: 1px solid var(--line); }
.side .name { font-size: .8rem; font-weight: 600; color: var(--soft); }
pre { margin: .2rem 0 .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; border-radius: 3px; padding: 0 1px; background: var(--rightmark); }
.left mark { background: var(--leftmark); }
td.value { overflow-wrap: anywhere; min-width: 7rem; }
.better { color: var(--pass); font-weight: 600; } .worse { color: var(--fail); font-weight: 600; }
@media (max-width: 640px) {
  body { font-size: 14px; }
  .sides { grid-template-columns: 1fr; }
  .side + .side { border-left: 0; border-top: 1px solid var(--line); }
  table.stack thead { display: none; }
  table.stack, table.stack tbody, table.stack tr, table.stack td { display: block; width: 100%; }
  table.stack tr { padding: .5rem .8rem; border-bottom: 1px solid var(--line); }
  table.stack tr:last-child { border-bottom: 0; }
  table.stack td { border: 0; padding: .1rem 0; text-align: left; white-space: normal; }
  table.stack td[data-name]::before { content: attr(data-name) ": "; color: var(--soft);
    font-size: .85em; }
  table.stack .bar { margin-left: 0; }
}
@media print { details { break-inside: avoid; } }
</style>
</head>
<body>
<main>
)html";

const std::string_view kHtmlTail = "</main>\n</body>\n</html>\n";

}  // namespace weir::shadow
